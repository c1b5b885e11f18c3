import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import seviz
from seviz.cli import app
from seviz.errors import JoinError, RunExistsError, RunIncompleteError
from seviz.network.models import Network
from seviz.run.joining import join
from seviz.run.store import Run
from seviz.run.verification import verify

pytestmark = pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")

Make = Callable[..., Path]


def capture(network: Network, data: Path, out: Path, **options: object) -> Run:
    return seviz.collect(network, data, out, **{"batch_size": 4, "chunk_size": 7, **options})


def assert_same_figures(joined: Run, whole: Run) -> None:
    order = {path: k for k, path in enumerate(joined.samples["path"])}
    rows = [order[path] for path in whole.samples["path"]]
    for name in whole.blocks:
        np.testing.assert_allclose(joined.gates(name)[rows], whole.gates(name), atol=2e-5)
        for one, other in ((joined.moments(name), whole.moments(name)), (joined.total(name), whole.total(name))):
            np.testing.assert_array_equal(one.count, other.count)
            np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)  # other batches, other rounding
            np.testing.assert_allclose(one.m2, other.m2, rtol=1e-4)
            np.testing.assert_allclose(one.max, other.max, rtol=1e-6)
    assert joined.accuracy == whole.accuracy


def test_joined_by_class_is_the_run_of_all(tiny_network: Network, make_folder: Make, tmp_path: Path) -> None:
    root = make_folder({"blue": 9, "green": 8, "red": 13})
    whole = capture(tiny_network, root, tmp_path / "whole")
    first = capture(tiny_network, root, tmp_path / "1", classes=["green"])
    second = capture(tiny_network, root, tmp_path / "2", classes=["red", "blue"])
    joined = join([first.path, second.path], tmp_path / "joined")
    assert len(joined.samples) == 30
    assert_same_figures(joined, whole)
    assert verify(joined) == []
    assert [len(run.samples) for run in (first, second)] == [8, 22]  # and these stay as they were


def test_folders_with_other_classes(tiny_network: Network, make_folder: Make, tmp_path: Path) -> None:
    warm, cold = make_folder({"red": 5}, name="all/warm"), make_folder({"blue": 4, "green": 3}, name="all/cold")
    runs = [capture(tiny_network, warm, tmp_path / "1"), capture(tiny_network, cold, tmp_path / "2")]
    result = CliRunner().invoke(app, ["merge", *(str(run.path) for run in runs), "-o", str(tmp_path / "joined")])
    assert result.exit_code == 0, result.output
    joined = seviz.open_run(tmp_path / "joined")
    assert joined.classes.ids == ("blue", "green", "red")
    assert joined["SE_2_1"]["count"].values.tolist() == [4, 3, 5]
    assert list(joined.samples["path"][[0, 5, 9]]) == ["warm/red/000.png", "cold/blue/000.png", "cold/green/000.png"]
    assert list(joined.samples["class"]) == ["red"] * 5 + ["blue"] * 4 + ["green"] * 3
    np.testing.assert_array_equal(joined["SE_3_1"]["mean"].values[2], runs[0]["SE_3_1"]["mean"].values[0])
    assert joined.accuracy.images == 12
    assert verify(joined) == []


def test_batches_in_memory_join_too(tiny_network: Network, tmp_path: Path) -> None:
    x, y = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 3
    for name, part in (("1", slice(0, 8)), ("2", slice(8, 20))):
        capture(tiny_network, [(x[part], y[part])], tmp_path / name)
    joined = join([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
    whole = capture(tiny_network, [(x, y)], tmp_path / "whole")
    for name in whole.blocks:
        np.testing.assert_allclose(joined.gates(name), whole.gates(name), atol=2e-5)  # other batches
    assert list(joined.samples["path"][[0, 8]]) == ["1/0", "2/0"]


def test_what_cannot_be_joined(tiny_network: Network, make_folder: Make, tmp_path: Path) -> None:
    root, other = make_folder({"blue": 3, "red": 3}), make_folder({"blue": 3, "red": 3}, name="other")
    capture(tiny_network, root, tmp_path / "1")
    capture(tiny_network, root, tmp_path / "overlap", classes=["red"])
    capture(tiny_network, other, tmp_path / "signals", signals=["squeeze"])
    with torch.no_grad():
        tiny_network.model.head.bias += 1
    capture(dataclasses.replace(tiny_network), other, tmp_path / "weights")
    for name, error, message in (
        ("overlap", JoinError, r"cannot be joined: both hold 'red/000.png', which would count twice"),
        ("signals", JoinError, r"cannot be joined: they differ in signals"),
        ("weights", JoinError, r"cannot be joined: they differ in weights"),
    ):
        with pytest.raises(error, match=message):
            join([tmp_path / "1", tmp_path / name], tmp_path / "joined")
        assert not (tmp_path / "joined").exists()
    with pytest.raises(JoinError, match="1 run given, expected at least 2"):
        join([tmp_path / "1"], tmp_path / "joined")
    with pytest.raises(RunExistsError, match="is in the way: it is not empty"):
        join([tmp_path / "1", tmp_path / "overlap"], tmp_path / "weights")
    Run(tmp_path / "overlap").chunk_path(0).unlink()
    with pytest.raises(RunIncompleteError, match="has not finished"):
        join([tmp_path / "1", tmp_path / "overlap"], tmp_path / "joined")
