"""What the compare page shows of two runs, as tables and sentences: what belongs together, and what has shifted."""

from typing import Any

import numpy as np
import pandas as pd

from seviz.run.pairing import Match, Pairing, pair_runs
from seviz.run.store import Run


def profiles(
    one: pd.DataFrame, other: pd.DataFrame, *, names: tuple[str, str], pairing: Pairing
) -> tuple[list[str], pd.DataFrame]:
    """Specificity tables of two runs as one, blocks that belong together at one place.

    Returns
    -------
    order
        The places in the order of depth: names of the blocks of `one`; and of those of `other` without counterpart,
        each behind the block that it follows, with the name of the other run where the name alone is taken.
    table
        Columns run, block, place, omega_squared, low, high.
    """
    order = [str(block) for block in one["block"]]
    taken, places, after = set(order), list[str](), 0
    for block in map(str, other["block"]):
        place = pairing.one_of(block)
        if place is None:
            place = f"{block} ({names[1]})" if block in taken else block
            order.insert(after, place)
        after = order.index(place) + 1
        places.append(place)
    tables = [
        table.reset_index(drop=True).assign(run=name, place=at)
        for table, name, at in zip((one, other), names, (list(map(str, one["block"])), places), strict=True)
    ]
    return order, pd.concat(tables, ignore_index=True)[["run", "block", "place", "omega_squared", "low", "high"]]


def gates_of_both(one: Any, other: Any, ids: list[str]) -> pd.DataFrame:
    """Mean gates of a block in two runs.

    Parameters
    ----------
    one, other
        As of `run[block]`, with as many channels.
    ids
        Of classes that both have.

    Returns
    -------
    pandas.DataFrame
        Columns class (its id), channel, one, other. Classes without images on either side are left out.
    """
    first, second = (data["mean"].sel({"class": ids}).to_numpy() for data in (one, other))
    there = np.isfinite(first).all(1) & np.isfinite(second).all(1)
    channels = first.shape[1]
    return pd.DataFrame(
        {
            "class": np.repeat(np.array(ids, dtype=object)[there], channels),
            "channel": np.tile(np.arange(channels), int(there.sum())),
            "one": first[there].ravel(),
            "other": second[there].ravel(),
        }
    )


def counterpart(one: Run, other: Run, block: str, match: Match) -> str | None:
    """The block of another run that belongs to one, None if there is none."""
    return pair_runs(one, other, match=match).other_of(block)


def shared_classes(one: Run, other: Run) -> int:
    """How many classes both runs know, by their ids."""
    return len(set(one.classes.ids) & set(other.classes.ids))


def cost(one: Run, other: Run) -> int:
    """How many class means a comparison looks at: those of the classes in common."""
    return shared_classes(one, other) * max(sum(b.channels for b in run.manifest.blocks) for run in (one, other))


def nothing_shifts(table: pd.DataFrame) -> str:
    """Why a comparison has no shift, a sentence."""
    if not table["classes"].any():
        return "The runs have images of no class in common, by its id: no shift of a class can be told."
    return "No two blocks have as many channels, and two images of a class in each run: no shift can be told."


def in_words(table: pd.DataFrame) -> str:
    """Where gates have shifted most, a sentence; empty where no shift is known."""
    known = table.dropna(subset=["shift"])
    if known.empty:
        return ""
    place, shift = int(known["shift"].argmax()), float(known["shift"].max())
    if not shift > 0:
        return "No block has shifted by more than chance makes."
    return f"{known['block'].iloc[place]} has shifted most, by {shift:.3f}."
