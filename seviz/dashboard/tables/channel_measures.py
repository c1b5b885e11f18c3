"""What is said of one channel in words and figures: which classes it favours, and what tables of channels say of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seviz.dashboard.escaping import escaped
from seviz.numerals import decimals
from seviz.run.store import Run

MEASURES = ("specificity_by_channel", "selectivity", "saturation_by_channel")
"""Tables of channels."""


@dataclass(frozen=True)
class Measure:
    """A figure with a word on what it means."""

    label: str
    figure: str
    says: str


def preferences(table: pd.DataFrame, number: int = 3) -> str:
    """The classes that a channel favours and avoids most, Markdown."""
    ranked = table.dropna(subset="difference").sort_values("difference", ascending=False, kind="stable")
    parts = []
    for verb, some in (
        ("Favours", ranked[ranked["difference"] > 0].head(number)),
        ("Avoids", ranked[ranked["difference"] < 0].tail(number)[::-1]),
    ):
        listed = (f"{escaped(row['name'])} ({escaped(signed(row['difference']))})" for _, row in some.iterrows())
        if len(some):
            parts.append(f"**{verb}** {', '.join(listed)}.")
    if not parts:
        return "It favours no class: its gate is the same for all images, or no class has two of them."
    return " ".join([*parts, "In brackets d′, the difference to all other images in standard deviations."])


def signed(value: float, decimals: int = 1) -> str:
    """A difference with its sign."""
    if np.isinf(value):
        return "+∞" if value > 0 else "−∞"
    return f"{value:+.{decimals}f}".replace("-", "−")


def measures(run: Run, block: str, channel: int, tables: Mapping[str, pd.DataFrame]) -> Iterator[Measure]:
    """What tables of channels say of one, as far as they are there.

    Parameters
    ----------
    run, block, channel
        Which channel.
    tables
        Those of `MEASURES`, by name.
    """
    rows = {name: _row(table, block, channel) for name, table in tables.items()}
    channels = run.block(block).channels
    if "specificity_by_channel" in rows:
        row, place = rows["specificity_by_channel"]
        if pd.notna(row["omega_squared"]):
            interval = f" (95 % interval {row['low']:.1%} to {row['high']:.1%})" if pd.notna(row["low"]) else ""
            yield Measure(
                "Between classes",
                f"{row['omega_squared']:.1%}",
                f"of the variance of its gate lies between classes{interval}; 0 % if classes made no difference."
                f" Rank {place} of {channels} in {block}.",
            )
        else:
            yield Measure("Between classes", "none", "Its gate does not vary, or no class has two images.")
    if "selectivity" in rows:
        row, place = rows["selectivity"]
        if pd.notna(row["d_prime"]):
            yield Measure(
                "d′ of the best class",
                signed(row["d_prime"]),
                f"standard deviations from all other images to {escaped(str(row['best_class_name']))}; the best class"
                f" has {row['d_prime_null']:.1f} by chance. Rank {place} of {channels}.",
            )
        elif row["best_class"]:
            yield Measure(
                "d′ of the best class",
                "∞",
                f"It varies neither within {escaped(str(row['best_class_name']))} nor over all other images, only"
                " between the two.",
            )
        if pd.notna(row["selectivity_index"]):
            yield Measure(
                "Selectivity index",
                f"{row['selectivity_index']:.2f}",
                f"0: the mean gate of all classes is the same, 1: it opens for one only;"
                f" {row['selectivity_index_null']:.2f} by chance.",
            )
        if pd.notna(row["mutual_information"]):
            most = 1.0 if run.labels.ndim == 2 else float(np.log2(max(len(run.classes), 1)))
            yield Measure(
                "Information",
                f"{max(row['mutual_information'], 0):.2f} bits",
                f"that the gate tells of the class, of {most:.1f} at most.",
            )
    if "saturation_by_channel" in rows:
        row, _ = rows["saturation_by_channel"]
        yield Measure(
            "Mean gate",
            decimals(row["mean"], 3),
            f"over all images, with a standard deviation of {decimals(row['std'], 3)}.",
        )
        if pd.notna(row["near_zero"]) and pd.notna(row["near_one"]):
            stuck = "always shut" if row["always_off"] else "always open" if row["always_on"] else ""
            yield Measure(
                "Near 0 or 1",
                f"{row['near_zero'] + row['near_one']:.1%}",
                f"of images shut the gate ({row['near_zero']:.1%}) or leave it open ({row['near_one']:.1%})"
                + (f": it is {stuck}." if stuck else "."),
            )


def _row(table: pd.DataFrame, block: str, channel: int) -> tuple[pd.Series, int]:
    """The row of a channel, and its place among those of its block."""
    of_block = table[table["block"] == block].reset_index(drop=True)
    place = int(np.flatnonzero((of_block["channel"] == channel).to_numpy())[0])
    return of_block.iloc[place], place + 1
