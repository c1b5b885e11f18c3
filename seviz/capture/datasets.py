"""From the name of a data set to indexed images with their classes, and a choice of them."""

import os
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.capture.indexed import Dataset
from seviz.capture.layouts.cifar10 import open_cifar10
from seviz.capture.layouts.coco import open_coco
from seviz.capture.layouts.csv_list import open_listing
from seviz.capture.layouts.folders import open_folder
from seviz.capture.layouts.imagenet import open_imagenet
from seviz.capture.layouts.places365 import open_places365
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError

__all__ = ["BUNDLED", "GRAMMAR", "LAYOUTS", "Dataset", "open_dataset"]

_FOLDER = "folder"
BUNDLED = "bundled"
LAYOUTS = ("imagenet", "places365", "coco", "cifar10", "csv")
"""What can stand before a colon."""

GRAMMAR = (
    f"a folder with one folder per class, {BUNDLED!r}, imagenet:ROOT, places365:ROOT, coco:ROOT, coco:FILE.json,"
    " cifar10:ROOT or csv:FILE"
)
"""What a data set can be given as, in words."""


def open_dataset(
    spec: str | Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    split: str | None = None,
    root: str | Path | None = None,
) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    spec
        A folder that holds one folder per class; "bundled" for the 1,000 test images of CIFAR-10 that ship with
        seviz; or a layout and where it is: "imagenet:ROOT", "places365:ROOT", "coco:ROOT", "coco:FILE.json",
        "cifar10:ROOT", "csv:FILE". The functions of `seviz.capture` that open these say what is expected there.
    classes
        Only images of these, by id or name. Labels keep their meaning: with one class an image, the others stay as
        classes without images; with several, an image keeps its other classes too.
    per_class
        Only so many images of each class, drawn at random; which ones does not depend on `classes`. With several
        classes an image, these are the images drawn for any class, so that a class can have more.
    seed
        Of that draw.
    split
        Which part, where a data set comes in several. The default is "val", of CIFAR-10 "test".
    root
        Where the images are, for a data set that was moved: in place of the folder or of imagenet's ROOT, and for
        places365, coco and csv the folder of the images.

    Raises
    ------
    DataNotFoundError
        If the data set is not there, or not this split of it.
    EmptyDataError
        If it has no class, or no image is left.
    DataFormatError
        If a file that describes it is damaged, or none of its kind.
    UnknownClassError
        If a class is asked for that is not there.
    OptionError
        If `per_class` is less than 1, or an option is given that this data set does not have.
    MissingPackageError
        If a package is needed that is not installed.
    """
    if per_class is not None and per_class < 1:
        raise OptionError(f"per_class is {per_class}, expected at least 1")
    name = str(spec)
    data = _open(name, split, None if root is None else Path(root))
    if classes is None and per_class is None:
        return data
    wanted = None if classes is None else {data.classes.index(c, f"data {name!r}") for c in classes}
    chosen = _chosen(data, wanted, per_class, seed)
    if not len(chosen):
        raise EmptyDataError(
            f"data {name!r} has {len(data)} images, but none is of {'any' if classes is None else 'the chosen'} class"
        )
    return data.take(chosen)


def _open(name: str, split: str | None, root: Path | None) -> Dataset:
    """All images of a data set."""
    layout, where = _parse(name)
    if split is not None and layout in (_FOLDER, BUNDLED, "csv"):
        raise OptionError(f"split is {split!r}, but data {name!r} does not come in splits; leave it out")
    if root is not None and layout in (BUNDLED, "cifar10"):
        raise OptionError(f"root is {str(root)!r}, but the images of {layout} cannot lie elsewhere; leave it out")
    if root is not None and not root.is_dir():
        raise DataNotFoundError(f"root {str(root)!r} is no directory; expected where the images of data {name!r} are")
    match layout:
        case "imagenet":
            return open_imagenet(name, root or _existing(name, where), split=split)
        case "places365":
            return open_places365(name, _existing(name, where, root), split=split, images=root)
        case "coco":
            file = where.suffix.lower() == ".json"
            return open_coco(name, _existing(name, where, root, file=file), split=split, images=root)
        case "cifar10":
            return open_cifar10(name, _existing(name, where), split=split)
        case "csv":
            return open_listing(name, _existing(name, where, file=True), images=root)
        case "bundled":
            with resources.as_file(resources.files("seviz.capture") / BUNDLED) as path:
                return open_folder(name, path)
        case _:
            return open_folder(name, root or _existing(name, where))


def _parse(name: str) -> tuple[str, Path]:
    """The layout of a data set, and where it is."""
    if name == BUNDLED:
        return BUNDLED, Path()
    prefix, _, rest = name.partition(":")
    if prefix in LAYOUTS and rest and not Path(name).is_dir():
        return prefix, Path(os.path.expanduser(rest))  # since a shell does not, after a colon
    return _FOLDER, Path(name)


def _existing(name: str, where: Path, moved: Path | None = None, *, file: bool = False) -> Path:
    """That directory or file, or, of a directory that is not there, where it was moved to."""
    if where.is_file() if file else where.is_dir():
        return where
    if moved is not None and not file:
        return moved
    what = f"is no {'file' if file else 'directory'}" if where.exists() else "does not exist"
    if str(where) != name:
        what = f"is to be in {str(where)!r}, which {what}"
    raise DataNotFoundError(f"data {name!r} {what}; expected {GRAMMAR}")


def _chosen(data: Dataset, wanted: set[int] | None, per_class: int | None, seed: int) -> NDArray[np.int64]:
    """The indices of the images asked for. All classes are drawn from, whichever are wanted."""
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(data), bool)
    for label, members in enumerate(_members(data)):
        if per_class is not None and per_class < len(members):
            members = members[random.choice(len(members), per_class, replace=False)]
        if wanted is None or label in wanted:
            chosen[members] = True
    return np.flatnonzero(chosen)


def _members(data: Dataset) -> Iterator[NDArray[np.int64]]:
    """Of each class the indices of its images, ascending."""
    if data.multi:
        yield from (np.flatnonzero(column) for column in data.labels.T)
    else:
        order = np.argsort(data.labels, kind="stable")
        yield from np.split(order, np.searchsorted(data.labels[order], np.arange(1, len(data.classes))))
