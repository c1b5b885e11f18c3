r"""How class-specific gates are: the share of their variance that lies between classes.

The maths is on arrays, the tables are a thin layer over it: `specificity` by block, `specificity_by_channel`,
`specificity_by_class` (one class against the rest) and `specificity_by_outcome` (right against wrong predictions).

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
Benjamini, Hochberg, "Controlling the False Discovery Rate", Journal of the Royal Statistical Society B 57(1), 1995,
doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, special, stats

from seviz.errors import MissingSignalError, OptionError
from seviz.run.moments import Moments
from seviz.run.store import Run

PERMUTED_IMAGES = 2000
"""Of how many images, drawn at random, the labels are permuted at most."""
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
        return _ratio(self.between.sum(), self.between.sum() + self.within.sum())

    @property
    def omega_squared(self) -> float:
        """The same, corrected for the bias that finitely many images bring; about 0 where there is no effect."""
        return float(_omega_squared(self.between.sum(), self.within.sum(), self.images, self.classes))

    @property
    def null(self) -> float:
        """What eta squared is on average where classes make no difference: (K - 1) / (N - 1)."""
        return _ratio(self.classes - 1, self.images - 1)

    def by_channel(self) -> dict[str, NDArray[np.float64]]:
        """Each channel for itself: eta_squared, omega_squared, F, and p of F; NaN as in `specificity_by_channel`."""
        total = self.between + self.within
        eta = _divide(self.between, total)
        p = np.full(len(eta), np.nan)
        if 1 < self.classes < self.images:
            p = special.betainc((self.images - self.classes) / 2, (self.classes - 1) / 2, 1 - eta)
        return {
            "eta_squared": eta,
            "omega_squared": _omega_squared(self.between, self.within, self.images, self.classes),
            "F": _divide(self.mean_square_between, self.mean_square_within),
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
    moving = least.min(0, initial=np.inf) < greatest.max(0, initial=-np.inf)
    return VarianceSplit(
        between=np.where(moving, count @ np.square(mean - grand_mean), 0),
        within=np.where(least < greatest, moments.m2[seen], 0).sum(0),
        images=int(images),
        classes=int(seen.sum()),
        effective_size=_ratio(spread, seen.sum() - 1),
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
    everything, rest = np.where(total.min[0] < total.max[0], total.m2[0], 0), images - size
    if not size or not rest:
        return VarianceSplit(0 * everything, everything, images, int(images > 0), float("nan"))
    between = size * images / rest * np.square(moments.mean[label] - total.mean[0])
    between = np.minimum(between, everything)  # no more than rounding lies above
    return VarianceSplit(between, everything - between, images, 2, 2 * size * rest / images)


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
    noncentrality = split.images * root[:-1] ** 2 / (1 - root[:-1] ** 2)
    low, high = (
        np.interp(np.sqrt(eta), np.append(np.sqrt(between * f / (between * f + within)), 1), root) ** 2
        for f in (stats.ncf.ppf((1 + side * confidence) / 2, between, within, noncentrality) for side in (1, -1))
    )
    return low, high


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
        odds, plain = _divide(omega_squared, 1 - omega_squared), _divide(eta_squared, 1 - eta_squared)
        growth = _divide(linear, (1 - omega_squared) ** 2 * plain) * np.maximum(1 - odds, 0)
        return cls(error, np.where(plain > 0, growth, 0))

    @classmethod
    def unknown(cls, *shape: int) -> "Errors":
        """Errors that are all NaN."""
        return cls(np.full(shape, np.nan), np.full(shape, np.nan))

    def __getitem__(self, index: Any) -> "Errors":
        return Errors(np.asarray(self.error[index]), np.asarray(self.growth[index]))


def interval(
    omega_squared: float | NDArray[np.float64], errors: Errors, freedom: float, *, confidence: float = 0.95
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
    confidence
        In (0, 1).

    Returns
    -------
    low, high
        Around the estimate; below 1, and below 0 where chance alone may have made it. NaN where the error is.
    """
    rest = np.maximum(1 - np.asarray(omega_squared), 1e-300)
    t = stats.t.ppf((1 + confidence) / 2, max(freedom, 1))
    shift = t**2 * errors.growth / 2
    reach = np.sqrt((t * errors.error / rest) ** 2 + shift**2)
    bounds = [1 - rest * np.exp(-np.clip(shift + side * reach, -700, 700)) for side in (-1, 1)]
    return bounds[0], bounds[1]


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
    within_left[within_left <= 1e-12 * within] = 0
    size_left = (images_left - (np.square(count).sum() - np.square(count)) / images_left) / (classes - 2)
    f = _divide(between_left * (images_left - classes + 1), within_left * (classes - 2))
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
    variances = []
    for label in np.flatnonzero(np.bincount(labels, minlength=len(size)) > 2):
        own, n = gates[labels == label] - moments.mean[label], size[label]
        influence = slope_between * 2 * (own @ offset[label]) + slope_within * _norm(own) * np.sqrt(n / (n - 1))
        variances.append(n * influence.var(ddof=1))
    if not variances:
        return Errors.unknown()
    linear = np.mean(variances) * split.classes
    chosen = _some(np.flatnonzero(size[labels] > 1), _PAIRED_IMAGES, seed)
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
    chosen = _some(np.arange(images), _PAIRED_IMAGES, seed)
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
            return _mean(_omega_squared(between, everything - between, images, 2))
        between = min((norms / sizes).sum(), everything)
        return float(_omega_squared(between, everything - between, images, len(sizes)))

    random = np.random.default_rng(seed)
    observed = share(np.arange(images))
    return observed, np.array([share(random.permutation(images)) for _ in range(permutations)])


