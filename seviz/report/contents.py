"""What a report shows of a run: its tables, and for those that cannot be had, why; its headlines."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from seviz.errors import MissingSignalError, MissingTableError
from seviz.report.headlines import (
    convergence_in_words,
    decoding_in_words,
    most_specific_in_words,
    redundancy_in_words,
    saturation_in_words,
    specificity_in_words,
)
from seviz.run.store import Run
from seviz.tables.kept import keep_table, kept_table, table_of

TABLES = (
    "specificity",
    "specificity_by_channel",
    "specificity_by_class",
    "selectivity",
    "saturation",
    "decoding",
    "redundancy",
    "convergence",
    "saturation_by_channel",
    "convergence_by_size",
)
"""Those that are shown, and those that figures are drawn from."""


@dataclass(frozen=True)
class Headline:
    """A sentence or some, and what it is about."""

    topic: str
    sentence: str


@dataclass(frozen=True)
class Contents:
    """What a report shows.

    Attributes
    ----------
    tables
        By name.
    missing
        Why a table cannot be had, by its name.
    headlines
        The most important first; never none.
    """

    tables: Mapping[str, pd.DataFrame]
    missing: Mapping[str, str]
    headlines: tuple[Headline, ...]


def gather(run: Run, tell: Callable[[str], None] | None = None) -> Contents:
    """Read the tables of a run, compute and keep those that are not there, and put them into words.

    Parameters
    ----------
    run
        A finished run.
    tell
        Called with the name of each table before it is computed.
    """
    tables, missing = {}, {}
    for name in TABLES:
        try:
            tables[name] = _table(run, name, tell)
        except MissingSignalError as error:
            missing[name] = str(error)
    return Contents(tables, missing, _headlines(run, tables, missing))


def _table(run: Run, name: str, tell: Callable[[str], None] | None) -> pd.DataFrame:
    """A table as it is kept, or else computed, and kept where the run can be written to."""
    try:
        return kept_table(run, name)
    except MissingTableError:
        if tell is not None:
            tell(f"computing {name}")
    return keep_table(run, name) if os.access(run.path, os.W_OK) else table_of(run, name)


def _headlines(run: Run, tables: Mapping[str, pd.DataFrame], missing: Mapping[str, str]) -> tuple[Headline, ...]:
    trained = run.manifest.model.trained
    several = run.manifest.data.labels == "multi"
    top1 = None if run.accuracy is None else run.accuracy.top1
    words: dict[str, tuple[str, list[Callable[[pd.DataFrame], str]]]] = {
        "specificity": (
            "Class specificity",
            [
                lambda table: specificity_in_words(table, trained=trained, several=several),
                lambda table: most_specific_in_words(table, trained=trained),
            ],
        ),
        "decoding": (
            "Class read off the gates",
            [lambda table: decoding_in_words(table, trained=trained, top1=top1)],
        ),
        "saturation": ("Saturation", [saturation_in_words]),
        "redundancy": ("Redundancy", [redundancy_in_words]),
        "convergence": ("Number of images", [convergence_in_words]),
    }
    said = [
        Headline(topic, sentence)
        for name, (topic, functions) in words.items()
        if name in tables
        for sentence in (function(tables[name]) for function in functions)
        if sentence
    ]
    for reason in dict.fromkeys(missing[name] for name in words if name in missing):
        topics = [topic for name, (topic, _) in words.items() if missing.get(name) == reason]
        said.append(Headline(", ".join([topics[0], *map(str.lower, topics[1:])]), f"Not known: {reason.rstrip('.')}."))
    return tuple(said)
