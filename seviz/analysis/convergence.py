r"""How many images per class it takes until channel order and block figures are stable, and whether a run has them.

Two samples of m images per class that share no image are drawn again and again from the run. Where they put the
channels in the same order, m images are enough to tell it; where they do not, Spearman and Brown's formula tells how
many would be. Images are the sample here; the classes are given.

Notes
-----
A figure whose correlation between two such samples is r at m images has

.. math:: r_n = \frac{(n/m)\, r}{1 + (n/m - 1)\, r}, \qquad n^* = m\, \frac{r^* (1 - r)}{r\, (1 - r^*)}

at n images, and reaches :math:`r^*` with :math:`n^*`. It is derived for Pearson's correlation and for an error whose
variance falls as 1/m; for ranks, and for omega squared at small m, it is an approximation.

References
----------
Spearman, "Correlation calculated from faulty data", British Journal of Psychology 3, 1910.
Brown, "Some experimental results in the correlation of mental abilities", British Journal of Psychology 3, 1910.
Nunnally, "Psychometric Theory", 2nd edition, 1978: 0.9 as the least reliability for decisions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from seviz.analysis.blocks import each, shared
from seviz.analysis.ranges import COUNT, OMEGA, POSITIVE, SIGNED, Ranges
from seviz.analysis.resolved import channels_of, gates_of, unresolved
from seviz.analysis.variance import VarianceSplit
from seviz.errors import OptionError
from seviz.run.store import Run

RELIABLE = 0.9
"""An order of channels is stable if two samples agree on it with at least this rank correlation."""
SPREAD = 0.02
"""A block's omega squared is stable if its standard deviation over samples is at most this."""
ORDERED_CLASSES = 100
"""Of how many classes the order of channels is compared at most, drawn at random."""

_FIGURES = ("mean_order", "omega_order", "omega_squared", "omega_squared_std")
_COLUMNS = ("block", "stage", "channels", "size", "classes", *_FIGURES)

CONVERGENCE_BY_SIZE: Ranges = {
    **dict.fromkeys(("stage", "channels", "size", "classes"), COUNT),
    **dict.fromkeys(("mean_order", "omega_order"), SIGNED),
    "omega_squared": OMEGA,
    "omega_squared_std": POSITIVE,
}
CONVERGENCE: Ranges = {**CONVERGENCE_BY_SIZE, **dict.fromkeys(("images", "stable_from", "wanted"), COUNT)}

_SLICE = 32  # channels at a time, for memory
_NAMES = 10  # of classes in a remark


def spearman_brown(correlation: float, factor: float) -> float:
    """The correlation between two samples that are `factor` times as large.

    Parameters
    ----------
    correlation
        Between the samples there are, in [-1, 1]; one of 0 or less stays as it is, and NaN stays NaN.
    factor
        Above 0.
    """
    if not correlation > 0:
        return correlation
    return factor * correlation / (1 + (factor - 1) * correlation)


def wanted_factor(correlation: float, target: float = RELIABLE) -> float:
    """How many times as large samples must be to correlate by `target`; inf for a correlation of 0 or less."""
    if correlation <= 0:
        return float("inf")
    return target * (1 - correlation) / (correlation * (1 - target))


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's correlation, row by row.

    Parameters
    ----------
    first, second
        (row, channel). What differs by less than 1e-9 is a tie.

    Returns
    -------
    numpy.ndarray
        (row), in [-1, 1]; NaN where either row has no two different values, or has a NaN.
    """
    if not first.shape[1]:
        return np.full(len(first), np.nan)
    x, y = (_ranks(values) - (values.shape[1] + 1) / 2 for values in (first, second))
    products: NDArray[np.float64] = np.stack([np.einsum("ij,ij->i", *two) for two in ((x, y), (x, x), (y, y))])
    size = np.sqrt(products[1] * products[2])
    result: NDArray[np.float64] = products[0] / np.where(size > 0, size, np.nan)
    return result


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1, row by row, ties in their middle, of values to nine digits; NaN in a row that has one."""
    digits: NDArray[np.float64] = np.asarray(values, np.float64).round(9)
    order = np.argsort(digits, axis=1)
    ordered = np.take_along_axis(digits, order, axis=1)
    ranks: NDArray[np.float64] = np.empty(digits.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, digits.shape[1] + 1)[None], axis=1)
    fresh = np.ones(digits.shape, bool)  # where no tie with the value before goes on
    fresh[:, 1:] = ordered[:, 1:] > ordered[:, :-1]
    odd = np.flatnonzero(~fresh.all(1))  # ties and NaN, as rare as they are
    if len(odd):
        starts = np.flatnonzero(fresh[odd])
        sizes = np.diff(starts, append=len(odd) * digits.shape[1])
        middle = np.repeat(starts % digits.shape[1] + (sizes + 1) / 2, sizes).reshape(len(odd), -1)
        middle[np.isnan(ordered[odd, -1])] = np.nan
        tied = np.empty_like(middle)
        np.put_along_axis(tied, order[odd], middle, axis=1)
        ranks[odd] = tied
    return ranks


