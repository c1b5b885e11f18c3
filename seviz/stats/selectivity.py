r"""How selective each channel is for a single class, by measures of the literature.

Notes
-----
By the mean gate :math:`\mu_k` of class k, with :math:`\mu_{-k}` for the mean over the other classes:

- selectivity index :math:`(\mu_{max} - \mu_{-max}) / (\mu_{max} + \mu_{-max})` of the class with the greatest mean
  (Morcos et al. 2018); it asks for values that are not negative.
- sensitivity :math:`d'_k = (\mu_k - \mu_{rest}) / \sqrt{(\sigma_k^2 + \sigma_{rest}^2) / 2}`, by the means and
  variances over the images of the class and over all others (Macmillan, Creelman 2004).
- mutual information :math:`\sum p(b, k) \log_2 \frac{p(b, k)}{p(b) p(k)}` of class k and bin b of the gate, bins
  equally full. Finitely many images make it too great by about
  :math:`(R_{bk} - R_b - R_k + 1) / (2 N \ln 2)` bits, R being the numbers of cells, bins and classes that occur (Miller
  1955; Panzeri, Treves 1996), which is taken off. Good for about four images a class and bin, and more.
- precision at k, the share of the class among the k images that excite the channel most (Zhou et al. 2015; Gale et al.
  2020).

The greatest of many class means is great by chance too. What the selectivity index and d' of the best class are on
average where classes make no difference is given beside them, for normal gates, by the expected maximum of as many
means of as many images.

References
----------
Morcos, Barrett, Rabinowitz, Botvinick, "On the Importance of Single Directions for Generalization", ICLR 2018,
arXiv 1803.06959.
Macmillan, Creelman, "Detection Theory: A User's Guide", 2nd edition, 2004.
Miller, "Note on the Bias of Information Estimates", Information Theory in Psychology, 1955.
Panzeri, Treves, "Analytical Estimates of Limited Sampling Biases in Different Information Measures", Network 7(1),
1996, doi:10.1088/0954-898X/7/1/006.
Panzeri, Senatore, Montemurro, Petersen, "Correcting for the Sampling Bias Problem in Spike Train Information Measures",
Journal of Neurophysiology 98(3), 2007, doi:10.1152/jn.00559.2007.
Zhou, Khosla, Lapedriza, Oliva, Torralba, "Object Detectors Emerge in Deep Scene CNNs", ICLR 2015, arXiv 1412.6856.
Gale, Martin, Blything, Nguyen, Bowers, "Are There Any 'Object Detectors' in the Hidden Layers of CNNs Trained to
Identify Objects or Scenes?", Vision Research 176, 2020, arXiv 2007.01062.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special

from seviz.moments import Moments
from seviz.stats.ordering import SLICE, by_channel, first
from seviz.stats.variance import ROUNDING


def sensitivity(moments: Moments, total: Moments) -> NDArray[np.float64]:
    """d' of each class against all other images.

    Parameters
    ----------
    moments
        Per class and channel. An image may belong to several classes.
    total
        Of all images together, as a single class.

    Returns
    -------
    numpy.ndarray
        (class, channel), positive where the class excites the channel. Infinite where both sides are constant and
        differ. NaN where the channel is constant, or fewer than two images are of the class or not of it.
    """
    count, images = moments.count[:, None].astype(float), float(total.count[0])
    rest = images - count
    there = np.where((count > 1) & (rest > 1), 1.0, np.nan)
    offset = moments.mean - total.mean
    # What is constant, by its least and greatest value, has a sum of squares of exactly 0.
    own = np.where(moments.min >= moments.max, 0, moments.m2)  # which is False where they are NaN
    other = np.maximum(total.m2 - own - count * images / np.maximum(rest, 1) * np.square(offset), 0)
    other[other < ROUNDING * total.m2] = 0  # where the rest is constant
    spread = np.sqrt((own / (there * (count - 1)) + other / (there * (rest - 1))) / 2)
    step = np.where(total.min >= total.max, 0, offset * images / np.maximum(rest, 1)) * there
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = step / spread
    return result


def selectivity_index(moments: Moments) -> NDArray[np.float64]:
    """Selectivity index of each channel for the class with its greatest mean (Morcos et al. 2018).

    Parameters
    ----------
    moments
        Per class and channel. Classes without images do not count; the others count alike, whatever their size.

    Returns
    -------
    numpy.ndarray
        (channel), in [0, 1]: 0 where all class means are the same, 1 where only one is above 0. NaN for fewer than two
        classes, and where a class mean is negative or all are 0.
    """
    means = moments.mean[moments.count > 0]
    if len(means) < 2:
        return np.full(moments.mean.shape[1], np.nan)
    greatest = means.max(0)
    others = (means.sum(0) - greatest) / (len(means) - 1)
    whole = np.where((means.min(0) >= 0) & (greatest > 0), greatest + others, np.nan)
    result: NDArray[np.float64] = np.maximum(greatest - others, 0) / whole
    return result


def expected_maximum(sizes: NDArray[np.int64], images: int) -> float:
    """What the greatest d' of some classes is on average where classes make no difference, for normal gates.

    Parameters
    ----------
    sizes
        Images of each class, (class).
    images
        Images in all.

    Returns
    -------
    float
        NaN for fewer than two classes. Exact, but for the estimate of the variance, where classes are equally large
        and do not overlap.
    """
    sizes = sizes[(sizes > 0) & (sizes < images)].astype(float)
    if len(sizes) < 2:
        return float("nan")
    scale = images / (images - sizes) / np.sqrt(sizes)
    x = np.linspace(-9, 9, 2001) * scale.max()
    below = np.exp(special.log_ndtr(x[:, None] / scale).sum(1))  # chance that the greatest is below x
    return float(x[-1] - integrate.trapezoid(below, x))


def mutual_information(
    gates: NDArray[Any], labels: NDArray[Any], *, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mutual information of the class and the binned gate.

    Parameters
    ----------
    gates
        (image, channel), without NaN; or what stands in the same order, such as codes in 16 bits, which are quicker.
    labels
        Class of each image, (image); or one for each channel, (image, channel).
    bins
        Number of bins, which hold equally many images but for ties.

    Returns
    -------
    bits
        (channel), the bias taken off; may fall below 0 by chance. 0 where the channel is constant or there is one
        class, NaN without images.
    bias
        (channel), bits that were taken off.
    """
    images, channels = gates.shape
    bits, bias = np.full(channels, np.nan), np.full(channels, np.nan)
    if not images:
        return bits, bias
    edges = np.arange(1, bins) * images // bins
    _, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(labels.shape)
    classes = int(codes.max()) + 1
    plogp = special.xlogy(np.arange(images + 1), np.arange(images + 1)) / np.log(2)  # of each count
    for start in range(0, channels, SLICE):
        part = slice(start, start + SLICE)
        x = by_channel(gates, part)  # (channel, image)
        bin_of: NDArray[Any] = np.zeros(x.shape, np.uint8 if bins < 256 else np.int64)
        for edge in np.sort(x, axis=1, kind="stable" if x.dtype == np.uint16 else None)[:, edges].T:
            bin_of += x >= edge[:, None]
        of = codes if codes.ndim == 1 else codes[:, part].T
        place = (np.arange(len(x))[:, None] * classes + of) * bins
        cells: NDArray[Any] = np.bincount((place + bin_of).ravel(), minlength=len(x) * classes * bins)
        cells = cells.reshape(len(x), classes, bins)
        tables = cells, cells.sum(2), cells.sum(1)
        occupied, of_class, of_bin = (_occupied(table) for table in tables)
        bias[part] = (occupied - of_class - of_bin + 1) / (2 * images * np.log(2))
        entropies = [_entropies(table, plogp) for table in tables]
        plain = np.where((of_class > 1) & (of_bin > 1), entropies[1] + entropies[2] - entropies[0], 0)
        bits[part] = plain - bias[part]
    return bits, bias


