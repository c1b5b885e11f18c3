"""What figures need computed: distances, trees and orders of classes and channels, and images on a plane."""

from contextlib import suppress
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster import hierarchy as clusters
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from scipy.spatial.distance import squareform

from seviz.analysis.images import images_with_gates
from seviz.analysis.ranges import ANY, EACH, Ranges
from seviz.analysis.resolved import gates_of, moderate, moments_of
from seviz.errors import OptionError
from seviz.extras import needing
from seviz.run.store import Run

Metric = Literal["correlation", "cosine"]
PRINCIPAL_COMPONENTS: Ranges = {EACH: ANY}

_FEW, _STEPS = 50, 100  # where Lanczos is faster: features for each component, and restarts
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


def tree(distances: NDArray[np.float64] | pd.DataFrame) -> NDArray[np.float64]:
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


def leaf_order(distances: NDArray[np.float64] | pd.DataFrame) -> NDArray[np.int64]:
    """The items in the order of the leaves of their `tree`, (item): like ones beside each other."""
    linkage = tree(distances)
    if not len(linkage):
        return np.arange(len(distances))
    return np.asarray(clusters.leaves_list(linkage), np.int64)


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
    moments, _ = moments_of(run, block, signal)
    means = moments.mean[moments.count > 0].T  # (channel, class)
    if means.shape[1] < 2:
        return np.arange(len(means))
    apart = distances(means)
    order = leaf_order(apart)
    same = np.isnan(np.diag(apart))[order]
    return np.concatenate([order[~same], order[same]])


def principal_axes(
    centred: NDArray[np.floating], components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The directions in which vectors vary most.

    Parameters
    ----------
    centred
        (item, feature), with mean zero over items.
    components
        How many directions; fewer where there are fewer features.

    Returns
    -------
    axes, variances, total
        (feature, component), orthonormal, signed so that the largest entry of each is positive; the sum of squares
        along each, (component), descending; and the sum of squares in all directions.
    """
    return axes_of_scatter(centred.T @ centred, components)


def axes_of_scatter(
    scatter: NDArray[np.floating], components: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """`principal_axes` of vectors whose products of features, summed over items, are given, (feature, feature)."""
    products: NDArray[np.float64] = scatter.astype(np.float64)
    variances, axes = _greatest(products, min(components, len(products)))
    largest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0)
    return axes * np.where(largest < 0, -1, 1), np.maximum(variances, 0), float(np.trace(products))


def _greatest(scatter: NDArray[np.float64], number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The greatest eigenvalues of a scatter matrix, descending, and their vectors, (feature, number)."""
    features = len(scatter)
    if number * _FEW < features and scatter.any() and np.isfinite(scatter).all():  # a few of many: Lanczos
        start = np.random.default_rng(0).normal(size=features)
        with suppress(ArpackNoConvergence):
            variances, axes = eigsh(scatter, number, which="LA", v0=start, maxiter=_STEPS)
            order = np.argsort(-variances)
            return variances[order], axes[:, order]
    some = {"driver": "evd"} if number == features else {"subset_by_index": [features - number, features - 1]}
    variances, axes = eigh(scatter, **some)
    return variances[::-1], axes[:, ::-1]


def principal_components(
    run: Run, block: str, *, signal: str = "excitation", components: int = 2, scaled: bool = False
) -> pd.DataFrame:
    """Images by the principal components of a block's gates.

    Parameters
    ----------
    run
        A finished run that keeps the gates of images.
    block, signal
        Whose values.
    components
        How many, from 1 to the number of channels.
    scaled
        Whether channels are scaled to standard deviation 1 first. Else those that vary much decide.

    Returns
    -------
    pandas.DataFrame
        One row an image that did not fail: path, class, and pc1, pc2, ... in units of the signal. In `attrs`:
        explained_variance, the share of each component, NaN where nothing varies; block, signal; and remarks.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If `components` is out of range.
    """
    channels = run.block(block).channels
    if not 1 <= components <= channels:
        raise OptionError(f"components is {components}, expected 1 to {channels}, the channels of {block}")
    table, values, remarks = _images(run, block, signal)
    values -= values.mean(0, dtype=np.float64) if len(values) else 0
    size = float(np.abs(values).max(initial=0))
    exponent = int(moderate(np.array([[size]]))[1][0])
    values = np.ldexp(values, -exponent) if exponent else values
    if scaled:
        exponent = 0
        deviation = np.sqrt(np.einsum("ij,ij->j", values, values) / max(len(values) - 1, 1))
        values /= np.where(deviation > 0, deviation, 1)
    axes, variances, total = principal_axes(values, components)
    coordinates = np.empty((len(values), components))
    for first in range(0, len(values), 4096):  # float64, a few images at a time
        coordinates[first : first + 4096] = values[first : first + 4096] @ axes
    coordinates = np.ldexp(coordinates, exponent) if exponent else coordinates
    for k in range(components):
        table[f"pc{k + 1}"] = coordinates[:, k]
    shares = variances / total if total > 0 else np.full(components, np.nan)
    if not total > 0:
        remarks.append(f"The {signal} of {block} is the same for all images.")
    table.attrs = {"explained_variance": shares.tolist(), "block": block, "signal": signal, "remarks": remarks}
    return table


def neighbour_map(
    run: Run, block: str, *, signal: str = "excitation", neighbours: int = 15, seed: int = 0
) -> pd.DataFrame:
    """Images on a plane, those beside each other whose gates are alike (UMAP).

    Distances between groups on such a map mean little; `principal_components` shows them as they are.

    Returns
    -------
    pandas.DataFrame
        One row an image that did not fail: path, class, x, y. In `attrs`: block, signal, and remarks.

    Raises
    ------
    MissingPackageError
        If umap-learn is not installed.
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If there are not more images than `neighbours`, or these are less than 2.

    References
    ----------
    McInnes, Healy, Melville, "UMAP: Uniform Manifold Approximation and Projection", arXiv 1802.03426, 2018.
    """
    with needing("umap", "a neighbour map", instead="principal_components does without"):
        from umap import UMAP
    table, values, remarks = _images(run, block, signal)
    if not 2 <= neighbours < len(values):
        raise OptionError(f"neighbours is {neighbours}, expected at least 2 and fewer than the {len(values)} images")
    # One job, said aloud: with a seed UMAP runs on one thread, and warns of it where it is not told.
    plane = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(values)
    table["x"], table["y"] = plane[:, 0], plane[:, 1]
    table.attrs = {"block": block, "signal": signal, "remarks": remarks}
    return table


def _images(run: Run, block: str, signal: str) -> tuple[pd.DataFrame, NDArray[np.float32], list[str]]:
    """Path and class of the images that can be placed, their values, and what was left out."""
    images = images_with_gates(run)
    values = gates_of(run, block, signal, images["row"].to_numpy(np.int64))
    finite = np.asarray(np.isfinite(values).all(1))
    values, remarks = values if finite.all() else values[finite], []
    if failed := int((run.samples.loc[run.samples["kept"], "status"] == "failed").sum()):
        remarks.append(f"{failed} images that failed are left out.")
    if not finite.all():
        remarks.append(f"{int((~finite).sum())} images whose {signal} in {block} is not finite are left out.")
    return images.loc[finite, ["path", "class"]].reset_index(drop=True), values, remarks
