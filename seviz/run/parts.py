"""Some images of a run, as if they were a run of their own, and how a run is split into parts that share no image."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from seviz.errors import EmptyDataError, MissingSignalError, OptionError
from seviz.moments import Moments, MomentsSum
from seviz.network.bounds import Bounds
from seviz.run.manifest import Manifest
from seviz.run.store import Run


class Part(Run):
    """Some images of a run, as a run.

    Moments are computed anew from the gates that the run keeps image by image; those of classes that are there with all
    their images are the run's.

    Parameters
    ----------
    run
        A finished run.
    rows
        Which rows of `run.samples`: their numbers in any order, or for each row whether it is one, (image) bool.
    labels
        Classes of the run that the part has, by number, ascending; all by default.

    Raises
    ------
    OptionError
        If there is no such row, a row is given twice, or none is given.
    """

    def __init__(self, run: Run, rows: ArrayLike, *, labels: NDArray[np.int64] | None = None) -> None:
        self.run = run
        self.rows = _checked(rows, len(run.samples))
        """Which rows of `run.samples`, ascending."""
        self.of_classes = np.arange(len(run.classes)) if labels is None else labels
        """Which classes of the run, ascending."""
        self._begin(run.path, run.manifest if labels is None else _of_classes(run.manifest, labels))

    def __repr__(self) -> str:
        return f"<{len(self.rows)} of {len(self.run.samples)} images of {self.run!r}>"

    @property
    def identity(self) -> str:
        """Text that only the same parts of the same run share."""
        chosen = hashlib.sha256(self.rows.tobytes() + b"|" + self.of_classes.tobytes()).hexdigest()
        return f"{self.run.identity} {chosen}"

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row an image, as `Run.samples`, numbered from 0."""
        samples = self.run.samples.iloc[self.rows].reset_index(drop=True)
        if len(self.of_classes) == len(self.run.classes):
            return samples
        if self.labels.ndim == 1:
            return samples.assign(label=self.labels)
        members = [np.flatnonzero(row) for row in self.labels]
        names = ["|".join(self.classes.ids[label] for label in own) for own in members]
        samples["class"], samples["label"] = names, pd.Series(members, dtype=object)
        return samples

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The class of each image, (image) int64; where images have several, (image, class) bool."""
        labels: NDArray[Any] = self.run.labels[self.rows]
        return np.searchsorted(self.of_classes, labels) if labels.ndim == 1 else labels[:, self.of_classes]

    def moments(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block, per class and channel, without the images that failed.

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal, or keeps it of some image of this part in moments only.
        """
        if self._whole_classes:
            there = np.flatnonzero(self.labels.any(0)) if self.labels.ndim == 2 else np.unique(self.labels[self._good])
            moments = MomentsSum(len(self.of_classes), self.block(block).channels)
            moments.add(there, self.run.moments(block, signal).take(self.of_classes[there]))
            return moments.result()
        gates, places = self._gates(block, signal)
        return Moments.of(gates, self.labels[places], len(self.classes))

    def total(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block over all images of this part together, as a single class; raises as `moments`."""
        if len(self.rows) == len(self.run.samples):
            return self.run.total(block, signal)
        if not self._whole_classes:
            return Moments.of_all(self._gates(block, signal)[0])
        moments = self.moments(block, signal)
        return reduce(Moments.merge, (moments.take(np.array([k])) for k in range(len(moments.count))))

    def gates(
        self, block: str, signal: str = "excitation", rows: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """As `Run.gates`, of the images of this part."""
        kept = self._places_of_kept[self.samples["kept"].to_numpy(bool)]
        if not len(kept) and self.run.samples["kept"].any():
            raise MissingSignalError(
                f"{str(self.path)!r} keeps the gates of no image of this part, only moments of classes; capture again"
                " with --keep-gates all"
            )
        return self.run.gates(block, signal, kept if rows is None else kept[rows])

    def bounds(self, block: str, signal: str = "excitation") -> Bounds:
        """Those of the run."""
        return self.run.bounds(block, signal)

    def stored_in_16_bits(self, block: str) -> bool:
        """Whether gates of a block are stored in 16 bits, in some of the chunks or in all."""
        return self.run.stored_in_16_bits(block)

    @cached_property
    def _places_of_kept(self) -> NDArray[np.int64]:
        """Place of each image of the part among those whose gates the run keeps; of others it means nothing."""
        places: NDArray[np.int64] = np.cumsum(self.run.samples["kept"].to_numpy(bool))[self.rows] - 1
        return places

    @cached_property
    def _whole_classes(self) -> bool:
        """Whether each class is there with all of its images that did not fail, or with none, and images have one."""
        if len(self.rows) == len(self.run.samples) and len(self.of_classes) == len(self.run.classes):
            return True
        if self.run.labels.ndim == 2:
            return False
        good = self._good
        whole = np.bincount(self.run.labels[(self.run.samples["status"] != "failed").to_numpy()])
        labels, count = np.unique(self.run.labels[self.rows[good]], return_counts=True)
        return bool((whole[labels] == count).all())

    @property
    def _good(self) -> NDArray[np.bool_]:
        return (self.samples["status"] != "failed").to_numpy()

    def _gates(self, block: str, signal: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Gates of the images that did not fail, (image, channel), and their places in this part."""
        good, kept = np.flatnonzero(self._good), self.run.samples["kept"].to_numpy(bool)
        missing = int((~kept[self.rows[good]]).sum())
        if missing and kept.any():
            raise MissingSignalError(
                f"{str(self.path)!r} keeps the gates of {int(kept.sum())} of its {len(kept)} images, but not of"
                f" {missing} of the {len(good)} wanted: moments of a part are made of the gates of each image. Capture"
                " again with --keep-gates all."
            )
        return self.run.gates(block, signal, self._places_of_kept[good]), good


def select(
    run: Run, *, correct: bool | None = None, classes: Sequence[str] | None = None, rows: ArrayLike | None = None
) -> Part:
    """A part of a run; see `Run.select`."""
    chosen = np.ones(len(run.samples), bool)
    if rows is not None:
        chosen[:] = False
        chosen[_checked(rows, len(chosen))] = True
    if correct is not None:
        chosen &= (run.right == correct).fillna(False).to_numpy(bool)
    of = run.of_classes if isinstance(run, Part) else np.arange(len(run.classes))
    if classes is not None:
        labels = np.unique([run.class_index(name) for name in classes]).astype(np.int64)
        chosen &= np.isin(run.labels, labels) if run.labels.ndim == 1 else run.labels[:, labels].any(1)
        of = of[labels]
    if not chosen.any():
        given = {"correct": correct, "classes": classes, "rows": None if rows is None else "..."}
        raise OptionError(
            f"no image of {run!r} has {', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)}; leave out a"
            " condition"
        )
    base, among = (run.run, run.rows[chosen]) if isinstance(run, Part) else (run, np.flatnonzero(chosen))
    return Part(base, among, labels=of if len(of) < len(base.classes) else None)


def _of_classes(manifest: Manifest, labels: NDArray[np.int64]) -> Manifest:
    """A manifest whose data have some of its classes."""
    data = manifest.data

    def of(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[label] for label in labels)

    targets = None if data.model_classes is None else of(data.model_classes)
    chosen = replace(data, class_ids=of(data.class_ids), class_names=of(data.class_names), model_classes=targets)
    return replace(manifest, data=chosen)


def mean_over_images(run: Run, block: str, signal: str = "excitation") -> NDArray[np.float64]:
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
    images: Run | NDArray[np.integer], shares: Mapping[str, float], *, seed: int
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
    labels = images.labels if isinstance(images, Run) else np.asarray(images)
    if labels.ndim != 1:
        raise OptionError(
            "images have several classes each, expected one: there is no split by class. Give other images, of one"
            " class each, to judge by (--data)."
        )
    good = (images.samples["status"] != "failed").to_numpy() if isinstance(images, Run) else labels == labels
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