def default_sizes(images: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... below half of so many images, and that half; [1] for fewer than four."""
    half = max(images // 2, 1)
    steps = [step * 10**power for power in range(len(str(half))) for step in (1, 2, 5)]
    return [step for step in steps if step < half] + [half]


def convergence(
    run: Run,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 10,
    signal: str = "excitation",
    seed: int = 0,
) -> pd.DataFrame:
    """Whether the run has images enough, block by block.

    Parameters
    ----------
    run
        A finished run that keeps gates of images, of some if not of all.
    sizes, repeats, signal, seed
        As of `convergence_by_size`.

    Returns
    -------
    pandas.DataFrame
        As of `stability`, with images those of the median class of the run, whether or not their gates are kept.
        Where no class has two images all is missing and the verdict "not enough"; of a block with gates that are not
        finite all is missing and the verdict "not known". `attrs["remarks"]` says what was left out, and which classes
        have fewer images than wanted.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `repeats` or one of `sizes` is below 1.
    """
    curve = convergence_by_size(run, sizes=sizes, repeats=repeats, signal=signal, seed=seed)
    count = run.moments(run.blocks[0], signal).count
    table = stability(curve, _median(count))
    if table.empty:
        blocks = pd.DataFrame({"block": run.blocks, "stage": [run.block(name).stage for name in run.blocks]})
        table = blocks.assign(images=_median(count), verdict="not enough").reindex(columns=table.columns)
    found = [channels_of(run, name, signal) for name in table["block"]]
    still = np.array([channels.near_constant.all() for channels in found], bool)
    odd = np.array([not channels.finite.all() for channels in found], bool)
    table.loc[still | odd, [*_FIGURES, "wanted"]] = np.nan
    table.loc[still | odd, "stable_from"] = pd.NA
    table.loc[still, "verdict"], table.loc[odd, "verdict"] = "nothing varies", "not known"
    table.attrs["remarks"] = [*curve.attrs["remarks"], *_wanting(table, run, count)]
    return table


def convergence_by_size(
    run: Run,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 10,
    signal: str = "excitation",
    seed: int = 0,
) -> pd.DataFrame:
    """How well two samples of so many images per class agree.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    sizes
        Images per class of each sample; by default 1, 2, 5, 10, 20, 50, ... and half of what the median class has.
        Where images have several classes, a sample is so large a share of all images that the median class has that
        many on average.
    repeats
        How often two samples are drawn, at least 1.
    signal
        Whose values are looked at.
    seed
        Of the draws.

    Returns
    -------
    pandas.DataFrame
        One row a block and size:

        - block, stage, channels, size
        - classes: number of classes that take part: those with at least twice the size
        - mean_order: rank correlation between the two samples of a class's mean gates over channels; mean over
          classes (at most 100, drawn at random) and repeats
        - omega_order: rank correlation between the two of the channels' omega squared, mean over repeats
        - omega_squared: of the block, mean over samples; see `seviz.analysis.specificity`
        - omega_squared_std: its standard deviation over samples, from the difference between the two, so that it is
          not too small where samples make up much of the run

        Correlations are NaN where nothing varies, omega squared is also for a single class and for single images of
        each. Sizes for which no class has images enough are left out: there may be no row. `attrs["remarks"]` says
        what was left out.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `repeats` or one of `sizes` is below 1.
    """
    if repeats < 1 or min(sizes or [1]) < 1:
        raise OptionError(f"sizes is {sizes} and repeats {repeats}, expected whole numbers from 1")
    key = ("convergence", tuple(sizes or ()), repeats, signal, seed)
    table = shared(run, key, lambda: _by_size(run, sizes, repeats, signal, seed)).copy()
    table.attrs["remarks"] = [*unresolved(run, run.blocks, signal), *table.attrs["remarks"]]
    return table


def _by_size(run: Run, sizes: Sequence[int] | None, repeats: int, signal: str, seed: int) -> pd.DataFrame:
    pool = _Pool.of(run)
    asked = sorted(set(sizes or default_sizes(_median(pool.count))))
    tried = [size for size in asked if pool.taking_part(size).any()]
    random = np.random.default_rng(seed)
    draws = _Draws.of([pool.draw(random, tried) for _ in range(repeats)]) if tried else None

    def of_block(name: str) -> list[dict[str, Any]]:
        gates = gates_of(run, name, signal)
        gates[:, ~channels_of(run, name, signal).finite] = np.nan
        if draws is None:
            return []
        figures = _figures(gates, draws, pool.images[0])  # (draw and size, figure)
        rows = []
        for k, size in enumerate(tried):
            mean_order, omega_order, omega, difference = figures[k :: len(tried)].T
            rows.append(
                {
                    "block": name,
                    "stage": run.block(name).stage,
                    "channels": run.block(name).channels,
                    "size": size,
                    "classes": int(pool.taking_part(size).sum()),
                    "mean_order": _mean(mean_order),
                    "omega_order": _mean(omega_order),
                    "omega_squared": _mean(omega),
                    "omega_squared_std": np.sqrt(_mean(np.square(difference)) / 2),
                }
            )
        return rows

    rows = [row for rows in each(of_block, run.blocks) for row in rows]
    table = pd.DataFrame(rows, columns=_COLUMNS)
    table.attrs["remarks"] = _left_out(run, pool, asked, tried)
    return table


def stability(curve: pd.DataFrame, images: int) -> pd.DataFrame:
    """Judge how well samples agree.

    Parameters
    ----------
    curve
        From `convergence_by_size`.
    images
        How many images per class there are.

    Returns
    -------
    pandas.DataFrame
        One row a block of the curve:

        - block, stage, images
        - mean_order, omega_order, omega_squared_std: as in the curve at its greatest size, but carried on to all
          images, by Spearman and Brown's formula and as one over the root of their number
        - omega_squared: at the greatest size
        - stable_from: the smallest size from which on the curve is stable: both orders are at least 0.9, and the
          standard deviation of omega squared at most 0.02; missing where the curve's end is not
        - wanted: images per class with which that is reached, from the agreement at the greatest size; NaN where an
          order agrees no better than chance makes it (2 over the root of channels - 1), or where it is not known
        - verdict: "enough" where images are as many as wanted, else "not enough"; "as by chance" where an order agrees
          no better, so that no number of images can be told; "nothing varies" where there is no order at all

        What a block does not have (omega squared of a single class, or of constant gates) is not asked of it.
    """
    rows = []
    for name, group in curve.sort_values("size", kind="stable").groupby("block", sort=False):
        sizes = [_Agreement(*row) for row in group[list(_COLUMNS[2:])].itertuples(index=False)]
        stable_from = [size.size for k, size in enumerate(sizes) if all(later.stable for later in sizes[k:])]
        last = sizes[-1]
        factor = images / last.size
        rows.append(
            {
                "block": name,
                "stage": group["stage"].iloc[0],
                "images": images,
                "mean_order": spearman_brown(last.mean_order, factor),
                "omega_order": spearman_brown(last.omega_order, factor),
                "omega_squared": last.omega_squared,
                "omega_squared_std": last.omega_squared_std / np.sqrt(factor),
                "stable_from": min(stable_from, default=pd.NA),
                "wanted": last.wanted if np.isfinite(last.wanted) else np.nan,
                "verdict": last.verdict(images),
            }
        )
    columns = ("block", "stage", "images", *_FIGURES, "stable_from", "wanted", "verdict")
    return pd.DataFrame(rows, columns=columns).astype({"stable_from": "Int64"})


@dataclass(frozen=True)
class _Agreement:
    """How well samples of one size agree: a row of the curve."""

    channels: int
    size: int
    classes: int
    mean_order: float
    omega_order: float
    omega_squared: float
    omega_squared_std: float

    @property
    def orders(self) -> list[float]:
        return [order for order in (self.mean_order, self.omega_order) if not np.isnan(order)]

    @property
    def unknown(self) -> bool:
        """Whether there is an omega squared, but not of single images."""
        return self.size == 1 and self.classes > 1 and np.isnan(self.omega_order)

    @property
    def stable(self) -> bool:
        return not self.unknown and all(o >= RELIABLE for o in self.orders) and not self.omega_squared_std > SPREAD

    @property
    def wanted(self) -> float:
        if self.unknown or not self.orders:
            return float("nan")
        chance = 2 / np.sqrt(max(self.channels - 1, 1))
        factors = [wanted_factor(order) if order > chance else np.inf for order in self.orders]
        factor = max(*factors, np.nan_to_num(self.omega_squared_std / SPREAD) ** 2)
        return float(max(np.ceil(np.round(self.size * factor, 9)), 1))

    def verdict(self, images: int) -> str:
        if not self.orders:
            return "nothing varies"
        if np.isinf(self.wanted):
            return "as by chance"
        return "enough" if self.wanted <= images else "not enough"


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
class _Draws:
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
    def of(cls, draws: Sequence[_Draw]) -> "_Draws":
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
class _Pool:
    """The images that samples are drawn from: the rows of the kept gates that did not fail, and their classes.

    Attributes
    ----------
    image, label
        Which image belongs to which class, (membership).
    images
        Of which rows of the kept gates there are any.
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
    def of(cls, run: Run) -> "_Pool":
        kept = run.samples["kept"].to_numpy(bool)
        images = np.flatnonzero((run.samples["status"] != "failed").to_numpy()[kept])
        labels, several = run.labels[kept][images], run.labels.ndim == 2
        k, label = np.nonzero(labels) if several else (np.arange(len(images)), labels)
        return cls(
            image=images[k],
            label=label,
            images=images,
            rows=int(kept.sum()),
            count=np.bincount(label, minlength=len(run.classes)),
            several=several,
        )

    def taking_part(self, size: int) -> NDArray[np.bool_]:
        """Which classes have images enough for two samples, (class)."""
        enough: NDArray[np.bool_] = self.count >= (1 if self.several else 2 * size)
        return enough & (2 * size <= _median(self.count)) if self.several else enough

    def draw(self, random: np.random.Generator, sizes: Sequence[int]) -> _Draw:
        """Two samples of each size, ascending, that share no image."""
        if self.several:  # the rank of an image is its place among all, else among those of its class
            place = np.full(self.rows, -1)
            place[random.permutation(self.images)] = np.arange(len(self.images))
            rank = place[self.image]
            images = [size * len(self.images) // max(_median(self.count), 1) for size in sizes]
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


def _figures(gates: NDArray[np.float32], draws: _Draws, good: int) -> NDArray[np.float64]:
    """How well the samples of each draw and size agree: what `_agreement` says, (draw and size, figure)."""
    summaries = _summaries(gates, draws, good)
    return np.array([_agreement(*two) for two in zip(summaries[::2], summaries[1::2], strict=True)])


def _summaries(gates: NDArray[np.float32], draws: _Draws, good: int) -> list[_Summary]:
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
        _mean(rank_correlation(first.means, second.means)),
        float(rank_correlation(channels[:1], channels[1:])[0]),
        (block[0] + block[1]) / 2,
        block[0] - block[1],
    )


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _median(count: NDArray[np.int64]) -> int:
    """Images of the median class that has any, rounded down; 0 if none has."""
    return int(np.median(count[count > 0])) if count.any() else 0


def _left_out(run: Run, pool: _Pool, asked: Sequence[int], tried: Sequence[int]) -> list[str]:
    images, remarks = int((run.samples["status"] != "failed").sum()), []
    if len(pool.images) < images:
        remarks.append(f"Samples are drawn from the {len(pool.images):,} of {images:,} images whose gates are kept.")
    if pool.several:
        remarks.append("Images have several classes: samples are shares of all images, in which classes vary in size.")
    for size in sorted(set(asked) - set(tried)):
        remarks.append(f"Size {size} is left out: classes have fewer than the {2 * size} images it takes.")
    if tried and not pool.several:
        small = pool.count < 2 * tried[-1]
        if small.any():
            remarks.append(
                f"{_named(run, pool.count, small)} have fewer than {2 * tried[-1]} images to draw from and take no part"
                f" at size {tried[-1]}."
            )
    return remarks


def _wanting(table: pd.DataFrame, run: Run, count: NDArray[np.int64]) -> list[str]:
    """Which classes have fewer images than the most that a block wants."""
    remarks, wanted = [], table["wanted"].astype(float)
    if endless := list(table["block"][table["verdict"] == "as by chance"]):
        remarks.append(f"No number of images can be told for {', '.join(endless)}: samples agree as by chance.")
    most = wanted.max()
    if (small := count < most).any():
        block = table["block"][wanted == most].iloc[0]
        remarks.append(f"{_named(run, count, small)} have fewer images than the {most:.0f} that {block} wants.")
    return remarks


def _named(run: Run, count: NDArray[np.int64], which: NDArray[np.bool_]) -> str:
    """Some of many classes, the smallest first."""
    if which.all():
        return f"All {len(count)} classes"
    found = np.flatnonzero(which)
    found = found[np.argsort(count[found], kind="stable")]
    names = ", ".join(f"{run.classes.names[label]} ({count[label]})" for label in found[:_NAMES])
    more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return f"{len(found)} of {len(count)} classes ({names}{more})"
