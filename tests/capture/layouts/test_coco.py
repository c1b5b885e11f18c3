import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from seviz.capture.layouts.coco import open_coco
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError, MissingPackageError


def annotations() -> dict[str, Any]:
    """Four images: a dog and two cats, nothing, a crowd of persons, a cat. Ids are in no order, and have gaps."""
    return {
        "images": [
            {"id": 50, "file_name": "4.jpg"},
            {"id": 9, "file_name": "1.jpg"},
            {"id": 30, "file_name": "2.jpg"},
            {"id": 20, "file_name": "3.jpg"},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 17, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 17, "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 18, "iscrowd": 0},
            {"id": 3, "image_id": 9, "category_id": 17, "iscrowd": 0},
            {"id": 4, "image_id": 20, "category_id": 1, "iscrowd": 1},
            {"id": 5, "image_id": 50, "category_id": 17, "iscrowd": 0},
        ],
    }


def make_coco(root: Path, split: str = "val2017", images: str = "val2017") -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    file = root / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps(annotations()))
    (root / images).mkdir(parents=True, exist_ok=True)
    for number in (2, 3, 4):  # the first is missing
        Image.new("RGB", (4, 4)).save(root / images / f"{number}.jpg")
    return file


@pytest.mark.parametrize("images", ["val2017", "images/val2017", "images", "."])
def test_an_image_is_of_each_class_of_which_it_has_an_object(
    images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_coco(tmp_path, images=images)
    data = open_coco("given", tmp_path, split=None, images=None)
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
        assert open_coco("", tmp_path, split=wanted, images=None).root == tmp_path / split
    with pytest.raises(DataNotFoundError, match="no split 'test'; it has train2017, val2014, val2017"):
        open_coco("", tmp_path, split="test", images=None)


def test_one_file_of_annotations(tmp_path: Path) -> None:
    file = make_coco(tmp_path / "usual")
    assert open_coco("", file, split=None, images=None).root == tmp_path / "usual" / "val2017"
    assert open_coco("", file, split="val", images=None).root == tmp_path / "usual" / "val2017"
    with pytest.raises(DataNotFoundError, match="no split 'train'; it has val2017"):
        open_coco("", file, split="train", images=None)
    alone = file.rename(tmp_path / "mine.json")
    with pytest.raises(
        DataNotFoundError, match=r"none of the 4 images of mine is there; looked in .*/mine, .*elsewhere"
    ):
        open_coco("", alone, split=None, images=None)
    for images in ("usual/val2017", "usual"):
        alone = alone.rename(tmp_path / "instances_val2017.json")
        assert open_coco("", alone, split=None, images=tmp_path / images).root == tmp_path / "usual" / "val2017"
    for image in (tmp_path / "usual" / "val2017").iterdir():
        image.rename(tmp_path / image.name)
    assert open_coco("", alone, split=None, images=None).root == tmp_path


def test_nothing_to_open(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"data 'given': '.*' holds no annotations/instances_\*.json"):
        open_coco("given", tmp_path, split=None, images=None)
    make_coco(tmp_path, images="elsewhere")
    with pytest.raises(DataNotFoundError, match=r"none of the 4 images of val2017 is there; .*, .*/images/val2017, "):
        open_coco("", tmp_path, split=None, images=None)


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
        open_coco("", tmp_path, split=None, images=None)


def test_annotations_that_are_none(tmp_path: Path) -> None:
    file = make_coco(tmp_path)
    for text, reason in (("[1]", "AssertionError"), ("{", "JSONDecodeError")):
        file.write_text(text)
        with pytest.raises(DataFormatError, match=rf"cannot be read as COCO's annotations \({reason}"):
            open_coco("", tmp_path, split=None, images=None)
    file.write_text(json.dumps(annotations() | {"images": []}))
    with pytest.raises(EmptyDataError, match=r"data 'given': '.*val2017.json' lists no image"):
        open_coco("given", tmp_path, split=None, images=None)


def test_says_which_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_coco(tmp_path)
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(MissingPackageError, match=r'COCO is read by pycocotools .*: pip install "seviz\[coco\]"'):
        open_coco("", tmp_path, split=None, images=None)
