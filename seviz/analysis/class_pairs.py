"""Two classes beside each other: in which channels, and at which depth of the network, gates tell them apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from seviz.analysis.embedding import distances
from seviz.errors import OptionError
from seviz.run.store import Run

ALL = 40
"""Classes whose pairs are looked at for what is usual; of more, so many of them, evenly spread."""


def class_pair(run: Run, block: str, one: str, other: str) -> pd.DataFrame:
    """The channels of a block by how far two classes differ, the most different first.

    Parameters
    ----------
    run
        A finished run.
    block
        By name.
    one, other
        Classes, by id or name, with images in the run.

    Returns
    -------
    pandas.DataFrame
        As of `side_by_side`.

    Raises
    ------
    UnknownClassError
        If there is no such class.
    OptionError
        If a class has no image.
    MissingSignalError
        If the run does not hold the block.
    """
    data = run[block]
    return side_by_side(data, *(run.classes.ids[label] for label in _pair(run, one, other)))


def class_pair_by_depth(run: Run, one: str, other: str) -> pd.DataFrame:
    """How far two classes are apart in each block, beside what is usual of two classes.

    Parameters
    ----------
    run, one, other
        As in `class_pair`.

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
    """
    labels = _pair(run, one, other)
    means = {block: run.moments(block).mean for block in run.blocks}
    return by_depth(means, *labels).merge(usual(means, some_classes(run)), on="block", suffixes=("", "_usual"))


def nearest_classes(run: Run, block: str, name: str, *, number: int = 10) -> pd.DataFrame:
    """The classes whose mean gates are most like those of one, the nearest first.

    Parameters
    ----------
    run
        A finished run.
    block
        By name.
    name
        A class, by id or name, with images in the run.
    number
        How many, at most.

    Returns
    -------
    pandas.DataFrame
        Columns: class, class_name; images; distance, one minus the correlation of mean gates over channels, in [0, 2].
        Without classes that have no image or the same mean gate in all channels.

    Raises
    ------
    UnknownClassError, OptionError
        As in `class_pair`, and if `number` is less than 1.
    """
    if number < 1:
        raise OptionError(f"number is {number}, expected at least 1")
    (label,) = _labels(run, name)
    moments = run.moments(block)
    seen = np.flatnonzero(moments.count)
    apart = distances(moments.mean[seen])[np.flatnonzero(seen == label)[0]]
    table = pd.DataFrame(
        {
            "class": [run.classes.ids[each] for each in seen],
            "class_name": [run.classes.names[each] for each in seen],
            "images": moments.count[seen],
            "distance": apart,
        }
    )
    others: pd.DataFrame = table[seen != label].dropna(subset="distance")
    return others.sort_values("distance", kind="stable", ignore_index=True).head(number)


def side_by_side(block: xr.Dataset, one: str, other: str) -> pd.DataFrame:
    """Two classes, channel by channel, the most different first.

    Parameters
    ----------
    block
        As of `run[block]`.
    one, other
        Ids of classes with images.

    Returns
    -------
    pandas.DataFrame
        channel; mean_one, mean_other, std_one, std_other; difference of the means, one less other; and d_prime, that
        in root mean square standard deviations. d_prime is infinite where both are constant and differ, NaN where they
        are constant and the same, or a class has fewer than two images: there the difference decides the order.
    """
    means, stds = [], []
    for key in (one, other):
        of = block.sel({"class": key})
        means.append(of["mean"].to_numpy().astype(float))
        varies = of["min"].to_numpy() < of["max"].to_numpy()
        stds.append(np.where(varies, of["std"].to_numpy(), np.where(int(of["count"]) > 1, 0.0, np.nan)))
    # what is constant in both has the same mean, but for rounding, if it has the same values
    difference = np.where(
        (stds[0] == 0) & (stds[1] == 0) & np.isclose(means[0], means[1], rtol=1e-9, atol=1e-12),
        0.0,
        means[0] - means[1],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = difference / np.sqrt((np.square(stds[0]) + np.square(stds[1])) / 2)
    table = pd.DataFrame(
        {
            "channel": block["channel"].to_numpy(),
            "mean_one": means[0],
            "mean_other": means[1],
            "std_one": stds[0],
            "std_other": stds[1],
            "difference": difference,
            "d_prime": d_prime,
        }
    )
    rank = table.assign(size=table["d_prime"].abs(), gap=table["difference"].abs())
    order = rank.sort_values(["size", "gap"], ascending=False, kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


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


def _pair(run: Run, one: str, other: str) -> tuple[int, int]:
    first, second = _labels(run, one, other)
    return first, second


def _labels(run: Run, *names: str) -> list[int]:
    """The labels of classes; raises UnknownClassError if there is none, OptionError if one has no image."""
    count = run.moments(run.blocks[0]).count
    labels = [run.class_index(name) for name in names]
    for name, label in zip(names, labels, strict=True):
        if not count[label]:
            raise OptionError(f"class {name!r} has no image in {run!r}, so no mean gates")
    return labels
