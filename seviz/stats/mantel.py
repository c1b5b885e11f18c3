"""Spearman correlation of distance matrices, and Mantel's test of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from seviz.stats.parallel import each

_SINGLE = 1e-6  # more than rounding in float32 does to a correlation
_PAIRS = 2048  # at a time


def mantel(
    ones: NDArray[np.float64], others: NDArray[np.float64] | None = None, *, permutations: int = 999, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spearman correlation of distance matrices, each of some with each of others, and Mantel's test of it.

    Parameters
    ----------
    ones, others
        (matrix, item, item), symmetric; the items are the same. Without `others` each of `ones` is compared with
        those after it.
    permutations
        Of the items of `ones`; 0 for no test.
    seed
        Of the permutations.

    Returns
    -------
    correlations, p
        (one, other): in [-1, 1], over pairs of items; and the share of permutations, the given order among them,
        that correlate at least as much. Both NaN where a matrix has a NaN or the same distance everywhere, as with
        fewer than three items; p also without permutations. Without `others` (one, one), and p NaN but for those
        after it.

    References
    ----------
    Mantel, "The Detection of Disease Clustering and a Generalized Regression Approach", Cancer Research 27(2), 1967.
    """
    items = ones.shape[1]
    rows, columns = np.triu_indices(items, 1)
    left = _ranks(ones[:, rows, columns])  # (matrix, pair)
    right = left if others is None else _ranks(others[:, rows, columns])
    correlations: NDArray[np.float64] = np.clip(left @ right.T, -1, 1)
    if not len(rows):
        correlations[:] = np.nan
    tested = np.ones(correlations.shape, bool) if others is not None else ~np.tri(len(ones), dtype=bool)
    some, at = tested.any(1), tested.any(0)  # but the last, and but the first, without others
    square = np.zeros((items, items, some.sum()))  # the values of a pair beside each other
    square[rows, columns] = square[columns, rows] = left[some].T
    random = np.random.default_rng(seed)
    orders = [random.permutation(items) for _ in range(permutations)]
    least = correlations[np.ix_(some, at)] - 1e-9  # some orders change nothing but by rounding
    p = np.full(correlations.shape, np.nan)
    if permutations:
        p[np.ix_(some, at)] = (1 + _reached(square, right[at], least, orders)) / (permutations + 1)
    return correlations, np.where(np.isnan(correlations) | ~tested, np.nan, p)


def _reached(
    square: NDArray[np.float64],
    right: NDArray[np.float64],
    least: NDArray[np.float64],
    orders: Sequence[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """For how many orders of the items correlations are not below some, (one, other).

    Parameters
    ----------
    square
        Ranks of pairs, (item, item, one).
    right
        Of the others, (other, pair).
    least
        (one, other).
    orders
        Each of all items.

    Notes
    -----
    In float32, which halves what is read, a few pairs at a time, which stay in the cache; and again in float64 where
    that cannot tell.
    """
    items, number = len(square), square.shape[2]
    flat = square.reshape(items * items, number)
    single, single_right = flat.astype(np.float32), np.ascontiguousarray(right.T, np.float32)
    rows, columns = np.triu_indices(items, 1)

    def of_order(order: NDArray[np.int64]) -> NDArray[np.bool_]:
        ahead, buffer = -least, np.empty((_PAIRS, number), np.float32)
        for start in range(0, len(rows), _PAIRS):
            part = slice(start, start + _PAIRS)
            pairs = order[rows[part]] * items + order[columns[part]]
            turned = np.take(single, pairs, axis=0, out=buffer[: len(pairs)], mode="clip")
            ahead += turned.T @ single_right[part]
        for one, two in zip(*np.nonzero(np.abs(ahead) < _SINGLE), strict=True):
            turned_one = flat[order[rows] * items + order[columns], one]
            ahead[one, two] = turned_one @ right[two] - least[one, two]
        return ahead >= 0

    reached = np.zeros(least.shape, np.int64)
    for above in each(of_order, orders):
        reached += above
    return reached


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks along the last axis, with mean 0 and length 1; NaN where values are the same, or one is NaN."""
    ranks = rankdata(values, axis=-1) if values.size else values.copy()
    ranks = ranks - (values.shape[-1] + 1) / 2
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 0)
    return result
