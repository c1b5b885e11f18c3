"""What the classes page draws, as tables: the tree of classes, the nearest of one, and class means by depth."""

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from scipy.cluster import hierarchy as clusters

from seviz.dashboard.caching import BY_BYTES
from seviz.run.store import Run
from seviz.stats.distances import tree
from seviz.tables.class_pair_by_depth import some_classes, usual


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


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=2, show_spinner="Reading the means of classes in all blocks")
def class_means(path: Path, mark: str, _run: Run) -> tuple[dict[str, NDArray[np.float32]], pd.DataFrame, int]:
    """Class means of each block, (class, channel); what is `usual` of them; and of how many classes that is.

    Parameters
    ----------
    path, mark
        Path and fingerprint of the run, by which they are kept: 60 MB for 1,000 classes and 16 blocks.
    """
    means = {block: _run.moments(block).mean.astype(np.float32) for block in _run.blocks}
    chosen = some_classes(_run)
    return means, usual(means, chosen), len(chosen)
