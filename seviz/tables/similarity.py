"""How alike classes are to each block."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.registry import EACH, Column, table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.distances import Metric, distances, leaf_order
from seviz.tables.columns import KEY


@table(
    title="Distances between classes",
    caption=(
        "How unlike the mean gates of each two classes are in a block: 0 for the same direction, 1 for "
        "unrelated, 2 for opposite."
    ),
    columns={
        "class": KEY,
        EACH: Column(low=0, high=2),
    },
)
def similarity(
    run: Run, block: str, *, metric: Metric = "correlation", signal: str = "excitation", centred: bool = False
) -> pd.DataFrame:
    """How unlike each other the mean gates of classes are in a block.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    metric
        Distance between class means: "correlation" (one minus it; over channels, so that the mean gate of a class does
        not count) or "cosine".
    signal
        Signal to analyse: excitation, squeeze or response.
    centred
        Whether the mean over classes is taken off each channel first. Without, classes share what is the same for all
        of them: distances are near 0 where a block does not tell classes apart, and a block's matrix also says how much
        it does. With it, only directions of deviation count, and even deviations that are noise lie about 1 apart: the
        structure of a block of which `decoding` or `specificity` says that it has one.

    Returns
    -------
    pandas.DataFrame
        (class, class) by id, like classes beside each other (`embedding.leaf_order`), in [0, 2]. Classes without
        images are left out. NaN for a class whose gates are all alike, or with `centred` do not deviate. In `attrs`:
        block, signal, metric, centred, and remarks on what is left out or NaN.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal.
    OptionError
        If the metric is another.

    Notes
    -----
    The mean of few images is noisy, and noise adds to distances: classes of unequal size are not quite comparable.

    References
    ----------
    Kriegeskorte, Mur, Bandettini, "Representational Similarity Analysis", Frontiers in Systems Neuroscience 2, 2008,
    doi:10.3389/neuro.06.004.2008.

    Examples
    --------
    >>> seviz.similarity(run, "SE_5_1").shape
    (10, 10)
    """
    seen = np.flatnonzero(run.moments(block, signal).count)
    apart = class_distances(run, block, seen, metric=metric, signal=signal, centred=centred)
    order = leaf_order(apart)
    ids = pd.Index([run.classes.ids[k] for k in seen[order]], name="class")
    table = pd.DataFrame(apart[np.ix_(order, order)], index=ids, columns=ids)
    remarks = unresolved(run, [block], signal)
    if empty := len(run.classes) - len(seen):
        remarks.append(f"{empty} classes are left out, which have no images.")
    if undefined := int(np.isnan(np.diag(apart)).sum()):
        remarks.append(f"The {signal} of {undefined} classes has no direction in {block}: their distances are NaN.")
    table.attrs = {"block": block, "signal": signal, "metric": metric, "centred": centred, "remarks": remarks}
    return table


def class_distances(
    run: Run, block: str, classes: NDArray[np.int64], *, metric: Metric, signal: str, centred: bool
) -> NDArray[np.float64]:
    """Distances between the means of some classes, given by their indices, (class, class)."""
    means = run.sample(block, signal).moments.mean[classes]
    if centred and len(means):
        deviations = means - means.mean(0)
        means = np.where(np.abs(deviations) > 1e-12 * np.abs(means).max(), deviations, 0)  # less is rounding
    return distances(means, metric=metric)


def order_of_channels(run: Run, block: str, *, signal: str = "excitation") -> NDArray[np.int64]:
    """The channels of a block, those beside each other that rise and fall together over the classes.

    Returns
    -------
    numpy.ndarray
        (channel), by `leaf_order` of one minus the correlation of class means. Channels whose mean is the same in
        every class come last.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal.
    """
    moments = run.sample(block, signal).moments
    means = moments.mean[moments.count > 0].T  # (channel, class)
    if means.shape[1] < 2:
        return np.arange(len(means))
    apart = distances(means)
    order = leaf_order(apart)
    same = np.isnan(np.diag(apart))[order]
    return np.concatenate([order[~same], order[same]])
