"""Blocks on an axis, in order of depth: names beneath, stages shaded and named above, intervals as whiskers."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from seviz.figures.labels import thinned
from seviz.figures.style import FAINT, INK

SHADE = "#F2F2F2"
_NAME, _STAGE = 0.1, 0.5  # inches that a name takes, written upright, and that "stage 2" takes


def axis_of_depth(panels: Sequence[Axes], table: pd.DataFrame, *, inches: float) -> None:
    """Make x the blocks of a table, one unit each from 0 on.

    Parameters
    ----------
    panels
        One above the other; names stand beneath the last, stages above the first.
    table
        One row a block: block, stage.
    inches
        About how wide the panels are. Where names would overlap, only some are written.
    """
    number = len(table)
    each = inches / max(number, 1)
    start = 0
    for k, (stage, rows) in enumerate(groupby(table["stage"])):
        end = start + len(list(rows))
        if k % 2 == 0:
            for axes in panels:
                axes.axvspan(start - 0.5, end - 0.5, color=SHADE, lw=0, zorder=0)
        panels[0].annotate(
            f"stage {stage}" if (end - start) * each > _STAGE else str(stage),
            ((start + end - 1) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=INK,
        )
        start = end
    written = thinned(number, inches / _NAME)
    names = [str(name) for name in table["block"].iloc[written]]
    slanted = each > 0.3
    for axes in panels:
        axes.set_xlim(-0.5, max(number, 1) - 0.5)
        axes.set_xticks(written, [""] * len(written))
    if slanted:
        panels[-1].set_xticks(written, names, rotation=45, ha="right", rotation_mode="anchor")
    else:
        panels[-1].set_xticks(written, names, rotation=90)


def whiskers(axes: Axes, value: pd.Series, low: pd.Series, high: pd.Series, **look: Any) -> None:
    """Draw the interval of each block as a vertical line, which always holds the value itself.

    Parameters
    ----------
    axes
        Of which x is the blocks.
    value, low, high
        One each a block; where an end is NaN there is no line.
    look
        Of the lines: color, label, ...
    """
    ends = np.array([np.minimum(low, value), np.maximum(high, value)], np.float64)
    known = np.flatnonzero(np.isfinite(ends).all(0))
    axes.vlines(known, ends[0, known], ends[1, known], **{"lw": 0.9, **look})


def limits_of_gates(*values: pd.Series) -> tuple[float, float]:
    """Limits of an axis of gates: 0 and 1 unless gates leave them; never empty, and finite.

    Parameters
    ----------
    values
        That are drawn; NaN does not count.
    """
    known = pd.concat(values).to_numpy(np.float64)
    known = known[np.isfinite(known)]
    low, high = float(known.min(initial=0)), float(known.max(initial=0))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = 0.05 * (high - low) or 0.05 * abs(high)
    return low - room, high + room


def say_unknown(axes: Axes, values: pd.Series) -> None:
    """Write into a panel that nothing is known, where that is so of all values."""
    if not np.isfinite(values.to_numpy(np.float64)).any():
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", va="center", color=FAINT)
