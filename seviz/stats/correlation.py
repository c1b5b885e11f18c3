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

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import cluster, linalg, spatial, special

from seviz.stats.entropy import effective_rank

STEPS = 8
"""Values correlate if their standard deviation is more than this many times the precision that they are stored with:
rounding makes less than a seven-hundredth of the variance."""


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
    channels = np.flatnonzero(std > np.maximum(still, STEPS * np.finfo(np.float32).eps * size))
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
