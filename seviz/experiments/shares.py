r"""Intervals of a share of images, and of the difference of two shares of the same images.

Notes
-----
Of a share, Wilson's (1927). Of a difference, the tenth of the methods that Newcombe (1998) compares: with shares
:math:`p_1, p_2`, the ends :math:`l_k, u_k` of their Wilson intervals and the correlation :math:`\varphi` of the two
outcomes of an image, the lower end is

.. math:: p_1 - p_2 - \sqrt{(p_1 - l_1)^2 - 2 \varphi (p_1 - l_1)(u_2 - p_2) + (u_2 - p_2)^2}

and the upper end is its mirror image. An image that was right both times says little of the difference; most of the
interval comes from those that changed. It has a width also where none did.

References
----------
Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the American Statistical
Association 22, 1927, doi:10.1080/01621459.1927.10502953.
Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
Statistics in Medicine 17, 1998, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def share_interval(count: ArrayLike, images: ArrayLike, *, confidence: float = 0.95) -> Ends:
    """The interval of a share.

    Parameters
    ----------
    count, images
        How many images, of how many. Of no image the ends are NaN.
    confidence
        In (0, 1).

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper end, in [0, 1].
    """
    count = np.asarray(count, np.float64)
    images = np.where(np.asarray(images) > 0, np.asarray(images, np.float64), np.nan)
    z = stats.norm.ppf((1 + confidence) / 2)
    share = count / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    reach = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    # At the borders the formula gives 0 and 1 but for rounding.
    low = np.where(share == 0, 0, middle - reach)
    high = np.where(share == 1, 1, middle + reach)
    return low, high


def difference_interval(
    both: ArrayLike, first: ArrayLike, second: ArrayLike, neither: ArrayLike, *, confidence: float = 0.95
) -> Ends:
    """The interval of the share of images right the first time less the share right the second time.

    Parameters
    ----------
    both, first, second, neither
        How many of the same images were right both times, the first time only, the second time only, never. Of no
        image the ends are NaN.
    confidence
        In (0, 1).

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper end, in [-1, 1].
    """
    a, b, c, d = (np.asarray(count, np.float64) for count in (both, first, second, neither))
    images = a + b + c + d
    known = np.where(images > 0, images, np.nan)
    one, other = (a + b) / known, (a + c) / known
    (low1, high1), (low2, high2) = (share_interval(k, images, confidence=confidence) for k in (a + b, a + c))
    agree = a * d - b * c
    agree = np.where(agree > 0, np.maximum(agree - images / 2, 0), agree)  # Newcombe's correction for continuity
    spread = np.sqrt((a + b) * (c + d) * (a + c) * (b + d))
    correlation = np.where(spread > 0, agree / np.where(spread > 0, spread, 1), 0)

    def reach(up: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
        squared: NDArray[np.float64] = up**2 - 2 * correlation * up * down + down**2
        return np.sqrt(np.maximum(squared, 0))

    difference = one - other
    return difference - reach(one - low1, high2 - other), difference + reach(high1 - one, other - low2)
