"""The depth profile: how class-specific, how decodable and how saturated gates are, on one axis of depth."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.errors import MissingSignalError, MissingTableError
from seviz.figures.album import Album, Drawing, run_names
from seviz.figures.blocks import axis_of_depth, say_unknown, whiskers
from seviz.figures.fonts import Sheet
from seviz.figures.labels import shortened
from seviz.figures.specificity import chance_level, share_limits, specificity_interval
from seviz.figures.style import COLOURS, FAINT, LINES, WIDTHS, Width, style
from seviz.registry import figure
from seviz.run.store import Run
from seviz.tables.kept import kept_table, table_of

_DECODED = ("accuracy", "accuracy_low", "accuracy_high", "accuracy_equal", "accuracy_squeeze", "chance")
_SATURATED = ("near_zero", "near_one")


def profile(
    specificity: pd.DataFrame,
    *,
    decoding: pd.DataFrame | None = None,
    saturation: pd.DataFrame | None = None,
    decoder: str | None = None,
    run: str = "",
) -> pd.DataFrame:
    """Put tables beside each other, block by block, as `depth_profile` draws them.

    Parameters
    ----------
    specificity, decoding, saturation
        From the functions of these names in `seviz.tables`, of one run.
    decoder
        Whose accuracy is taken; by default the last of the table, the strongest.
    run
        What to call the run where there are several; append their profiles with `pandas.concat`.

    Returns
    -------
    pandas.DataFrame
        One row a block: run, block, stage; omega_squared, low, high (over images, else over classes), omega_chance (see
        `seviz.figures.specificity.chance_level`); accuracy,
        accuracy_low, accuracy_high, accuracy_equal (at equal width), accuracy_squeeze (of the squeeze), chance;
        near_zero, near_one. NaN where a table was not given.
    """
    low, high, _ = specificity_interval(specificity)
    level, _ = chance_level(specificity)
    table = specificity[["block", "stage", "omega_squared"]].assign(run=run, low=low, high=high, omega_chance=level)
    table[[*_DECODED, *_SATURATED]] = np.nan
    if decoding is not None and len(decoding):
        decoder = decoder or str(decoding["decoder"].iloc[-1])
        rows = decoding[decoding["decoder"] == decoder].set_index("block")
        own, equal = rows[rows["width"] == "own"], rows[rows["width"] != "own"]
        gates, squeeze = own[own["signal"] != "squeeze"], own[own["signal"] == "squeeze"]
        for column, of, source in (
            ("accuracy", gates, "accuracy"),
            ("accuracy_low", gates, "low"),
            ("accuracy_high", gates, "high"),
            ("accuracy_equal", equal[equal["signal"] != "squeeze"], "accuracy"),
            ("accuracy_squeeze", squeeze, "accuracy"),
            ("chance", gates, "null"),
        ):
            table[column] = table["block"].map(of[source])
    if saturation is not None:
        by_block = saturation.set_index("block")
        for column in _SATURATED:
            table[column] = table["block"].map(by_block[column])
    first = ["run", "block", "stage", "omega_squared", "low", "high", "omega_chance"]
    result: pd.DataFrame = table[[*first, *_DECODED, *_SATURATED]]
    return result


def depth_profile(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw the profile of a run, or of several side by side.

    Parameters
    ----------
    table
        From `profile`, of one run or of several, which are drawn in its order.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        A column a run, with the same scales: share of variance between classes, accuracy of decoding, and shares of
        gates near 0 and 1. What no run has is left out.
    """
    runs = list(dict.fromkeys(table["run"]))
    parts = [_specificity]
    parts += [_decoding] * bool(table["accuracy"].notna().any())
    parts += [_saturation] * bool(table[list(_SATURATED)].notna().any(axis=None))
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 1.1 + 1.25 * len(parts)), layout="constrained")
        grid = figure.subplots(len(parts), len(runs), sharey="row", sharex="col", squeeze=False)
        for k, run in enumerate(runs):
            rows = table[table["run"] == run].reset_index(drop=True)
            for axes, part in zip(grid[:, k], parts, strict=True):
                part(axes, rows)
            inches = (WIDTHS[width] - (1.9 if width == "page" else 0.6)) / len(runs)
            axis_of_depth(list(grid[:, k]), rows, inches=inches)
            if run:
                grid[0, k].set_title(shortened(run, max(int(inches / 0.08), 8)), pad=14)
        _scale(list(grid[:, 0]), table)
        for axes, label in zip(grid[:, 0], _names(parts), strict=True):
            axes.set_ylabel(label)
        _legends(grid, width)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _specificity(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows.index, rows["omega_squared"], "-o", color=COLOURS[0], ms=3, label="between classes (ω²)")
    whiskers(axes, rows["omega_squared"], rows["low"], rows["high"], color=COLOURS[0], label="interval")
    axes.plot(rows.index, rows["omega_chance"], color=FAINT, ls=LINES[1], label="chance")
    say_unknown(axes, rows["omega_squared"])


