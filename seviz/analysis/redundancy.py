r"""Gates that move together: how many of a block's gates are independent, and which channels could share one.

Excitations exist to model interdependencies between channels, and a bottleneck of few units makes them: a block of C
gates has fewer than C independent ones. Correlations over finitely many images see too much dependence, since the
square of a correlation is 1/f on average where there is none (f: degrees of freedom, images less means removed), for
whatever distribution. Numbers of independent gates are corrected for that; see `participation_ratio` and
`entropy_rank`.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
Ezekiel, "Methods of Correlation Analysis", 1930: the correction of a squared correlation.
Gao, Trautmann, Yu, et al., "A theory of multineuronal dimensionality, dynamics and measurement", bioRxiv 2017,
doi:10.1101/214262: the participation ratio.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import cluster, linalg, spatial, special, stats

from seviz.analysis.blocks import each, shared
from seviz.analysis.ranges import COUNT, POSITIVE, SHARE, SIGNED, Ranges
from seviz.analysis.saturation import effective_rank
from seviz.errors import OptionError
from seviz.run.precision import SINGLE, precision_of
from seviz.run.store import Run

STEPS = 8
"""Values correlate if their standard deviation is more than this many times the precision that they are stored with:
rounding makes less than a seven-hundredth of the variance."""
IMAGES = 5000
"""Of how many images correlations are computed at most: a standard error of 0.014 about 0, and of 0.003 about 0.9."""

REDUNDANCY: Ranges = {
    **dict.fromkeys(("stage", "channels", "images", "varying_channels", "clusters", "largest_cluster"), COUNT),
    **dict.fromkeys(("mean_correlation", "null", "redundant_pairs"), SHARE),
    **dict.fromkeys(("participation_ratio", "entropy_rank"), POSITIVE),
}
REDUNDANT_CHANNELS: Ranges = {
    **dict.fromkeys(("channel", "cluster", "cluster_size", "representative"), COUNT),
    "correlation": SIGNED,
}


@dataclass(frozen=True)
class Correlations:
    """How the channels of a block correlate.

    Attributes
    ----------
    r
        Correlations, (channel, channel), of the channels that vary.
    channels
        Which channels those are, ascending, (channel) int64.
    freedom
        Degrees of freedom: images less means removed.
    """

    r: NDArray[np.float64]
    channels: NDArray[np.int64]
    freedom: int
    _of: NDArray[np.float64] | None = field(default=None, repr=False)
    """What r is the product of, (image, channel), where images are fewer than channels."""

    @property
    def pairs(self) -> NDArray[np.float64]:
        """Absolute correlation of each pair of channels, (pair)."""
        result: NDArray[np.float64] = np.abs(spatial.distance.squareform(self.r, checks=False))
        return result

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """Those of r that can be above 0, ascending."""
        values = np.linalg.eigvalsh(self.r if self._of is None else self._of @ self._of.T)  # lets other threads run
        result: NDArray[np.float64] = np.maximum(values, 0)
        return result


def correlate(values: NDArray[np.floating], labels: NDArray[Any] | None = None, *, still: float = 0.0) -> Correlations:
    """Correlate channels over images.

    Parameters
    ----------
    values
        (image, channel), finite.
    labels
        If given, correlate within classes: the class of each image, (image) int, whose mean is removed; or whether it
        is of each class, (image, class) bool, then what classes explain by least squares is removed.
    still
        Least standard deviation of a channel that varies, in units of the values.
    """
    x = np.asarray(values, np.float64)
    size = np.sqrt(np.einsum("ij,ij->j", x, x) / max(len(x), 1))
    x, means = _residuals(x, labels)
    std = np.sqrt(np.einsum("ij,ij->j", x, x) / max(len(x), 1))
    channels = np.flatnonzero(std > np.maximum(still, STEPS * SINGLE * size))
    x = x[:, channels] / (std[channels] * np.sqrt(max(len(x), 1)))
    r = np.clip(x.T @ x, -1, 1)
    np.fill_diagonal(r, 1)
    return Correlations(r, channels, len(x) - means, x if len(x) < len(channels) else None)


def chance_correlation(freedom: int) -> float:
    """Mean absolute correlation of independent normal values; NaN without degrees of freedom."""
    if freedom < 1:
        return float("nan")
    return float(np.exp(special.gammaln(freedom / 2) - special.gammaln((freedom + 1) / 2)) / np.sqrt(np.pi))


def participation_ratio(correlations: Correlations) -> float:
    r"""The number of independent gates, by the second moment of the eigenvalues of their correlation matrix.

    Returns
    -------
    float
        :math:`(\sum\lambda)^2 / \sum\lambda^2 = C / (1 + (C-1)\,\overline{r^2})` for C channels, with
        :math:`1 - (1 - \overline{r^2})\,f/(f-1)` in place of the mean squared correlation :math:`\overline{r^2}` of
        pairs: on average right where gates are independent, and not bounded by the number of images. From 1, all move
        together, to C, none does; 0 if no channel varies; NaN for fewer than two degrees of freedom.
    """
    count, freedom = len(correlations.r), correlations.freedom
    if freedom < 2:
        return float("nan")
    if count < 2:
        return float(count)
    square = np.square(correlations.pairs).mean()
    corrected = 1 - (1 - square) * freedom / (freedom - 1)
    return float(count / (1 + (count - 1) * np.clip(corrected, 0, 1)))


def entropy_rank(correlations: Correlations, halves: tuple[Correlations, Correlations]) -> float:
    """The number of independent gates, by the entropy of the eigenvalues of their correlation matrix.

    It counts weak directions for more than `participation_ratio` does, and is never less in truth, nor here.

    Parameters
    ----------
    correlations
        Over all images.
    halves
        Over one half of them and over the other.

    Returns
    -------
    float
        `effective_rank` of the eigenvalues, as it would be for infinitely many images: entropies of all and of half
        the images, extrapolated by their degrees of freedom, with which the bias goes down in proportion once they
        are more than the channels; where those of a half are fewer, it may be low. From 1 to C, 0 if no
        channel varies; NaN for fewer than two degrees of freedom.

    References
    ----------
    Roy, Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    least, count = participation_ratio(correlations), len(correlations.r)
    if count < 2 or np.isnan(least):
        return least
    entropy, freedom = _entropy(correlations), correlations.freedom
    half = sum(part.freedom for part in halves) / 2
    if min(len(part.r) for part in halves) and 0 < half < freedom:
        entropy_of_half = sum(_entropy(part) for part in halves) / 2
        entropy = (freedom * entropy - half * entropy_of_half) / (freedom - half)
    return float(np.clip(np.exp(entropy), least, count))


