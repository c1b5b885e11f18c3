import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seviz.capture.indexed import Dataset, in_order
from seviz.classes import Classes
from seviz.texts import path_text

CLASSES = Classes(("a", "b", "c"), ("a", "b", "c"))
ONE = np.array([0, 1, 1], np.int64)
SEVERAL = np.array([[True, False, True], [False, False, False], [False, True, False]])


def dataset(root: Path, labels: np.ndarray = ONE, **more: object) -> Dataset:
    return Dataset("data", root, CLASSES, ("a/000.png", "b/000.png", "b/001.png"), labels, **more)


def test_fingerprint_is_of_path_size_and_labels(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1, "b": 1})  # b/001.png is not there
    sizes = [os.path.getsize(root / "a/000.png"), os.path.getsize(root / "b/000.png"), -1]
    for labels, words in ((ONE, ("0", "1", "1")), (SEVERAL, ("0,2", "", "1"))):
        names = ("a/000.png", "b/000.png", "b/001.png")
        text = "".join(f"{n}\0{s}\0{w}\n" for n, s, w in zip(names, sizes, words, strict=True))
        assert dataset(root, labels).fingerprint() == hashlib.sha256(text.encode()).hexdigest()


def test_a_path_that_no_file_can_have_fails_and_has_a_fingerprint(tmp_path: Path) -> None:
    data = Dataset("data", tmp_path, CLASSES, ("a\0b.png",), np.array([0]))
    assert len(data.fingerprint()) == 64
    assert data.read(0).status == "failed"


def test_remarks_are_told_where_a_file_does_not_fail(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1, "b": 1})
    Image.new("L", (4, 4)).save(root / "b" / "000.png")
    data = dataset(root, remarks={0: "seen before", 1: "seen before", 2: "seen before"})
    assert [(d.status, d.reason) for d in map(data.read, range(3))] == [
        ("ok", "seen before"),
        ("coerced", "L converted to RGB; seen before"),
        ("failed", "No such file or directory"),
    ]
    assert dataset(root).read(0).reason == ""


def test_rotation_is_left_to_who_reads(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (8, 4)).save(tmp_path / "x.jpg", exif=exif)
    data = Dataset("data", tmp_path, CLASSES, ("x.jpg",), np.array([0]))
    assert data.read(0).image.size == (8, 4)
    assert data.read(0, rotate=True).image.size == (4, 8)


def test_some_of_the_images(tmp_path: Path) -> None:
    data = dataset(tmp_path, SEVERAL, remarks={0: "first", 2: "last"}, ignored={".txt": 4}).take(np.array([1, 2]))
    assert data.paths == ("b/000.png", "b/001.png")
    assert data.labels.tolist() == [[False, False, False], [False, True, False]]
    assert (data.remarks, data.ignored, data.classes, len(data)) == ({1: "last"}, {".txt": 4}, CLASSES, 2)


def test_one_class_an_image_or_several(tmp_path: Path) -> None:
    assert (dataset(tmp_path).multi, dataset(tmp_path, SEVERAL).multi) == (False, True)
    for labels in (ONE[:2], SEVERAL[:, :2], SEVERAL[None]):
        with pytest.raises(ValueError, match=r"labels of shape .* for 3 images of 3 classes; expected \(image\) or"):
            dataset(tmp_path, labels)


def test_goes_to_other_processes(tmp_path: Path) -> None:
    data = dataset(tmp_path, remarks={1: "seen before"})
    again = pickle.loads(pickle.dumps(data))
    assert (again.paths, again.root, again.remarks) == (data.paths, tmp_path, {1: "seen before"})
    assert again.labels.tolist() == [0, 1, 1]


def test_order_is_by_class_and_by_bytes() -> None:
    # In UTF-8 ｚ (ef bd 9a) comes before 𝐚 (f0 9d 90 9a), and a byte that is none (e9) before both.
    names = ["𝐚", "ｚ", os.fsdecode(b"\xe9"), "b", "B"]
    assert in_order(names, np.array([0, 0, 0, 1, 1]))[0] == (os.fsdecode(b"\xe9"), "ｚ", "𝐚", "B", "b")
    paths, labels = in_order(["b", "c", "a"], np.array([1, 0, 1]))
    assert (paths, labels.tolist()) == (("c", "a", "b"), [0, 1, 1])
    paths, labels = in_order(["b", "c", "a"], SEVERAL)
    assert (paths, labels.tolist()) == (("a", "b", "c"), SEVERAL[[2, 0, 1]].tolist())


def test_names_that_are_no_utf_8_are_percent_encoded() -> None:
    assert path_text(os.fsdecode(b"a/\xff\xe9.png")) == "a/%FF%E9.png"
    assert path_text("zürich/1.png") == "zürich/1.png"
