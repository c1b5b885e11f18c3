"""The gate of one channel, image by image: how it is distributed in each class."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.album import Album, Drawing, LeftOut
from seviz.figures.fonts import Sheet
from seviz.figures.labels import shortened
from seviz.figures.style import COLOURS, FAINT, INK, WIDTHS, Width, style
from seviz.registry import figure
from seviz.tables.channel_by_image import channel_by_image

MOST = 20
"""Of more classes only the highest and the lowest are drawn."""
_STICKS = 60  # images of a class that are drawn one by one


def gate_by_class(
    table: pd.DataFrame, block: str, channel: int, *, most: int = MOST, width: Width = "page", remark: str = ""
) -> Figure:
    """Draw a violin per class, from the highest mean down.

    Parameters
    ----------
    table
        A row an image (of each of its classes): class, class_name, excitation; from
        `seviz.tables.channel_by_image`.
    block, channel
        Which gate it is, for the title.
    most
        Classes that are drawn at most: half of them the highest, half the lowest. From 2.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        x: the excitation, y: classes; the dotted line is the mean over images. Up to 60 images of a class are a
        stick each, of more there are quartiles. Violins end with the data, and are equally wide.

    Raises
    ------
    OptionError
        If the table has no image, or `most` is less than 2.
    """
    table = table[np.isfinite(table["excitation"])]
    if table.empty or most < 2:
        raise OptionError(f"table has {len(table)} finite gates and most is {most}, expected gates, and at least 2")
    means = table.groupby("class", sort=False)["excitation"].mean().sort_values(ascending=False, kind="stable")
    order = list(means.index)
    drawn = order if len(order) <= most else [*order[: most - most // 2], *order[len(order) - most // 2 :]]
    names = dict(zip(table["class"], table["class_name"], strict=True))
    rows = table[table["class"].isin(drawn)]
    sticks = rows["class"].value_counts().max() <= _STICKS
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 0.75 + 0.27 * len(drawn)), layout="constrained")
        axes = figure.subplots()
        sns.violinplot(
            rows,
            x="excitation",
            y="class",
            order=drawn,
            orient="h",
            cut=0,
            density_norm="width",
            width=0.9,
            inner="stick" if sticks else "quart",
            color=COLOURS[4],
            saturation=1,
            linecolor=INK,
            linewidth=0.5,
            ax=axes,
        )
        for layer in axes.collections:
            layer.set_rasterized(sticks)
        axes.axvline(float(table["excitation"].mean()), color=INK, ls=(0, (1, 1.5)), lw=0.8, zorder=0)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_yticks(range(len(drawn)), [shortened(names[name]) for name in drawn])
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        left_out = len(order) - len(drawn)
        if left_out:
            cut = most - most // 2 - 0.5
            axes.axhline(cut, color=FAINT, lw=0.6)
        axes.set_title(f"{block}, channel {channel}" + (f" ({left_out} classes between not drawn)" if left_out else ""))
        axes.set_xlabel("excitation of an image" + (f"\n{remark}" if remark else ""))
        axes.set_ylabel("")
    return figure


@figure(
    title="The most class-specific channel, class by class",
    order=7,
    needs=("gates",),
    cost="gates",
    takes=("blocks",),
    each_block=True,
)
def distribution(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    for block, called in album.each(name):
        channel = album.most_specific(block, 1)[0]
        table = channel_by_image(album.run, block, channel)
        if table["excitation"].notna().any():
            yield Drawing(called, gate_by_class(table, block, channel, **album.look), table)
        else:
            yield LeftOut(called, f"no image has a gate in {block}")
