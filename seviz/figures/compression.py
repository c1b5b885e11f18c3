"""Smaller networks beside the original: accuracy against cost, block after block folded, channels removed."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from seviz.figures.blocks import axis_of_depth
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entries, entry, legend_columns
from seviz.figures.style import COLOURS, FAINT, INK, LINES, MARKERS, WIDTHS, Width, style

_COSTS = {
    "multiply_adds": "multiply-adds of an image",
    "parameters": "parameters",
    "bytes": "size of the weights (bytes)",
    "blocks": "SE blocks left",
    "blocks_left": "SE blocks left",
    "latency_ms": "milliseconds for an image",
    "median_ms": "milliseconds for a batch",
}
_COST_ENDS = {"latency_ms": ("latency_low", "latency_high"), "median_ms": ("low_ms", "high_ms")}
_ORDERS = {
    "variance": "least variance of the gate first",
    "predicted": "least predicted damage first",
    "measured": "least measured damage first",
    "greedy": "greedily by measured loss",
}
_SHARE = 0.16  # inches that "50 %" takes


def pareto(table: pd.DataFrame, *, cost: str = "multiply_adds", width: Width = "page", remark: str = "") -> Figure:
    """Draw the accuracy of networks against what they cost.

    Parameters
    ----------
    table
        One row a network, the original first: accuracy with low and high, the column of the cost; and series, what
        belongs together, or network, where each stands alone. From `seviz.experiments.measure.side_by_side`, or
        several such tables after each other.
    cost
        A column: multiply_adds, parameters, bytes, blocks, latency_ms (whose interval is drawn where the table has
        it), or another.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Whiskers are the intervals, a star is the original. The grey steps join the networks that no other one beats
        at their cost or less.
    """
    by = "series" if "series" in table else "network"
    original, rows = table.iloc[0], table.iloc[1:]
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 2.9), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="both")
        best = table.sort_values([cost, "accuracy"], ascending=[True, False])
        best = best[best["accuracy"] > best["accuracy"].cummax().shift(fill_value=-1)]
        axes.step(best[cost], best["accuracy"], where="post", color=FAINT, lw=0.8, label="best at its cost", zorder=1)
        axes.axhline(original["accuracy"], color=INK, lw=0.6, ls=(0, (1, 2)), label="_")
        for k, (name, own) in enumerate(rows.groupby(by, sort=False)):
            ordered = own.sort_values(cost)
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "ls": LINES[k % len(LINES)]}
            dots: dict[str, Any] = {"marker": MARKERS[k % len(MARKERS)], "ms": 4, "mec": "white", "mew": 0.4}
            axes.plot(ordered[cost], ordered["accuracy"], **look, **dots, label=entry(str(name)), zorder=3)
            _intervals(axes, ordered, cost, look["color"])
        star: dict[str, Any] = {"marker": "*", "ms": 10, "mec": "white", "mew": 0.5, "ls": ""}
        axes.plot([original[cost]], [original["accuracy"]], color=INK, **star, label="original", zorder=4)
        _intervals(axes, table.iloc[:1], cost, INK)
        axes.set(xlabel=_COSTS.get(cost, cost), ylabel="accuracy")
        axes.margins(x=0.04)
        counted = cost in ("blocks", "blocks_left")
        axes.xaxis.set_major_locator(MaxNLocator(9 if width == "page" else 5, integer=counted))
        if table[cost].max() >= 1000:
            axes.xaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
        _legend(figure, axes, width)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, cost: str, colour: Any) -> None:
    """Whiskers of the accuracy, and of the cost where it has an interval."""
    look: dict[str, Any] = {"color": colour, "lw": 0.7, "alpha": 0.7, "zorder": 2, "label": "_"}
    axes.vlines(rows[cost], rows["low"], rows["high"], **look)
    ends = _COST_ENDS.get(cost, ())
    if ends and set(ends) <= set(rows):
        axes.hlines(rows["accuracy"], rows[ends[0]], rows[ends[1]], **look)


def folding_front(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw what becomes of a network as its SE blocks are folded one after the other.

    Parameters
    ----------
    table
        From `seviz.compression.planning.Front.table`: order; folded, block, accuracy with low and high, loss,
        parameters.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Against the number of blocks folded, a line for each order: above accuracy, the band is its interval, and the
        line across that of the network as it is; then the cross-entropy; beneath the parameters that are left. Of one
        order alone the blocks are named beneath.
    """
    orders = list(table["order"].unique())
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 4.2), layout="constrained")
        accuracy, loss, left = panels = list(figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.5, 1.5)))
        accuracy.axhline(table["accuracy"].iloc[0], color=FAINT, lw=1.0, label="nothing folded")
        loss.axhline(table["loss"].iloc[0], color=FAINT, lw=1.0)
        for k, order in enumerate(orders):
            own = table[table["order"] == order].sort_values("folded")
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "ls": LINES[k % len(LINES)]}
            look |= {"marker": MARKERS[k % len(MARKERS)], "ms": 3}
            accuracy.fill_between(own["folded"], own["low"], own["high"], color=look["color"], alpha=0.13, lw=0)
            accuracy.plot(own["folded"], own["accuracy"], **look, label=_ORDERS.get(order) or entry(str(order)))
            loss.plot(own["folded"], own["loss"], **look)
            left.plot(own["folded"], own["parameters"], **look)
        accuracy.set_ylabel("accuracy")
        loss.set_ylabel("cross-entropy\n(nats)")
        left.set_ylabel("parameters\nleft")
        left.yaxis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.set_xlim(-0.4, table["folded"].max() + 0.4)
        figure.align_ylabels(panels)
        if len(orders) == 1:
            _name_steps(left, table.sort_values("folded"), WIDTHS[width] - 0.6)
        else:
            left.set_xlabel("SE blocks folded")
        _legend(figure, accuracy, width)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _name_steps(axes: Axes, steps: pd.DataFrame, inches: float) -> None:
    """Beneath each step, the block that is folded there."""
    slanted = inches / max(len(steps), 1) > 0.3
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {"rotation": 90}
    axes.set_xticks(list(steps["folded"]), [block or "none" for block in steps["block"]], **turned)
    axes.set_xlabel("SE block folded at this step, besides those before")


def removed_by_block(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw how many channels are left of each block.

    Parameters
    ----------
    table
        From `seviz.compression.pruning.pruning_table`: block, stage, channels_before and channels_after; and if there
        are, inner_before and inner_after.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        For each block two bars, before and after, and above them the share that is left in per cent. Beneath the same
        for the channels within.
    """
    kinds = [("channels", "channels of the\nfeature map")]
    if {"inner_before", "inner_after"} <= set(table):
        kinds.append(("inner", "channels within"))
    inches = WIDTHS[width] - 0.6
    x = np.arange(len(table))
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 1.1 + 1.5 * len(kinds)), layout="constrained")
        panels = list(figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0])
        for axes, (kind, label) in zip(panels, kinds, strict=True):
            before, after = table[f"{kind}_before"].to_numpy(float), table[f"{kind}_after"].to_numpy(float)
            axes.bar(x - 0.2, before, width=0.4, color="#C9C9C9", label="before")
            axes.bar(x + 0.2, after, width=0.4, color=COLOURS[0], label="after")
            upright = inches / max(len(table), 1) < 2 * _SHARE
            if inches / max(len(table), 1) > _SHARE / 2:
                for k, (was, now) in enumerate(zip(before, after, strict=True)):
                    axes.annotate(
                        f"{100 * now / was:.0f}\N{THIN SPACE}%" if was else "",
                        (k, max(was, now)),
                        xytext=(0, 1.5),
                        textcoords="offset points",
                        ha="center",
                        va="bottom",
                        fontsize=5.5,
                        rotation=90 if upright else 0,
                    )
            axes.set_ylim(0, (1.28 if upright else 1.15) * max(np.nanmax([*before, *after], initial=0), 1))
            axes.set_ylabel(label)
        axis_of_depth(panels, table, inches=inches)
        figure.align_ylabels(panels)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, handlelength=1.2)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _legend(figure: Figure, axes: Axes, width: Width) -> None:
    """Above all panels, in as many columns as fit."""
    handles, labels = entries(axes)
    figure.legend(
        handles, labels, loc="outside upper center", ncols=legend_columns(labels, WIDTHS[width]), handlelength=2.2
    )
