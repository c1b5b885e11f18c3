"""Class specificity by depth: what share of the gates' variance lies between classes, and how much that is."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seviz.figures.album import Album, Drawing
from seviz.figures.blocks import axis_of_depth, say_unknown, whiskers
from seviz.figures.fonts import Sheet
from seviz.figures.style import COLOURS, FAINT, WIDTHS, Width, style
from seviz.registry import figure


def specificity_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw the class specificity of each block, in order of depth.

    Parameters
    ----------
    table
        From `seviz.tables.specificity.specificity`.
    width
        "page" or "column" of a paper.
    remark
        A line beneath, such as that the weights are untrained.

    Returns
    -------
    matplotlib.figure.Figure
        Above: bias-corrected share of variance between classes with its interval, and what it is by chance, see
        `chance_level`. Beneath: standard deviation between classes and over all images. The ends of intervals do not
        count for the limits of axes.
    """
    x = list(range(len(table)))
    low, high, what = specificity_interval(table)
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 3.3), layout="constrained")
        share, size = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))

        share.plot(x, table["omega_squared"], "-o", color=COLOURS[0], ms=3.5, label="bias-corrected (ω²)")
        if what:
            whiskers(share, table["omega_squared"], low, high, color=COLOURS[0], label=what)
        level, chance = chance_level(table)
        share.plot(x, level, color=COLOURS[1], ls=(0, (4, 1.5)), label=chance)
        share.set_ylim(*share_limits(table))
        share.set_ylabel("share of variance\nbetween classes")
        share.legend(loc="upper left", bbox_to_anchor=(0, 0.9))

        size.plot(x, table["std_total"], "-s", color=FAINT, ms=3, mfc="white", label="over all images")
        size.plot(x, table["std_between"], "-o", color=COLOURS[0], ms=3.5, label="between classes")
        most = np.nanmax([*table["std_total"], 0])
        size.set_ylim(0, 1.25 * most if most > 0 else 1)
        say_unknown(share, table["omega_squared"])
        say_unknown(size, table["std_total"])
        size.set_ylabel("standard deviation\nof the excitation")
        size.legend(loc="upper left", ncols=2)

        axis_of_depth((share, size), table, inches=WIDTHS[width] - 0.6)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def chance_level(table: pd.DataFrame) -> tuple[pd.Series, str]:
    """What omega squared is where classes make no difference.

    Parameters
    ----------
    table
        From `seviz.tables.specificity.specificity`.

    Returns
    -------
    level
        One each a block: the 95 % quantile over permutations of the labels where the table has it, else 0, which omega
        squared is on average. (The null of the table is that of eta squared.)
    what
        What it is, in words.
    """
    if "permuted_95" in table and table["permuted_95"].notna().any():
        return table["permuted_95"].astype(np.float64), "95 % quantile by chance"
    return pd.Series(0.0, index=table.index), "mean by chance"


def share_limits(table: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis of omega squared: to 1, and as far below 0 as it lies, or a little."""
    return float(min(1.1 * np.nanmin([*table["omega_squared"], 0]), -0.05)), 1.0


def specificity_interval(table: pd.DataFrame) -> tuple[pd.Series, pd.Series, str]:
    """The interval that is drawn: over images, and where there is none, over classes.

    Parameters
    ----------
    table
        From `seviz.tables.specificity.specificity`.

    Returns
    -------
    low, high
        One each a block; NaN where there is neither.
    what
        What it is, in words; empty if no block has one.
    """
    over_images = table["low"].notna() & table["high"].notna()
    low = table["low"].where(over_images, table["low_classes"])
    high = table["high"].where(over_images, table["high_classes"])
    over_classes = ~over_images & low.notna() & high.notna()
    words = ["over images"] * bool(over_images.any()) + ["over classes"] * bool(over_classes.any())
    return low.astype(np.float64), high.astype(np.float64), f"interval {' or '.join(words)}" if words else ""


@figure(
    title="Class specificity by depth",
    caption=(
        "Above: the share of the gates' variance that lies between classes, bias-corrected, with its interval, and "
        "0, which it is on average where classes make no difference. Beneath: how much that is, as the standard "
        "deviation of the excitation between classes and over all images."
    ),
    order=3,
    tables=("specificity",),
)
def specificity(album: Album, name: str) -> Iterator[Drawing]:
    """Draw it of an album."""
    yield Drawing(name, specificity_by_depth(album.specificity, **album.look), album.specificity)
