"""The paper's figure: mean excitation by class and depth."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.figures.album import Album, Drawing
from seviz.figures.blocks import limits_of_gates, say_unknown
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entries, entry, legend_columns
from seviz.figures.style import COLOURS, INK, LINES, WIDTHS, Width, style
from seviz.registry import figure

_REST = "all classes"


def excitation_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw a panel per block: mean excitation of each class over the channels, and the mean over all classes.

    Parameters
    ----------
    table
        From `seviz.tables.excitation.excitation`.
    width
        "page" or "column" of a paper.
    remark
        A line beneath, such as that the weights are untrained.

    Returns
    -------
    matplotlib.figure.Figure
        x: the channels of the table side by side, ticks telling their index; y: excitation, in [0, 1] unless
        gates leave it.
    """
    with style():
        figure, panels = panels_by_block(table, width, remark)
        for block, axes in panels.items():
            rows = table[table["block"] == block]
            everyone = rows[rows["class"] == _REST]
            x = range(len(everyone))
            axes.plot(x, everyone["mean"], color=INK, lw=1.6, alpha=0.35, label="mean of all classes")
            for k, (class_id, name) in enumerate(classes_of(table)):
                axes.plot(x, rows.loc[rows["class"] == class_id, "mean"], **look_of(k), label=entry(name))
        legend_of_classes(figure, width)
    return figure


def classes_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Id and name of each class, in the order of the table, without the mean of all."""
    pairs = table.loc[table["class"] != _REST, ["class", "class_name"]].drop_duplicates()
    return list(pairs.itertuples(index=False, name=None))


def look_of(k: int) -> dict[str, Any]:
    return {"color": COLOURS[k % len(COLOURS)], "ls": LINES[k % len(LINES)], "lw": 1.0}


def panels_by_block(table: pd.DataFrame, width: Width, remark: str) -> tuple[Figure, dict[str, Axes]]:
    blocks = list(table["block"].unique())
    columns = min(len(blocks), 3 if width == "page" else 2)
    rows = math.ceil(len(blocks) / columns)
    figure = Sheet(figsize=(WIDTHS[width], 0.55 + 1.45 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    limits = limits_of_gates(table["mean"])
    if limits != (0, 1):
        limits = limits_of_gates(table["mean"] - table["std"].fillna(0), table["mean"] + table["std"].fillna(0))
    panels = {}
    for k, axes in enumerate(grid.flat):
        if k >= len(blocks):
            axes.remove()
            continue
        channels = table.loc[table["block"] == blocks[k], "channel"].unique()
        ticks = sorted({round(k * (len(channels) - 1) / 5) for k in range(6)})
        axes.set_title(blocks[k])
        axes.set_ylim(*limits)
        say_unknown(axes, table.loc[table["block"] == blocks[k], "mean"])
        axes.set_xlim(-0.5, len(channels) - 0.5)
        axes.set_xticks(ticks, [str(channels[tick]) for tick in ticks])
        panels[blocks[k]] = axes
    figure.supxlabel("channel index" + (f"\n{remark}" if remark else ""), fontsize=7)
    figure.supylabel("excitation", fontsize=7)
    return figure, panels


def legend_of_classes(figure: Figure, width: Width) -> None:
    handles, labels = entries(figure.axes[0])
    columns = min(legend_columns(labels, WIDTHS[width]), 5)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=2.8, columnspacing=1.4)


@figure(
    title="Mean excitation of some classes",
    caption=(
        "A panel a block: the mean excitation of some classes, and of all, over at most 50 channels drawn at "
        "random. Where lines lie on one another the block treats classes alike, where they part it is class- "
        "specific."
    ),
    order=1,
    takes=("classes", "blocks", "channels", "seed"),
)
def excitation(album: Album, name: str) -> Iterator[Drawing]:
    """Draw it of an album."""
    table = album.excitation(album.classes)
    yield Drawing(name, excitation_by_depth(table, **album.look), table)
