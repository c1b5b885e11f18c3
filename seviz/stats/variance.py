r"""The variance of gates split into what lies between classes and what lies within them, with standard errors.

Notes
-----
With sums of squares between and within K classes of N images in all,
:math:`\eta^2 = SS_B / (SS_B + SS_W)` and :math:`\omega^2 = (SS_B - (K-1) MS_W) / (SS_B + SS_W + MS_W)`,
:math:`MS_W = SS_W / (N-K)`; over several channels the sums of squares are summed. Without any effect
:math:`\eta^2` is (K-1)/(N-1) on average and :math:`\omega^2` about 0.

Two questions have two standard errors. *These classes, other images of them*: images lose weight one at a time
within their class. *Other classes of the same kind*: classes are left out. The first needs gates of single images, of
which a random sample of each class will do; the second is known from the moments.

References
----------
Hays, "Statistics for Psychologists", 1963.
Olejnik, Algina, "Generalized Eta and Omega Squared Statistics", Psychological Methods 8(4), 2003,
doi:10.1037/1082-989X.8.4.434.
Steiger, "Beyond the F Test", Psychological Methods 9(2), 2004, doi:10.1037/1082-989X.9.2.164.
Efron, Stein, "The Jackknife Estimate of Variance", Annals of Statistics 9(3), 1981, doi:10.1214/aos/1176345462.
Arvesen, "Jackknifing U-Statistics", Annals of Mathematical Statistics 40(6), 1969, doi:10.1214/aoms/1177697287.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special, stats

from seviz.moments import Moments

ROUNDING = 1e-12
"""A share of a sum of squares that is smaller is rounding."""
_PAIRED_IMAGES = 512
_GRID = 400


@dataclass(frozen=True)
class VarianceSplit:
    """The variance of each channel, split by class (one-way analysis of variance).

    Attributes
    ----------
    between, within
        Sums of squares between and within classes, (channel).
    images, classes
        Number of images, and of classes that have any.
    effective_size
        Images per class where classes are equally large; else the size that stands for them in the variance
        component.
    """

    between: NDArray[np.float64]
    within: NDArray[np.float64]
    images: int
    classes: int
    effective_size: float

    @property
    def mean_square_within(self) -> NDArray[np.float64]:
        """Variance within classes, (channel); NaN where no class has two images."""
        freedom = self.images - self.classes
        result: NDArray[np.float64] = self.within / (freedom if freedom > 0 else np.nan)
        return result

    @property
    def mean_square_between(self) -> NDArray[np.float64]:
        """Sum of squares between classes over their number less one, (channel); NaN for fewer than two."""
        result: NDArray[np.float64] = self.between / (self.classes - 1 if self.classes > 1 else np.nan)
        return result

    @property
    def variance_between(self) -> NDArray[np.float64]:
        """Unbiased variance component between classes, (channel); below zero by chance where there is none."""
        return (self.mean_square_between - self.mean_square_within) / self.effective_size

    @property
    def variance_total(self) -> NDArray[np.float64]:
        """Variance over all images, (channel); NaN for fewer than two."""
        result: NDArray[np.float64] = (self.between + self.within) / (self.images - 1 if self.images > 1 else np.nan)
        return result

    @property
    def eta_squared(self) -> float:
        """Share of variance between classes over all channels, in [0, 1]; NaN where nothing varies."""
        return ratio(self.between.sum(), self.between.sum() + self.within.sum())

    @property
    def omega_squared(self) -> float:
        """The same, corrected for the bias that finitely many images bring; about 0 where there is no effect."""
        return float(_omega_squared(self.between.sum(), self.within.sum(), self.images, self.classes))

    @property
    def least_omega_squared(self) -> float:
        """What omega squared is where class means are all the same: no value is below; NaN as omega squared is."""
        return least_omega_squared(self.images, self.classes)

    @property
    def null(self) -> float:
        """What eta squared is on average where classes make no difference: (K - 1) / (N - 1)."""
        return ratio(self.classes - 1, self.images - 1)

    @property
    def omega_squared_by_channel(self) -> NDArray[np.float64]:
        """Omega squared of each channel for itself, (channel)."""
        return _omega_squared(self.between, self.within, self.images, self.classes)

    def by_channel(self) -> dict[str, NDArray[np.float64]]:
        """Each channel for itself: eta_squared, omega_squared, F, and p of F; NaN as in `specificity_by_channel`."""
        total = self.between + self.within
        eta = quotient(self.between, total)
        p = np.full(len(eta), np.nan)
        if 1 < self.classes < self.images:
            p = special.betainc((self.images - self.classes) / 2, (self.classes - 1) / 2, 1 - eta)
        return {
            "eta_squared": eta,
            "omega_squared": self.omega_squared_by_channel,
            "F": quotient(self.mean_square_between, np.where(self.within > 0, self.mean_square_within, np.nan)),
            "p": p,
        }


def split_variance(moments: Moments) -> VarianceSplit:
    """Split the variance of each channel into what lies between classes and what lies within them.

    Parameters
    ----------
    moments
        Per class and channel. Classes without images do not count. What is constant, by its least and greatest value,
        has sums of squares of exactly 0.
    """
    seen = moments.count > 0
    count = moments.count[seen].astype(float)
    mean = moments.mean[seen]
    images = count.sum()
    grand_mean = count @ mean / images if images else np.zeros(mean.shape[1])
    spread = images - np.square(count).sum() / images if images else 0.0
    least, greatest = moments.min[seen], moments.max[seen]
    constant = least.min(0, initial=np.inf) >= greatest.max(0, initial=-np.inf)  # False where they are NaN
    return VarianceSplit(
        between=np.where(constant, 0, count @ np.square(mean - grand_mean)),
        within=np.where(least >= greatest, 0, moments.m2[seen]).sum(0),
        images=int(images),
        classes=int(seen.sum()),
        effective_size=ratio(spread, seen.sum() - 1),
    )


def split_against_rest(moments: Moments, total: Moments, label: int | np.integer) -> VarianceSplit:
    """Split the variance into what lies between one class and all other images, and what lies within the two.

    Parameters
    ----------
    moments
        Per class and channel. An image may belong to several classes.
    total
        Of all images together, as a single class.
    label
        Index of the class. If it has no image, or all of them, nothing lies between.
    """
    images, size = int(total.count[0]), int(moments.count[label])
    everything, rest = np.where(total.min[0] >= total.max[0], 0, total.m2[0]), images - size
    if not size or not rest:
        return VarianceSplit(0 * everything, everything, images, int(images > 0), float("nan"))
    between = size * images / rest * np.square(moments.mean[label] - total.mean[0])
    between = np.minimum(between, everything)  # no more than rounding lies above
    within = everything - between
    within[within <= ROUNDING * everything] = 0
    return VarianceSplit(between, within, images, 2, 2 * size * rest / images)


def channel_interval(
    split: VarianceSplit, *, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Interval of the share of variance between classes of each channel, by the noncentral F distribution.

    Of the share :math:`\lambda / (\lambda + N)` that omega squared estimates, for these classes and other images of
    them. Exact where gates are normal with one variance in all classes, and by simulation good for gates squeezed by a
    sigmoid; where the variances of classes differ several-fold, 95 % becomes 80 to 95 %. All channels share their
    degrees of freedom, so that each bound is one curve over eta squared, which is computed at 400 points and
    interpolated.

    Parameters
    ----------
    split
        The variance of each channel.
    confidence
        In (0, 1).

    Returns
    -------
    low, high
        (channel), in [0, 1]; both 0 where classes differ less than chance makes them. NaN where the channel is
        constant, for fewer than two classes, or where no class has two images.
    """
    between, within = split.classes - 1, split.images - split.classes
    eta = split.by_channel()["eta_squared"]
    if between < 1 or within < 1:
        return np.full(len(eta), np.nan), np.full(len(eta), np.nan)
    root = np.linspace(0, 1, _GRID + 1)  # of the share; the curve is steepest, and nearly straight in this, at 0
    low, high = (
        np.interp(np.sqrt(eta), np.append(np.sqrt(between * f / (between * f + within)), 1), root) ** 2
        for f in _bounds_of_f(between, within, split.images, confidence)
    )
    return low, high


