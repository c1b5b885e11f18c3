"""Between which numbers the columns of a table lie: each module of tables declares it, one check reads it.

A number in a table is finite, or NaN where it is not known.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

Range = tuple[float, float]
"""The least and the greatest value, both included; of an infinite end every finite number on that side."""
Ranges = Mapping[str, Range]
"""By column. That of `EACH` holds for all columns that are not named, as in a matrix."""
EACH = "*"
SHARE: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)
POSITIVE: Range = (0.0, math.inf)
COUNT: Range = POSITIVE
ANY: Range = (-math.inf, math.inf)
OMEGA: Range = (-math.inf, 1.0)
"""Of omega squared, whose least value depends on the number of images; see `least_omega_squared`."""
ROUNDING = 1e-9
"""By how much a number may lie outside."""


def beyond(table: pd.DataFrame, ranges: Ranges) -> list[str]:
    """What in a table lies outside of its range.

    Parameters
    ----------
    table
        Any.
    ranges
        Of its columns; those it does not have do not matter.

    Returns
    -------
    list of str
        A phrase for each column of numbers that is infinite somewhere, has a number outside of its range, or of which
        no range is declared.
    """
    said = []
    for column in table.columns:
        if not is_numeric_dtype(table[column]):
            continue
        name = column if column in ranges else EACH
        if name not in ranges:
            said.append(f"{column} has no range")
            continue
        values = table[column].to_numpy(np.float64, na_value=np.nan)
        (low, high), known = ranges[name], values[~np.isnan(values)]
        if np.isinf(known).any():
            said.append(f"{column} is infinite in {int(np.isinf(known).sum())} rows")
        elif len(known) and not (known.min() >= low - ROUNDING and known.max() <= high + ROUNDING):
            said.append(f"{column} lies from {known.min():.6g} to {known.max():.6g}, outside of {low:g} to {high:g}")
    return said
