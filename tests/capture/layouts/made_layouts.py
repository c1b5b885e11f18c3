"""Small data sets on disk in each published layout."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GOLDFISH, ENGLISH_SETTER, PUG, KIT_FOX = "n01443537", "n02100735", "n02110958", "n02119789"
BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
LABELS = [3, 0, 9, 3]  # of each batch
CATEGORIES = "/a/airfield 0\n/a/apartment_building/outdoor 1\n/b/bar 2\n"


def pixels(batch: str) -> NDArray[np.uint8]:
    """Four images, (image, row, column, channel)."""
    return np.random.default_rng(BATCHES.index(batch)).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def make_npm(package: Path) -> Path:
    """As in the package: a row of each picture is an image."""
    package.mkdir(parents=True)
    for batch in BATCHES:
        Image.fromarray(pixels(batch).reshape(4, 1024, 3)).save(package / f"{batch}.png")
    (package / "train_lables.json").write_text(json.dumps(LABELS * 5))
    (package / "test_lables.json").write_text(json.dumps(LABELS))
    return package


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


def make_listing(folder: Path, text: str = "path,label\nb/2.png,dog\n1.png,cat\nb/1.png,cat\n") -> Path:
    (folder / "b").mkdir(parents=True, exist_ok=True)
    for path in ("1.png", "b/1.png", "b/2.png"):
        Image.new("RGB", (4, 4)).save(folder / path)
    (folder / "list.csv").write_text(text, "utf-8")
    return folder / "list.csv"


def make_places365(root: Path, folder: str = "val_256") -> Path:
    """Three validation images, of which the second is missing, and lists of both kinds of training images."""
    (root / folder).mkdir(parents=True)
    (root / "categories_places365.txt").write_text(CATEGORIES)
    (root / "places365_val.txt").write_text(
        "Places365_val_00000001.jpg 2\nPlaces365_val_00000002.jpg 0\nPlaces365_val_00000003.jpg 0\n"
    )
    for number in (1, 3):
        Image.new("RGB", (4, 4)).save(root / folder / f"Places365_val_0000000{number}.jpg")
    for kind in ("standard", "challenge"):
        (root / f"places365_train_{kind}.txt").write_text(
            f"/b/bar/{kind}.jpg 2\n/a/apartment_building/outdoor/{kind}.jpg 1\n"
        )
    return root


def png(colour: tuple[int, ...] = (9, 9, 9), size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def make_arrays(root: Path, shape: Sequence[int] = (5, 16, 16), classes: Mapping[str, int] | None = None) -> Path:
    """Arrays of five bands in class folders, .npy each, of numbers about 0."""
    random = np.random.default_rng(7)
    for name, count in (classes or {"crop": 3, "water": 2}).items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            np.save(root / name / f"{number:03d}.npy", random.normal(size=shape).astype(np.float32))
    return root


def make_shard(file: Path, members: Mapping[str, bytes] | None = None) -> Path:
    """A tar archive of these members; by default three images and their labels, the second after the third."""
    if members is None:
        members = {"2.png": png((2, 0, 0)), "2.cls": b"10"}
        members |= {"1.png": png((1, 0, 0)), "1.json": b'{"label": 9}', "3.cls": b"9", "3.png": png((3, 0, 0))}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def make_rows(root: Path) -> Path:
    """A data set that `save_to_disk` wrote: four images, of which the third has no label."""
    import datasets

    features = datasets.Features(
        {"number": datasets.Value("int64"), "img": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {
        "number": [0, 1, 2, 3],
        "img": [{"bytes": png((k, 0, 0)), "path": None} for k in range(4)],
        "kind": [1, 0, -1, 0],
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    parts = {"train": table, "validation": table.select([0, 3])}
    datasets.DatasetDict(parts).save_to_disk(str(root))
    return root