@lru_cache(maxsize=64)  # the blocks of a run share it
def _bounds_of_f(between: int, within: int, images: int, confidence: float) -> tuple[NDArray[np.float64], ...]:
    """Between which values F lies, by share of variance between classes, at the points of the grid."""
    root = np.linspace(0, 1, _GRID + 1)[:-1]
    noncentrality = images * root**2 / (1 - root**2)
    return tuple(stats.ncf.ppf((1 + side * confidence) / 2, between, within, noncentrality) for side in (1, -1))


@dataclass(frozen=True)
class Errors:
    """Standard errors of omega squared, and how they grow with it.

    Attributes
    ----------
    error
        Standard errors, of any shape.
    growth
        By how much their squares grow with omega squared, both on the scale of -log(1 - omega squared); of that shape.
    """

    error: NDArray[np.float64]
    growth: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        omega_squared: NDArray[np.float64],
        eta_squared: NDArray[np.float64],
        linear: NDArray[np.float64],
        quadratic: NDArray[np.float64],
    ) -> "Errors":
        """From what a jackknife gives for the variance, and the part of it that is there without any effect.

        The jackknife counts that part twice, and what it gives rises with the effect as eta squared, which has the
        same bias, does.
        """
        error = np.sqrt(np.maximum(linear - quadratic, quadratic))
        odds, plain = quotient(omega_squared, 1 - omega_squared), quotient(eta_squared, 1 - eta_squared)
        with np.errstate(invalid="ignore"):  # infinite odds, of a share of 1
            growth = quotient(linear, (1 - omega_squared) ** 2 * plain) * np.maximum(1 - odds, 0)
        return cls(error, np.where(plain > 0, growth, 0))

    @classmethod
    def unknown(cls, *shape: int) -> "Errors":
        """Errors that are all NaN."""
        return cls(np.full(shape, np.nan), np.full(shape, np.nan))

    def __getitem__(self, index: Any) -> "Errors":
        return Errors(np.asarray(self.error[index]), np.asarray(self.growth[index]))


