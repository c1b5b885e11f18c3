"""Progress: a bar for a person, lines of JSON for a program."""

import json

import pytest

from seviz.cli.reporting import progress


def test_lines_of_json_where_a_program_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVIZ_PROGRESS", "json")
    with progress("measure") as step:
        for done in range(1, 1001):
            step(done, 1000)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == {"progress": "measure", "done": 1000, "total": 1000}
    assert len(lines) < 100


def test_a_bar_else(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with progress("measure", unit="tables") as step:
        step(3, 3)
    said = capsys.readouterr().err
    assert "measure" in said
    assert "3/3" in said
    assert "{" not in said
