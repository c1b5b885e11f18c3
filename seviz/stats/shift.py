r"""How the gates of two runs differ: two networks, a network before and after training, clean and corrupted images.

Notes
-----
The shift of a class in a block is the root mean square over channels of the difference between its two mean gates. By
chance alone its square is :math:`v`, the mean over channels of :math:`s_1^2 / n_1 + s_2^2 / n_2` (Welch 1947), which is
taken off. With :math:`D` for the shift before that, the interval of the shift is
:math:`D \pm t \sqrt v`: the error of :math:`D` is at most the root mean square of the errors of the channels, and of
all ways in which these may hang together the widest is in step. So it holds for any correlation between channels,
and is too wide for channels that move apart.

The shift of a block is the root mean square over classes. Its interval takes the classes as a sample, by Student's t of
the squared shifts, as that of the change of omega squared does, by a jackknife over classes.

References
----------
Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved", Biometrika
34, 1947, doi:10.1093/biomet/34.1-2.28.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from seviz.moments import Moments
from seviz.stats.variance import log_f_without_each, omega_squared_of_f, split_variance


@dataclass(frozen=True)
class Shift:
    """How far mean gates differ, class by class, over all channels.

    Attributes
    ----------
    squared
        Mean square over channels of the difference, less what chance makes it, (class); may fall below 0. NaN where
        either side has fewer than two images.
    low, high
        Interval of its root, (class), not below 0.
    difference
        Mean over channels of the other run less the one, (class).
    """

    squared: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    difference: NDArray[np.float64]


def shift_of(one: Moments, other: Moments, *, confidence: float = 0.95) -> Shift:
    """How far the mean gates of each class differ between two sets of images.

    Parameters
    ----------
    one, other
        Per class and channel, of the same classes and channels, from images that were drawn independently. Of the
        same images in both, intervals are too wide.
    confidence
        Of the intervals, in (0, 1).
    """
    step = other.mean - one.mean
    noise = [(moments.variance().mean(1) / np.maximum(moments.count, 1)) for moments in (one, other)]
    freedom = [np.where(moments.count > 1, moments.count - 1, np.nan) for moments in (one, other)]
    both = noise[0] + noise[1]
    square, there = np.square(step).mean(1), (one.count > 0) & (other.count > 0)
    share = noise[0] / np.where(both > 0, both, np.nan)
    welch = 1 / (share**2 / freedom[0] + (1 - share) ** 2 / freedom[1])
    reach = np.where(both == 0, 0, stats.t.ppf((1 + confidence) / 2, welch) * np.sqrt(both))
    root = np.sqrt(square)
    return Shift(
        squared=square - both,
        low=np.maximum(root - reach, 0),
        high=root + reach,
        difference=np.where(there, step.mean(1), np.nan),
    )


def change_of(one: Moments, other: Moments, *, confidence: float = 0.95) -> tuple[float, float]:
    """Change of omega squared between two sets of images of the same classes.

    Parameters
    ----------
    one, other
        Per class and channel, of the same classes; an image belongs to one class. Every class has images in both.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    change
        Omega squared of the other less that of the one.
    reach
        To either side of the change, how far its interval reaches with the classes as a sample: by a jackknife that
        leaves out a class in both at once. NaN for fewer than three classes.
    """
    splits, classes = (split_variance(one), split_variance(other)), len(one.count)
    change = splits[1].omega_squared - splits[0].omega_squared
    if classes < 3:
        return change, float("nan")
    left = [
        omega_squared_of_f(np.exp(log_f_without_each(moments)), split.images, classes)
        for moments, split in zip((one, other), splits, strict=True)
    ]
    error = (classes - 1) / np.sqrt(classes) * (left[1] - left[0]).std(ddof=1)
    return change, float(stats.t.ppf((1 + confidence) / 2, classes - 1) * error)


def mean_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float, float]:
    """Mean of independent values and its interval by Student's t; NaN for none, the interval for fewer than two."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    mean, reach = float(values.mean()), float("nan")
    if len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error)
    return mean, mean - reach, mean + reach