def least_omega_squared(images: int, classes: int) -> float:
    r"""The lower end of the range of omega squared, :math:`-(K - 1) / (N - K + 1)`; its upper end is 1.

    NaN where there are no more images than classes.
    """
    return -(classes - 1) / (images - classes + 1) if images > classes else float("nan")


def interval(
    omega_squared: float | NDArray[np.float64],
    errors: Errors,
    freedom: float,
    *,
    least: float | NDArray[np.float64] = -np.inf,
    confidence: float = 0.95,
) -> tuple[Any, Any]:
    """Interval of omega squared from its standard error.

    All shares from which the estimate is no more than Student's t errors away, with the error that each share would
    have: the error of small shares is small, and one that came out too low by chance has too small an error by itself.
    On the scale of -log(1 - omega squared), which is that of omega squared where it is small and keeps the upper bound
    below 1.

    Parameters
    ----------
    omega_squared, errors
        Estimates and their errors, of one shape.
    freedom
        Degrees of freedom of the errors.
    least
        The lower end of the range of the estimates, see `least_omega_squared`; a number, or of their shape.
    confidence
        In (0, 1).

    Returns
    -------
    low, high
        Around the estimate; from `least` to 1, and below 0 where chance alone may have made it. NaN where the error
        is, and where the estimate is 1: of what does not vary within classes no error is known.
    """
    rest = 1 - np.asarray(omega_squared)
    rest = np.where(rest > 0, rest, np.nan)
    t = stats.t.ppf((1 + confidence) / 2, max(freedom, 1))
    shift = t**2 * errors.growth / 2
    reach = np.hypot(t * errors.error / rest, shift)
    low, high = (1 - rest * np.exp(-np.clip(shift + side * reach, -700, 700)) for side in (-1, 1))
    return np.maximum(low, least), high


