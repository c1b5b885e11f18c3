"""Whether images are enough: how far two samples agree, the more images of each class they have."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seviz.errors import OptionError
from seviz.figures.album import Album, Drawing, LeftOut
from seviz.figures.blocks import say_unknown
from seviz.figures.fonts import Sheet
from seviz.figures.style import COLOURS, INK, LINES, MARKERS, WIDTHS, Width, style
from seviz.registry import figure
from seviz.stats.reliability import RELIABLE, SPREAD
from seviz.tables.kept import table_of

_PANELS = (
    ("mean_order", "order of channels\nby mean of a class", "rank correlation\n(by mean of a class)", RELIABLE),
    ("omega_order", "order of channels\nby specificity", "rank correlation\n(by specificity)", RELIABLE),
    ("omega_squared_std", "standard deviation\nof the block's ω²", "standard deviation\nof the block's ω²", SPREAD),
)


def convergence_curves(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw a curve per block, against the images per class that a sample has.

    Parameters
    ----------
    table
        From `seviz.tables.convergence_by_size.convergence_by_size`.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Rank correlation between two samples of the excitation of channels, of their class means and of their
        specificity; and how much the block's omega squared differs. One colour a stage. The dashed line is the
        threshold of `seviz.tables.convergence.stability`; the side on which figures are stable is shaded.

    Raises
    ------
    OptionError
        If the table has no rows, as where no class has two images.
    """
    if table.empty:
        raise OptionError("table has no rows, expected a size for which some class has images enough")
    stages = list(dict.fromkeys(table["stage"]))
    beside = width == "page"
    with style():
        size = (WIDTHS[width], 2.6 if beside else 5.4)
        figure = Sheet(figsize=size, layout="constrained")
        panels = figure.subplots(1, 3) if beside else figure.subplots(3, 1, sharex=True)
        for axes, (column, title, label, threshold) in zip(panels, _PANELS, strict=True):
            for block, rows in table.groupby("block", sort=False):
                k = stages.index(rows["stage"].iloc[0])
                colour, dashes, marker = (each[k % len(each)] for each in (COLOURS, LINES, MARKERS))
                axes.plot(rows["size"], rows[column], color=colour, ls=dashes, marker=marker, ms=2, lw=0.8, label=block)
            axes.set_xscale("log")
            say_unknown(axes, table[column])
            sizes = sorted(set(table["size"]))
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.set_xlim(0.85 * sizes[0], 1.18 * sizes[-1])
            if threshold == RELIABLE:
                axes.set_ylim(1.1 * np.nanmin([*table["mean_order"], *table["omega_order"], 0]), 1.02)
            else:
                axes.set_ylim(0, np.nanmax([*(1.1 * table[column]), 2 * SPREAD]))
            low, high = axes.get_ylim()
            axes.axhspan(*((threshold, high) if threshold == RELIABLE else (low, threshold)), color="#F2F2F2", lw=0)
            axes.axhline(threshold, color=INK, lw=0.7, ls=(0, (4, 1.5)))
            if beside:
                axes.set_title(title, fontsize=7, fontweight="normal")
            else:
                axes.set_ylabel(label)
        if beside:
            panels[0].set_ylabel("rank correlation\nof two samples")
        figure.supxlabel("images of each class in a sample" + (f"\n{remark}" if remark else ""), fontsize=7)
        of_stage: dict[str, Line2D] = {}
        for line in panels[0].get_lines()[: table["block"].nunique()]:
            stage = table.loc[table["block"] == line.get_label(), "stage"].iloc[0]
            of_stage.setdefault(f"stage {stage}", line)
        threshold_line = panels[0].get_lines()[-1]
        handles, labels = [*of_stage.values(), threshold_line], [*of_stage, "stable from here"]
        columns = len(labels) if beside else 3
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=2.8)
    return figure


@figure(
    title="Whether there are images enough",
    caption=(
        "How far two samples of the images agree, the more images of each class they have: on the order of "
        "channels by the mean gate of a class, on their order by class specificity, and on the class specificity "
        "of the block. In the shaded part they are stable."
    ),
    order=11,
    tables=("convergence_by_size",),
    needs=("gates",),
    cost="gates",
)
def convergence(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    table = table_of(album.run, "convergence_by_size")
    if table.empty:
        yield LeftOut(name, "no class has the two images that samples take at least")
    else:
        yield Drawing(name, convergence_curves(table, **album.look), table)
