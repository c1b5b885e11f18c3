"""How selective each channel is for a single class, by measures of the literature."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import Sample, in_codes, unresolved
from seviz.run.store import Run
from seviz.stats.parallel import each
from seviz.stats.selectivity import (
    expected_maximum,
    index_null,
    mutual_information,
    precision_at,
    selectivity_index,
    sensitivity,
)
from seviz.tables.columns import ANY, BITS, CHANNELS, POSITIVE, SHARE, TEXT, every


@table(
    title="Class selectivity by channel",
    caption=(
        "How selective each channel is for a single class, by measures of the literature, beside what "
        "each is by chance."
    ),
    cost="gates",
    columns={
        **CHANNELS,
        **every(TEXT, "best_class", "best_class_name"),
        "d_prime": ANY,
        "d_prime_null": POSITIVE,
        **every(BITS, "mutual_information", "mutual_information_bias"),
        **every(SHARE, "selectivity_index", "selectivity_index_null", "precision", "precision_null"),
    },
)
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
        Names of SE blocks; by default all.
    signal
        Signal to analyse: excitation, squeeze or response.
    k
        Number of images for precision at k.
    bins
        Number of bins for the mutual information; by default one for each four images of a class with gates, at least
        2, at most 10.

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

    Examples
    --------
    >>> len(seviz.selectivity(run, blocks=["SE_5_1"]))
    512
    """
    if k < 1:
        raise OptionError(f"k is {k}, expected at least 1 image")
    if bins is not None and bins < 2:
        raise OptionError(f"bins is {bins}, expected at least 2, or None for as many as there are images for")
    ids, names = (np.array([*texts, ""], dtype=object) for texts in (run.classes.ids, run.classes.names))

    def of_block(name: str) -> pd.DataFrame:
        sample = run.sample(name, signal)
        moments, total = sample.moments, sample.total
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
                "selectivity_index_null": index_null(moments, total, null),
                **_of_images(sample, best, k, bins),
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


def _of_images(sample: Sample, best: NDArray[np.int64], k: int, bins: int | None) -> dict[str, NDArray[np.float64]]:
    """The columns that need gates of images; NaN where none are kept, or the channel has no best class."""
    names = ("mutual_information", "mutual_information_bias", "precision", "precision_null")
    if not sample.run.samples["kept"].any():
        return {name: np.full(len(best), np.nan) for name in names}
    gates, labels = sample.gates, sample.labels
    several = labels.ndim == 2
    members = labels[:, best] if several else labels.astype(np.int32)[:, None] == best.astype(np.int32)
    if bins is None:
        sizes = labels.sum(0) if several else np.bincount(labels) if len(labels) else np.zeros(1)
        bins = int(np.clip(np.median(sizes[sizes > 0]) // 4 if sizes.any() else 2, 2, 10))
    finite = sample.channels.finite
    known = np.where((best < 0) | ~finite, np.nan, 1)
    gates[:, ~finite] = 0
    bits, bias = mutual_information(in_codes(gates), members if several else labels, bins=bins)
    share = np.count_nonzero(members, axis=0) / len(labels) if len(labels) else np.full(len(best), np.nan)
    told = known if several else np.where(finite, 1, np.nan)
    bits, bias = bits * told, bias * told
    columns = bits, bias, precision_at(gates, members, k) * known, share * known
    return dict(zip(names, columns, strict=True))