def precision_at(gates: NDArray[np.floating], members: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Share of a class among the k images that excite each channel most.

    Parameters
    ----------
    gates
        (image, channel), without NaN.
    members
        Whether each image is of the channel's class, (image, channel).
    k
        How many; all images where there are fewer.

    Returns
    -------
    numpy.ndarray
        (channel), in [0, 1]; of images that tie for the last places, the average over all ways to choose. NaN without
        images.
    """
    images, channels = gates.shape
    k = min(k, images)
    if not k:
        return np.full(channels, np.nan)
    rows = first(gates, k, greatest=True)
    last = np.take_along_axis(gates, rows[-1:], 0)[0]
    above = np.take_along_axis(gates, rows, 0) > last
    sure = (above & np.take_along_axis(members, rows, 0)).sum(0)
    ties, shared = np.empty((2, channels), np.int64)
    for start in range(0, channels, SLICE):
        part = slice(start, start + SLICE)
        tied = gates[:, part] == last[part]
        ties[part], shared[part] = tied.sum(0), (tied & members[:, part]).sum(0)
    result: NDArray[np.float64] = (sure + (k - above.sum(0)) * shared / ties) / k
    return result


def index_null(moments: Moments, total: Moments, greatest: float) -> NDArray[np.float64]:
    """Selectivity index on average by chance, from the greatest d' by chance, (channel)."""
    classes = int((moments.count > 0).sum())
    mean, variance = total.mean[0], total.variance()[0]
    if classes < 2:
        return np.full(len(mean), np.nan)
    step = greatest * np.sqrt(variance)  # of the greatest class mean, over the mean of the others
    usable = (moments.mean[moments.count > 0].min(0) >= 0) & (mean > 0)
    whole = np.where(usable, 2 * mean + step * (classes - 2) / classes, np.nan)
    result: NDArray[np.float64] = step / whole
    return result


def _occupied(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many counts of each channel are above 0, (channel), of (channel, ...)."""
    result: NDArray[np.int64] = np.count_nonzero(counts.reshape(len(counts), -1), axis=1)
    return result


def _entropies(counts: NDArray[np.int64], plogp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the table of counts of each channel, (channel, ...), in bits, (channel)."""
    images = len(plogp) - 1
    result: NDArray[np.float64] = (plogp[-1] - plogp[counts.reshape(len(counts), -1)].sum(1)) / images
    return result
