"""Tables of a run, computed once and kept in its directory: what `seviz analyse` makes, report and dashboard read.

A table lies in `tables/` under its name and a fingerprint of the run, the parameters, the version of seviz and the
sources that tables are computed with, so that one that would come out otherwise today is not found.
"""

import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from seviz.errors import MissingSignalError, MissingTableError, OptionError
from seviz.foreign import line
from seviz.registry import TABLES, Table
from seviz.run.files import write_atomically
from seviz.run.parquet import read_kept
from seviz.run.places import check_directory
from seviz.run.store import Run
from seviz.stats.parallel import one_by_one

_SOURCES = ("moments.py", "run/sample.py", "run/parts.py", "stats/*.py", "tables/*.py")


def tables_of_run() -> dict[str, Table]:
    """Declarations of the tables that `analyse` computes: those that a run gives alone, whole or block by block."""
    return {name: declared for name, declared in TABLES.items() if declared.of_run_alone}


@dataclass(frozen=True)
class Analysed:
    """What became of one table.

    Attributes
    ----------
    name, block
        Which; block is empty for a table of the whole run.
    seconds
        How long it took; 0 if it was kept already.
    reason
        Why it cannot be had; else empty.
    """

    name: str
    block: str
    seconds: float
    reason: str


def table_path(run: Run, name: str, **parameters: Any) -> Path:
    """Path of a table, whether it is there or not; raises OptionError if there is none of that name."""
    declared = TABLES[name]
    if declared.of_block != ("block" in parameters):
        raise OptionError(f"{name} is a table of {'one block: give it' if declared.of_block else 'the whole run'}")
    usual = declared.parameters
    odd = {key: value for key, value in parameters.items() if key not in usual or value != usual[key].default}
    of = [run.identity, metadata.version("seviz"), _sources(declared.function), name, odd]
    digest = hashlib.sha256(json.dumps(of, sort_keys=True, default=_plain).encode()).hexdigest()
    block = f"-{parameters['block']}" if "block" in parameters else ""
    return run.path / "tables" / f"{name}{block}-{digest[:12]}.parquet"


def _plain(value: Any) -> str:
    return value.identity if isinstance(value, Run) else str(value)


@cache
def _sources(function: Callable[..., Any]) -> str:
    """Digest of the sources that a table is computed with, as far as they are files."""
    here = Path(__file__).parents[1]
    own = Path(str(sys.modules[function.__module__].__file__))
    digest = hashlib.sha256(own.read_bytes() if own.is_file() else b"")
    for path in (path for pattern in _SOURCES for path in sorted(here.glob(pattern))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def kept_table(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    """A table that was computed before.

    Parameters
    ----------
    run
        A finished run.
    name
        Name of a declared table.
    parameters
        Those it was computed with, as far as they are not the defaults; and `block`, by name, of a table of one block.

    Raises
    ------
    MissingTableError
        If it was not, or cannot be read any more.
    OptionError
        If there is no such table.
    """
    path = table_path(run, name, **parameters)
    try:
        return read_kept(path)
    except (OSError, ValueError) as error:
        given = f" of {', '.join(f'{k} {v}' for k, v in parameters.items())}" if parameters else ""
        why = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({line(error)})"
        raise MissingTableError(
            f"the table {name}{given} of {str(run.path)!r} {why}; `seviz analyse {run.path}` makes it"
        ) from error


def keep_table(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    """A table, computed if it was not before, and kept.

    Parameters
    ----------
    run, name, parameters
        As of `kept_table`.

    Raises
    ------
    WriteError
        If the run's directory cannot be written to.
    OptionError
        If there is no such table, or what its function raises.
    """
    try:
        return kept_table(run, name, **parameters)
    except MissingTableError:
        pass
    table = _made(run, name, **parameters)
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    write_atomically(table_path(run, name, **parameters), buffer.getvalue())
    return table


def table_of(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    """A table: the one that is kept, else computed, and not kept. Parameters and errors are those of its function."""
    try:
        return kept_table(run, name, **parameters)
    except MissingTableError:
        return _made(run, name, **parameters)


def _made(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    table: pd.DataFrame = TABLES[name].function(run, **parameters)
    return table


def analyse(run: Run, *, only: Sequence[str] | None = None) -> Iterator[Analysed]:
    """Compute the tables of a run, each with its default parameters, and keep them.

    Parameters
    ----------
    run
        A finished run.
    only
        Names of tables; by default those of `tables_of_run`.

    Yields
    ------
    Analysed
        After each table. Those that need what the run does not hold are left out, with the reason.

    Raises
    ------
    WriteError
        If the run's directory cannot be written to.
    OptionError
        If there is no such table.

    Examples
    --------
    >>> [each.name for each in seviz.analyse(run, only=["confusion", "saturation"])]
    ['confusion', 'saturation']
    """
    for name in only or tables_of_run():
        yield from one_by_one(partial(_analysed, run, name), run.blocks if TABLES[name].of_block else ("",))


def _analysed(run: Run, name: str, block: str) -> Analysed:
    parameters = {"block": block} if block else {}
    there = table_path(run, name, **parameters).is_file()
    if not there:
        check_directory(run.path / "tables")
    start, reason = time.perf_counter(), ""
    try:
        keep_table(run, name, **parameters)
    except MissingSignalError as error:
        reason = str(error)
    return Analysed(name, block, 0.0 if there else time.perf_counter() - start, reason)
