import errno
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import seviz
from seviz.compression import directory
from seviz.compression.directory import check_free, markdown, write_compression
from seviz.compression.folding import fold_to
from seviz.compression.result import Compression
from seviz.errors import EngineError, MissingPackageError, OptionError, SavedNetworkError, WriteError
from seviz.network.networks import Network


@pytest.fixture(scope="module")
def smaller() -> Network:
    network = seviz.load("seviz/seresnet50-cifar10")
    return fold_to(network, {"SE_5_2": np.full(512, 0.5)})


def _compression(network: Network | None) -> Compression:
    figure = Figure()
    figure.subplots().plot([0, 1], [1, 0])
    table = pd.DataFrame({"network": ["a|b", "c"], "accuracy": [0.5, np.nan], "parameters": [1234567, 8]})
    return Compression(
        kind="fold",
        title="A smaller network",
        made=("One block was folded.",),
        settings={"blocks": "SE_5_2"},
        split={"seed": 0, "images to judge by": 10},
        tables={"results": ("Original and result", table)},
        figures={"results": figure},
        network=network,
    )


@pytest.fixture(scope="module")
def written(smaller: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_compression(_compression(smaller), tmp_path_factory.mktemp("compressions") / "deep" / "out")


def test_all_is_written_and_the_network_comes_back(smaller: Network, written: Path) -> None:
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert names == {
        *("README.md", "result.json", "network.json", "weights.safetensors", "network.pt2", "results.csv"),
        "figures/results.png",
    }
    assert [path.name for path in written.parent.iterdir()] == ["out"]  # nothing beside it
    images = torch.randn(3, *smaller.input_size)
    again = seviz.load(str(written))
    with torch.no_grad():
        torch.testing.assert_close(again.model(images), smaller.model(images), rtol=0, atol=0)
    card = (written / "README.md").read_text()
    assert card.startswith("# A smaller network\n\nOne block was folded.\n")
    assert f"seviz.load({str(written)!r})" in card
    assert r"| a\|b | 0.5 | 1,234,567 |" in card
    assert "![Original and result](figures/results.png)" in card
    assert "| images to judge by | 10 |" in card
    assert pd.read_csv(written / "results.csv")["parameters"].tolist() == [1234567, 8]


def test_the_program_is_the_network(smaller: Network, written: Path) -> None:
    """That programs run without seviz is shown in `test_export.py`."""
    program = torch.export.load(written / "network.pt2").module()
    images = torch.randn(4, *smaller.input_size)
    with torch.no_grad():
        found = torch.cat([program(images[:1]), program(images[1:])])
        torch.testing.assert_close(found, smaller.model(images), rtol=1e-4, atol=1e-4)


def test_without_a_network(tmp_path: Path) -> None:
    out = write_compression(_compression(None), tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {"README.md", "result.json", "results.csv", "figures"}
    assert "seviz.load" not in (out / "README.md").read_text()


def test_what_cannot_be_written_leaves_nothing(smaller: Network, tmp_path: Path) -> None:
    strange = replace(smaller, model=torch.nn.Sequential(smaller.model))
    with pytest.raises(SavedNetworkError):
        write_compression(_compression(strange), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"nothing can be written into '.*': '.*/file' is a file\. Give another place"):
        write_compression(_compression(None), tmp_path / "file" / "out")


def test_a_disk_that_is_full_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(path: Path, other: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(WriteError, match=r"out' could not be written \(.*No space left.*\); nothing of it was left"):
        write_compression(_compression(None), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [EngineError("not now"), WriteError("no room")])
def test_what_cannot_be_exported_is_told_and_all_else_written(
    error: Exception, smaller: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(network: Network, path: Path) -> None:
        raise error

    monkeypatch.setattr(directory, "export_program", fail)
    monkeypatch.setattr(directory, "export_onnx", fail)
    monkeypatch.setattr(directory, "require_onnx", lambda: None)
    told: list[str] = []
    out = write_compression(_compression(smaller), tmp_path / "out", onnx=True, tell=told.append)
    assert told == [f"there is no network.{kind}: {error}" for kind in ("pt2", "onnx")]
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "result.json", "network.json", "weights.safetensors", "results.csv", "figures"),
    }
    assert "network.onnx" not in (out / "README.md").read_text()


def test_packages_are_asked_for_before_anything_is_written(
    smaller: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackageError, match="an ONNX file needs onnxscript"):
        write_compression(_compression(smaller), tmp_path / "out", onnx=True)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert check_free(tmp_path / "empty") == tmp_path / "empty"
    write_compression(_compression(None), tmp_path / "empty")
    for place in (tmp_path / "empty", tmp_path / "empty" / "README.md"):
        with pytest.raises(OptionError, match="where there is something already; give another directory"):
            check_free(place)


def test_markdown() -> None:
    table = pd.DataFrame({"a": ["x"], "b": [0.123456], "c": [True]})
    assert markdown(table) == ["| a | b | c |", "|---|---:|---|", "| x | 0.1235 | yes |"]