def kept_gates(run: Run, block: str, signal: str = "excitation") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The gates of single images that a run keeps and that did not fail.

    Returns
    -------
    gates
        (image, channel), without NaN.
    rows
        Which rows of `run.samples` and `run.labels` they are, (image).

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    """
    gates, rows = run.gates(block, signal), np.flatnonzero(run.samples["kept"])
    good = (run.samples["status"].iloc[rows] != "failed").to_numpy()
    return (gates, rows) if good.all() else (gates[good], rows[good])


def specificity(
    run: Run,
    *,
    signal: str = "excitation",
    over_images: bool = True,
    permutations: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Class specificity of each block.

    Parameters
    ----------
    run
        A finished run.
    signal
        Whose variance is split.
    over_images
        Whether to give the interval over images, for which the gates of single images are read. Without it, and without
        permutations, moments are enough: seconds for any run.
    permutations
        How often labels are dealt out anew, on the images whose gates are kept, at most 2,000 of them drawn at random.
    confidence
        Of the intervals, in (0, 1).
    seed
        Of what is drawn.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images, classes
        - eta_squared: share of variance between classes, summed over channels, in [0, 1]
        - omega_squared: the same, bias-corrected; may fall below 0 by chance
        - low, high: interval of omega_squared for these classes, had other images of them been taken, by
          `error_over_images`. This is the interval to show: a data set's classes are mostly all there are. In
          simulations of 2 to 200 classes of 6 to 100 images, 95 % covered 93 to 99 %. NaN where the run keeps no gates.
        - low_classes, high_classes: interval for other classes of the same kind, by `interval_over_classes`, from
          moments alone. Wider: with ten classes it says little. 95 % covered 90 to 99 %, and down to 87 % with ten
          classes whose variances differ several-fold.
        - null: mean of eta_squared if classes made no difference, (K - 1) / (N - 1)
        - std_between: standard deviation between classes, root mean square over channels, bias-corrected, in
          units of the signal. A nearly constant block can have a large share of next to nothing.
        - std_total: standard deviation over all images, root mean square over channels

        With permutations also permuted_images, how many images took part; permuted_mean and permuted_95, mean and 95 %
        quantile of their omega_squared with labels dealt out anew; permuted_p, the share of deals that reach that of
        the true labels, these counted among them.

        Shares are NaN where nothing varies, and all but eta_squared where no class has two images. What is missing,
        and why, says `attrs["remarks"]`, a list of sentences.

        Where images have several classes, each class is set against all other images: eta_squared, omega_squared and
        the variance of std_between are means over the classes, null is 1 / (N - 1). A rare class can have no great
        share, so that these are smaller than where each image has one class. The interval over images needs the gates
        of all of them.

    Raises
    ------
    MissingSignalError
        If the run does not hold the signal, or, with permutations, keeps no gates of it.
    OptionError
        If confidence or permutations are outside their range.
    """
    _check(confidence)
    if permutations < 0:
        raise OptionError(f"permutations is {permutations}, expected 0 for none, or a number such as 199")
    several = run.labels.ndim == 2
    images, kept = _images(run)
    wanted = over_images and (kept == images if several else kept > 0)
    rows = []
    for name in run.blocks:
        moments, total, block = run.moments(name, signal), run.total(name, signal), run.block(name)
        splits = _splits(moments, total, several)
        errors, permuted = Errors.unknown(), {}
        if wanted or permutations:
            gates, of = kept_gates(run, name, signal)
            labels = run.labels[of]
            if wanted and several:
                _, errors = errors_against_rest(moments, total, gates, labels, seed=seed)
            elif wanted:
                errors = error_over_images(moments, gates, labels, seed=seed)
            if permutations:
                permuted = _permuted(gates, labels, permutations, seed)
        omega, classes = _mean([split.omega_squared for split in splits]), splits[0].classes
        if several:
            classes = sum(split.classes == 2 for split in splits)
            spread = np.std([split.omega_squared for split in splits], ddof=1) if classes > 1 else np.nan
            sampled = Errors(np.asarray(spread / np.sqrt(classes or 1)), np.array(0.0))
            over_classes = interval(omega, sampled, classes - 1, confidence=confidence)
        else:
            over_classes = interval_over_classes(moments, confidence=confidence)
        low, high = interval(omega, errors, images - (2 if several else classes), confidence=confidence)
        rows.append(
            {
                "block": name,
                "stage": block.stage,
                "channels": block.channels,
                "images": images,
                "classes": classes,
                "eta_squared": _mean([split.eta_squared for split in splits]),
                "omega_squared": omega,
                "low": float(low),
                "high": float(high),
                "low_classes": float(over_classes[0]),
                "high_classes": float(over_classes[1]),
                "null": _mean([split.null for split in splits]),
                "std_between": _root(_mean([split.variance_between.mean() for split in splits])),
                "std_total": float(np.sqrt(splits[0].variance_total.mean())),
                **permuted,
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = _remarks(several, over_images, kept, images)
    return table


def specificity_by_channel(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    against_rest: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Class specificity of each channel.

    Parameters
    ----------
    run
        A finished run.
    blocks
        By name; by default all.
    signal
        Whose variance is split.
    against_rest
        A class, by id or name: its images against all others, instead of class against class.
    confidence
        Of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row a channel; blocks in order of depth, in each the channels by falling omega_squared:

        - block, channel
        - eta_squared, omega_squared, null: as in `specificity`
        - low, high: interval of omega_squared by the noncentral F distribution, see `channel_interval`
        - std_between, std_within, std_total: between classes (bias-corrected), within them, over all images
        - F, p: of the analysis of variance
        - q: false-discovery rate (Benjamini, Hochberg) among all rows. At many images every q is small: look at the
          size of the effect.

        NaN where nothing varies, and all but eta_squared where no class has two images; F is infinite where nothing
        varies within classes. Where images have several classes, shares and the variance of std_between are means over
        the classes, each against the rest, and low, high, F, p and q, of which there is no mean, are NaN unless
        `against_rest` names a class.

    Raises
    ------
    MissingSignalError, UnknownClassError, OptionError
        If the run does not hold a block, the signal or the class, or `confidence` is outside its range.
    """
    _check(confidence)
    several = run.labels.ndim == 2
    frames = []
    for name in blocks or run.blocks:
        moments, total = run.moments(name, signal), run.total(name, signal)
        if against_rest is None:
            splits = _splits(moments, total, several)
        else:
            splits = [split_against_rest(moments, total, run.class_index(against_rest))]
        measures = [split.by_channel() for split in splits]
        columns = {key: _means([measure[key] for measure in measures]) for key in ("eta_squared", "omega_squared")}
        single = len(splits) == 1
        unknown = np.full(len(columns["eta_squared"]), np.nan)
        low, high = channel_interval(splits[0], confidence=confidence) if single else (unknown, unknown)
        frames.append(
            pd.DataFrame(
                {
                    "block": name,
                    "channel": np.arange(len(unknown)),
                    **columns,
                    "low": low,
                    "high": high,
                    "null": _mean([split.null for split in splits]),
                    "std_between": np.sqrt(np.maximum(_means([split.variance_between for split in splits]), 0)),
                    "std_within": np.sqrt(_means([split.mean_square_within for split in splits])),
                    "std_total": np.sqrt(splits[0].variance_total),
                    "F": measures[0]["F"] if single else unknown,
                    "p": measures[0]["p"] if single else unknown,
                }
            ).sort_values("omega_squared", ascending=False, kind="stable")
        )
    table = pd.concat(frames, ignore_index=True)
    return table.assign(q=false_discovery_rate(table["p"].to_numpy(np.float64)))


def specificity_by_class(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    over_images: bool = True,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How far each class stands out from all other images, by block.

    Parameters
    ----------
    run
        A finished run, whose images may have several classes.
    blocks
        By name; by default all.
    signal
        Whose variance is split.
    over_images
        Whether to give intervals, for which the gates of all images are read.
    confidence
        Of the intervals, in (0, 1).
    seed
        Of what is drawn for them.

    Returns
    -------
    pandas.DataFrame
        One row a block and class that has images; blocks in order of depth, in each the classes by falling
        omega_squared:

        - block, class, class_name, images
        - eta_squared, omega_squared, null: share of variance between the class and the rest, summed over channels, as
          in `specificity`. Of a share p of the images, and a difference of d standard deviations within, it is at most
          about p (1 - p) d², so that rare classes have small shares.
        - low, high: interval of omega_squared over images, by a jackknife; NaN unless the run keeps the gates of all
        - difference: between the means of the class and of the rest, root mean square over channels, bias-corrected,
          in units of the signal
        - std_within: standard deviation within the class and within the rest, root mean square over channels

        A class that all images belong to has shares of 0 and a difference of NaN.

    Raises
    ------
    MissingSignalError, OptionError
        If the run does not hold a block or the signal, or `confidence` is outside its range.
    """
    _check(confidence)
    images, kept = _images(run)
    frames = []
    for name in blocks or run.blocks:
        moments, total = run.moments(name, signal), run.total(name, signal)
        seen = np.flatnonzero(moments.count)
        errors = Errors.unknown(len(moments.count))
        if over_images and kept == images and kept:
            gates, of = kept_gates(run, name, signal)
            labels = run.labels[of]
            members = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(run.classes))
            fixed = labels.ndim == 1
            errors, _ = errors_against_rest(moments, total, gates, members, sizes_fixed=fixed, seed=seed)
        splits = [split_against_rest(moments, total, label) for label in seen]
        omega = np.array([split.omega_squared for split in splits])
        low, high = interval(omega, errors[seen], images - 2, confidence=confidence)
        frames.append(
            pd.DataFrame(
                {
                    "block": name,
                    "class": np.array(run.classes.ids, dtype=object)[seen],
                    "class_name": np.array(run.classes.names, dtype=object)[seen],
                    "images": moments.count[seen],
                    "eta_squared": [split.eta_squared for split in splits],
                    "omega_squared": omega,
                    "low": low,
                    "high": high,
                    "null": [split.null for split in splits],
                    "difference": [_root(2 * split.variance_between.mean()) for split in splits],
                    "std_within": [_root(split.mean_square_within.mean()) for split in splits],
                }
            ).sort_values("omega_squared", ascending=False, kind="stable")
        )
    table = pd.concat(frames, ignore_index=True)
    table.attrs["remarks"] = _remarks(True, over_images, kept, images)
    return table


def specificity_by_outcome(
    run: Run, *, by: Literal["block", "channel"] = "block", signal: str = "excitation"
) -> pd.DataFrame:
    """What share of the variance lies between classes, within them between right and wrong predictions, and within.

    Parameters
    ----------
    run
        A finished run that keeps gates of images, of a network whose predictions can be right.
    by
        A row a block, or a row a channel.
    signal
        Whose variance is split.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth; or a channel, in each block by falling omega_squared:

        - block; stage, or channel
        - images, right: how many with gates, and how many of them predicted right
        - between_classes, between_outcomes, within: shares of the variance, which sum to 1: between classes, between
          the images of a class that were predicted right and those that were not, and the rest
        - omega_squared: between_outcomes, bias-corrected; may fall below 0 by chance
        - null: mean of between_outcomes if outcomes made no difference: classes with both over N - 1
        - difference: right less wrong, within classes, weighted as precise as it is for each class; over a block its
          root mean square over channels, not corrected for chance
        - F, p, q: of a channel, of the difference between outcomes; q the false-discovery rate among all rows

        NaN where nothing varies or no class has both outcomes. Where images have several classes, right is any of
        them, between_classes is NaN, and right and wrong are compared over all images.

    Raises
    ------
    MissingSignalError
        If the run does not hold the signal, keeps no gates, or does not know which predictions are right.
    OptionError
        If `by` is neither.
    """
    if by not in ("block", "channel"):
        raise OptionError(f"by is {by!r}, expected 'block' or 'channel'")
    if not run.samples["correct"].notna().any():
        raise MissingSignalError(
            f"{str(run.path)!r} does not say which predictions are right: the classes of data and network do not"
            " correspond, or all images failed; capture a data set with the network's classes"
        )
    several = run.labels.ndim == 2
    frames = []
    for name in run.blocks:
        gates, rows = kept_gates(run, name, signal)
        right = run.samples["correct"].iloc[rows].to_numpy(bool)
        labels = np.zeros(len(rows), np.int64) if several else run.labels[rows]
        classes, labels = np.unique(labels, return_inverse=True)
        groups = Moments.of(gates, 2 * labels + right, 2 * len(classes))
        inner, outer = split_variance(groups), split_variance(Moments.of(gates, labels, len(classes)))
        within, outcomes = inner.within, np.maximum(outer.within - inner.within, 0)
        total, freedom = outer.between + outer.within, inner.classes - outer.classes
        wrong_count, right_count = groups.count.reshape(-1, 2).T.astype(float)
        weight = wrong_count * right_count / np.maximum(wrong_count + right_count, 1)
        step = groups.mean[1::2] - groups.mean[::2]
        frame = {
            "between_classes": np.full(len(total), np.nan) if several else outer.between,
            "between_outcomes": outcomes,
            "within": within,
        }
        if by == "block":
            total, outcomes, within = (np.atleast_1d(array.sum()) for array in (total, outcomes, within))
            frame = {key: np.atleast_1d(array.sum()) for key, array in frame.items()}
        difference = weight @ step / (weight.sum() if freedom else np.nan)
        measures = VarianceSplit(outcomes, within, inner.images - outer.classes + 1, freedom + 1, 1.0).by_channel()
        square = within / (inner.images - inner.classes if inner.images > inner.classes else np.nan)
        shares = {key: _divide(array, total) for key, array in frame.items()}
        table = pd.DataFrame(
            {
                "block": name,
                **({"stage": run.block(name).stage} if by == "block" else {"channel": np.arange(len(total))}),
                "images": len(rows),
                "right": int(right.sum()),
                **shares,
                "omega_squared": _divide(outcomes - freedom * square, total + square) if freedom else np.nan,
                "null": _ratio(freedom, len(rows) - 1),
                "difference": _root(np.square(difference).mean()) if by == "block" else difference,
                **({} if by == "block" else {key: measures[key] for key in ("F", "p")}),
            }
        )
        frames.append(table if by == "block" else table.sort_values("omega_squared", ascending=False, kind="stable"))
    result = pd.concat(frames, ignore_index=True)
    return result if by == "block" else result.assign(q=false_discovery_rate(result["p"].to_numpy(np.float64)))


def false_discovery_rate(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p-values, of any shape (row); those that are NaN do not count."""
    q, known = np.full(len(p), np.nan), np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return q


def _splits(moments: Moments, total: Moments, several: bool) -> list[VarianceSplit]:
    """The split by class, or that of each class against the rest, of those that have one; at least one."""
    if not several:
        return [split_variance(moments)]
    images = int(total.count[0])
    labels = np.flatnonzero((moments.count > 0) & (moments.count < images))
    return [split_against_rest(moments, total, label) for label in (labels if len(labels) else [0])]


def _images(run: Run) -> tuple[int, int]:
    """How many images did not fail, and of how many of these the gates are kept."""
    good = run.samples["status"] != "failed"
    return int(good.sum()), int((good & run.samples["kept"]).sum())


def _permuted(gates: NDArray[np.float32], labels: NDArray[Any], permutations: int, seed: int) -> dict[str, float]:
    chosen = _some(np.arange(len(gates)), PERMUTED_IMAGES, seed)
    observed, permuted = permuted_omega_squared(gates[chosen], labels[chosen], permutations=permutations, seed=seed)
    known = np.isfinite(observed)
    reached = (permuted >= observed - 1e-12).sum()
    return {
        "permuted_images": len(chosen),
        "permuted_mean": float(permuted.mean()),
        "permuted_95": float(np.quantile(permuted, 0.95)) if known else float("nan"),
        "permuted_p": float((1 + reached) / (1 + permutations)) if known else float("nan"),
    }


def _remarks(several: bool, over_images: bool, kept: int, images: int) -> list[str]:
    if not over_images:
        return ["Intervals over images were not asked for."]
    if not kept:
        return ["The run keeps the gates of no image: there are no intervals over images."]
    if kept == images:
        return []
    if several:
        return [f"The run keeps the gates of {kept} of {images} images, chosen by class: none over images is given."]
    return [f"Intervals over images rest on the gates of {kept} of {images} images, which the run keeps."]


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1, such as 0.95")


def _omega_squared(between: Any, within: Any, images: float, classes: int) -> NDArray[np.float64]:
    """Bias-corrected share; NaN where nothing varies or no class has two images."""
    freedom = images - classes
    square = within / (freedom if freedom > 0 else np.nan)
    return _divide(between - (classes - 1) * square, between + within + square)


def _slopes(split: VarianceSplit) -> tuple[float, float]:
    """Change of a block's omega squared with its sum of squares between, and with that within classes."""
    between, within, freedom = split.between.sum(), split.within.sum(), split.images - split.classes
    if freedom < 1:
        return float("nan"), float("nan")
    whole, omega = between + within + within / freedom, split.omega_squared
    return float((1 - omega) / whole), float(-((split.classes - 1) / freedom + omega * (1 + 1 / freedom)) / whole)


def _squared_covariance(deviations: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Trace of the squared covariance of channels, by pairs of images of different groups; 0 where there is none."""
    products = deviations @ deviations.T
    apart = groups[:, None] != groups
    return float(np.square(products[apart]).mean()) if apart.any() else 0.0


def _jackknife_error(left: NDArray[np.float64]) -> float:
    """Standard error of an estimate from its values without each of the things that it is an estimate from."""
    return float((len(left) - 1) / np.sqrt(len(left)) * left.std(ddof=1))


def _some(rows: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """At most so many of some rows, drawn at random, ascending."""
    if len(rows) <= number:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, number, replace=False))


def _norm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared length of each row."""
    result: NDArray[np.float64] = np.einsum("ij,ij->i", x, x)
    return result


def _divide(part: Any, whole: Any) -> NDArray[np.float64]:
    """Quotient, NaN for 0 / 0 and infinite for a positive number over 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.asarray(part) / np.asarray(whole)
    return result


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Mean of those that are not NaN; NaN if all are."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")


def _means(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of arrays, entry by entry."""
    result: NDArray[np.float64] = np.mean(arrays, axis=0)
    return result


def _root(value: float) -> float:
    """Square root of a number that is not negative but by chance."""
    return float(np.sqrt(np.maximum(value, 0)))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
