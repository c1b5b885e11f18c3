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

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import integrate, special

from seviz.analysis.blocks import each
from seviz.analysis.images import SLICE, by_channel, first, in_codes, kept_gates
from seviz.analysis.ranges import ANY, COUNT, POSITIVE, SHARE, Ranges
from seviz.analysis.resolved import channels_of, moments_of, unresolved
from seviz.analysis.variance import ROUNDING
from seviz.errors import OptionError
from seviz.run.moments import Moments
from seviz.run.store import Run

SELECTIVITY: Ranges = {
    "channel": COUNT,
    **dict.fromkeys(("d_prime", "mutual_information", "mutual_information_bias"), ANY),
    "d_prime_null": POSITIVE,
    **dict.fromkeys(("selectivity_index", "selectivity_index_null", "precision", "precision_null"), SHARE),
}


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
    gates: NDArray[np.floating], labels: NDArray[Any], *, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mutual information of the class and the binned gate.

    Parameters
    ----------
    gates
        (image, channel), without NaN.
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
        x = in_codes(by_channel(gates, part))  # (channel, image)
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


def selectivity(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    k: int = 10,
    bins: int | None = None,
) -> pd.DataFrame:
    """Selectivity of each channel for a single class.

    Parameters
    ----------
    run
        A finished run.
    blocks
        By name; by default all.
    signal
        Whose selectivity.
    k
        Of precision: among how many images.
    bins
        Of mutual information; by default one for each four images of a class with gates, at least 2, at most 10.

    Returns
    -------
    pandas.DataFrame
        One row a channel; blocks in order of depth, in each the channels by falling d':

        - block, channel
        - best_class, best_class_name: the class with the greatest d'; empty where there is none
        - d_prime, d_prime_null: its d', NaN where nothing varies within the class nor in the rest (such channels come
          first, and have a best class), and what the greatest d' is on average by chance
        - selectivity_index, selectivity_index_null: of the class with the greatest mean, and what it is by chance
        - mutual_information, mutual_information_bias: with the class, in bits, and what was taken off as bias
        - precision, precision_null: of the best class among the k images that excite the channel most, and its share
          among all images with gates

        The last four are NaN where the run keeps no gates of images, as `attrs["remarks"]`, a list of sentences, says.
        NaN otherwise as in `sensitivity` and `selectivity_index`. Where images have several classes, each is set
        against all other images, mutual information is that of being of the best class, and the chance levels, for
        which classes do not overlap, are approximate.

    Raises
    ------
    MissingSignalError
        If the run does not hold a block or the signal.
    OptionError
        If `k` is less than 1 or `bins` less than 2.
    """
    if k < 1:
        raise OptionError(f"k is {k}, expected at least 1 image")
    if bins is not None and bins < 2:
        raise OptionError(f"bins is {bins}, expected at least 2, or None for as many as there are images for")
    ids, names = (np.array([*texts, ""], dtype=object) for texts in (run.classes.ids, run.classes.names))

    def of_block(name: str) -> pd.DataFrame:
        moments, total = moments_of(run, name, signal)
        d_prime = sensitivity(moments, total)
        ranked = np.where(np.isnan(d_prime), -np.inf, d_prime)
        best = np.where(np.isnan(d_prime).all(0), -1, ranked.argmax(0))
        greatest = np.where(best < 0, np.nan, ranked.max(0))
        null = expected_maximum(moments.count, int(total.count[0]))
        frame = pd.DataFrame(
            {
                "block": name,
                "channel": np.arange(len(best)),
                "best_class": ids[best],
                "best_class_name": names[best],
                "d_prime": np.where(np.isinf(greatest), np.nan, greatest),
                "d_prime_null": np.where(best < 0, np.nan, null),
                "selectivity_index": selectivity_index(moments),
                "selectivity_index_null": _index_null(moments, total, null),
                **_of_images(run, name, signal, best, k, bins),
            }
        )
        return frame.iloc[np.argsort(np.nan_to_num(-greatest, nan=np.inf, neginf=-np.inf), kind="stable")]

    frames = each(of_block, list(blocks or run.blocks))
    table = pd.concat(frames, ignore_index=True)
    kept, images = int(run.samples["kept"].sum()), len(run.samples)
    remarks = unresolved(run, blocks or run.blocks, signal)
    if not kept:
        remarks.append("The run keeps the gates of no image: mutual information and precision are NaN.")
    elif kept < images:
        remarks.append(
            f"Mutual information and precision rest on the {kept} of {images} images whose gates the run keeps."
        )
    table.attrs["remarks"] = remarks
    return table


def _of_images(
    run: Run, block: str, signal: str, best: NDArray[np.int64], k: int, bins: int | None
) -> dict[str, NDArray[np.float64]]:
    """The columns that need gates of images; NaN where none are kept, or the channel has no best class."""
    names = ("mutual_information", "mutual_information_bias", "precision", "precision_null")
    if not run.samples["kept"].any():
        return {name: np.full(len(best), np.nan) for name in names}
    gates, rows = kept_gates(run, block, signal)
    labels = run.labels[rows]
    several = labels.ndim == 2
    members = labels[:, best] if several else labels.astype(np.int32)[:, None] == best.astype(np.int32)
    if bins is None:
        sizes = labels.sum(0) if several else np.bincount(labels) if len(labels) else np.zeros(1)
        bins = int(np.clip(np.median(sizes[sizes > 0]) // 4 if sizes.any() else 2, 2, 10))
    finite = channels_of(run, block, signal).finite
    known = np.where((best < 0) | ~finite, np.nan, 1)
    gates[:, ~finite] = 0
    bits, bias = mutual_information(gates, members if several else labels, bins=bins)
    share = np.count_nonzero(members, axis=0) / len(rows) if len(rows) else np.full(len(best), np.nan)
    told = known if several else np.where(finite, 1, np.nan)
    bits, bias = bits * told, bias * told
    columns = bits, bias, precision_at(gates, members, k) * known, share * known
    return dict(zip(names, columns, strict=True))


def _index_null(moments: Moments, total: Moments, greatest: float) -> NDArray[np.float64]:
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
