"""Where gates saturate: how they are spread over blocks, and how many are near 0 and near 1."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.figures.album import Album, Drawing
from seviz.figures.blocks import axis_of_depth, limits_of_gates, say_unknown
from seviz.figures.fonts import Sheet
from seviz.figures.style import COLOURS, FAINT, INK, WIDTHS, Width, style
from seviz.registry import figure
from seviz.tables.kept import table_of

_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85}


def saturation_by_block(
    table: pd.DataFrame, channels: pd.DataFrame | None = None, *, width: Width = "page", remark: str = ""
) -> Figure:
    """Draw the shares of gates near 0 and near 1, block by block, and how the channels' means are spread.

    Parameters
    ----------
    table
        From `seviz.tables.saturation.saturation`.
    channels
        From `seviz.tables.saturation_by_channel.saturation_by_channel`; without it there is no panel of means.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Above: the mean excitation of channels, a violin a block. Then the shares of gates, which add to 1 with those
        in between, and across the bars what flag a block has. Beneath: how far the gates are from the identity and from
        a constant, as root mean square.
    """
    x = range(len(table))
    with style():
        parts = 2 if channels is None else 3
        figure = Sheet(figsize=(WIDTHS[width], 1.2 + 1.3 * parts), layout="constrained")
        panels = list(figure.subplots(parts, 1, sharex=True))
        if channels is not None:
            _violins(panels[0], table, channels)
        shares, apart = panels[-2:]
        near_zero, near_one = table["near_zero"].fillna(0), table["near_one"].fillna(0)
        between = (1 - near_zero - near_one).where(table["near_zero"].notna() | table["near_one"].notna(), 0)
        shares.bar(x, near_zero, color=COLOURS[0], width=0.8, label="near 0 (below 0.05)")
        shares.bar(x, between, bottom=near_zero, color="#DDDDDD", width=0.8, label="between")
        shares.bar(x, near_one, bottom=near_zero + between, color=COLOURS[5], width=0.8, label="near 1 (above 0.95)")
        shares.set_ylim(0, 1 if width == "page" else 1.2)  # in a column the legends are within the panels
        shares.set_yticks([0, 0.25, 0.5, 0.75, 1])
        shares.set_ylabel("share of gates")
        for k, flag in enumerate(table["flag"]):
            if flag:
                shares.text(k, 0.5, flag, rotation=90, ha="center", va="center", fontsize=5.5, bbox=_PAPER)

        distances = table["distance_from_identity"], table["distance_from_constant"]
        apart.plot(x, distances[0], "-o", color=COLOURS[1], ms=3, label="from 1, the identity")
        apart.plot(x, distances[1], "-s", color=COLOURS[2], ms=3, label="from the channel's mean")
        known = [distance for distance in (*distances[0], *distances[1]) if np.isfinite(distance)]
        apart.set_ylim(0, (1.1 if width == "page" else 1.35) * max([*known, 1e-3]) if known else 1)
        apart.set_ylabel("root mean square\ndistance of gates")
        say_unknown(shares, between.where(between != 0))
        say_unknown(apart, distances[0])

        axis_of_depth(panels, table, inches=WIDTHS[width] - (1.9 if width == "page" else 0.6))
        if width == "page":
            for axes in (shares, apart):
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            shares.legend(loc="upper left", fontsize=5.5, ncols=3, handlelength=1.2, columnspacing=1)
            apart.legend(loc="upper left", fontsize=5.5, ncols=2)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _violins(axes: Axes, table: pd.DataFrame, channels: pd.DataFrame) -> None:
    rows = channels[channels["mean"].notna()]
    sns.violinplot(
        rows,
        x="block",
        y="mean",
        order=list(table["block"]),
        cut=0,
        density_norm="width",
        width=0.85,
        inner=None,
        color=COLOURS[4],
        saturation=1,
        linecolor=INK,
        linewidth=0.4,
        ax=axes,
    )
    axes.set_ylim(*limits_of_gates(rows["mean"]))
    say_unknown(axes, channels["mean"])
    for level in (0.05, 0.95):
        axes.axhline(level, color=FAINT, lw=0.6, ls=(0, (1, 1.5)))
    axes.set(xlabel="", ylabel="mean excitation\nof the channels")


@figure(
    title="Saturation",
    caption=(
        "Above: how the mean excitations of a block's channels are spread. In the middle: the shares of gates near "
        "0 and near 1, and what is to be said of the block. Beneath: how far the gates are from 1, where a block "
        "would change nothing, and from the mean of their channel, where it would be constant."
    ),
    order=5,
    tables=("saturation", "saturation_by_channel"),
)
def saturation(album: Album, name: str) -> Iterator[Drawing]:
    """Draw it of an album."""
    table = table_of(album.run, "saturation")
    by_channel = table_of(album.run, "saturation_by_channel")
    yield Drawing(name, saturation_by_block(table, by_channel, **album.look), table)
