import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seviz.capture.datasets import Dataset, open_dataset
from seviz.classes import CIFAR10
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError, UnknownClassError
from seviz.registry import LAYOUTS
from seviz.texts import path_text
from tests.capture.layouts.made_layouts import (
    GOLDFISH,
    PUG,
    make_arrays,
    make_coco,
    make_listing,
    make_npm,
    make_places365,
    make_rows,
    make_shard,
)

SPECS = (*LAYOUTS, "coco file", "splits")


@pytest.fixture
def make_spec(make_folder: Callable[..., Path], tmp_path: Path) -> Callable[[str], str]:
    """Write a small data set of that layout, and say what it is given as."""

    def make(layout: str) -> str:
        if layout == "bundled":
            return layout
        if layout == "splits":
            make_folder({"train/a": 2, "train/b": 2, "val/b": 3, "val/c": 1}, name="splits")
            return str(tmp_path / "splits")
        if layout == "arrays":
            return f"arrays:{make_arrays(tmp_path / 'arrays')}"
        if layout == "hf":
            return f"hf:{make_rows(tmp_path / 'rows')}"
        if layout == "wds":
            return f"wds:{make_shard(tmp_path / 'shards' / '0.tar').parent}"
        if layout == "folder":
            return str(make_folder({"a": 4, "b": 3}))
        if layout == "imagenet":
            return f"imagenet:{make_folder({PUG: 4, GOLDFISH: 3}, name='imagenet/val').parent}"
        if layout == "places365":
            return f"places365:{make_places365(tmp_path / 'places')}"
        if layout.startswith("coco"):
            file = make_coco(tmp_path / "coco")
            return f"coco:{file if layout == 'coco file' else tmp_path / 'coco'}"
        if layout == "cifar10":
            return f"cifar10:{make_npm(tmp_path / 'cifar')}"
        return f"csv:{make_listing(tmp_path / 'csv')}"

    return make


@pytest.mark.parametrize("layout", SPECS)
def test_every_layout(layout: str, make_spec: Callable[[str], str]) -> None:
    spec = make_spec(layout)
    data = open_dataset(spec)
    assert isinstance(data, Dataset)
    assert data.spec == spec
    assert len(data) == len(data.paths) == len(data.labels) > 0
    assert data.labels.dtype == (bool if data.multi else np.int64)
    order = [os.fsencode(path) for path in data.paths]
    if data.multi:
        assert data.labels.shape[1] == len(data.classes)
        assert order == sorted(order)
    else:
        keys = list(zip(data.labels.tolist(), order, strict=True))
        assert keys == sorted(keys)
        assert data.labels.max() < len(data.classes)
    last = len(data) - 1  # whose file is there in each
    assert data.read(last).status == "ok"
    again = pickle.loads(pickle.dumps(data))
    assert again.fingerprint() == data.fingerprint() == open_dataset(spec).fingerprint()
    assert again.read(last).image.tobytes() == data.read(last).image.tobytes()


@pytest.mark.parametrize("layout", SPECS)
def test_every_layout_draws_the_same_images_whatever_the_classes(layout: str, make_spec: Callable[[str], str]) -> None:
    spec = make_spec(layout)
    whole, drawn = open_dataset(spec), open_dataset(spec, per_class=1, seed=3)
    present = whole.labels.any(0).nonzero()[0] if whole.multi else np.unique(whole.labels)
    name = whole.classes.ids[present[-1]]
    only, both = open_dataset(spec, classes=[name]), open_dataset(spec, classes=[name], per_class=1, seed=3)
    assert both.classes == only.classes == whole.classes
    is_of = [data.labels[:, present[-1]] if data.multi else data.labels == present[-1] for data in (whole, only, both)]
    assert [bool(mask.all()) for mask in is_of[1:]] == [True, True]
    assert len(only) == is_of[0].sum()
    assert len(both) == 1
    assert set(both.paths) <= set(only.paths) & set(drawn.paths)
    assert [path for path in whole.paths if path in drawn.paths] == list(drawn.paths)
    assert drawn.paths == open_dataset(spec, per_class=1, seed=3).paths


def test_bundled_images() -> None:
    data = open_dataset("bundled")
    assert data.classes.ids == CIFAR10.ids
    assert np.bincount(data.labels).tolist() == [100] * 10
    with Image.open(data.root / data.paths[123]) as image:
        assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "PNG")


