"""What can be known before the work is told before it: packages, places, room. What is left if the end fails."""

import errno
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import seviz
from seviz.compression import export
from seviz.experiments import reopening
from tests.cli.commands import run
from tests.cli.kinds_of_run import BLOCK, QUICK

AGAIN = ("--trust-code", *QUICK)


@pytest.fixture
def one(kinds: Path, tmp_path: Path) -> Path:
    """A run of its own, of a single label."""
    return Path(shutil.copytree(kinds / "runs" / "single label", tmp_path / "run"))


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is opened."""

    def load(*_: Any, **__: Any) -> None:
        pytest.fail("the work began")

    monkeypatch.setattr(reopening, "load_with", load)
    monkeypatch.setattr(seviz, "load", load)


def refused(*command: object, code: int = 1) -> str:
    """The one error line of a command that prints no result."""
    result = run(*command)
    said = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, result.stdout, len(said)) == (code, "", 1), (result.output, result.exception)
    return said[0]


@pytest.mark.parametrize(
    ("hidden", "command", "what"),
    [
        ("onnxruntime", ("fold", "RUN", "-o", "OUT", "--onnx", *AGAIN), "an ONNX file needs onnxruntime"),
        ("onnx", ("prune", "RUN", "-o", "OUT", "--flops", "0.5", "--onnx", *AGAIN), "an ONNX file needs onnx"),
        (
            "torch_pruning",
            ("prune", "RUN", "-o", "OUT", "--flops", "0.5", *AGAIN),
            "removing channels needs torch-pruning",
        ),
        ("captum.attr", ("attribute", "RUN", "--method", "conductance", *AGAIN), "conductance needs captum"),
        ("umap", ("neighbour-map", "RUN", BLOCK), "a neighbour map needs umap-learn"),
        ("nltk.corpus", ("agreement", "RUN", "--hierarchy", "wordnet"), "the hierarchy 'wordnet' needs nltk"),
    ],
)
@pytest.mark.usefixtures("no_work")
def test_packages(
    hidden: str, command: tuple[str, ...], what: str, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    out = tmp_path / "out"
    said = refused(*({"RUN": one, "OUT": out}.get(word, word) for word in command), code=2)
    assert said.startswith(f"error: {what} (")
    assert "): pip install 'seviz[" in said
    assert not out.exists()


WRITERS: dict[str, tuple[str, ...]] = {
    "capture": ("capture", "MODEL", "DATA", "-o", "OUT"),
    "figures": ("figures", "RUN", "-o", "OUT"),
    "report": ("report", "RUN", "-o", "OUT"),
    "intervene": ("intervene", "RUN", "--figure", "OUT.png", *AGAIN),
    "attribute": ("attribute", "RUN", "--figure", "OUT.png", *AGAIN),
    "curve": ("curve", "RUN", "-o", "OUT", *AGAIN),
    "fold": ("fold", "RUN", "-o", "OUT", *AGAIN),
    "prune": ("prune", "RUN", "-o", "OUT", "--keep-channels", "0.5", *AGAIN),
    "merge": ("merge", "RUN", "ANOTHER", "-o", "OUT"),
}


def _written_to(name: str, out: Path, one: Path, kinds: Path) -> list[str]:
    places = {"RUN": one, "OUT": out, "ANOTHER": kinds / "runs" / "another", "DATA": kinds / "data"}
    places |= {"OUT.png": out.with_name("out.png"), "MODEL": f"{kinds / 'small.py'}:network"}
    return [str(places.get(word, word)) for word in WRITERS[name]]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("no_work")
def test_a_file_in_the_way(name: str, one: Path, kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    said = refused(*_written_to(name, tmp_path / "file" / "out", one, kinds))
    assert "file' is a file. Give another place." in said or "is, or is in, a file. Give another place." in said
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc, in which nobody can write")
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("no_work")
def test_a_directory_that_takes_nothing(name: str, one: Path, kinds: Path) -> None:
    said = refused(*_written_to(name, Path("/proc/out"), one, kinds))
    assert "Give another place, or make" in said or "make the place writable" in said


@pytest.mark.parametrize("name", ["curve", "fold", "prune", "merge"])
@pytest.mark.usefixtures("no_work")
def test_a_directory_or_file_of_something_else(name: str, one: Path, kinds: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    for place in (tmp_path / "there", tmp_path / "there" / "file"):
        said = refused(*_written_to(name, place, one, kinds), code=2)
        assert "give another directory" in said or "Give a new or an empty directory" in said
    assert (tmp_path / "there" / "file").read_text() == "mine"


@pytest.mark.usefixtures("no_work")
def test_a_page_is_no_directory(one: Path, tmp_path: Path) -> None:
    assert "it is a directory. Give the name of a file." in refused("report", one, "-o", tmp_path)


def test_tables_without_a_place(one: Path) -> None:
    (one / "tables").write_text("mine")
    assert "tables' is a file" in refused("analyse", one)
    assert (one / "tables").read_text() == "mine"
    result = run("specificity", one, "--json")  # what keeps nothing needs no place
    assert [row["block"] for row in json.loads(result.stdout)] == ["SE_2_1", "SE_3_1"]


@pytest.mark.parametrize(("name", "files"), [("fold", 2), ("prune", 3)])
def test_no_room(
    name: str, files: int, one: Path, kinds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = (kinds / "saved" / "weights.safetensors").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    monkeypatch.setattr("seviz.experiments.measure.measure", lambda *_, **__: pytest.fail("the work began"))
    onnx = ("--onnx",) if files == 3 else ()
    said = refused(*_written_to(name, tmp_path / "out", one, kinds), *onnx)
    taken = float(said.partition("takes up to ")[2].split(" ")[0]) * 1000
    assert files * 0.5 * weights < taken < files * 2 * weights  # the whole network is little more than the saved one
    assert "has 100 bytes free. Nothing was written: give a place with more room, or write fewer files of it (" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "writer", "option"), [("onnx", "_as_onnx", "--no-program"), ("pt2", "_as_program", "")]
)
def test_a_network_that_cannot_be_exported_is_kept(
    kind: str, writer: str, option: str, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such operator\nand more")

    monkeypatch.setattr(export, writer, fail)
    out = tmp_path / "out"
    asked = ("--onnx",) if kind == "onnx" else ()
    options = (*asked, *filter(None, [option]), "--no-latency", "--blocks", BLOCK, "--json")
    result = run("fold", one, "-o", out, *options, *AGAIN)
    assert result.exit_code == 1, result.output
    assert [row["network"] for row in json.loads(result.stdout)] == ["original", "folded"]
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"error: there is no network.{kind}: Sequential cannot be exported (no such operator). All")
    assert last.endswith(f"seviz.load({str(out)!r}) gives the network.")
    assert not list(out.glob("network.[op]*"))
    assert set(seviz.load(str(out), trust_code=True).blocks) == {"SE_2_1"}


def test_a_disk_that_is_full_at_the_end(one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for command in (("figures", "--only", "specificity"), ("report",)):
        out = tmp_path / command[0] / "out.html"
        said = run(command[0], one, "-o", out, *command[1:])
        assert said.exit_code == 1, said.output
        assert "(No space left on device). What was done before is kept: make room" in said.stderr.splitlines()[-1]
        assert not [path for path in out.parent.rglob("*") if path.is_file()]
