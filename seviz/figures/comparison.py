"""Two runs, block by block: how far their gates shift, what becomes of specificity, and where gates collapse."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.figures.album import Album, Drawing, LeftOut, run_names
from seviz.figures.blocks import axis_of_depth, whiskers
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entries, entry
from seviz.figures.style import COLOURS, FAINT, WIDTHS, Width, style
from seviz.registry import figure
from seviz.run.pairing import Match, pair_runs
from seviz.tables.compare import compare

ALARM = "#B00020"


def shift_by_depth(
    table: pd.DataFrame, *, names: tuple[str, str] = ("one", "other"), width: Width = "page", remark: str = ""
) -> Figure:
    """Draw how two runs differ.

    Parameters
    ----------
    table
        From `seviz.tables.compare.compare`.
    names
        Of its two runs.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Above: shift between the mean gates of a class, and change of all gates, with intervals. Then omega squared of
        both, the change with its interval between them. Beneath: standard deviation over all images of both; a cross
        and the name of the run mark gates that have collapsed to a constant.
    """
    x, names = np.arange(len(table)), (entry(names[0]), entry(names[1]))
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 4.6), layout="constrained")
        shift, share, size = panels = list(figure.subplots(3, 1, sharex=True))

        whiskers(shift, table["shift"], table["low"], table["high"], color=COLOURS[0], label="_")
        shift.plot(x, table["shift"], "o", color=COLOURS[0], ms=3.5, label="of a class (root mean square)")
        bounds = table["difference_low"], table["difference_high"]
        whiskers(shift, table["difference"], *bounds, color=COLOURS[1], label="_")
        shift.plot(x, table["difference"], "D", color=COLOURS[1], ms=3, mfc="white", label="mean, with its sign")
        shift.axhline(0, color=FAINT, lw=0.7)
        shift.set_ylabel("shift of the\nexcitation")
        shift.set_ylim(*_limits([*table["shift"], *table["difference"]]))

        share.plot(x, table["omega_squared_one"], "-o", color=FAINT, ms=3, mfc="white", label=names[0])
        share.plot(x, table["omega_squared_other"], "-o", color=COLOURS[0], ms=3, label=names[1])
        reach = (table["omega_squared_one"] + table[column] for column in ("change_low", "change_high"))
        whiskers(share, table["omega_squared_other"], *reach, color=COLOURS[0], label="interval of the change")
        share.set_ylabel("share of variance\nbetween classes (ω²)")
        least = np.nanmin([*table["omega_squared_one"], *table["omega_squared_other"], 0])
        share.set_ylim(min(1.1 * least, -0.05), 1)

        size.plot(x, table["std_total_one"], "-s", color=FAINT, ms=3, mfc="white", label=names[0])
        size.plot(x, table["std_total_other"], "-s", color=COLOURS[2], ms=3, label=names[1])
        top = 1.35 * np.nanmax([*table["std_total_one"], *table["std_total_other"], 1e-3])
        size.set_ylim(-0.04 * top, top)
        size.set_ylabel("standard deviation\nof the excitation")
        _alarms(size, table, names)

        axis_of_depth(panels, table, inches=WIDTHS[width] - (2.1 if width == "page" else 0.6))
        for axes in panels:
            if width == "page":
                axes.legend(*entries(axes), loc="center left", bbox_to_anchor=(1.0, 0.5))
            else:
                axes.legend(*entries(axes), loc="best", fontsize=5.5)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis with room for intervals about as long as the values are large, whose ends do not count."""
    low, high = np.nanmin([*values, 0]), np.nanmax([*values, 0])
    room = 0.6 * (high - low) or 1.0
    return float(low - room), float(high + room)


def _alarms(axes: Axes, table: pd.DataFrame, names: tuple[str, str]) -> None:
    """A cross on each value of a run whose gates have collapsed, and a line of the legend that says so."""
    marked: list[tuple[int, float]] = []
    for which, column in (("one", "std_total_one"), ("other", "std_total_other")):
        collapsed = np.flatnonzero(table["collapsed"].isin([which, "both"]))
        marked += [(int(k), float(table[column].iloc[k])) for k in collapsed]
    if not marked:
        return
    runs = [
        name
        for name, which in zip(names, ("one", "other"), strict=True)
        if table["collapsed"].isin([which, "both"]).any()
    ]
    x, y = zip(*marked, strict=True)
    axes.plot(x, y, "x", color=ALARM, ms=6, mew=1.4, ls="", label=f"collapsed ({' and '.join(runs)})", zorder=5)


@figure(
    title="What differs from the second run",
    order=12,
    needs=("other",),
    takes=("other",),
)
def comparison(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    if album.other is None:
        yield LeftOut(name, "it takes a second run, --against RUN")
        return
    match: Match = "path" if pair_runs(album.run, album.other).pairs else "position"
    table = compare(album.run, album.other, match=match)
    names = run_names(album.run, album.other)
    yield Drawing(name, shift_by_depth(table, names=names, **album.look), table)