def cluster_channels(r: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Group channels so that any two of a group correlate by at least `threshold`, whatever the sign.

    By complete linkage: channels do not join because of a chain of others between them.

    Parameters
    ----------
    r
        Correlations, (channel, channel).
    threshold
        In (0, 1].

    Returns
    -------
    numpy.ndarray
        Number of each channel's group, (channel) int64: 0 is the largest, of equal ones that of the first channel.
    """
    if len(r) < 2:
        return np.zeros(len(r), np.int64)
    distance = 1 - np.abs(spatial.distance.squareform(r, checks=False))
    tree = cluster.hierarchy.linkage(distance, "complete")
    group = cluster.hierarchy.fcluster(tree, 1 - threshold + 1e-9, "distance")
    _, first, group, size = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return rank[group]


def representatives(r: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """The channel that stands for each one's group: the one with the greatest mean correlation, whatever the sign.

    Parameters
    ----------
    r
        Correlations, (channel, channel).
    clusters
        Group of each channel, (channel).

    Returns
    -------
    numpy.ndarray
        (channel) int64, an index into the channels; the first of several as good.
    """
    result = np.arange(len(r))  # where a group has but one
    for number in np.flatnonzero(np.bincount(clusters) > 1):
        members = np.flatnonzero(clusters == number)
        closeness = np.abs(r[np.ix_(members, members)]).sum(0)
        result[members] = members[np.argmax(closeness.round(9))]
    return result


def redundancy(
    run: Run,
    *,
    within_classes: bool = False,
    threshold: float = 0.9,
    signal: str = "excitation",
    images: int | Literal["all"] = IMAGES,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the gates of each block move together.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    within_classes
        Whether to remove what classes explain first: gates also move together because they tell the same classes
        apart.
    threshold
        Absolute correlation from which two channels are redundant, in (0, 1].
    signal
        Whose values are correlated.
    images
        Correlations are computed of so many images at most, drawn at random; or "all".
    seed
        Of that draw, and of the halves behind `entropy_rank`.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images (used)
        - varying_channels: number of channels that vary, of which the rest of the row speaks
        - mean_correlation: absolute correlation, mean over pairs of channels, in [0, 1]
        - null: the same of independent channels
        - redundant_pairs: share of pairs with an absolute correlation of at least `threshold`
        - participation_ratio, entropy_rank: effective number of independent gates, corrected for the number of
          images; see the functions
        - clusters: number of groups in which any two channels are redundant, single ones counted
        - largest_cluster: channels in the largest

        Correlations are NaN for fewer than two channels that vary. `attrs["remarks"]` says what was left out, and
        where images are too few.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `threshold` or `images` is out of its range.
    """
    draw = _draw(run, within_classes, threshold, images, seed)

    def of_block(name: str) -> tuple[dict[str, Any], _Grouping, bool]:
        values = _values(run, name, signal, draw)
        found = values.correlations()
        halves = values.correlations(values.first, found.channels), values.correlations(~values.first, found.channels)
        pairs = found.pairs
        key = _Grouping.key(name, within_classes, threshold, signal, images, seed)
        grouping = shared(run, key, lambda: _Grouping.of(name, values, found, threshold))
        sizes = np.bincount(grouping.group, minlength=1)
        row = {
            "block": name,
            "stage": run.block(name).stage,
            "channels": run.block(name).channels,
            "images": len(values.x),
            "varying_channels": len(found.r),
            "mean_correlation": float(pairs.mean()) if len(pairs) else np.nan,
            "null": chance_correlation(found.freedom),
            "redundant_pairs": float((pairs >= threshold).mean()) if len(pairs) else np.nan,
            "participation_ratio": participation_ratio(found),
            "entropy_rank": entropy_rank(found, halves),
            "clusters": int((sizes > 0).sum()),
            "largest_cluster": int(sizes.max()),
        }
        return row, grouping, min(part.freedom for part in halves) < len(found.r)

    made = each(of_block, run.blocks)
    table = pd.DataFrame([row for row, _, _ in made])
    remarks = draw.remarks + [remark for _, grouping, _ in made for remark in grouping.remarks]
    few = [row["block"] for row, _, too_few in made if too_few]
    if few:
        remarks = [*remarks, f"Half the images are fewer than the channels, entropy_rank may be low: {', '.join(few)}."]
    table.attrs["remarks"] = remarks
    return table


def redundant_channels(
    run: Run,
    block: str,
    *,
    within_classes: bool = False,
    threshold: float = 0.9,
    signal: str = "excitation",
    images: int | Literal["all"] = IMAGES,
    seed: int = 0,
) -> pd.DataFrame:
    """Which channels of a block move together, and one that can stand for them.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    block
        By name.
    within_classes, threshold, signal, images, seed
        As of `redundancy`.

    Returns
    -------
    pandas.DataFrame
        One row a channel: channel; cluster, its number (0 is the largest); cluster_size; representative, the channel
        of the cluster with the greatest mean absolute correlation with the others; correlation with it, signed. All
        but channel are missing where the channel does not vary. `attrs["remarks"]` as of `redundancy`.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If `threshold` or `images` is out of its range.
    """
    draw = _draw(run, within_classes, threshold, images, seed)

    def make() -> _Grouping:
        values = _values(run, block, signal, draw)
        return _Grouping.of(block, values, values.correlations(), threshold)

    found = shared(run, _Grouping.key(block, within_classes, threshold, signal, images, seed), make)
    varying = pd.DataFrame(
        {
            "cluster": found.group,
            "cluster_size": np.bincount(found.group)[found.group],
            "representative": found.representative,
            "correlation": found.correlation,
        },
        index=found.channels,
    )
    whole = dict.fromkeys(("cluster", "cluster_size", "representative"), "Int64")
    table = varying.reindex(range(run.block(block).channels)).astype(whole).rename_axis("channel").reset_index()
    table.attrs["remarks"] = draw.remarks + found.remarks
    return table


@dataclass(frozen=True)
class _Draw:
    """Which images are correlated, the same in every block: rows of the kept gates, and which are the first half."""

    rows: NDArray[np.int64]
    labels: NDArray[Any] | None
    first: NDArray[np.bool_]
    remarks: list[str]


@dataclass(frozen=True)
class _Values:
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
class _Grouping:
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
    def of(cls, block: str, values: _Values, found: Correlations, threshold: float) -> "_Grouping":
        group = cluster_channels(found.r, threshold)
        standing = representatives(found.r, group)
        return cls(
            found.channels,
            group,
            found.channels[standing],
            found.r[np.arange(len(standing)), standing],
            values.remarks + _too_few(block, found, threshold),
        )


def _draw(run: Run, within_classes: bool, threshold: float, images: int | Literal["all"], seed: int) -> _Draw:
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
    return _Draw(rows, labels, first, remarks)


def _values(run: Run, block: str, signal: str, draw: _Draw) -> _Values:
    x = run.gates(block, signal, draw.rows).astype(np.float64)
    finite = np.isfinite(x).all(1)
    labels = None if draw.labels is None else draw.labels[finite]
    still = STEPS * precision_of(run, block, signal).step
    odd = int((~finite).sum())
    remarks = [f"{block}: {odd} images whose {signal} is not finite are left out."] if odd else []
    return _Values(x[finite], labels, draw.first[finite], still, remarks)


def _residuals(x: NDArray[np.float64], labels: NDArray[Any] | None) -> tuple[NDArray[np.float64], int]:
    """What is left of the values without the means of classes, and how many of these there were."""
    if not len(x):
        return x, 0
    if labels is None:
        return x - x.mean(0), 1
    if labels.ndim == 2:
        design = np.column_stack([np.ones(len(x)), labels])
        basis = linalg.orth(design)
        return x - basis @ (basis.T @ x), basis.shape[1]
    classes, label, count = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(label, kind="stable")
    means = np.add.reduceat(x[order], np.cumsum(count) - count) / count[:, None]
    return x - means[label], len(classes)


def _entropy(correlations: Correlations) -> float:
    return float(np.log(effective_rank(correlations.eigenvalues)))


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
