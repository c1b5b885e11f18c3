"""What both tables of redundancy need: the images that are correlated, and the channels of a block by group."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import OptionError
from seviz.run.precision import precision_of
from seviz.run.store import Run
from seviz.stats.correlation import STEPS, Correlations, cluster_channels, correlate, representatives

IMAGES = 5000
"""Of how many images correlations are computed at most: a standard error of 0.014 about 0, and of 0.003 about 0.9."""


@dataclass(frozen=True)
class Draw:
    """Which images are correlated, the same in every block: rows of the kept gates, and which are the first half."""

    rows: NDArray[np.int64]
    labels: NDArray[Any] | None
    first: NDArray[np.bool_]
    remarks: list[str]


@dataclass(frozen=True)
class Values:
    """What is correlated in one block, (image, channel), and how."""

    x: NDArray[np.float64]
    labels: NDArray[Any] | None
    first: NDArray[np.bool_]
    still: float
    remarks: list[str]

    def correlations(
        self, images: NDArray[np.bool_] | slice = slice(None), channels: NDArray[np.int64] | None = None
    ) -> Correlations:
        x, labels = self.x[images], None if self.labels is None else self.labels[images]
        return correlate(x, labels, still=self.still) if channels is None else correlate(x[:, channels], labels)


@dataclass(frozen=True)
class Grouping:
    """The channels of a block that vary, by group: both tables have it.

    Attributes
    ----------
    channels, group, representative
        Which vary, the group of each, and the channel that stands for it, (channel).
    correlation
        With that channel, signed, (channel).
    remarks
        What was left out, and whether images are too few.
    """

    channels: NDArray[np.int64]
    group: NDArray[np.int64]
    representative: NDArray[np.int64]
    correlation: NDArray[np.float64]
    remarks: list[str]

    @staticmethod
    def key(*parameters: Hashable) -> Hashable:
        """What it depends on, in a run: block, within_classes, threshold, signal, images and seed."""
        return ("grouping", *parameters)

    @classmethod
    def of(cls, block: str, values: Values, found: Correlations, threshold: float) -> "Grouping":
        group = cluster_channels(found.r, threshold)
        standing = representatives(found.r, group)
        return cls(
            found.channels,
            group,
            found.channels[standing],
            found.r[np.arange(len(standing)), standing],
            values.remarks + _too_few(block, found, threshold),
        )


def drawn_images(run: Run, within_classes: bool, threshold: float, images: int | Literal["all"], seed: int) -> Draw:
    if not 0 < threshold <= 1:
        raise OptionError(f"threshold is {threshold}, expected a correlation above 0 and at most 1")
    if images != "all" and images < 2:
        raise OptionError(f"images is {images}, expected at least 2, or 'all'")
    kept, random = run.samples["kept"].to_numpy(bool), np.random.default_rng(seed)
    rows, remarks = np.flatnonzero((run.samples["status"] != "failed").to_numpy()[kept]), []
    if images != "all" and images < len(rows):
        remarks.append(f"Correlations are those of {images:,} of {len(rows):,} images, drawn at random.")
        rows = np.sort(random.choice(rows, images, replace=False))
    labels, order = None, random.permutation(len(rows))
    if within_classes:
        labels = run.labels[kept][rows]
        if labels.ndim == 2:
            remarks.append("Images have several classes: what these explain by least squares was removed.")
        else:  # as many images of each class in both halves
            order = order[np.argsort(labels[order], kind="stable")]
    first = np.zeros(len(rows), bool)
    first[order[::2]] = True
    return Draw(rows, labels, first, remarks)


def values_of(run: Run, block: str, signal: str, draw: Draw) -> Values:
    x = run.gates(block, signal, draw.rows).astype(np.float64)
    finite = np.isfinite(x).all(1)
    labels = None if draw.labels is None else draw.labels[finite]
    still = STEPS * precision_of(run, block, signal).step
    odd = int((~finite).sum())
    remarks = [f"{block}: {odd} images whose {signal} is not finite are left out."] if odd else []
    return Values(x[finite], labels, draw.first[finite], still, remarks)


def _too_few(block: str, found: Correlations, threshold: float) -> list[str]:
    """Whether pairs of independent channels are expected to pass the threshold."""
    pairs, freedom = len(found.pairs), found.freedom
    if freedom < 2:
        return [f"{block}: {max(freedom, 0)} degrees of freedom say nothing of correlations; more images are needed."]
    t = threshold * np.sqrt((freedom - 1) / max(1 - threshold**2, 1e-300))
    chance = 2 * stats.t.sf(t, freedom - 1) * pairs
    if chance < 1:
        return []
    return [f"{block}: so few images that about {chance:,.0f} pairs of channels would be redundant by chance."]
