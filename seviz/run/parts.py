"""Some images of a run, as if they were a run of their own, and how a run is split into parts that share no image."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seviz.classes import Classes
from seviz.errors import EmptyDataError, MissingSignalError, OptionError
from seviz.moments import Moments
from seviz.run.manifest import BlockRecord, Manifest
from seviz.run.store import Run


class Part:
    """Some images of a run.

    Moments are computed anew from the gates that the run keeps image by image; of all its images they are the run's.

    Parameters
    ----------
    run
        A finished run.
    rows
        Which rows of `run.samples`: their numbers in any order, or for each row whether it is one, (image) bool.

    Raises
    ------
    OptionError
        If there is no such row, a row is given twice, or none is given.
    """

    def __init__(self, run: Run, rows: ArrayLike) -> None:
        self.run = run
        self.rows = _checked(rows, len(run.samples))
        """Which rows of `run.samples`, ascending."""

    def __repr__(self) -> str:
        return f"<{len(self.rows)} of {len(self.run.samples)} images of {self.run!r}>"

    @property
    def path(self) -> Path:
        """The directory of the run."""
        return self.run.path

    @property
    def manifest(self) -> Manifest:
        """That of the run; the number of images in it is the run's."""
        return self.run.manifest

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the SE blocks, in order of depth."""
        return self.run.blocks

    @property
    def classes(self) -> Classes:
        """The classes of the data, in the order of the labels; some may have no image here."""
        return self.run.classes

    def block(self, name: str) -> BlockRecord:
        """What the manifest says of a block; raises MissingSignalError if there is none of that name."""
        return self.run.block(name)

    def class_index(self, name: str) -> int:
        """The label of a class given by id or by name, whatever its case; raises UnknownClassError."""
        return self.run.class_index(name)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row an image, as `Run.samples`, numbered from 0."""
        return self.run.samples.iloc[self.rows].reset_index(drop=True)

    @property
    def labels(self) -> NDArray[Any]:
        """The class of each image, (image) int64; where images have several, (image, class) bool."""
        labels: NDArray[Any] = self.run.labels[self.rows]
        return labels

    def moments(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block, per class and channel, without the images that failed.

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal, or keeps it of some image of this part in moments only.
        """
        if self._whole:
            return self.run.moments(block, signal)
        gates, rows = self._gates(block, signal)
        return Moments.of(gates, self.run.labels[rows], len(self.classes))

    def total(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block over all images of this part together, as a single class; raises as `moments`."""
        if self._whole:
            return self.run.total(block, signal)
        return Moments.of_all(self._gates(block, signal)[0])

    @property
    def _whole(self) -> bool:
        return len(self.rows) == len(self.run.samples)

    def _gates(self, block: str, signal: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Gates of the images that did not fail, (image, channel), and their rows in the run."""
        good = self.rows[(self.samples["status"] != "failed").to_numpy()]
        kept = self.run.samples["kept"].to_numpy(bool)
        missing = int((~kept[good]).sum())
        if missing and kept.any():
            raise MissingSignalError(
                f"{str(self.path)!r} keeps the gates of {int(kept.sum())} of its {len(kept)} images, but not of"
                f" {missing} of the {len(good)} wanted: moments of a part are made of the gates of each image. Capture"
                " again with --keep-gates all."
            )
        gates = self.run.gates(block, signal)
        return gates[(np.cumsum(kept) - 1)[good]], good


def mean_over_images(run: Run | Part, block: str, signal: str = "excitation") -> NDArray[np.float64]:
    """The mean of a block over all images that did not fail, (channel).

    Raises
    ------
    EmptyDataError
        If all failed.
    MissingSignalError
        If the run holds no such block or signal, or as of `Part.moments`.
    """
    total = run.total(block, signal)
    if not total.count[0]:
        raise EmptyDataError(
            f"all {len(run.samples)} images of the run {str(run.path)!r} failed, so that {block} has no mean over"
            " images. Take a run of images that can be read."
        )
    return np.asarray(total.mean[0], np.float64)


def _checked(rows: ArrayLike, images: int) -> NDArray[np.int64]:
    """Rows as ascending numbers."""
    given = np.asarray(rows)
    if given.dtype == bool:
        if given.shape != (images,):
            raise OptionError(f"rows has shape {given.shape}, expected ({images},): whether each image is one")
        given = np.flatnonzero(given)
    if not given.size:
        raise OptionError(f"rows names no image, expected some of the {images} of the run")
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.integer):
        raise OptionError(f"rows is {given.dtype} of shape {given.shape}, expected whole numbers or bool, (image)")
    numbers = np.sort(given.astype(np.int64))
    if numbers[0] < 0 or numbers[-1] >= images:
        wrong = numbers[0] if numbers[0] < 0 else numbers[-1]
        raise OptionError(f"rows has {wrong}, expected numbers from 0 to {images - 1}")
    twice = numbers[1:][np.diff(numbers) == 0]
    if len(twice):
        raise OptionError(f"rows has {twice[0]} twice, expected each image once")
    return numbers


def split_rows(
    images: Run | Part | NDArray[np.integer], shares: Mapping[str, float], *, seed: int
) -> dict[str, NDArray[np.int64]]:
    """Split images into parts that share none, each with the same share of every class.

    Parameters
    ----------
    images
        A run or a part of one, without the images that failed; or the class of each image, (image).
    shares
        By the name of a part, which share of the images it has; together at most 1. The rest is in no part.
    seed
        Of the draw.

    Returns
    -------
    dict of str to numpy.ndarray
        By the name of the part, the rows of its images, ascending. Of each class a part has its share to less than one
        image; where the share is no whole number, the parts furthest below theirs so far get the images left over.

    Raises
    ------
    OptionError
        If images have several classes, shares are not above 0 or together above 1, or a part would have no image.
    """
    if not shares or min(shares.values()) <= 0 or sum(shares.values()) > 1 + 1e-9:
        raise OptionError(f"shares is {dict(shares)}, expected numbers above 0 that are together at most 1")
    labels = images.labels if isinstance(images, Run | Part) else np.asarray(images)
    if labels.ndim != 1:
        raise OptionError(
            "images have several classes each, expected one: there is no split by class. Give other images, of one"
            " class each, to judge by (--data)."
        )
    good = (images.samples["status"] != "failed").to_numpy() if isinstance(images, Run | Part) else labels == labels
    share = np.array([*shares.values(), max(0.0, 1 - sum(shares.values()))])  # the last is of what is in no part
    random = np.random.default_rng(seed)
    owed = np.zeros(len(share))  # images that a part should have beyond those it has
    parts: list[list[NDArray[np.int64]]] = [[] for _ in share]
    for label in np.unique(labels[good]):
        members = random.permutation(np.flatnonzero(good & (labels == label)))
        quota = share * len(members)
        sizes = np.floor(quota + 1e-9).astype(np.int64)
        owed += quota - sizes
        due = np.where(quota - sizes > 1e-9, owed, -np.inf)  # none is more than one above its quota
        extra = np.argsort(-due, kind="stable")[: len(members) - sizes.sum()]
        sizes[extra] += 1
        owed[extra] -= 1
        for part, piece in zip(parts, np.split(members, np.cumsum(sizes)[:-1]), strict=True):
            part.append(piece)
    split = {
        name: np.sort(np.concatenate([*pieces, np.zeros(0, np.int64)]))
        for name, pieces in zip(shares, parts, strict=False)
    }
    empty = [name for name, rows in split.items() if not len(rows)]
    if empty:
        raise OptionError(
            f"part {empty[0]!r} would have no image: {shares[empty[0]]:g} of {int(good.sum())} images is too little;"
            " expected a greater share, or more images"
        )
    return split