def _decoding(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows.index, rows["accuracy"], "-o", color=COLOURS[1], ms=3, label="all channels")
    whiskers(axes, rows["accuracy"], rows["accuracy_low"], rows["accuracy_high"], color=COLOURS[1], label="interval")
    lines: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("accuracy_equal", "equal width", {"color": COLOURS[2], "ls": LINES[2], "lw": 1.3}),
        ("accuracy_squeeze", "of the squeeze", {"color": COLOURS[3], "ls": LINES[3]}),
        ("chance", "chance", {"color": FAINT, "ls": LINES[1]}),
    )
    for column, label, look in lines:
        if rows[column].notna().any():
            axes.plot(rows.index, rows[column], **look, label=label)


def _saturation(axes: Axes, rows: pd.DataFrame) -> None:
    axes.plot(rows.index, rows["near_zero"], "-v", color=COLOURS[0], ms=3, label="near 0 (below 0.05)")
    axes.plot(rows.index, rows["near_one"], "-^", color=COLOURS[5], ms=3, label="near 1 (above 0.95)")


def _names(parts: Sequence[Any]) -> list[str]:
    names = {
        _specificity: "share of variance\nof the excitation",
        _decoding: "class read off\n(accuracy)",
        _saturation: "share of gates",
    }
    return [names[part] for part in parts]


def _scale(panels: Sequence[Axes], table: pd.DataFrame) -> None:
    """Shares reach from 0 to 1, but for those of saturated gates, which may all be small."""
    panels[0].set_ylim(*share_limits(table))
    for axes in panels[1:]:
        axes.set_ylim(0, 1)
    near = [*table["near_zero"].dropna(), *table["near_one"].dropna()]
    if near:
        panels[-1].set_ylim(0, min(1.05, max(1.15 * max(near), 0.1)))


def _legends(grid: Any, width: Width) -> None:
    """Of all runs' lines, beside the last panel of each row where there is room, else within it."""
    for row in grid:
        lines = {label: line for axes in row for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        options = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if width == "page" else {"fontsize": 5.5}
        row[-1].legend(list(lines.values()), list(lines), **options)


@figure(
    title="Profile of the blocks by depth",
    caption=(
        "Block by block in order of depth: the share of the gates' variance that lies between classes; how often "
        "the class of an image is read off the gates of that block alone; and the shares of gates near 0 and near "
        "1."
    ),
    order=4,
    tables=("specificity", "saturation", "decoding"),
    takes=("other",),
    leads=True,
)
def depth(album: Album, name: str) -> Iterator[Drawing]:
    """Draw it of an album."""
    runs = [album.run] if album.other is None else [album.run, album.other]
    called = ("",) if album.other is None else run_names(album.run, album.other)
    profiles = []
    for run, run_name in zip(runs, called, strict=True):
        specificity = replace(album, run=run).specificity
        saturation = table_of(run, "saturation")
        profiles.append(profile(specificity, decoding=_kept_decoding(run), saturation=saturation, run=run_name))
    table = pd.concat(profiles, ignore_index=True)
    yield Drawing(name, depth_profile(table, **album.look), table)


def _kept_decoding(run: Run) -> pd.DataFrame | None:
    """The table that is kept; else one that takes seconds; None without gates."""
    try:
        return kept_table(run, "decoding")
    except MissingTableError:
        pass
    try:
        return table_of(run, "decoding", decoders=["discriminant"])
    except MissingSignalError:
        return None
