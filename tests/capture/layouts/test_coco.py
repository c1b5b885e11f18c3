import json
import sys
from pathlib import Path
from typing import Any

import pytest

from seviz.capture.layouts.coco import coco
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError, MissingPackageError
from tests.capture.layouts.made_layouts import annotations, make_coco


@pytest.mark.parametrize("images", ["val2017", "images/val2017", "images", "."])
def test_an_image_is_of_each_class_of_which_it_has_an_object(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_coco(tmp_path, images=images)
    data = coco("given", tmp_path, split=None, root=None)
    assert (data.spec, data.root, data.multi) == ("given", tmp_path / images, True)
    assert data.classes.ids == data.classes.names == ("person", "cat", "dog")
    assert data.paths == ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    assert data.labels.astype(int).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert data.labels.dtype == bool
    assert [data.read(k).status for k in range(4)] == ["failed", "ok", "ok", "ok"]
    assert capsys.readouterr() == ("", "")


def test_splits(tmp_path: Path) -> None:
    for split in ("val2014", "val2017", "train2017"):
        make_coco(tmp_path, split, split)
    for wanted, split in ((None, "val2017"), ("val", "val2017"), ("val2014", "val2014"), ("train", "train2017")):
        assert coco("", tmp_path, split=wanted, root=None).root == tmp_path / split
    with pytest.raises(DataNotFoundError, match="no split 'test'; it has train2017, val2014, val2017"):
        coco("", tmp_path, split="test", root=None)


def test_one_file_of_annotations(tmp_path: Path) -> None:
    file = make_coco(tmp_path / "usual")
    assert coco("", file, split=None, root=None).root == tmp_path / "usual" / "val2017"
    assert coco("", file, split="val", root=None).root == tmp_path / "usual" / "val2017"
    with pytest.raises(DataNotFoundError, match="no split 'train'; it has val2017"):
        coco("", file, split="train", root=None)
    alone = file.rename(tmp_path / "mine.json")
    with pytest.raises(
        DataNotFoundError, match=r"none of the 4 images of mine is there; looked in .*/mine, .*elsewhere"
    ):
        coco("", alone, split=None, root=None)
    for images in ("usual/val2017", "usual"):
        alone = alone.rename(tmp_path / "instances_val2017.json")
        assert coco("", alone, split=None, root=tmp_path / images).root == tmp_path / "usual" / "val2017"
    for image in (tmp_path / "usual" / "val2017").iterdir():
        image.rename(tmp_path / image.name)
    assert coco("", alone, split=None, root=None).root == tmp_path


def test_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"data 'given': '.*' holds no annotations/instances_\*.json"):
        coco("given", tmp_path, split=None, root=None)
    make_coco(tmp_path, images="elsewhere")
    with pytest.raises(DataNotFoundError, match=r"none of the 4 images of val2017 is there; .*, .*/images/val2017, "):
        coco("", tmp_path, split=None, root=None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"categories": []}, r"val2017.json' has no categories; expected annotations of objects, instances_\*.json"),
        ({"images": [{"id": 1}]}, r"cannot be read as COCO's annotations \(KeyError: 'file_name'\); expected such as"),
        ({"images": 3}, r"cannot be read as COCO's annotations \(TypeError: "),
        ({"annotations": [{"id": 1, "image_id": 9, "category_id": 99}]}, r"'1.jpg' has an object of category 99, whi"),
    ],
)
def test_annotations_that_are_damaged(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    make_coco(tmp_path)
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(annotations() | more))
    with pytest.raises(DataFormatError, match=message):
        coco("", tmp_path, split=None, root=None)


def test_annotations_that_are_none(tmp_path: Path) -> None:
    file = make_coco(tmp_path)
    for text, reason in (("[1]", "AssertionError"), ("{", "JSONDecodeError")):
        file.write_text(text)
        with pytest.raises(DataFormatError, match=rf"cannot be read as COCO's annotations \({reason}"):
            coco("", tmp_path, split=None, root=None)
    file.write_text(json.dumps(annotations() | {"images": []}))
    with pytest.raises(EmptyDataError, match=r"data 'given': '.*val2017.json' lists no image"):
        coco("given", tmp_path, split=None, root=None)


def test_says_which_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_coco(tmp_path)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingPackageError, match=r"COCO needs pycocotools .*: pip install 'seviz\[coco\]'"):
        coco("", tmp_path, split=None, root=None)
