"""What another package adds by entry points is there at every door; what is wrong with it is told where it is used."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

import seviz
from seviz.capture.datasets import open_dataset
from seviz.errors import DataNotFoundError, DeclarationError, SevizWarning
from seviz.registry import CRITERIA, FIGURES, LAYOUTS, TABLES
from seviz.run.store import Run
from tests.cli.commands import run
from tests.other_package import ADDED, BROKEN, install


@contextmanager
def installed(site: Path) -> Iterator[None]:
    """The package is there, for this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        _look_again()
        yield
    sys.modules.pop("others_of_seviz", None)
    _look_again()


def _look_again() -> None:
    for registry in (TABLES, FIGURES, CRITERIA, LAYOUTS):
        registry.refresh()


@pytest.fixture
def added(tmp_path: Path) -> Iterator[Path]:
    """The place of a package whose every entry point is right."""
    site = install(tmp_path / "site", ADDED)
    with installed(site):
        yield site


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """The place of a package whose every entry point is wrong."""
    site = install(tmp_path / "site", BROKEN)
    with installed(site):
        yield site


def in_a_process(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, where the package is there."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-m", "seviz", *words], capture_output=True, text=True, env=environment)


def test_a_table(added: Path, tiny_run: Run) -> None:
    listed = in_a_process(added, "--help")
    panel = listed.stdout.partition("Tables of other packages")[2]
    assert re.search(r"widths +Channels whose mean gate is highest\.", panel)
    assert listed.stderr == ""
    expected = {block.name: block.channels for block in tiny_run.manifest.blocks}
    made = seviz.tables.widths(tiny_run)
    assert dict(zip(made["block"], made["width"], strict=True)) == expected
    printed = run("widths", tiny_run.path, "--factor", 2, "--csv")
    assert printed.exit_code == 0, printed.output
    rows = pd.read_csv(io.StringIO(printed.stdout))
    assert dict(zip(rows["block"], rows["width"], strict=True)) == {name: 2 * n for name, n in expected.items()}
    some = next(iter(expected))
    assert [row["block"] for row in json.loads(run("widths", tiny_run.path, "--blocks", some, "--json").stdout)] == [
        some
    ]
    told = run("widths", "--help").stdout
    assert "Multiplier of the number of channels" in told
    assert "[default: 1]" in told


def test_a_table_among_all(added: Path, tiny_run: Run, tmp_path: Path) -> None:
    assert "widths: " in run("analyse", tiny_run.path, "--only", "widths").stdout


def test_a_layout(added: Path, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in make_folder({"cat": 2, "ship": 3}).rglob("*.png"):
        file.rename(flat / f"{file.parent.name}-{file.name}")
    data = open_dataset(f"flat:{flat}")
    assert (data.classes.ids, data.labels.tolist()) == (("cat", "ship"), [0, 0, 1, 1, 1])
    assert "images: 5 found (5 ok," in run("scan", f"flat:{flat}").stdout
    captured = run("capture", "seviz/seresnet50-cifar10", f"flat:{flat}", "-o", tmp_path / "run", "--compile", "off")
    assert captured.exit_code == 0, captured.output
    assert seviz.open_run(tmp_path / "run").manifest.data.spec == f"flat:{flat}"
    with pytest.raises(DataNotFoundError, match=r"expected .* flat:DIR"):
        open_dataset(tmp_path / "nowhere")
    assert "split is 'val', but data" in run("scan", f"flat:{flat}", "--split", "val").stderr
    assert "flat:DIR" in in_a_process(added, "scan", "--help").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "'absent' of the package 'others-of-seviz' cannot be loaded: ModuleNotFoundError: No module named"),
        (
            "undeclared",
            "'undeclared' of the package 'others-of-seviz' is not declared: put @seviz.registry.table above",
        ),
        ("otherwise", "is declared as 'called': entry point and function need the same name"),
        ("callback", "the table 'callback' is no command: its parameter 'function' has no default, and is no run"),
    ],
)
@pytest.mark.filterwarnings("ignore:the table 'specificity' of")
def test_a_table_that_cannot_be_used(name: str, message: str, tiny_run: Run, broken: Path) -> None:
    result = run(name, tiny_run.path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    if name != "callback":
        with pytest.raises(DeclarationError, match=re.escape(message)):
            TABLES[name]


def test_what_is_wrong_with_a_package_breaks_no_help(broken: Path) -> None:
    listed = in_a_process(broken, "--help")
    assert listed.returncode == 0
    assert "Traceback" not in listed.stderr
    taken = "the table 'specificity' of the package 'others-of-seviz' is not used: seviz has one of that name"
    assert listed.stderr.splitlines() == [
        f"note: {taken}",
        "note: the table 'capture' is no command: there is a command of that name",
    ]
    for name in ("absent", "undeclared", "otherwise", "callback", "specificity", "capture"):
        assert re.search(rf"^│ {name} ", listed.stdout, re.M), name
    scan = in_a_process(broken, "scan", "--help")
    assert (scan.returncode, "imagenet:ROOT" in scan.stdout, "Traceback" in scan.stderr) == (0, True, False)


def test_a_layout_that_cannot_be_used(broken: Path, tmp_path: Path) -> None:
    with (
        pytest.warns(SevizWarning, match=r"the layout '\w+' of the package"),
        pytest.raises(DataNotFoundError, match="expected a folder with one folder per class"),
    ):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DeclarationError, match="the layout 'absent' of the package 'others-of-seviz' cannot be loaded"):
        open_dataset(f"absent:{tmp_path}/x")
    result = run("scan", f"absent:{tmp_path}/x")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: the layout 'absent' of the package 'others-of-seviz'")
