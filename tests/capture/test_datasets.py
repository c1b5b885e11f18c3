import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seviz.capture.datasets import open_dataset, printable
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError, UnknownClassError
from seviz.network.reference import CLASS_NAMES


def test_bundled_images() -> None:
    data = open_dataset("bundled")
    assert data.classes.ids == CLASS_NAMES
    assert np.bincount([sample.label for sample in data.samples]).tolist() == [100] * 10
    with Image.open(data.root / data.samples[123].path) as image:
        assert (image.size, image.mode, image.format) == ((32, 32), "RGB", "PNG")


def test_order_is_by_class_and_path(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"b": 3, "a": 2, "B": 1})
    (root / "a" / "deeper").mkdir()
    Image.new("RGB", (2, 2)).save(root / "a" / "deeper" / "x.JPEG")
    (root / "a" / "notes.txt").touch()
    (root / "readme.png").touch()
    (root / ".cache").mkdir()
    data = open_dataset(root)
    assert data.classes.ids == ("B", "a", "b")
    paths = ["B/000.png", "a/000.png", "a/001.png", "a/deeper/x.JPEG", "b/000.png", "b/001.png", "b/002.png"]
    assert [sample.path for sample in data.samples] == paths
    assert [sample.label for sample in data.samples] == [0, 1, 1, 1, 2, 2, 2]


def test_empty_class_folders_keep_their_index(make_folder: Callable[..., Path]) -> None:
    data = open_dataset(make_folder({"a": 1, "b": 0, "c": 1}))
    assert data.classes.ids == ("a", "b", "c")
    assert [sample.label for sample in data.samples] == [0, 2]


def test_some_of_each_class(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 20, "b": 3})
    first, again, other = (open_dataset(root, per_class=5, seed=seed).samples for seed in (1, 1, 2))
    assert first == again != other
    assert [sum(s.label == k for s in first) for k in (0, 1)] == [5, 3]
    assert list(first) == sorted(first, key=lambda sample: sample.path)


def test_some_classes(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"n01443537": 2, "n02110958": 1, "n02690373": 1})
    data = open_dataset(root, classes=["goldfish", "n02690373"])
    assert data.classes.names == ("goldfish", "pug", "airliner")
    assert [sample.label for sample in data.samples] == [0, 0, 2]
    with pytest.raises(UnknownClassError, match=r"no class 'cliff' in data '.*'; it has goldfish, pug, airliner"):
        open_dataset(root, classes=["cliff"])


def test_fingerprint_is_of_path_size_and_label(make_folder: Callable[..., Path]) -> None:
    root, twin = make_folder({"a": 2, "b": 2}), make_folder({"a": 2, "b": 2}, name="elsewhere")
    before = open_dataset(root).fingerprint()
    assert open_dataset(twin).fingerprint() == before
    (twin / "b" / "001.png").write_bytes(b"short")
    assert open_dataset(twin).fingerprint() != before
    (root / "a" / "000.png").rename(root / "a" / "009.png")
    assert open_dataset(root).fingerprint() != before


def test_nothing_to_open(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "none").mkdir()
    for path, error, message in (
        ("nowhere", DataNotFoundError, "does not exist; expected a folder with one folder per class, or 'bundled'"),
        ("file", DataNotFoundError, "is no directory"),
        ("none", EmptyDataError, "has no class folders; expected .*/none/CLASS/IMAGE"),
    ):
        with pytest.raises(error, match=message):
            open_dataset(tmp_path / path)
    with pytest.raises(EmptyDataError, match=r"has 2 class folders but no image in them; images are files called .bmp"):
        open_dataset(make_folder({"a": 0, "b": 0}))
    with pytest.raises(OptionError, match="per_class is 0, expected at least 1"):
        open_dataset("bundled", per_class=0)


def test_names_that_are_no_utf_8_are_percent_encoded(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1})
    os.rename(os.fsencode(root / "a" / "000.png"), os.fsencode(root / "a") + b"/\xff\xe9.png")
    data = open_dataset(root)
    assert [printable(sample.path) for sample in data.samples] == ["a/%FF%E9.png"]
    assert printable("zürich/1.png") == "zürich/1.png"
    assert len(data.fingerprint()) == 64
