"""Entropies, and ranks by them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 21
"""Of the histograms behind the entropy. Odd, since the gates of an untrained block crowd on both sides of one half."""


def effective_rank(values: NDArray[np.float64] | Sequence[float]) -> float:
    r"""The number of equal values that would have the same entropy.

    Parameters
    ----------
    values
        Singular values, or eigenvalues, at least 0; in any order.

    Returns
    -------
    float
        :math:`\exp(-\sum p_i \ln p_i)` with :math:`p_i` the share of each value in their sum, from 1 to their number;
        NaN where there are none or all are 0.

    References
    ----------
    Roy, Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    positive = np.asarray(values, np.float64)
    positive = positive[positive > 0]
    if not len(positive):
        return float("nan")
    share = positive / positive.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def stable_rank(singular_values: NDArray[np.float64] | Sequence[float]) -> float:
    """Squared Frobenius norm over squared spectral norm, from 1 to the rank; NaN where no value is above 0.

    References
    ----------
    Rudelson, Vershynin, "Sampling from large matrices", J. ACM 54(4), 2007, arXiv:math/0503442.
    """
    values = np.asarray(singular_values, np.float64)
    greatest = values.max(initial=0)
    return float(np.square(values / greatest).sum()) if greatest > 0 else float("nan")


def histogram_entropy(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.float64]:
    """Entropy of the values of each channel, over 21 bins of equal width.

    Parameters
    ----------
    values
        (image, channel), from `low` to `high`. Images with a NaN are left out.
    low, high
        Ends of the histogram.

    Returns
    -------
    numpy.ndarray
        (channel), in bits: 0 where all values fall into one bin, at most log2(21) = 4.39, with the Miller-Madow
        correction for finitely many images. NaN for fewer than two images.

    References
    ----------
    Miller, "Note on the bias of information estimates", Information Theory in Psychology, 1955.
    """
    entropy = np.full(values.shape[1], np.nan)
    for start in range(0, values.shape[1], 64):  # a few channels at a time, for memory
        x = values[:, start : start + 64]
        odd = np.isnan(x).any(1)
        x = x[~odd] if odd.any() else x
        images, channels = x.shape
        if images < 2:
            continue
        scaled = x - low
        scaled *= BINS / (high - low)
        bins = np.clip(scaled, 0, BINS - 1, out=scaled).astype(np.int64)
        bins += BINS * np.arange(channels)
        count = np.bincount(bins.ravel(), minlength=BINS * channels)
        share = count.reshape(channels, BINS) / images
        plain = -(share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(1)
        corrected = plain + ((share > 0).sum(1) - 1) / (2 * images * np.log(2))
        entropy[start : start + 64] = np.minimum(corrected, np.log2(BINS))
    return entropy
