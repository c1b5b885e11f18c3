"""ImageNet, as torchvision, Kaggle or the archives themselves lay it out."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from seviz.capture.class_folders import are_synsets, is_image, open_classes
from seviz.capture.ground_truth import read_ground_truth
from seviz.capture.indexed import Dataset, in_order, kind_of
from seviz.capture.specs import existing
from seviz.capture.splits import choose_split
from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError
from seviz.registry import layout

_KAGGLE = Path("ILSVRC", "Data", "CLS-LOC")
_FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.\w+")


@layout(
    forms=("imagenet:ROOT",),
    title="ImageNet",
    caption="`train` and `val` with a folder per synset, or the flat validation images with their ground truth",
)
def imagenet(spec: str, where: Path, *, split: str | None = None, root: Path | None = None) -> Dataset:
    """Open ImageNet: ROOT/train and ROOT/val, Kaggle's ROOT/ILSVRC/Data/CLS-LOC, or one folder of images.

    The images lie in one folder per synset or, for the validation images, in one folder altogether, with their ground
    truth near it (see `seviz.capture.ground_truth`). Labels are the indices of ImageNet, whatever is there, but
    where some of these are not among its 1,000.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        ROOT.
    split
        "train" or "val", the default. A single folder is the split it is called.
    root
        ROOT, if it was moved.

    Raises
    ------
    DataNotFoundError
        If the split is not there, or is no ImageNet, or the ground truth is not there.
    DataFormatError
        If the ground truth is not that of these images.
    """
    root = root or existing(spec, where)
    splits = {
        name: base / name
        for base in (root / _KAGGLE, root / "Data" / "CLS-LOC", root)
        for name in ("train", "val")
        if (base / name).is_dir()
    }
    default = "val"
    named = bool(splits)
    if not named:
        default = os.path.basename(os.path.abspath(root))
        splits = {default: root}
    chosen = choose_split(spec, split, default, splits)
    folder = splits[chosen]
    flat, others = _flat_images(folder)
    data = _open_flat(spec, root, folder, flat, others) if flat else _open_synsets(spec, folder)
    return replace(data, split=chosen if named else None)


def _flat_images(folder: Path) -> tuple[dict[int, str], Counter[str]]:
    """Where the folder has no class folders: its validation images by their number, and the kinds of other files."""
    numbered: dict[int, str] = {}
    others = Counter[str]()
    for path in sorted(folder.iterdir()):
        match = _FLAT.fullmatch(path.name)
        if match and is_image(path.name) and int(match[1]) not in numbered:
            numbered[int(match[1])] = path.name
        elif not path.is_dir():
            others[kind_of(path.name)] += 1
        elif not path.name.startswith("."):
            return {}, Counter()
    return numbered, others


def _open_flat(spec: str, root: Path, folder: Path, numbered: dict[int, str], others: Mapping[str, int]) -> Dataset:
    source, truth = read_ground_truth(spec, _near(root, folder))
    if truth.keys() != numbered.keys():
        where = f"{str(folder)!r} holds {len(numbered)} validation images"
        if len(truth) != len(numbered):
            raise DataFormatError(f"{str(source)!r} is the ground truth of {len(truth)} images, but {where}")
        missing = min(truth.keys() - numbered.keys())
        raise DataFormatError(f"{str(source)!r} has a class for image {missing}, but {where} and not that one")
    classes = _classes(sorted(set(truth.values())))
    index = {synset: label for label, synset in enumerate(classes.ids)}
    labels = np.array([index[truth[number]] for number in numbered], np.int64)
    paths, labels = in_order(list(numbered.values()), labels)
    return Dataset(spec, folder, classes, paths, labels, ignored=others)


def _open_synsets(spec: str, folder: Path) -> Dataset:
    data = open_classes(spec, folder)
    if not are_synsets(data.classes.ids):
        other = next(class_id for class_id in data.classes.ids if not are_synsets([class_id]))
        raise DataNotFoundError(
            f"data {spec!r}: {str(folder)!r} is no ImageNet, since its folder {other!r} is called like no synset."
            " Expected ROOT/val or ROOT/ILSVRC/Data/CLS-LOC/val with folders such as n01440764 or files"
            " ILSVRC2012_val_*.JPEG; for other classes give the folder itself, without imagenet:"
        )
    classes = _classes(data.classes.ids)
    index = {synset: label for label, synset in enumerate(classes.ids)}
    labels = np.array([index[synset] for synset in data.classes.ids])[data.labels]
    return replace(data, classes=classes, labels=labels)


def _classes(synsets: list[str] | tuple[str, ...]) -> Classes:
    """ImageNet's 1,000, or these where they are not among them."""
    from seviz.network.imagenet import imagenet_classes, imagenet_names  # here, since torch takes seconds to import

    known = imagenet_classes("imagenet-1k")
    return known if set(synsets) <= set(known.ids) else Classes(tuple(synsets), imagenet_names(synsets))


def _near(root: Path, folder: Path) -> list[Path]:
    """Directories that may hold the ground truth."""
    root, folder = Path(os.path.abspath(root)), Path(os.path.abspath(folder))
    near = [folder, folder.parent, root, root.parent]
    if folder.parent.parts[-len(_KAGGLE.parts) :] == _KAGGLE.parts:
        near.append(folder.parents[len(_KAGGLE.parts)])
    return list(dict.fromkeys(near))
