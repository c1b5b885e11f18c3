"""What the classes page draws, as tables: the tree of classes, and two classes, channel by channel and by depth."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster import hierarchy as clusters

from seviz.analysis.embedding import distances, tree
from seviz.dashboard.caching import BY_BYTES
from seviz.run.store import Run

ALL = 40
"""Classes whose pairs are looked at for what is usual; of more, so many of them, evenly spread."""


def branches(apart: pd.DataFrame) -> tuple[list[str], pd.DataFrame, pd.DataFrame]:
    """The tree of classes as lines.

    Parameters
    ----------
    apart
        Distances, (class, class) by what they are called; at least two.

    Returns
    -------
    leaves
        The classes in the order of the leaves.
    lines
        x, x2 (distances) and y, y2 (places among the leaves, from 0) of each line.
    joins
        Of each join: distance, place, number of classes beneath it, and classes, their names.
    """
    linkage, names = tree(apart), [str(each) for each in apart.index]
    order = clusters.leaves_list(linkage)
    place: list[float] = np.argsort(order).astype(float).tolist()
    height, members = [0.0] * len(names), [[name] for name in names]
    lines, joins = [], []
    for left, right, distance, _ in linkage.tolist():
        one, other = int(left), int(right)
        lines += [(height[each], distance, place[each], place[each]) for each in (one, other)]
        lines.append((distance, distance, place[one], place[other]))
        place.append((place[one] + place[other]) / 2)
        height.append(distance)
        members.append(members[one] + members[other])
        joins.append((distance, place[-1], len(members[-1]), ", ".join(members[-1])))
    return (
        [names[each] for each in order],
        pd.DataFrame(lines, columns=["x", "x2", "y", "y2"]),
        pd.DataFrame(joins, columns=["distance", "place", "number", "classes"]),
    )


def nearest(apart: pd.DataFrame, one: str, number: int) -> pd.DataFrame:
    """The classes nearest to one, the nearest first: class (as in the table) and distance; without those at NaN."""
    found = pd.DataFrame({"class": [str(each) for each in apart.columns], "distance": apart.loc[one].to_numpy(float)})
    found = found[found["class"] != one].dropna()
    return found.sort_values("distance", kind="stable", ignore_index=True).head(number)


def side_by_side(block: xr.Dataset, one: str, other: str) -> pd.DataFrame:
    """Two classes, channel by channel, the most different first.

    Parameters
    ----------
    block
        As of `read_block`.
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


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=2, show_spinner="Reading the means of classes in all blocks")
def class_means(path: Path, mark: str, _run: Run) -> tuple[dict[str, NDArray[np.float32]], pd.DataFrame, int]:
    """Class means of each block, (class, channel); what is `usual` of them; and of how many classes that is.

    Parameters
    ----------
    path, mark
        Path and fingerprint of the run, by which they are kept: 60 MB for 1,000 classes and 16 blocks.
    """
    means = {block: _run.moments(block).mean.astype(np.float32) for block in _run.blocks}
    there = np.flatnonzero(_run.moments(_run.blocks[0]).count)
    if len(there) > ALL:
        there = there[np.linspace(0, len(there) - 1, ALL).round().astype(int)]
    return means, usual(means, there.tolist()), len(there)
