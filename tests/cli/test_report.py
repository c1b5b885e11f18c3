from pathlib import Path

from seviz.run.store import Run
from tests.cli.commands import error_of, run


def test_a_report_is_written_and_its_path_printed(tiny_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "there" / "report.html"
    result = run("report", tiny_run.path, "-o", out, "--title", "Mine")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert "computing specificity" in result.stderr
    assert "<title>Mine</title>" in out.read_text()


def test_wrong_use_is_told(tmp_path: Path) -> None:
    assert "no run in" in error_of("report", tmp_path / "nowhere", "-o", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
