"""Who may read what seviz writes is for the umask to say, the same for every file."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.cli.kinds_of_run import BLOCK, QUICK

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no umask")


@pytest.fixture(params=[0o022, 0o027])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("unrendered")
def test_every_file_follows_the_umask(mask: int, kinds: Path, tmp_path: Path) -> None:
    one = tmp_path / "run"
    for command in (
        ("capture", f"{kinds / 'small.py'}:network", kinds / "data", "-o", one, "--compile", "off", *QUICK),
        ("analyse", one, "--only", "specificity"),
        ("figures", one, "-o", one / "figures", "--only", "specificity", "--format", "png,svg"),
        ("report", one, "-o", one / "report.html"),
        (
            "intervene",
            one,
            "--interventions",
            "zero",
            "--figure",
            tmp_path / "more" / "depth.pdf",
            "--trust-code",
            *QUICK,
        ),
        (
            *("fold", one, "-o", tmp_path / "out", "--blocks", BLOCK, "--no-latency"),
            *("--no-program", "--trust-code", *QUICK),
        ),
    ):
        assert run(*command).exit_code == 0, command
    written = [path for path in tmp_path.rglob("*") if not path.is_symlink()]
    names = {path.name for path in written}
    assert {"manifest.json", "000000.safetensors", f"{BLOCK}.safetensors", "samples.parquet", "report.html"} <= names
    assert {"specificity.png", "specificity.csv", "depth.pdf", "README.md", "weights.safetensors"} <= names
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in written}
    wrong = {
        str(path.relative_to(tmp_path)): oct(mode)
        for path, mode in modes.items()
        if mode != (0o777 if path.is_dir() else 0o666) & ~mask
    }
    assert not wrong
