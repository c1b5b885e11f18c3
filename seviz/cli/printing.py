"""How commands print a table: for people, as JSON, as CSV."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import typer

from seviz.cli.reporting import say
from seviz.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

ROWS = 50
"""That are printed for people."""


def print_table(table: "pd.DataFrame", *, as_json: bool, as_csv: bool) -> None:
    """Print a table on stdout, and its remarks on stderr.

    Parameters
    ----------
    table
        An index with a name is printed as its first column. `attrs["remarks"]` are sentences.
    as_json
        As a list of objects; what is not a number is null.
    as_csv
        As comma-separated values, in full precision.
    """
    if as_json and as_csv:
        raise OptionError("--json and --csv were both given, expected one of them, or neither")
    remarks = table.attrs.get("remarks", [])
    if table.index.name is not None:
        table = table.reset_index()
    if as_json:
        typer.echo(table.to_json(orient="records", indent=1, double_precision=15))
    elif as_csv:
        typer.echo(table.to_csv(index=False), nl=False)
    else:
        _for_people(table)
    for remark in remarks:
        say(f"note: {remark}")


def _for_people(table: "pd.DataFrame") -> None:
    import sys

    from pandas.api.types import is_numeric_dtype
    from rich.console import Console
    from rich.table import Table

    printed = Table(box=None, pad_edge=False)
    for column in table.columns:
        right = is_numeric_dtype(table[column])
        printed.add_column(str(column), justify="right" if right else "left", overflow="fold")
    for row in table.head(ROWS).itertuples(index=False):
        printed.add_row(*map(_cell, row))
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 250).print(printed)
    if len(table) > ROWS:
        say(f"{ROWS} of {len(table):,} rows; --csv and --json give all")


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "-"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.4g}"  # at most 11 characters, whatever the number
    return str(value)
