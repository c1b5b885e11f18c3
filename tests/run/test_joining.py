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
from seviz.network.networks import Network
from seviz.run.chunks import Chunk
from seviz.run.joining import merge
from seviz.run.merging import merge_chunks
from seviz.run.store import Run
from seviz.run.verification import verify
from tests.made_runs import make_run

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
    joined = merge([first.path, second.path], tmp_path / "joined")
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
    joined = merge([tmp_path / "1", tmp_path / "2"], tmp_path / "joined")
    whole = capture(tiny_network, [(x, y)], tmp_path / "whole")
    for name in whole.blocks:
        np.testing.assert_allclose(joined.gates(name), whole.gates(name), atol=2e-5)  # other batches
    assert list(joined.samples["path"][[0, 8]]) == ["1/0", "2/0"]


ANIMALS = ("ant", "bee", "cat", "dog", "emu")
"""The classes of a network."""


@pytest.mark.parametrize("several", [False, True])
def test_each_image_keeps_its_classes_and_gates(several: bool, tmp_path: Path) -> None:
    """The classes of the second run sort before, between and behind those of the first; neither is sorted."""
    runs, wanted = [], []
    random = np.random.default_rng(0)
    for own, images in ((("dog", "bee"), 5), (("emu", "cat", "ant", "bee"), 9)):
        labels = np.arange(images) % len(own)
        wanted += [own[label] for label in labels]
        targets = tuple(ANIMALS.index(name) for name in own)
        run = make_run(
            tmp_path / str(images),
            {"SE_2_1": random.random((images, 2))},
            labels[:, None] == range(len(own)) if several else labels,
            classes=own,
            kept=np.arange(images) % len(own) > 0,
            chunk_size=4,
        )
        known = dataclasses.replace(run.manifest.model, class_ids=ANIMALS, class_names=ANIMALS)
        data = dataclasses.replace(run.manifest.data, model_classes=targets)
        manifest = dataclasses.replace(run.manifest, model=known, data=data)
        (run.path / "manifest.json").write_text(manifest.to_json())
        for path, right in zip(run.chunk_paths(), np.split(np.array(targets)[labels], [4, 8]), strict=False):
            chunk = Chunk.read(path)
            samples = dataclasses.replace(chunk.samples, predictions=right[:, None].astype(np.int32))
            dataclasses.replace(chunk, samples=samples).write(path)
        merge_chunks(Run(run.path))
        runs.append(seviz.open_run(run.path))
    joined = merge([run.path for run in runs], tmp_path / "joined")
    assert joined.classes.ids == joined.classes.names == ANIMALS
    assert list(joined.samples["class"]) == list(joined.samples["predicted"]) == wanted
    assert joined.accuracy.top1 == 1
    np.testing.assert_array_equal(joined.gates("SE_2_1"), np.concatenate([run.gates("SE_2_1") for run in runs]))
    assert joined["SE_2_1"]["count"].values.tolist() == [wanted.count(name) for name in ANIMALS]
    bees = runs[0].moments("SE_2_1").take(np.array([1])), runs[1].moments("SE_2_1").take(np.array([3]))
    np.testing.assert_allclose(joined.moments("SE_2_1").mean[1], bees[0].merge(bees[1]).mean[0])
    assert (joined.manifest.data.images, joined.manifest.data.spec) == (14, "made + made")
    assert joined.manifest.keep_gates == "all"
    assert verify(joined) == []


def test_runs_of_the_same_classes_keep_their_order(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.full((4, 2), 0.5)}
    runs = [make_run(tmp_path / name, gates, np.arange(4) % 2, classes=("dog", "bee")) for name in "12"]
    joined = merge([run.path for run in runs], tmp_path / "joined")
    assert joined.classes.ids == ("dog", "bee")
    assert joined.accuracy.top1 == 1


def test_runs_that_keep_different_gates(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.full((4, 2), 0.5)}
    paths = [make_run(tmp_path / name, gates, np.arange(4) % 2).path for name in "12"]
    manifest = Run(paths[1]).manifest
    (paths[1] / "manifest.json").write_text(dataclasses.replace(manifest, keep_gates="per-class:2").to_json())
    assert merge(paths, tmp_path / "joined").manifest.keep_gates == "all + per-class:2"


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
            merge([tmp_path / "1", tmp_path / name], tmp_path / "joined")
        assert not (tmp_path / "joined").exists()
    with pytest.raises(JoinError, match="1 run given, expected at least 2"):
        merge([tmp_path / "1"], tmp_path / "joined")
    with pytest.raises(RunExistsError, match="is in the way: it is not empty"):
        merge([tmp_path / "1", tmp_path / "overlap"], tmp_path / "weights")
    Run(tmp_path / "overlap").chunk_path(0).unlink()
    with pytest.raises(RunIncompleteError, match="has not finished"):
        merge([tmp_path / "1", tmp_path / "overlap"], tmp_path / "joined")


def test_gates_outside_of_their_bounds_join_those_inside(tmp_path: Path) -> None:
    gates = np.linspace(0.1, 0.9, 20).reshape(10, 2)
    gates[6, 1] = -2
    parts = (slice(0, 4), slice(4, 10))
    runs = [
        make_run(tmp_path / str(k), {"SE_2_1": gates[part]}, np.arange(10)[part] % 2, chunk_size=2 + k)
        for k, part in enumerate(parts)
    ]
    for k, run in enumerate(runs):  # or both would hold the images of the same names
        run.path.joinpath("manifest.json").write_text(
            dataclasses.replace(
                run.manifest, data=dataclasses.replace(run.manifest.data, root=str(tmp_path / "images" / str(k)))
            ).to_json()
        )
    joined = merge([run.path for run in runs], tmp_path / "joined")
    np.testing.assert_allclose(joined.gates("SE_2_1"), gates, rtol=0, atol=8e-6)
    for row in range(10):
        np.testing.assert_allclose(joined.gates("SE_2_1", rows=np.array([row])), gates[[row]], rtol=0, atol=8e-6)
    assert (joined.bounds("SE_2_1"), joined.stored_in_16_bits("SE_2_1")) == ((-np.inf, np.inf), True)
    assert Chunk.read(joined.chunk_path(2)).outside == ("SE_2_1",)
    assert verify(joined) == []
