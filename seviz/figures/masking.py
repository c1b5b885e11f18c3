"""What is left of the accuracy when channels are masked: by criterion and share, and class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entries, entry, shortened
from seviz.figures.style import FAINT, INK, LEVELS, LINES, MARKERS, WIDTHS, Width, style

# Blue to green, and red to yellow: which family a line is of is seen before which line it is.
_GATES = ("#0072B2", "#009E73", "#56B4E9", "#5B3F9E", "#0B3C5D", "#6A9A1F", "#7FB8A4", "#8C7BD0")
_OTHERS = ("#D55E00", "#E69F00", "#CC79A7", "#8C2D04", "#B8336A", "#A6761D", "#F28E6B", "#5E1914")
_BEHIND = "#D4D4D4"
_SCOPES = {
    "global": "share of all gated channels that are masked",
    "stage": "share of the gated channels of each stage that are masked",
    "block": "share of the gated channels of each block that are masked",
}
_LOST = 0.25  # of the accuracy, where what is lost by class is worth a look


def masking_curves(
    table: pd.DataFrame, *, chance: float | None = None, width: Width = "page", remark: str = ""
) -> Figure:
    """Draw the accuracy against the share of channels that are masked, a line for each criterion.

    Parameters
    ----------
    table
        From `seviz.compression.masking.Curves.mean`; or `Curves.table`, where each criterion has one seed.
    chance
        Accuracy by chance, in [0, 1], drawn as a dotted line.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Criteria made of gates in one panel, what they are compared with in the other; in each, the lines of the other
        stand behind in grey, and random, dashed, in both. Shaded are the intervals. Criteria stand in the legend with
        the one that leaves most accuracy, over all shares, first.

    Raises
    ------
    OptionError
        If the table has no rows, several for a criterion and share, or several scopes.
    """
    if table.empty:
        raise OptionError("table has no rows, expected a criterion")
    if table.duplicated(["criterion", "fraction"]).any():
        raise OptionError("table has several rows for a criterion and fraction; expected a table from Curves.mean")
    scopes = [str(scope) for scope in table["scope"].unique()]
    if len(scopes) > 1:
        raise OptionError(f"table has the scopes {', '.join(scopes)}, expected one")
    best = table.groupby("criterion")["accuracy"].mean().sort_values(ascending=False, kind="stable").index
    gates = [name for name in best if _of_gates(name)]
    others = [name for name in best if not _of_gates(name) and not _random(name)]
    random = [name for name in best if _random(name)]
    panels = [(title, own) for title, own in (("made of gates", gates), ("compared with", others)) if own]
    panels = panels or [("", [])]
    beside = len(panels) if width == "page" else 1
    with style():
        size = (WIDTHS[width], 3.7 if width == "page" else 0.6 + 3.1 * len(panels))
        figure = Sheet(figsize=size, layout="constrained")
        grid = figure.subplots(len(panels) // beside, beside, sharex=True, sharey=True, squeeze=False)
        looks = _looks(gates, _GATES) | _looks(others, _OTHERS) | dict.fromkeys(random, _RANDOM)
        for axes, (title, own) in zip(grid.flat, panels, strict=True):
            behind = [name for _, names in panels for name in names if name not in own]
            for name in behind:
                rows = table[table["criterion"] == name].sort_values("fraction")
                axes.plot(rows["fraction"], rows["accuracy"], color=_BEHIND, lw=0.8, label="_", zorder=1)
            for name in [name for name in best if name in own or name in random]:
                rows = table[table["criterion"] == name].sort_values("fraction")
                shade = {"color": looks[name]["color"], "alpha": 0.13 if len(own) < 6 else 0.08, "lw": 0}
                axes.fill_between(rows["fraction"], rows["low"], rows["high"], **shade, zorder=1.5)
                axes.plot(rows["fraction"], rows["accuracy"], **looks[name], label=entry(name, 30), zorder=2)
            if behind:
                axes.plot([], [], color=_BEHIND, lw=0.8, label="those of the other panel")
            if chance is not None:
                axes.axhline(chance, color=INK, lw=0.7, ls=(0, (1, 2)), label="by chance", zorder=1)
            if title and len(panels) > 1:
                axes.set_title(title)
            columns = 2 if width == "page" and len(panels) > 1 else 3 if width == "page" else 2
            _legend_beneath(axes, columns, gap=0.11 if width == "page" else 0.13)
            axes.set_xlim(0, 1.015 * float(table["fraction"].max()) or 1.0)
            axes.set_ylim(0, 1.02)
            axes.set_yticks(np.linspace(0, 1, 6))
            axes.tick_params(labelbottom=True)
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy")
        label = _SCOPES.get(scopes[0], "share of the gated channels that are masked")
        figure.supxlabel(label + (f"\n{remark}" if remark else ""), fontsize=7)
    return figure


_RANDOM: dict[str, Any] = {"color": FAINT, "ls": (0, (4, 1.5)), "lw": 1.3}


def _of_gates(name: str) -> bool:
    return name.startswith("gate_")


def _random(name: str) -> bool:
    return name.partition(":")[0] == "random"


def _looks(names: Sequence[str], colours: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each line is drawn; the same for the same names, whatever their order."""
    return {
        name: {
            "color": colours[k % len(colours)],
            "ls": LINES[k // len(colours) % len(LINES)],
            "marker": MARKERS[k % len(MARKERS)],
            "ms": 2.8,
        }
        for k, name in enumerate(sorted(names))
    }


def _legend_beneath(axes: Axes, columns: int, *, gap: float) -> None:
    axes.legend(
        *entries(axes),
        loc="upper left",
        bbox_to_anchor=(-0.02, -gap),
        ncols=columns,
        handlelength=2.6,
        columnspacing=1.2,
        borderaxespad=0,
        fontsize=6.5,
    )


def damage_by_class(
    table: pd.DataFrame, *, fraction: float | None = None, most: int = 30, width: Width = "page", remark: str = ""
) -> Figure:
    """Draw the accuracy of each class, as it was and with a share of the channels masked by each criterion.

    Parameters
    ----------
    table
        From `seviz.compression.masking.Curves.by_class`.
    fraction
        Which share, as in the table. By default the smallest at which a quarter of the accuracy is lost, over all rows;
        the greatest, if it is at none.
    most
        How many classes are drawn; of more, those that lose most over all criteria.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each class, those that lose most first; a column for the network as it is and one for each criterion,
        the one that leaves most first. Of several seeds it is the mean.

    Raises
    ------
    OptionError
        If the table has no rows of that fraction, or none of fraction 0.
    """
    shares = sorted(set(table["fraction"].tolist()))
    if not shares or shares[0] != 0 or len(shares) == 1:
        raise OptionError(f"table has the fractions {shares}, expected 0 and another")
    if fraction is None:
        left = table.groupby("fraction")["accuracy"].mean()
        fraction = next((share for share in shares[1:] if left[share] <= (1 - _LOST) * left[0]), shares[-1])
    if fraction not in shares[1:]:
        raise OptionError(f"fraction is {fraction}, expected one of those in the table above 0: {shares[1:]}")
    if most < 1:
        raise OptionError(f"most is {most}, expected at least 1")
    names = table.drop_duplicates("class").set_index("class")["class_name"]
    before = table[table["fraction"] == 0].groupby("class")["accuracy"].mean()
    after = table[table["fraction"] == fraction].pivot_table("accuracy", "class", "criterion", "mean")
    lost = (before - after.mean(axis=1)).sort_values(ascending=False, kind="stable")
    order = lost.index[:most]
    columns = after.mean().sort_values(ascending=False, kind="stable").index
    matrix = np.column_stack([before[order], after.loc[order, columns]])  # (class, as it is and criterion)
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 1.5 + 0.19 * len(order)), layout="constrained")
        axes = figure.subplots()
        axes.grid(visible=False)
        image = axes.imshow(matrix, cmap=LEVELS, vmin=0, vmax=1, aspect="auto")
        labels = ["nothing masked", *(shortened(str(name), 22) for name in columns)]
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(order)), [shortened(str(names[each])) for each in order])
        axes.axvline(0.5, color="white", lw=3)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        written = WIDTHS[width] / len(labels) > 0.28  # inches that a number needs
        if written:
            for (row, column), value in np.ndenumerate(matrix):
                colour = INK if value > 0.5 else "white"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=6, color=colour)
        bar = figure.colorbar(image, ax=axes, pad=0.015, fraction=0.04, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label("accuracy (numbers in %)" if written else "accuracy")
        kept = "" if len(order) == len(lost) else f"\n({len(order)} of {len(lost)} classes, those that lose most)"
        axes.set_title(f"{100 * fraction:g} % of the channels masked{kept}")
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure
