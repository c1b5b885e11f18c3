"""How commands print a table: for people, as JSON, as CSV."""

import sys
from collections.abc import Collection, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import pandas as pd
import typer
from pandas.api.types import is_numeric_dtype
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seviz.cli.reporting import say
from seviz.errors import OptionError
from seviz.texts import csv_text, visible

ROWS = 50
"""That are printed for people."""


def print_table(table: pd.DataFrame, *, as_json: bool, as_csv: bool) -> None:
    """Print a table on stdout, and its remarks on stderr.

    Parameters
    ----------
    table
        An index with a name is printed as its first column. `attrs["remarks"]` are sentences.
    as_json
        As a list of objects; what is not a number is null.
    as_csv
        As comma-separated values, in full precision; exact where stdout is no terminal.
    """
    if as_json and as_csv:
        raise OptionError("--json and --csv were both given, expected one of them, or neither")
    remarks = table.attrs.get("remarks", [])
    if table.index.name is not None:
        table = table.reset_index()
    if as_json:
        typer.echo(table.to_json(orient="records", indent=1, double_precision=15))
    elif as_csv:
        text = csv_text(table)
        # click would take escape sequences out of it, but on a terminal they are not to be obeyed either
        typer.echo(visible(text, keep="\n") if sys.stdout.isatty() else text, nl=False, color=True)
    else:
        _for_people(table)
    for remark in remarks:
        say(f"note: {remark}")


def print_grid(
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
    whole: Collection[int] = (),
    title: str | None = None,
    width: int = 200,
) -> None:
    """Print rows on stdout for a person; what a terminal, or rich, would obey is written out.

    Parameters
    ----------
    columns
        Their headings.
    rows
        Of each column what stands there.
    right
        Numbers of the columns that are set to the right.
    whole
        Of those that are not broken.
    title
        Above.
    width
        Where stdout is no terminal, after which a row is broken.
    """
    heading = None if title is None else Text(visible(title))
    grid = Table(title=heading, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if number in right else "left"
        grid.add_column(Text(visible(str(column))), justify=justify, overflow="fold", no_wrap=number in whole)
    for row in rows:
        grid.add_row(*(Text(visible(str(cell))) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else width).print(grid)


def _for_people(table: pd.DataFrame) -> None:
    right = [number for number in range(table.shape[1]) if is_numeric_dtype(table.iloc[:, number])]
    rows = (list(map(_cell, row)) for row in table.head(ROWS).itertuples(index=False, name=None))
    print_grid(list(table.columns), rows, right=right, width=250)
    if len(table) > ROWS:
        say(f"{ROWS} of {len(table):,} rows; --csv and --json give all")


def _cell(value: Any) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "-"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.4g}"  # at most 11 characters, whatever the number
    return str(value)
