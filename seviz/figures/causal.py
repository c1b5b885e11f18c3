"""What the network does with its gates: accuracy with others in their place, swaps between classes, attributions."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.figures.blocks import axis_of_depth
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entry, shortened, thinned
from seviz.figures.style import COLOURS, FAINT, INK, MARKERS, SIGNED, WIDTHS, Width, style

_WRITTEN = 12  # classes up to which the numbers stand in a matrix
_LABELS = {
    "identity": "gates 1 (block off)",
    "zero": "gates 0",
    "constant": "mean gates of all images",
    "within": "gates of another image of the class",
    "across": "gates of an image of another class",
}


def intervention_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw what becomes of the accuracy when the gates of a block are others, block by block.

    Parameters
    ----------
    table
        From `seviz.experiments.causal.Outcomes.by_block`.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Above: accuracy with each intervention, and as a line that of the network as it is; the whiskers are the
        interval of the difference between the two. Beneath: rise of the cross-entropy.
    """
    plain, rows = table[table["block"] == ""], table[table["block"] != ""]
    depth = rows[["block", "stage"]].drop_duplicates()
    place = {block: k for k, block in enumerate(depth["block"])}
    interventions = list(rows["intervention"].unique())
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 3.9), layout="constrained")
        accuracy, loss = panels = list(figure.subplots(2, 1, sharex=True, height_ratios=(3, 2)))
        accuracy.axhline(plain["accuracy"].iloc[0], color=FAINT, lw=1.0, label="the network as it is")
        loss.axhline(0, color=FAINT, lw=1.0)
        for k, name in enumerate(interventions):
            own = rows[rows["intervention"] == name]
            x = own["block"].map(place).to_numpy(float) + _aside(k, len(interventions))
            look: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)]}
            ends = own["accuracy"] + own["drop"] - own["drop_high"], own["accuracy"] + own["drop"] - own["drop_low"]
            accuracy.vlines(x, *ends, lw=0.9, **look, label="_" if k else "interval of the difference")
            dots = {**look, "ls": "", "marker": MARKERS[k % len(MARKERS)], "ms": 3.2}
            accuracy.plot(x, own["accuracy"], **dots, label=_LABELS.get(name) or entry(name))
            loss.plot(x, own["loss_change"], **dots)
        accuracy.set_ylabel("accuracy")
        loss.set_ylabel("rise of the\ncross-entropy (nats)")
        axis_of_depth(panels, depth, inches=WIDTHS[width] - 0.6)
        figure.legend(loc="outside upper center", ncols=3 if width == "page" else 1, handlelength=1.6)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _aside(k: int, number: int) -> float:
    """How far the k-th of so many marks stands from the middle of its block."""
    return 0.6 * ((k + 0.5) / number - 0.5)


def swap_matrix(table: pd.DataFrame, *, block: str = "", width: Width = "page", remark: str = "") -> Figure:
    """Draw what becomes of images of one class with the mean gates of another.

    Parameters
    ----------
    table
        From `seviz.experiments.causal.swap`.
    block
        Whose gates were swapped, for the axis.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Rows are donors, columns the classes of the images. One matrix: how far the logit of the donor rises; another:
        how much larger the share of images is that are taken for the donor. On the diagonal images have the mean
        gates of their own class.
    """
    donors = list(table["donor"].unique())
    names = [shortened(name, 12) for name in table.drop_duplicates("donor")["donor_name"]]
    rise = table["predicted_donor"] - table["predicted_donor_before"]
    number = len(donors)
    with style():
        beside = width == "page"
        side = 0.5 * WIDTHS[width] if beside else WIDTHS[width]
        size = (WIDTHS[width], (1 if beside else 2) * (side + 0.35))
        figure = Sheet(figsize=size, layout="constrained")
        panels = figure.subplots(1, 2, sharey=True) if beside else figure.subplots(2, 1, sharex=True)
        for axes, values, what in (
            (panels[0], table["logit_donor"], "rise of the donor's logit"),
            (panels[1], rise, "rise of the share taken for the donor"),
        ):
            matrix = values.to_numpy(float).reshape(number, number)  # (donor, target)
            most = max(float(np.nanmax(np.abs(matrix), initial=0)), 1e-12)
            drawn = axes.imshow(matrix, cmap=SIGNED, vmin=-most, vmax=most)
            axes.grid(visible=False)
            written = thinned(number, side / 0.16)
            axes.set_xticks(written, [names[k] for k in written], rotation=90)
            axes.set_yticks(written, [names[k] for k in written])
            if number <= _WRITTEN:
                _write(axes, matrix, most)
            figure.colorbar(drawn, ax=axes, location="top", shrink=0.6, aspect=30, label=what)
        of = f"class of the gates (excitation) at {block}" if block else "class of the gates (excitation)"
        figure.supylabel(of, fontsize=7)
        figure.supxlabel("class of the images" + (f"\n{remark}" if remark else ""), fontsize=7)
    return figure


def _write(axes: Axes, matrix: np.ndarray[Any, Any], most: float) -> None:
    """The numbers in the cells of a matrix."""
    for (row, column), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 * most else INK
            axes.text(column, row, _short(value), ha="center", va="center", fontsize=4.5, color=colour)


def _short(value: float) -> str:
    """A number of a cell: ".12", "-3.4", "0"."""
    text = f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"
    return text.replace("0.", ".", 1).replace("-", "−") if float(text) else "0"


def attribution_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw how much the gates of each block add to a logit.

    Parameters
    ----------
    table
        From `seviz.experiments.attribution.Attributions.by_block`.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Above: share of the absolute attribution of all blocks. Then the attribution with its sign, the sum over
        channels, and the sum of absolute values. Beneath: the share of channels that hold half of the latter.
    """
    x = np.arange(len(table))
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 4.2), layout="constrained")
        share, size, half = panels = list(figure.subplots(3, 1, sharex=True))
        share.bar(x, table["share"], width=0.7, color=COLOURS[0])
        share.set_ylabel("share of absolute\nattribution")
        size.plot(x, table["absolute"], "-s", color=FAINT, ms=3, mfc="white", label="of absolute values")
        size.plot(x, table["attribution"], "-o", color=COLOURS[1], ms=3.5, label="with sign")
        size.axhline(0, color=FAINT, lw=0.7)
        size.set_ylabel("sum over the gates\n(excitation), logits")
        size.legend(loc="best", ncols=2)
        half.bar(x, table["half"] / table["channels"], width=0.7, color=COLOURS[2])
        half.set_ylabel("share of channels\nthat hold half")
        half.set_ylim(0, 0.5)
        axis_of_depth(panels, table, inches=WIDTHS[width] - 0.6)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure
