"""Pairs of samples of images that share none, and how well they agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from seviz.stats.reliability import rank_correlation
from seviz.stats.variance import VarianceSplit

ORDERED_CLASSES = 100
"""Of how many classes the order of channels is compared at most, drawn at random."""
_SLICE = 32  # channels at a time, for memory


def default_sizes(images: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below half of so many images, and that half; [1] for fewer than four."""
    half = max(images // 2, 1)
    steps = [step * 10**power for power in range(len(str(half))) for step in (1, 2, 5)]
    return [step for step in steps if step < half] + [half]


@dataclass(frozen=True)
class _Sample:
    """Some images of some classes.

    Attributes
    ----------
    first, last
        Of which steps of a draw it is made, the last not among them.
    part
        Which classes take part, (class).
    ordered
        The classes whose channels are ordered.
    """

    first: int
    last: int
    part: NDArray[np.bool_]
    ordered: NDArray[np.int64]

    def of(self, up_to: NDArray[Any]) -> NDArray[Any]:
        """What it holds, (group, ...), by sums over all steps up to each, (group, step, ...)."""
        whole = up_to[:, self.last - 1]
        return whole - up_to[:, self.first - 1] if self.first else whole


@dataclass(frozen=True)
class _Draw:
    """Images in an order drawn at random: of each size, the first of them and those that follow are two samples.

    Attributes
    ----------
    members
        Which images are of which class and step, (class * step, row) of 0 and 1. A step lies between two places at
        which samples end: what is summed up to each serves all samples.
    groups
        The same, with those classes together that take part in equally many sizes, (group * step, row).
    steps
        How many there are.
    samples
        The first and the second of each size, ascending; a class takes part in all sizes up to some.
    """

    members: Any
    groups: Any
    steps: int
    samples: list[_Sample]


@dataclass(frozen=True)
class Draws:
    """Several draws of the same sizes.

    Attributes
    ----------
    members, groups
        Of all draws one below the other, (draw * class * step, row) and (draw * group * step, row); by columns, so
        that a product reads each image once for all draws.
    steps
        Of each draw.
    samples
        Of each draw.
    """

    members: Any
    groups: Any
    steps: int
    samples: list[list[_Sample]]

    @classmethod
    def of(cls, draws: Sequence[_Draw]) -> "Draws":
        members, groups = (
            sparse.vstack(matrices, format="csc")
            for matrices in ([draw.members for draw in draws], [draw.groups for draw in draws])
        )
        return cls(members, groups, draws[0].steps, [draw.samples for draw in draws])

    def up_to(self, values: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Sums over all steps up to each, (group, step, ...) of each draw, of values (draw * group * step, ...)."""
        for result in values.reshape(len(self.samples), -1, self.steps, *values.shape[1:]):
            for step in range(1, self.steps):
                result[:, step] += result[:, step - 1]
            yield result


@dataclass(frozen=True)
class Pool:
    """The images that samples are drawn from: rows of values (image, channel), and their classes.

    Attributes
    ----------
    image, label
        Which image belongs to which class, (membership).
    images
        Rows of the images that can be drawn.
    rows
        Number of rows.
    count
        Images of each class, (class).
    several
        Whether an image can have several classes.
    """

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    images: NDArray[np.int64]
    rows: int
    count: NDArray[np.int64]
    several: bool

    @classmethod
    def of(cls, labels: NDArray[Any], usable: NDArray[np.bool_], classes: int) -> "Pool":
        """Images that can be drawn.

        Parameters
        ----------
        labels
            Class of each image, (image); or whether it is of each class, (image, class).
        usable
            Whether each image can be drawn, (image).
        classes
            Number of classes.
        """
        images, several = np.flatnonzero(usable), labels.ndim == 2
        labels = labels[images]
        k, label = np.nonzero(labels) if several else (np.arange(len(images)), labels)
        return cls(
            image=images[k],
            label=label,
            images=images,
            rows=len(usable),
            count=np.bincount(label, minlength=classes),
            several=several,
        )

    def taking_part(self, size: int) -> NDArray[np.bool_]:
        """Which classes have images enough for two samples, (class)."""
        enough: NDArray[np.bool_] = self.count >= (1 if self.several else 2 * size)
        return enough & (2 * size <= median_size(self.count)) if self.several else enough

    def draw(self, random: np.random.Generator, sizes: Sequence[int]) -> _Draw:
        """Two samples of each size, ascending, that share no image."""
        if self.several:  # the rank of an image is its place among all, else among those of its class
            place = np.full(self.rows, -1)
            place[random.permutation(self.images)] = np.arange(len(self.images))
            rank = place[self.image]
            images = [size * len(self.images) // max(median_size(self.count), 1) for size in sizes]
        else:
            order = random.permutation(len(self.label))
            order = order[np.argsort(self.label[order], kind="stable")]
            rank = np.empty(len(order), np.int64)
            rank[order] = np.arange(len(order)) - (np.cumsum(self.count) - self.count)[self.label[order]]
            images = list(sizes)
        preferred = random.permutation(len(self.count))
        ends = sorted({times * number for number in images for times in (1, 2)})
        samples, group = [], np.zeros(len(self.count), np.int64)
        for size, number in zip(sizes, images, strict=True):
            part = self.taking_part(size)
            group += part
            ordered = preferred[part[preferred]][:ORDERED_CLASSES]
            half, whole = ends.index(number) + 1, ends.index(2 * number) + 1
            samples += [_Sample(0, half, part, ordered), _Sample(half, whole, part, ordered)]
        step = np.searchsorted(ends, rank, side="right")
        taken = step < len(ends)
        members, groups = (
            sparse.csr_array(
                (np.ones(taken.sum()), ((of * len(ends) + step)[taken], self.image[taken])),
                shape=(number * len(ends), self.rows),
            )
            for of, number in ((self.label, len(self.count)), (group[self.label], len(sizes) + 1))
        )
        return _Draw(members, groups, len(ends), samples)


@dataclass(frozen=True)
class _Summary:
    """What a sample says of a block: mean gates of the ordered classes, (class, channel), and the variance."""

    means: NDArray[np.float64]
    split: VarianceSplit


def figures_of(gates: NDArray[np.float32], draws: Draws, good: int) -> NDArray[np.float64]:
    """How well the samples of each draw and size agree: what `_agreement` says, (draw and size, figure)."""
    summaries = _summaries(gates, draws, good)
    return np.array([_agreement(*two) for two in zip(summaries[::2], summaries[1::2], strict=True)])


def _summaries(gates: NDArray[np.float32], draws: Draws, good: int) -> list[_Summary]:
    """What each sample of each draw says of a block; `good` is the row of some image that did not fail."""
    channels = gates.shape[1]
    counts, summaries = [], []
    numbers = draws.up_to(draws.members @ np.ones(len(gates), np.int64))  # (draw, class, step)
    for number, samples in zip(numbers, draws.samples, strict=True):
        for sample in samples:
            count = np.where(sample.part, sample.of(number), 0)
            counts.append(count[:, None])
            between, within = np.empty((2, channels))
            split = VarianceSplit(between, within, int(count.sum()), int((count > 0).sum()), float("nan"))
            summaries.append(_Summary(np.empty((len(sample.ordered), channels)), split))
    x = square = np.empty((0, 0))
    for start in range(0, channels, _SLICE):
        part = slice(start, start + _SLICE)
        if x.shape != gates[:, part].shape:  # else what was there is used again
            x, square = np.empty((2, *gates[:, part].shape))
        x[:] = gates[:, part]
        origin = x[good].copy()  # a value that occurs, so that constant gates become 0 throughout
        x -= origin
        np.square(x, out=square)
        of_draws = zip(draws.up_to(draws.members @ x), draws.up_to(draws.groups @ square), draws.samples, strict=True)
        left = zip(counts, summaries, strict=True)
        for sums_up_to, squares_up_to, samples in of_draws:
            for k, sample in enumerate(samples):
                count, summary = next(left)
                sums = sample.of(sums_up_to)  # (class, channel)
                if not sample.part.all():
                    sums = np.where(sample.part[:, None], sums, 0)
                squares = sample.of(squares_up_to)[k // 2 + 1 :].sum(0)  # of the classes that take part
                mean = sums / np.maximum(count, 1)
                of_means = np.einsum("ij,ij->j", sums, mean)
                summary.split.within[part] = np.maximum(squares - of_means, 0)
                summary.split.between[part] = np.maximum(of_means - np.square(sums.sum(0)) / max(count.sum(), 1), 0)
                ordered = sample.ordered
                summary.means[:, part] = np.where(count[ordered] > 0, mean[ordered] + origin, np.nan)
    return summaries


def _agreement(first: _Summary, second: _Summary) -> tuple[float, float, float, float]:
    """Correlation of the means and of omega squared, the block's omega squared, and how much it differs."""
    channels = np.array([summary.split.omega_squared_by_channel for summary in (first, second)])
    channels = channels[:, np.isfinite(channels).all(0)]
    block = first.split.omega_squared, second.split.omega_squared
    return (
        mean_of_known(rank_correlation(first.means, second.means)),
        float(rank_correlation(channels[:1], channels[1:])[0]),
        (block[0] + block[1]) / 2,
        block[0] - block[1],
    )


def mean_of_known(values: NDArray[np.float64]) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def median_size(count: NDArray[np.int64]) -> int:
    """Images of the median class that has any, rounded down; 0 if none has."""
    return int(np.median(count[count > 0])) if count.any() else 0
