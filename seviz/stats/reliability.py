"""How well two samples agree, and how large they have to be to agree well."""

import numpy as np
from numpy.typing import NDArray

RELIABLE = 0.9
"""An order of channels is stable if two samples agree on it with at least this rank correlation."""
SPREAD = 0.02
"""A block's omega squared is stable if its standard deviation over samples is at most this."""


def spearman_brown(correlation: float, factor: float) -> float:
    """The correlation between two samples that are `factor` times as large.

    Parameters
    ----------
    correlation
        Between the samples there are, in [-1, 1]; one of 0 or less stays as it is, and NaN stays NaN.
    factor
        Above 0.
    """
    if not correlation > 0:
        return correlation
    return factor * correlation / (1 + (factor - 1) * correlation)


def wanted_factor(correlation: float, target: float = RELIABLE) -> float:
    """How many times as large samples must be to correlate by `target`; inf for a correlation of 0 or less."""
    if correlation <= 0:
        return float("inf")
    return target * (1 - correlation) / (correlation * (1 - target))


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's correlation, row by row.

    Parameters
    ----------
    first, second
        (row, channel). What differs by less than 1e-9 is a tie.

    Returns
    -------
    numpy.ndarray
        (row), in [-1, 1]; NaN where either row has no two different values, or has a NaN.
    """
    if not first.shape[1]:
        return np.full(len(first), np.nan)
    x, y = (_ranks(values) - (values.shape[1] + 1) / 2 for values in (first, second))
    products: NDArray[np.float64] = np.stack([np.einsum("ij,ij->i", *two) for two in ((x, y), (x, x), (y, y))])
    size = np.sqrt(products[1] * products[2])
    result: NDArray[np.float64] = products[0] / np.where(size > 0, size, np.nan)
    return result


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1, row by row, ties in their middle, of values to nine digits; NaN in a row that has one."""
    digits: NDArray[np.float64] = np.asarray(values, np.float64).round(9)
    order = np.argsort(digits, axis=1)
    ordered = np.take_along_axis(digits, order, axis=1)
    ranks: NDArray[np.float64] = np.empty(digits.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, digits.shape[1] + 1)[None], axis=1)
    fresh = np.ones(digits.shape, bool)  # where no tie with the value before goes on
    fresh[:, 1:] = ordered[:, 1:] > ordered[:, :-1]
    odd = np.flatnonzero(~fresh.all(1))  # ties and NaN, as rare as they are
    if len(odd):
        starts = np.flatnonzero(fresh[odd])
        sizes = np.diff(starts, append=len(odd) * digits.shape[1])
        middle = np.repeat(starts % digits.shape[1] + (sizes + 1) / 2, sizes).reshape(len(odd), -1)
        middle[np.isnan(ordered[odd, -1])] = np.nan
        tied = np.empty_like(middle)
        np.put_along_axis(tied, order[odd], middle, axis=1)
        ranks[odd] = tied
    return ranks
