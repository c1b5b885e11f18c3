"""Runs whose images are no files by themselves, opened again; and those that a hub would have to give."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import seviz
from seviz.capture.datasets import open_dataset
from seviz.dashboard.thumbnails import thumbnail, unseen
from seviz.errors import DataNotFoundError
from seviz.experiments.reopening import reopen_data
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.capture.layouts.made_layouts import make_rows, make_shard, png

OPTIONS = {"workers": 0, "compile": "off"}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def shards(tiny_network: Network, tmp_path: Path) -> Run:
    members = {f"{k}{end}": png((k, 0, 0)) if end == ".png" else b"red" for k in range(3) for end in (".png", ".cls")}
    spec = f"wds:{make_shard(tmp_path / 'a.tar', members)}"
    return seviz.collect(tiny_network, spec, tmp_path / "run", **OPTIONS)


def test_shards_are_opened_again(shards: Run, tmp_path: Path) -> None:
    data = reopen_data(shards)
    assert data.paths == tuple(shards.samples["path"]) == ("a.tar/0.png", "a.tar/1.png", "a.tar/2.png")
    assert [np.asarray(data.read(k).image)[0, 0, 0] for k in range(3)] == [0, 1, 2]
    assert unseen(shards) == ""
    assert thumbnail(shards, 2).image.max(axis=(0, 1)).tolist() == [2, 0, 0, 255]
    make_shard(tmp_path / "a.tar", {"0.png": png() + b"x", "0.cls": b"red"})
    with pytest.raises(DataNotFoundError, match=r"the images of the run .* are not those in 'wds:.*a.tar'"):
        reopen_data(shards)


def test_rows_are_opened_again_in_their_split_and_by_their_names(tiny_network: Network, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("red\nblue\n")
    spec, options = f"hf:{make_rows(tmp_path / 'rows')}", {"split": "train", "class_names": tmp_path / "names"}
    run = seviz.collect(tiny_network, spec, tmp_path / "run", **options, **OPTIONS)
    assert run.manifest.data.selection == {"split": "train", "class_names": str(tmp_path / "names")}
    data = reopen_data(run)
    assert (data.split, data.classes.names) == ("train", ("red", "blue"))
    assert data.fingerprint() == run.manifest.data.fingerprint


def test_the_split_that_is_taken_is_said_and_recorded(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    make_folder({"train/blue": 1, "val/blue": 2, "val/red": 1})
    said: list[str] = []
    run = seviz.collect(tiny_network, tmp_path / "data", tmp_path / "run", tell=said.append, **OPTIONS)
    assert said[0] == "split 'val' is taken (--split chooses; there is also train)"
    assert run.manifest.data.selection == {"split": "val"}
    assert run.samples["path"].tolist() == ["val/blue/000.png", "val/blue/001.png", "val/red/000.png"]
    assert reopen_data(run).fingerprint() == open_dataset(tmp_path / "data").fingerprint()


def test_nothing_is_fetched_because_a_run_names_it(shards: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    record = dataclasses.replace(shards.manifest.data, spec="hf:someone/something")
    manifest = dataclasses.replace(shards.manifest, data=record)
    monkeypatch.setattr(shards, "manifest", manifest)
    with pytest.raises(DataNotFoundError, match=r"'hf:someone/something', which is no directory here; what a run"):
        reopen_data(shards)
    assert unseen(shards).startswith("The images of this run are of a hub, from which nothing is fetched here")


def test_older_runs_of_cifar_tell_their_split_by_the_path(shards: Run) -> None:
    record = dataclasses.replace(shards.manifest.data, spec="cifar10:x")
    assert record.split_of("test/00001") == "test"
    assert dataclasses.replace(record, selection={"split": "train"}).split_of("test/00001") == "train"
    assert shards.manifest.data.split_of("a.tar/0.png") is None
