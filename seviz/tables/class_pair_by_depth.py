"""Two classes beside each other: at which depth of the network gates tell them apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.registry import Column, table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.distances import distances
from seviz.tables.class_pair import labels_of_pair
from seviz.tables.columns import KEY, SPREAD, every

ALL = 40
"""Classes whose pairs are looked at for what is usual; of more, so many of them, evenly spread."""


@table(
    title="Two classes by block",
    caption=("How far the mean gates of two classes are apart in each block, beside the median over pairs of classes."),
    columns={
        "block": KEY,
        **every(SPREAD, "difference", "difference_usual"),
        **every(Column(low=0, high=2), "distance", "distance_usual"),
    },
)
def class_pair_by_depth(run: Run, one: str, other: str) -> pd.DataFrame:
    """How far two classes are apart in each block, beside what is usual of two classes.

    Parameters
    ----------
    run
        A finished run.
    one
        First class, by id or name, with images in the run.
    other
        Second class, by id or name, with images in the run.

    Returns
    -------
    pandas.DataFrame
        A row for each block. Columns: block; difference, the mean over channels of the absolute difference of their
        mean gates; distance, one minus the correlation of these over channels, in [0, 2], NaN where a class has the
        same mean in all channels; difference_usual and distance_usual, the median over pairs of classes (at most 40
        classes, evenly spread).

    Raises
    ------
    UnknownClassError, OptionError
        As in `class_pair`.

    Examples
    --------
    >>> len(seviz.class_pair_by_depth(run, "cat", "dog"))
    16
    """
    labels = labels_of_pair(run, one, other)
    means = {block: run.moments(block).mean for block in run.blocks}
    table = by_depth(means, *labels).merge(usual(means, some_classes(run)), on="block", suffixes=("", "_usual"))
    table.attrs["remarks"] = unresolved(run, run.blocks)
    return table


def by_depth(means: Mapping[str, NDArray[Any]], one: int, other: int) -> pd.DataFrame:
    """How far two classes are apart in each block.

    Parameters
    ----------
    means
        Class means of each block, (class, channel).
    one, other
        Which classes.

    Returns
    -------
    pandas.DataFrame
        block; difference, the mean over channels of the absolute difference of means; and distance, one minus their
        correlation over channels.
    """
    rows = []
    for block, of in means.items():
        two = np.asarray(of[[one, other]], np.float64)
        rows.append((block, float(np.abs(two[0] - two[1]).mean()), float(distances(two)[0, 1])))
    return pd.DataFrame(rows, columns=["block", "difference", "distance"])


def usual(means: Mapping[str, NDArray[Any]], classes: Sequence[int]) -> pd.DataFrame:
    """The same as `by_depth` of any two of some classes: the median over pairs; NaN for fewer than two."""
    rows, (left, right) = [], np.triu_indices(len(classes), 1)
    for block, of in means.items():
        some = np.asarray(of[list(classes)], np.float64)
        gaps = [float(np.abs(some[i] - some[j]).mean()) for i, j in zip(left, right, strict=True)]
        apart = distances(some)[left, right]
        known = apart[~np.isnan(apart)]
        rows.append(
            (
                block,
                float(np.median(gaps)) if gaps else np.nan,
                float(np.median(known)) if len(known) else np.nan,
            )
        )
    return pd.DataFrame(rows, columns=["block", "difference", "distance"])


def some_classes(run: Run) -> list[int]:
    """The classes with images, as labels; of more than `ALL`, so many, evenly spread."""
    there = np.flatnonzero(run.moments(run.blocks[0]).count)
    if len(there) > ALL:
        there = there[np.linspace(0, len(there) - 1, ALL).round().astype(int)]
    return [int(each) for each in there]