def test_some_of_each_class(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 20, "b": 3})
    first, again, other = (open_dataset(root, per_class=5, seed=seed).paths for seed in (1, 1, 2))
    assert first == again != other
    assert [sum(path.startswith(name) for path in first) for name in ("a/", "b/")] == [5, 3]
    assert list(first) == sorted(first)


def test_a_draw_is_what_numpy_draws(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 7, "b": 2, "c": 6})
    random = np.random.default_rng(5)
    expected = {"a": random.choice(7, 3, replace=False), "b": range(2), "c": random.choice(6, 3, replace=False)}
    paths = [f"{name}/{number:03d}.png" for name, drawn in expected.items() for number in sorted(drawn)]
    assert list(open_dataset(root, per_class=3, seed=5).paths) == paths


def test_some_of_each_class_where_an_image_has_several(tmp_path: Path) -> None:
    header = "path,label\n"
    rows = "".join(
        f"{k:02d}.png,{'even' if k % 2 == 0 else 'odd'}{'|third' if k % 3 == 0 else ''}\n" for k in range(30)
    )
    spec = f"csv:{make_listing(tmp_path, header + rows)}"
    data = open_dataset(spec, per_class=2, seed=1)
    random = np.random.default_rng(1)
    drawn = {
        int(members[k])
        for members in (np.arange(0, 30, 2), np.arange(1, 30, 2), np.arange(0, 30, 3))
        for k in random.choice(len(members), 2, replace=False)
    }
    assert data.paths == tuple(f"{k:02d}.png" for k in sorted(drawn))
    assert (data.labels.sum(0) >= 2).all()
    odd = open_dataset(spec, classes=["odd"])
    assert odd.paths == tuple(f"{k:02d}.png" for k in range(1, 30, 2))
    assert odd.labels[1].tolist() == [False, True, True]  # 3 is a third too, and stays one


def test_images_of_no_class_are_in_no_draw(tmp_path: Path) -> None:
    make_coco(tmp_path)
    assert open_dataset(f"coco:{tmp_path}").paths == ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    assert open_dataset(f"coco:{tmp_path}", per_class=9).paths == ("1.jpg", "3.jpg", "4.jpg")


def test_some_classes(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"n01443537": 2, "n02110958": 1, "n02690373": 1})
    data = open_dataset(root, classes=["goldfish", "n02690373"])
    assert data.classes.names == ("goldfish", "pug", "airliner")
    assert data.labels.tolist() == [0, 0, 2]
    with pytest.raises(UnknownClassError, match=r"no class 'cliff' in data '.*'; it has goldfish, pug, airliner"):
        open_dataset(root, classes=["cliff"])


def test_classes_without_images(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 2, "b": 0})
    with pytest.raises(EmptyDataError, match=r"data '.*' has 2 images, but none is of the chosen class"):
        open_dataset(root, classes=["b"])


def test_fingerprint_is_of_path_size_and_label(make_folder: Callable[..., Path]) -> None:
    root, twin = make_folder({"a": 2, "b": 2}), make_folder({"a": 2, "b": 2}, name="elsewhere")
    before = open_dataset(root).fingerprint()
    assert open_dataset(twin).fingerprint() == before
    (twin / "b" / "001.png").write_bytes(b"short")
    assert open_dataset(twin).fingerprint() != before
    (root / "a" / "000.png").rename(root / "a" / "009.png")
    assert open_dataset(root).fingerprint() != before


@pytest.mark.parametrize("layout", ["folder", "splits", "imagenet", "places365", "coco", "csv", "arrays"])
def test_a_data_set_that_was_moved(layout: str, make_spec: Callable[[str], str], tmp_path: Path) -> None:
    spec = make_spec(layout)
    before = open_dataset(spec)
    fingerprint = before.fingerprint()
    old = Path(spec.rpartition(":")[2])
    folder = old.parent if layout == "csv" else old
    folder.rename(tmp_path / "moved")
    if layout == "csv":  # the file that is given has to be there
        folder.mkdir()
        (tmp_path / "moved" / "list.csv").rename(old)
    moved = open_dataset(spec, root=tmp_path / "moved")
    assert (moved.spec, moved.paths) == (spec, before.paths)
    assert moved.fingerprint() == fingerprint
    assert moved.read(len(moved) - 1).status == "ok"


