"""Places365, small or large, by the lists of files that come with it."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seviz.capture.indexed import Dataset, in_order
from seviz.capture.specs import existing
from seviz.capture.splits import choose_split
from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from seviz.registry import layout

_CATEGORIES = "categories_places365.txt"
_LISTS = {
    "val": "places365_val.txt",
    "train-standard": "places365_train_standard.txt",
    "train-challenge": "places365_train_challenge.txt",
}
_FOLDERS = {
    "val": ("val_256", "val_large"),
    "train-standard": ("data_256_standard", "data_large_standard", "data_256", "data_large"),
    "train-challenge": ("data_256_challenge", "data_large_challenge", "data_256", "data_large"),
}
_CATEGORY = re.compile(r"/[a-z]/(\S+)")


@layout(forms=("places365:ROOT",), title="Places365", caption="torchvision's layout, small or large images")
def places365(spec: str, where: Path, *, split: str | None = None, root: Path | None = None) -> Dataset:
    """Open Places365 in torchvision's layout: the lists of files, and a folder of images for each split.

    Where both are there, the small images (val_256) are taken before the large ones (val_large). What is listed is
    taken to be there.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        Where categories_places365.txt and the lists are; if they are not, they are looked for among the images.
    split
        "val" (the default), "train-standard" or "train-challenge"; "train" for either.
    root
        Where the folder of images is, or that folder; None for `where`.

    Raises
    ------
    DataNotFoundError
        If there are no categories, no such split, or no folder of its images.
    DataFormatError
        If a line of a list is not what it should be.
    EmptyDataError
        If no image is listed.
    """
    place = existing(spec, where, root)
    lists = place if root is None or (place / _CATEGORIES).is_file() else root
    if not (lists / _CATEGORIES).is_file():
        raise DataNotFoundError(
            f"data {spec!r}: {str(lists)!r} holds no {_CATEGORIES}, which comes with the lists of files"
            f" ({', '.join(_LISTS.values())})"
        )
    known = [name for name, file in _LISTS.items() if (lists / file).is_file()]
    split = choose_split(spec, split, "val", known)
    folders = [(root or place) / name for name in _FOLDERS[split]] + ([root] if root else [])
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise DataNotFoundError(
            f"data {spec!r}: the images of {split} are not there; looked for {', '.join(str(f) for f in folders)}."
            " If they are elsewhere, give that folder as root"
        )
    ids = _ids(lists / _CATEGORIES)
    listed, indices = [], []
    for number, path, label in _entries(lists / _LISTS[split]):
        if label >= len(ids):
            raise DataFormatError(
                f"{str(lists / _LISTS[split])!r}, line {number}: class {label}, but {_CATEGORIES} has only {len(ids)}"
            )
        listed.append(path.lstrip("/"))
        indices.append(label)
    if not listed:
        raise EmptyDataError(f"data {spec!r}: {str(lists / _LISTS[split])!r} lists no image")
    paths, labels = in_order(listed, np.array(indices, np.int64))
    return Dataset(spec, folder, Classes(ids, ids), paths, labels, split=split)


def _ids(path: Path) -> tuple[str, ...]:
    """What the categories are called, by their index, without the letter in front."""
    ids: dict[int, str] = {}
    for number, name, index in _entries(path):
        match = _CATEGORY.fullmatch(name)
        if match is None:
            raise DataFormatError(f"{str(path)!r}, line {number}: category {name!r}, expected such as '/a/airfield'")
        if index in ids:
            raise DataFormatError(f"{str(path)!r}, line {number}: index {index} is that of {ids[index]!r} already")
        ids[index] = match[1]
    missing = set(range(len(ids))) - set(ids)
    if missing:
        raise DataFormatError(f"{str(path)!r} has {len(ids)} categories, but none of index {min(missing)}")
    return tuple(ids[index] for index in range(len(ids)))


def _entries(path: Path) -> Iterator[tuple[int, str, int]]:
    """Of each line that is not blank its number, the name in it, and the index after that."""
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            if not (parts := line.rsplit(maxsplit=1)):
                continue
            if len(parts) != 2 or not parts[1].isdecimal():
                raise DataFormatError(f"{str(path)!r}, line {number}: {line.strip()!r}, expected a name and an index")
            yield number, parts[0].strip(), int(parts[1])
