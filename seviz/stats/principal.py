"""The directions in which vectors vary most."""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

_FEW, _STEPS = 50, 100  # where Lanczos is faster: features for each component, and restarts


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