def interval_over_classes(moments: Moments, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a block's omega squared with the classes as a sample of classes of the same kind.

    A jackknife that leaves out one class at a time, on the scale of log F, F being the ratio of mean squares summed
    over channels: its spread hardly depends on its size (Arvesen 1969). Covers what omega squared is for as many
    classes drawn anew, by their variance component.

    Parameters
    ----------
    moments
        Per class and channel; an image belongs to one class.
    confidence
        In (0, 1).

    Returns
    -------
    low, high
        NaN for fewer than three classes with images, or where nothing is left to vary within classes without one.
    """
    split, left = split_variance(moments), log_f_without_each(moments)
    classes = len(left)
    if classes < 3 or not np.isfinite(left).all():
        return float("nan"), float("nan")
    f = split.mean_square_between.sum() / split.mean_square_within.sum()
    reach = stats.t.ppf((1 + confidence) / 2, classes - 1) * _jackknife_error(left)
    bounds = np.exp(np.clip(np.log(max(f, 1e-6)) + np.array([-reach, reach]), -600, 600))
    low, high = omega_squared_of_f(bounds, split.images, classes)
    return float(low), float(high)


def omega_squared_of_f(f: NDArray[np.float64], images: int, classes: int) -> NDArray[np.float64]:
    """Omega squared from F, the ratio of mean squares, of any shape; F is not below 0."""
    excess = (classes - 1) * (np.asarray(f) - 1)
    result: NDArray[np.float64] = excess / (excess + images)
    return result


def log_f_without_each(moments: Moments) -> NDArray[np.float64]:
    """Logarithm of F, the ratio of mean squares summed over channels, when one class is left out.

    Parameters
    ----------
    moments
        Per class and channel; an image belongs to one class.

    Returns
    -------
    numpy.ndarray
        (class) of those that have images, as if what is left had as many images a class as all classes have; NaN
        where what is left does not vary within classes, or is a single class.
    """
    moments = moments.take(np.flatnonzero(moments.count))
    split, count = split_variance(moments), moments.count.astype(float)
    images, classes = split.images, split.classes
    if classes < 3:
        return np.full(classes, np.nan)
    between, within = split.between.sum(), split.within.sum()
    distance = _norm(moments.mean - count @ moments.mean / images)
    images_left = images - count
    between_left = np.maximum(between - count * distance * images / images_left, 0)
    within_left = np.maximum(within - moments.m2.sum(1), 0)
    within_left[within_left <= ROUNDING * within] = 0
    size_left = (images_left - (np.square(count).sum() - np.square(count)) / images_left) / (classes - 2)
    f = quotient(between_left * (images_left - classes + 1), within_left * (classes - 2))
    f[np.isinf(f)] = np.nan
    result: NDArray[np.float64] = np.log(np.maximum(1 + (f - 1) * split.effective_size / size_left, 1e-6))
    return result


def error_over_images(
    moments: Moments, gates: NDArray[np.floating], labels: NDArray[np.int64], *, seed: int = 0
) -> Errors:
    r"""Standard error of a block's omega squared over images, the classes fixed.

    An infinitesimal jackknife (Jaeckel 1972): images lose a little of their weight, one at a time, within their class.
    It is unbiased for classes of any size, where leaving out whole images understates the error of small ones. Where
    classes hardly differ omega squared is quadratic in the data, and a jackknife counts the quadratic part of the
    variance twice (Efron, Stein 1981): that part, :math:`2 (K-1) \operatorname{tr} \Sigma^2` of the variance of
    :math:`SS_B`, by the covariance of the channels within classes, is taken off once.

    Parameters
    ----------
    moments
        Of all images, per class and channel; an image belongs to one class.
    gates
        (image, channel) of all images, or of a random sample of each class; without NaN.
    labels
        Their classes, (image).
    seed
        Of the draw of 512 images from which the covariance is estimated.

    Returns
    -------
    Errors
        Of a single number. NaN for fewer than two classes, where nothing varies within classes, or where no class has
        three images with gates; a class that has fewer stands at the mean of the others.
    """
    split, size = split_variance(moments), moments.count.astype(float)
    if split.classes < 2 or not split.within.sum() > 0:
        return Errors.unknown()
    slope_between, slope_within = _slopes(split)
    offset = moments.mean - size @ moments.mean / split.images
    variances, kept = [], np.bincount(labels, minlength=len(size))
    order, last = np.argsort(labels, kind="stable"), np.cumsum(kept)
    for label in np.flatnonzero(kept > 2):
        own, n = gates[order[last[label] - kept[label] : last[label]]] - moments.mean[label], size[label]
        influence = slope_between * 2 * (own @ offset[label]) + slope_within * _norm(own) * np.sqrt(n / (n - 1))
        variances.append(n * influence.var(ddof=1))
    if not variances:
        return Errors.unknown()
    linear = np.mean(variances) * split.classes
    chosen = drawn(np.flatnonzero(size[labels] > 1), _PAIRED_IMAGES, seed)
    of = labels[chosen]
    deviations = (gates[chosen] - moments.mean[of]) / np.sqrt(1 - 1 / size[of, None])
    quadratic = 2 * (split.classes - 1) * slope_between**2 * _squared_covariance(deviations, of)
    shares = np.array([split.omega_squared, split.eta_squared])
    return Errors.of(shares[0], shares[1], np.asarray(linear), np.asarray(quadratic))


def errors_against_rest(
    moments: Moments,
    total: Moments,
    gates: NDArray[np.floating],
    members: NDArray[np.bool_],
    *,
    sizes_fixed: bool = False,
    seed: int = 0,
) -> tuple[Errors, Errors]:
    """Standard errors over images of the omega squared of each class against the rest, and of their mean.

    As `error_over_images`, but an image loses weight in all its classes at once, and in the rest of the others.

    Parameters
    ----------
    moments, total
        Of all images, by class and together. Images may belong to several classes.
    gates
        (image, channel) of all images, without NaN.
    members
        Whether they are of each class, (image, class).
    sizes_fixed
        Whether other images would be as many of each class, as in a data set that was balanced on purpose.
    seed
        Of the draw of 512 images from which the covariance is estimated.

    Returns
    -------
    each
        Of each class, (class); NaN for a class that has no image, or all.
    mean
        Of the mean over the other classes. Both are NaN for fewer than three images, or where nothing varies.
    """
    images, everything = len(gates), total.m2[0].sum()
    each = Errors.unknown(len(moments.count))
    seen = np.flatnonzero((moments.count > 0) & (moments.count < images))
    if images < 3 or not len(seen) or not everything > 0:
        return each, Errors.unknown()
    splits = [split_against_rest(moments, total, label) for label in seen]
    slopes = np.array([_slopes(split) for split in splits]).T  # (2, class)
    size, offset = moments.count[seen].astype(float), moments.mean[seen] - total.mean[0]
    rest, reach, within = images - size, _norm(offset), moments.m2[seen].sum(1)
    outside = np.maximum(everything - size * images / rest * reach - within, 0)
    squares = np.zeros(len(seen) + 1)
    for start in range(0, images, 1024):
        x, own = gates[start : start + 1024] - total.mean[0], members[start : start + 1024, seen]
        # Deviations from the mean of the class or of the rest, whichever the image is of: (image, class).
        centre = np.where(own, 1, -size / rest)  # of that mean, in offsets from the mean of all
        along = x @ offset.T
        distance = _norm(x)[:, None] - 2 * centre * along + centre**2 * reach
        between = 2 * centre * (along - centre * reach)
        few = np.where(own, size, rest)
        if sizes_fixed:
            distance -= np.where(own, within / size, outside / rest)
        else:
            distance -= (within + outside) / images
            between += (own - size / images) * (1 - 2 * size / images) * reach * (images / rest) ** 2
        change = slopes[0] * between + slopes[1] * distance
        change *= np.sqrt(few / np.maximum(few - 1, 1))
        squares[:-1] += np.square(change).sum(0)
        squares[-1] += np.square(change.mean(1)).sum()
    contrasts = (members[:, seen] - size / images) / np.sqrt(size * rest / images)
    overlap = np.square(contrasts.T @ contrasts).mean()  # squared correlation between memberships
    chosen = drawn(np.arange(images), _PAIRED_IMAGES, seed)
    squared_covariance = _squared_covariance(gates[chosen] - total.mean[0], chosen)
    steepness = np.append(slopes[0] ** 2, overlap * slopes[0].mean() ** 2)
    quadratic = 2 * steepness * squared_covariance
    omega, eta = np.array([(split.omega_squared, split.eta_squared) for split in splits]).T
    both = Errors.of(np.append(omega, omega.mean()), np.append(eta, eta.mean()), squares, quadratic)
    each.error[seen], each.growth[seen] = both.error[:-1], both.growth[:-1]
    return each, both[-1]


def permuted_omega_squared(
    gates: NDArray[np.floating], labels: NDArray[Any], *, permutations: int, seed: int = 0
) -> tuple[float, NDArray[np.float64]]:
    """Omega squared of a block when labels are dealt out anew.

    Parameters
    ----------
    gates
        (image, channel), without NaN.
    labels
        (image), or (image, class) bool: then the mean over classes, each against the rest. Images keep their labels
        together.
    permutations
        How often.
    seed
        Of the permutations.

    Returns
    -------
    observed
        With the labels as they are.
    permuted
        (permutation). NaN where omega squared is.
    """
    images, several = len(labels), labels.ndim == 2
    x = gates - gates.mean(0, dtype=np.float64) if images else gates.astype(np.float64)
    everything = _norm(x).sum()
    members = labels if several else labels[:, None] == np.unique(labels)
    members = sparse.csr_array(members.T, dtype=np.float64)  # (class, image)
    size = np.diff(members.indptr)
    kept = (size > 0) & (size < images) if several else size > 0

    def share(order: NDArray[np.int64]) -> float:
        dealt = sparse.csr_array((members.data, order[members.indices], members.indptr), shape=members.shape)
        norms, sizes = _norm(dealt @ x)[kept], size[kept]
        if several:
            between = np.minimum(norms * images / (sizes * (images - sizes)), everything)
            return known_mean(_omega_squared(between, everything - between, images, 2))
        between = min((norms / sizes).sum(), everything)
        return float(_omega_squared(between, everything - between, images, len(sizes)))

    random = np.random.default_rng(seed)
    observed = share(np.arange(images))
    return observed, np.array([share(random.permutation(images)) for _ in range(permutations)])


def _omega_squared(between: Any, within: Any, images: float, classes: int) -> NDArray[np.float64]:
    """Bias-corrected share; NaN where nothing varies or no class has two images."""
    freedom = images - classes
    square = within / (freedom if freedom > 0 else np.nan)
    return quotient(between - (classes - 1) * square, between + within + square)


def _slopes(split: VarianceSplit) -> tuple[float, float]:
    """Change of a block's omega squared with its sum of squares between, and with that within classes."""
    between, within, freedom = split.between.sum(), split.within.sum(), split.images - split.classes
    if freedom < 1:
        return float("nan"), float("nan")
    whole, omega = between + within + within / freedom, split.omega_squared
    return float((1 - omega) / whole), float(-((split.classes - 1) / freedom + omega * (1 + 1 / freedom)) / whole)


def _squared_covariance(deviations: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Trace of the squared covariance of channels, by pairs of images of different groups; 0 where there is none."""
    products, together = deviations @ deviations.T, groups[:, None] == groups
    products[together] = 0
    pairs = together.size - np.count_nonzero(together)
    return float(np.vdot(products, products)) / pairs if pairs else 0.0


def _jackknife_error(left: NDArray[np.float64]) -> float:
    """Standard error of an estimate from its values without each of the things that it is an estimate from."""
    return float((len(left) - 1) / np.sqrt(len(left)) * left.std(ddof=1))


def drawn(rows: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """At most so many of some rows, drawn at random, ascending."""
    if len(rows) <= number:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, number, replace=False))


def _norm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared length of each row."""
    result: NDArray[np.float64] = np.einsum("ij,ij->i", x, x)
    return result


def quotient(part: Any, whole: Any) -> NDArray[np.float64]:
    """Quotient, NaN for 0 / 0 and infinite for a positive number over 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.asarray(part) / np.asarray(whole)
    return result


def known_mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of those that are not NaN; NaN if all are."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")


def ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def false_discovery_rate(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p-values, of any shape (row); those that are NaN do not count."""
    q, known = np.full(len(p), np.nan), np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return q


def splits_by_class(moments: Moments, total: Moments, several: bool) -> list[VarianceSplit]:
    """The split by class, or that of each class against the rest, of those that have one; at least one."""
    if not several:
        return [split_variance(moments)]
    images = int(total.count[0])
    labels = np.flatnonzero((moments.count > 0) & (moments.count < images))
    return [split_against_rest(moments, total, label) for label in (labels if len(labels) else [0])]


def entrywise_mean(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of arrays, entry by entry."""
    result: NDArray[np.float64] = np.mean(arrays, axis=0)
    return result


def root_or_zero(value: float) -> float:
    """Square root of a number that is not negative but by chance."""
    return float(np.sqrt(np.maximum(value, 0)))
