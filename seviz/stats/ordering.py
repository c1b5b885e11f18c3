"""The greatest and the least values of each column, found without sorting all."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SLICE = 32
"""Channels that are worked at at a time: those of some 10,000 images stay in the cache."""
_TILE = 256  # images whose gates stay in the cache while they are turned
_GROUP = 64  # rows of which the first is looked for


def by_channel(gates: NDArray[Any], channels: slice) -> NDArray[Any]:
    """Some channels of gates (image, channel), as a new array (channel, image), copied tile by tile for speed."""
    part = gates[:, channels]
    result = np.empty(part.shape[::-1], gates.dtype)
    for first in range(0, len(part), _TILE):
        result[:, first : first + _TILE] = part[first : first + _TILE].T
    return result


def first(values: NDArray[np.floating], number: int, *, greatest: bool = False) -> NDArray[np.int64]:
    """The rows of the least values of each column, (number, column), ascending; equal values in the order of rows.

    Parameters
    ----------
    values
        (row, column), without NaN.
    number
        How many; all rows where there are fewer.
    greatest
        Those of the greatest values, descending.

    Notes
    -----
    Rows are looked at in groups first. A row that is not in one of the first groups, by the first value of each, comes
    after the first value of that many groups.
    """
    rows, columns = values.shape
    number = min(number, rows)
    groups = rows // _GROUP
    if groups < 4 * number or not number:
        return _first(values, number, greatest)
    whole = values[: groups * _GROUP].reshape(groups, _GROUP, columns)
    ahead = np.sort(_first(whole.max(1) if greatest else whole.min(1), number, greatest), axis=0)  # (number, column)
    row = (ahead[:, None] * _GROUP + np.arange(_GROUP)[:, None]).reshape(-1, columns)
    rest = np.broadcast_to(np.arange(groups * _GROUP, rows)[:, None], (rows - groups * _GROUP, columns))
    row = np.concatenate([row, rest])  # ascending
    return np.take_along_axis(row, _first(np.take_along_axis(values, row, 0), number, greatest), 0)


def _first(values: NDArray[np.floating], number: int, greatest: bool) -> NDArray[np.int64]:
    """`first`, of all rows at once."""
    result = np.empty((number, values.shape[1]), np.int64)
    for start in range(0, values.shape[1] if number else 0, SLICE):
        x = by_channel(values, slice(start, start + SLICE))  # (column, row)
        if greatest:
            np.negative(x, out=x)
        last = np.partition(x, number - 1, axis=1)[:, number - 1]
        column, row = np.nonzero(x <= last[:, None])
        order = np.lexsort((x[column, row], column))
        place = np.searchsorted(column, np.arange(len(x))) + np.arange(number)[:, None]
        result[:, start : start + SLICE] = row[order][place]
    return result
