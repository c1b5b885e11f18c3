"""COCO: images in which objects of several classes are annotated."""

import contextlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.capture.indexed import Dataset, in_order
from seviz.capture.specs import existing
from seviz.capture.splits import choose_split
from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from seviz.extras import needing
from seviz.registry import layout

_PREFIX = "instances_"


@layout(
    forms=("coco:ROOT", "coco:FILE.json"),
    title="COCO",
    caption="`annotations/instances_*.json` and the images; an image counts for each of its object classes",
)
def coco(spec: str, where: Path, *, split: str | None = None, root: Path | None = None) -> Dataset:
    """Open COCO, or what is annotated like it: an image is of each class of which it has an object.

    An object counts however small, and a crowd of them too. Images without any are of no class.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        A directory with annotations/instances_val2017.json and the like, or such a file.
    split
        "val2017", "train2017" ...; "val" for the last of those called so. It is the default.
    root
        Where the images are; None for a folder called like the split near the annotations.

    Raises
    ------
    DataNotFoundError
        If there are no annotations, no such split, or no folder with its images.
    DataFormatError
        If the annotations are not COCO's.
    EmptyDataError
        If they are of no image.
    MissingPackageError
        If pycocotools is not installed.
    """
    place = existing(spec, where, root, file=where.suffix.lower() == ".json")
    single = place.is_file()
    files = [place] if single else [*place.glob(f"{_PREFIX}*.json"), *place.glob(f"annotations/{_PREFIX}*.json")]
    if not files:
        raise DataNotFoundError(f"data {spec!r}: {str(place)!r} holds no annotations/{_PREFIX}*.json")
    annotations = {file.stem.removeprefix(_PREFIX): file for file in files}
    split = choose_split(spec, split, next(iter(annotations)) if single else "val", annotations)
    file = annotations[split]
    classes, names, labels = _read(file)
    if not names:
        raise EmptyDataError(f"data {spec!r}: {str(file)!r} lists no image")
    paths, labels = in_order(names, labels)
    near = [root] if root else [file.parent, file.parent.parent] if single else [place]
    return Dataset(spec, _folder(spec, near, split, paths), classes, paths, labels, split=split)


def _read(file: Path) -> tuple[Classes, list[str], NDArray[np.bool_]]:
    """The classes, the images' file names, and their labels (image, class)."""
    with needing("coco", "a data set in the form of COCO"):
        from pycocotools.coco import COCO
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells how long it takes
            coco = COCO(str(file))
        categories = {identity: category["name"] for identity, category in sorted(coco.cats.items())}
        names = [image["file_name"] for image in coco.imgs.values()]
        objects = [{a["category_id"] for a in coco.imgToAnns.get(image, ())} for image in coco.imgs]
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise DataFormatError(
            f"{str(file)!r} cannot be read as COCO's annotations ({type(error).__name__}: {error}); expected such as"
            " instances_val2017.json"
        ) from error
    if not categories:
        raise DataFormatError(f"{str(file)!r} has no categories; expected annotations of objects, {_PREFIX}*.json")
    columns = {identity: column for column, identity in enumerate(categories)}
    labels = np.zeros((len(names), len(columns)), bool)
    for row, several in enumerate(objects):
        if unknown := several - columns.keys():
            raise DataFormatError(
                f"{str(file)!r}: {names[row]!r} has an object of category {min(unknown)}, which is not among the"
                f" {len(columns)} categories"
            )
        labels[row, [columns[identity] for identity in several]] = True
    return Classes(tuple(categories.values()), tuple(categories.values())), names, labels


def _folder(spec: str, near: list[Path], split: str, paths: tuple[str, ...]) -> Path:
    """The first folder in which any of the images lies."""
    folders = [place / inner for place in near for inner in (split, f"images/{split}", "images", "")]
    for folder in folders:
        if folder.is_dir() and any((folder / path).exists() for path in paths):
            return folder
    raise DataNotFoundError(
        f"data {spec!r}: none of the {len(paths)} images of {split} is there; looked in"
        f" {', '.join(str(folder) for folder in folders)}. If they are elsewhere, give that folder as root"
    )
