"""What the channel page draws, as tables: one channel by class and by image, and the channels that move with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from seviz.run.store import Run
from seviz.stats.ordering import first
from seviz.tables.channel_by_class import of_channel
from seviz.texts import visible

TICKS = 1_500
"""Images that are drawn one by one at most."""


@dataclass(frozen=True)
class Images:
    """The images whose gates are kept, without those that failed.

    Attributes
    ----------
    gates
        Of the block, (kept image, channel).
    rows
        Their rows of it, (image).
    samples
        Their rows of `run.samples`, (image).
    """

    gates: NDArray[np.float32]
    rows: NDArray[np.int64]
    samples: NDArray[np.int64]

    def of(self, channel: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The gates of a channel that are finite, and the rows of `run.samples` they are of."""
        values = self.gates[self.rows, channel]
        finite = np.isfinite(values)
        return values[finite], self.samples[finite]


def by_class(
    block: xr.Dataset, differences: NDArray[np.float64], channel: int, names: Mapping[str, str]
) -> pd.DataFrame:
    """One channel by class, those with images, by falling mean.

    Parameters
    ----------
    block
        As of `read_block`.
    differences
        d' of each class against the rest, (class, channel).
    channel
        Which.
    names
        Of classes, by id.

    Returns
    -------
    pandas.DataFrame
        class (id), name, label (number), images, mean, std, min, max, difference.
    """
    table = of_channel(block, differences, channel)
    return table.assign(name=table["class"].map(names))


def ends(table: pd.DataFrame, each: int, also: Sequence[str] = ()) -> pd.DataFrame:
    """The first and the last rows of a table of classes, and those of some ids, in its order."""
    place = np.arange(len(table))
    chosen = (place < each) | (place >= len(table) - each) | table["class"].isin(list(also)).to_numpy()
    return table[chosen].reset_index(drop=True)


def spread_of_images(
    table: pd.DataFrame, values: NDArray[np.floating], labels: NDArray[Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How a gate is spread in each class, by single images.

    Parameters
    ----------
    table
        Of classes.
    values
        Of images, (image).
    labels
        The class of each, (image); or whether it is of each, (image, class).

    Returns
    -------
    spread
        The table with low, lower, middle, upper, high: quantiles 5, 25, 50, 75 and 95 %. Without classes of which no
        image is there.
    ticks
        name and gate of at most `TICKS` images, of each class the same share, evenly through its order.
    """
    members = [values[labels == label] if labels.ndim == 1 else values[labels[:, label]] for label in table["label"]]
    total = sum(map(len, members))
    step = max(-(-total // TICKS), 1)
    quantiles = [
        np.quantile(some, (0.05, 0.25, 0.5, 0.75, 0.95)) if len(some) else np.full(5, np.nan) for some in members
    ]
    columns = pd.DataFrame(np.reshape(quantiles, (-1, 5)), columns=["low", "lower", "middle", "upper", "high"])
    spread = pd.concat([table.reset_index(drop=True), columns], axis=1).dropna(subset="middle")
    drawn = [np.sort(some)[::step] for some in members]
    ticks = pd.DataFrame(
        {
            "name": np.repeat(table["name"].to_numpy(object), [len(some) for some in drawn]),
            "gate": np.concatenate([*drawn, np.empty(0)]).astype(float),
        }
    )
    return spread, ticks


def spread_of_moments(table: pd.DataFrame) -> pd.DataFrame:
    """The same by moments: low and high are the extremes, lower and upper a standard deviation from the mean."""
    std = table["std"].fillna(0.0)
    return table.assign(
        low=table["min"],
        lower=np.maximum(table["mean"] - std, table["min"]),
        middle=table["mean"],
        upper=np.minimum(table["mean"] + std, table["max"]),
        high=table["max"],
    )


def extremes(values: NDArray[np.floating], number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which values are the greatest and which the least, the greatest and the least first."""
    return first(-values[:, None], number)[:, 0], first(values[:, None], number)[:, 0]


def from_table(
    run: Run, table: pd.DataFrame, channel: int, kind: str
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Rows of `run.samples` and values of the images that the table `channels` names, by falling rank."""
    some = table[(table["channel"] == channel) & (table["kind"] == kind)].sort_values("rank")
    paths = run.samples["path"]
    places = paths[paths.isin(some["path"])].drop_duplicates()
    rows = some["path"].map(pd.Series(places.index, index=places.to_numpy()))
    known = rows.notna().to_numpy()
    return rows[known].to_numpy(np.int64), some["value"].to_numpy(float)[known]


def outcome(run: Run, row: int) -> str:
    """What an image was taken for, in a word or two; empty where that is not known."""
    sample = run.samples.iloc[row]
    if pd.isna(sample["correct"]):
        return ""
    if sample["correct"]:
        return "right"
    model = run.manifest.model
    names = dict(zip(model.class_ids or (), model.class_names or (), strict=False))
    return visible(f"taken for {names.get(str(sample['predicted']), sample['predicted'])}")


def classes_of(run: Run, row: int, names: Mapping[str, str]) -> str:
    """The class of an image, or its classes."""
    own = run.labels[row]
    labels = np.flatnonzero(own) if run.labels.ndim == 2 else [own]
    return ", ".join(names[run.classes.ids[label]] for label in labels) or "no class"
