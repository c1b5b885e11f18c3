"""Distances between vectors, and trees and orders by them."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster import hierarchy as clusters
from scipy.spatial.distance import squareform

from seviz.errors import OptionError

Metric = Literal["correlation", "cosine"]
_MOST_ORDERED = 1024  # the best order of the leaves takes 2 s for so many, and grows with the cube


def distances(vectors: NDArray[np.floating], *, metric: Metric = "correlation") -> NDArray[np.float64]:
    """How unlike each other vectors are.

    Parameters
    ----------
    vectors
        (item, feature).
    metric
        "correlation": one minus Pearson's correlation over features; "cosine": one minus the cosine.

    Returns
    -------
    numpy.ndarray
        (item, item), symmetric, in [0, 2], 0 on the diagonal; NaN for a vector without direction: all zero or,
        for the correlation, the same in every feature.

    Raises
    ------
    OptionError
        If the metric is another.
    """
    if metric not in ("correlation", "cosine"):
        raise OptionError(f"metric is {metric!r}, expected 'correlation' or 'cosine'")
    x = np.asarray(vectors, np.float64)
    size = np.linalg.norm(x, axis=1, keepdims=True)
    if metric == "correlation":
        x = x - x.mean(1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = np.divide(x, length, out=np.full_like(x, np.nan), where=length > 1e-12 * size)  # less is rounding
    result: NDArray[np.float64] = np.clip(1 - unit @ unit.T, 0, 2)
    result[result < 1e-12] = 0  # what is rounding again must not be ranked
    np.fill_diagonal(result, np.where(np.isnan(unit).any(1), np.nan, 0))
    return result


def tree(distances: ArrayLike) -> NDArray[np.float64]:
    """Hierarchical clustering, average linkage, as `scipy.cluster.hierarchy.dendrogram` draws it.

    Parameters
    ----------
    distances
        (item, item), symmetric. Where one is NaN the greatest stands in, so that what cannot be compared joins last.

    Returns
    -------
    numpy.ndarray
        (item - 1, 4), scipy's linkage matrix, its leaves turned so that neighbours are as alike as the tree allows
        (as it comes above 1,024 items, where that takes long); no rows for fewer than two items.

    References
    ----------
    Bar-Joseph, Gifford, Jaakkola, "Fast Optimal Leaf Ordering for Hierarchical Clustering", Bioinformatics 17, 2001,
    doi:10.1093/bioinformatics/17.suppl_1.S22.
    """
    table = np.asarray(distances, np.float64)
    if len(table) < 2:
        return np.zeros((0, 4))
    condensed = squareform(table, checks=False)
    known = condensed[~np.isnan(condensed)]
    condensed = np.where(np.isnan(condensed), known.max(initial=1), condensed)
    linkage: NDArray[np.float64] = clusters.linkage(condensed, "average")
    if len(table) <= _MOST_ORDERED:
        linkage = clusters.optimal_leaf_ordering(linkage, condensed)
    return linkage


def leaf_order(distances: ArrayLike) -> NDArray[np.int64]:
    """The items in the order of the leaves of their `tree`, (item): like ones beside each other."""
    linkage = tree(distances)
    if not len(linkage):
        return np.arange(len(np.asarray(distances)))
    return np.asarray(clusters.leaves_list(linkage), np.int64)