@pytest.mark.parametrize("layout", ["folder", "splits", "imagenet", "places365", "coco", "coco file", "csv", "arrays"])
def test_where_images_were_found_is_where_they_can_be_said_to_be(layout: str, make_spec: Callable[[str], str]) -> None:
    spec = make_spec(layout)
    data = open_dataset(spec)
    again = open_dataset(spec, root=data.root)
    assert again.root == data.root
    assert again.fingerprint() == data.fingerprint()


def test_options_that_a_layout_does_not_have(make_spec: Callable[[str], str], tmp_path: Path) -> None:
    for layout in ("folder", "bundled", "csv", "wds", "arrays"):
        with pytest.raises(OptionError, match=r"split is 'val', but data '.*' does not come in splits; leave it out"):
            open_dataset(make_spec(layout), split="val")
    for layout in ("bundled", "cifar10", "wds", "hf"):
        with pytest.raises(OptionError, match=f"root is '.*', but the images of {layout} cannot lie elsewhere; leave"):
            open_dataset(make_spec(layout), root=tmp_path)
    with pytest.raises(DataNotFoundError, match=r"root '.*nowhere' is no directory; expected where the images of data"):
        open_dataset(make_spec("imagenet"), root=tmp_path / "nowhere")
    with pytest.raises(OptionError, match="per_class is 0, expected at least 1"):
        open_dataset("bundled", per_class=0)
    with pytest.raises(OptionError, match=r"preprocess is 'none', but data 'bundled' holds images, .*; leave it out"):
        open_dataset("bundled", preprocess="none")
    with pytest.raises(OptionError, match="preprocess is 'all', expected model or none"):
        open_dataset("bundled", preprocess="all")
    with pytest.raises(OptionError, match="label_separator is ';', but data 'bundled' is no csv:FILE; leave it out"):
        open_dataset("bundled", label_separator=";")


def test_splits_are_handed_on(make_spec: Callable[[str], str]) -> None:
    assert open_dataset(make_spec("cifar10"), split="train").paths[0] == "train/00001"
    for layout in ("imagenet", "places365", "coco"):
        with pytest.raises(DataNotFoundError, match=r"no split 'test'; it has .*val"):
            open_dataset(make_spec(layout), split="test")


def test_nothing_to_open(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "none").mkdir()
    grammar = "expected a folder with one folder per class, bundled, arrays:ROOT, cifar10:ROOT, .* or wds:PATTERN"
    for spec, message in (
        (tmp_path / "nowhere", f"data '.*/nowhere' does not exist; {grammar}"),
        (tmp_path / "file", f"data '.*/file' is no directory; {grammar}"),
        ("foo:bar", f"data 'foo:bar' does not exist; {grammar}"),
        ("imagenet:", f"data 'imagenet:' does not exist; {grammar}"),
        (f"coco:{tmp_path}/nowhere", f"data 'coco:.*' is to be in '.*/nowhere', which does not exist; {grammar}"),
        (f"cifar10:{tmp_path}/file", "is to be in '.*/file', which is no directory"),
        (f"csv:{tmp_path}/none", "is to be in '.*/none', which is no file"),
        (f"coco:{tmp_path}/x.json", r"is to be in '.*/x.json', which does not exist"),
    ):
        with pytest.raises(DataNotFoundError, match=message):
            open_dataset(spec)
    with pytest.raises(EmptyDataError, match=r"has no class folders; expected .*/none/CLASS/IMAGE"):
        open_dataset(tmp_path / "none")


def test_folders_whose_names_look_like_layouts(
    make_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder({"a": 1}, name="foo:bar")
    make_folder({"a": 1}, name="coco:x")
    make_folder({GOLDFISH: 1}, name="home/val")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_dataset("foo:bar").paths == open_dataset("coco:x").paths == ("a/000.png",)
    assert open_dataset("imagenet:~").labels.tolist() == [1]


def test_names_that_are_no_utf_8_are_percent_encoded(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1})
    os.rename(os.fsencode(root / "a" / "000.png"), os.fsencode(root / "a") + b"/\xff\xe9.png")
    data = open_dataset(root)
    assert [path_text(path) for path in data.paths] == ["a/%FF%E9.png"]
    assert len(data.fingerprint()) == 64
