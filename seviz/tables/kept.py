"""Tables of a run, computed once and kept in its directory: what `seviz analyse` makes, report and dashboard read.

A table lies in `tables/` under its name and a fingerprint of the run, the parameters, the version of seviz and the
edition of its tables, so that one that would come out otherwise today is not found.
"""

import hashlib
import inspect
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from seviz.errors import MissingSignalError, MissingTableError, OptionError
from seviz.foreign import line
from seviz.run.files import write_atomically
from seviz.run.parquet import read_kept
from seviz.run.places import check_directory
from seviz.run.store import Run
from seviz.stats.parallel import one_by_one
from seviz.tables.agreement import AGREEMENT, agreement
from seviz.tables.channels import CHANNELS, channels
from seviz.tables.cka import CKA, cka
from seviz.tables.columns import Ranges
from seviz.tables.confusion import CONFUSION_OF_CLASSES, confusion
from seviz.tables.convergence import CONVERGENCE, convergence
from seviz.tables.convergence_by_size import CONVERGENCE_BY_SIZE, convergence_by_size
from seviz.tables.decoding import DECODING, decoding
from seviz.tables.principal_components import PRINCIPAL_COMPONENTS, principal_components
from seviz.tables.redundancy import REDUNDANCY, redundancy
from seviz.tables.redundant_channels import REDUNDANT_CHANNELS, redundant_channels
from seviz.tables.saturation import SATURATION, saturation
from seviz.tables.saturation_by_channel import SATURATION_BY_CHANNEL, saturation_by_channel
from seviz.tables.selectivity import SELECTIVITY, selectivity
from seviz.tables.similarity import SIMILARITY, similarity
from seviz.tables.specificity import SPECIFICITY, specificity
from seviz.tables.specificity_by_channel import SPECIFICITY_BY_CHANNEL, specificity_by_channel
from seviz.tables.specificity_by_class import SPECIFICITY_BY_CLASS, specificity_by_class
from seviz.tables.specificity_by_outcome import SPECIFICITY_BY_OUTCOME, specificity_by_outcome

OF_RUN: dict[str, Callable[..., pd.DataFrame]] = {
    "specificity": specificity,
    "specificity_by_channel": specificity_by_channel,
    "specificity_by_class": specificity_by_class,
    "specificity_by_outcome": specificity_by_outcome,
    "selectivity": selectivity,
    "saturation": saturation,
    "saturation_by_channel": saturation_by_channel,
    "redundancy": redundancy,
    "decoding": decoding,
    "convergence": convergence,
    "convergence_by_size": convergence_by_size,
    "agreement": agreement,
    "confusion": confusion,
    "cka": cka,
}
"""Tables of a whole run."""

OF_BLOCK: dict[str, Callable[..., pd.DataFrame]] = {
    "channels": channels,
    "similarity": similarity,
    "redundant_channels": redundant_channels,
    "principal_components": principal_components,
}
"""Tables of one block, whose name is one more parameter, `block`."""

RANGES: dict[str, Ranges] = {
    "specificity": SPECIFICITY,
    "specificity_by_channel": SPECIFICITY_BY_CHANNEL,
    "specificity_by_class": SPECIFICITY_BY_CLASS,
    "specificity_by_outcome": SPECIFICITY_BY_OUTCOME,
    "selectivity": SELECTIVITY,
    "saturation": SATURATION,
    "saturation_by_channel": SATURATION_BY_CHANNEL,
    "redundancy": REDUNDANCY,
    "decoding": DECODING,
    "convergence": CONVERGENCE,
    "convergence_by_size": CONVERGENCE_BY_SIZE,
    "agreement": AGREEMENT,
    "confusion": CONFUSION_OF_CLASSES,
    "cka": CKA,
    "channels": CHANNELS,
    "similarity": SIMILARITY,
    "redundant_channels": REDUNDANT_CHANNELS,
    "principal_components": PRINCIPAL_COMPONENTS,
}
"""Between which numbers the columns of each table lie; see `seviz.tables.columns`."""
EDITION = 2
"""Counted up where a table comes out otherwise than before, within one version of seviz."""


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
    """Where a table lies, or would; raises OptionError if there is none of that name."""
    if name not in OF_RUN and name not in OF_BLOCK:
        raise OptionError(f"no table {name!r}; expected one of {', '.join([*OF_RUN, *OF_BLOCK])}")
    if (name in OF_BLOCK) != ("block" in parameters):
        raise OptionError(f"{name} is a table of {'one block: give it' if name in OF_BLOCK else 'the whole run'}")
    usual = inspect.signature((OF_RUN | OF_BLOCK)[name]).parameters
    odd = {key: value for key, value in parameters.items() if key not in usual or value != usual[key].default}
    of = [run.manifest.to_json(), metadata.version("seviz"), EDITION, name, odd]
    digest = hashlib.sha256(json.dumps(of, sort_keys=True, default=str).encode()).hexdigest()
    block = f"-{parameters['block']}" if "block" in parameters else ""
    return run.path / "tables" / f"{name}{block}-{digest[:12]}.parquet"


def kept_table(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    """A table that was computed before.

    Parameters
    ----------
    run
        A finished run.
    name
        One of `OF_RUN` or `OF_BLOCK`.
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
    table = (OF_RUN | OF_BLOCK)[name](run, **parameters)
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    write_atomically(table_path(run, name, **parameters), buffer.getvalue())
    return table


def table_of(run: Run, name: str, **parameters: Any) -> pd.DataFrame:
    """A table: the one that is kept, else computed, and not kept. Parameters and errors are those of its function."""
    if isinstance(parameters.get("other"), Run):
        return OF_RUN[name](run, **parameters)
    try:
        return kept_table(run, name, **parameters)
    except MissingTableError:
        return (OF_RUN | OF_BLOCK)[name](run, **parameters)


def analyse(run: Run, *, only: Sequence[str] | None = None) -> Iterator[Analysed]:
    """Compute the tables of a run, each with its default parameters, and keep them.

    Parameters
    ----------
    run
        A finished run.
    only
        Names of tables; by default all.

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
    """
    names = list(only or [*OF_RUN, *OF_BLOCK])
    for name in names:
        yield from one_by_one(partial(_analysed, run, name), run.blocks if name in OF_BLOCK else ("",))


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
