"""Class specificity by depth: what share of the gates' variance lies between classes, and how much that is."""

from itertools import groupby

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.figures.style import COLOURS, FAINT, INK, WIDTHS, Width, style


def specificity_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw the class specificity of each block, in order of depth.

    Parameters
    ----------
    table
        From `seviz.analysis.specificity.specificity`.
    width
        "page" or "column" of a paper.
    remark
        A line beneath, such as that the weights are untrained.

    Returns
    -------
    matplotlib.figure.Figure
        Above: bias-corrected share of variance between classes, and the share that labels drawn at random would
        show before the correction. Beneath: standard deviation between classes and over all images.
    """
    x = list(range(len(table)))
    with style():
        figure = Figure(figsize=(WIDTHS[width], 3.3), layout="constrained")
        share, size = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))

        share.plot(x, table["omega_squared"], "-o", color=COLOURS[0], ms=3.5, label="bias-corrected (ω²)")
        share.plot(x, table["null"], color=COLOURS[1], ls=(0, (4, 1.5)), label="chance level, uncorrected")
        share.set_ylim(min(0, 1.1 * table["omega_squared"].min()), 1)
        share.set_ylabel("share of variance\nbetween classes")
        share.legend(loc="upper left", bbox_to_anchor=(0, 0.9))

        size.plot(x, table["std_total"], "-s", color=FAINT, ms=3, mfc="white", label="over all images")
        size.plot(x, table["std_between"], "-o", color=COLOURS[0], ms=3.5, label="between classes")
        size.set_ylim(0, 1.25 * max(table["std_total"].max(), 1e-12))
        size.set_ylabel("standard deviation\nof the excitation")
        size.legend(loc="upper left", ncols=2)

        _mark_stages(share, size, table)
        size.set_xticks(x, table["block"], rotation=90 if width == "column" or len(table) > 20 else 45)
        size.set_xlim(-0.5, len(table) - 0.5)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _mark_stages(share: Axes, size: Axes, table: pd.DataFrame) -> None:
    """Shade every second stage, and name each above."""
    start = 0
    for k, (stage, rows) in enumerate(groupby(table["stage"])):
        end = start + len(list(rows))
        for axes in (share, size):
            if k % 2 == 0:
                axes.axvspan(start - 0.5, end - 0.5, color="#F2F2F2", lw=0, zorder=0)
        middle = (start + end - 1) / 2
        share.annotate(
            f"stage {stage}" if end - start > 1 else str(stage),
            (middle, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=INK,
        )
        start = end
