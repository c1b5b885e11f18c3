"""Columns that tables declare, and the check of a table against them: a number is finite, or NaN where not known."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from seviz.registry import EACH, Column, Table

KEY = Column(key=True)
NUMBER = Column(low=0, key=True)
TEXT = ANY = Column()
COUNT = POSITIVE = Column(low=0)
SHARE = Column(low=0, high=1)
SIGNED = Column(low=-1, high=1)
OMEGA = Column(high=1)
"""Omega squared, whose least value depends on the number of images; see `least_omega_squared`."""
SIGNAL = Column(unit="signal")
SPREAD = Column(low=0, unit="signal")
BITS = Column(unit="bits")
ROUNDING = 1e-9
"""Tolerance of the ends of a range."""


def every(column: Column, *names: str) -> dict[str, Column]:
    """The same declaration for several columns."""
    return dict.fromkeys(names, column)


BLOCKS = {"block": KEY, **every(COUNT, "stage", "channels")}
CHANNELS = {"block": KEY, "channel": NUMBER}
CLASSES = {"class": KEY, "class_name": TEXT}


def beyond(table: pd.DataFrame, declared: Table | Mapping[str, Column]) -> list[str]:
    """Departures of a table from its declaration.

    Parameters
    ----------
    table
        Any table.
    declared
        Its declaration, or that of its columns.

    Returns
    -------
    list of str
        A phrase for each column that is not declared, is infinite somewhere or has a number outside of its range; for
        a key that is missing or has the same values in two rows; and for remarks that are no list.
    """
    columns = declared.columns if isinstance(declared, Table) else declared
    indices = [str(name) for name in table.index.names if name is not None]
    said = [f"{name} is not declared" for name in [*indices, *table.columns] if not {name, EACH} & {*columns}]
    said += [
        phrase for name in table.columns if (phrase := _outside(table[name], columns.get(name, columns.get(EACH))))
    ]
    if isinstance(declared, Table):
        said += _key(table, declared.key, indices)
        if not isinstance(table.attrs.get("remarks"), list):
            said.append("attrs['remarks'] is no list")
    return said


def _outside(values: pd.Series, column: Column | None) -> str:
    """What is wrong with the numbers of a column; empty where nothing is, or where they are none."""
    if column is None or not is_numeric_dtype(values) or is_bool_dtype(values):
        return ""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    if infinite := int(np.isinf(known).sum()):
        return f"{values.name} is infinite in {infinite} rows"
    if len(known) and not (known.min() >= column.low - ROUNDING and known.max() <= column.high + ROUNDING):
        span = f"{known.min():.6g} to {known.max():.6g}"
        return f"{values.name} lies from {span}, outside of {column.low:g} to {column.high:g}"
    return ""


def _key(table: pd.DataFrame, key: Iterable[str], indices: list[str]) -> list[str]:
    parts = [table.index.get_level_values(name) if name in indices else table.get(name) for name in key]
    there = {name: part for name, part in zip(key, parts, strict=True) if part is not None}
    if not there:
        return ["no column of the key is there"]
    twice = pd.DataFrame({name: list(part) for name, part in there.items()}).duplicated().sum()
    return [f"{', '.join(there)} has the same values in {twice} rows"] if twice else []
