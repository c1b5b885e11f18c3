"""What the interactive charts share: colours, the axis of depth, and large matrices as images.

Charts are Altair's, themed by Streamlit in light and dark; categories take their colours from `.streamlit/config.toml`,
which has those of our figures.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import matplotlib as mpl
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from seviz.dashboard.selection import select
from seviz.errors import OptionError
from seviz.figures.style import LEVELS, SIGNED
from seviz.texts import visible

MARKS = 5_000
"""More than these are drawn as an image."""
HEIGHT = 320
"""Of a chart, in pixels."""


def show(chart: Any, *, alt_text: str, key: str | None = None, **arguments: Any) -> Any:
    """Draw a chart as wide as its place, with a text for who cannot see it; gives what is selected in it.

    Parameters
    ----------
    chart
        Of Altair.
    alt_text
        What it shows, one sentence.
    key, arguments
        As of `st.altair_chart`.

    Raises
    ------
    OptionError
        If it has more marks than a browser draws well: `heatmap` draws those as an image.
    """
    if marks(chart) > MARKS:
        raise OptionError(f"a chart has {marks(chart):,} marks, expected at most {MARKS:,}; `heatmap` draws an image")
    return st.altair_chart(chart, width="stretch", key=key, alt=visible(alt_text), **arguments)


def marks(chart: Any) -> int:
    """How many marks a chart draws, about: the rows of its data, of each layer."""
    parts = [part for kind in ("layer", "hconcat", "vconcat", "concat") for part in getattr(chart, kind, None) or ()]
    if parts and all(part is not alt.Undefined for part in parts):
        return max(marks(part) for part in parts) if not _has_data(chart) else len(chart.data)
    inner = getattr(chart, "spec", None)
    if not _has_data(chart) and inner is not None and inner is not alt.Undefined:
        return marks(inner)
    return len(chart.data) if _has_data(chart) else 0


def depth(blocks: Sequence[str], title: str | None = "SE block, in order of depth", *, field: str = "block") -> alt.X:
    """The axis of blocks, in order of depth; `field` is the column that has them."""
    return alt.X(f"{field}:N", sort=list(blocks), title=title, axis=alt.Axis(labelAngle=-45))


def blocks_point() -> alt.Parameter:
    """A click on a mark selects its block."""
    return alt.selection_point(name="block", fields=["block"], on="click", empty=False)


def clicked(event: Any, name: str, field: str) -> Any:
    """The value of a field that was clicked, of what `show(..., on_select="rerun")` gives; None if none was."""
    chosen = (event or {}).get("selection", {}).get(name, [])
    return chosen[0].get(field) if chosen else None


def take_block(key: str, blocks: Sequence[str]) -> None:
    """Select the block that was clicked in a chart; one that is not among these, as of a second run, is left.

    The selected block belongs in the key: a mark that is clicked again selects nothing new in a chart that is the same.
    """
    block = clicked(st.session_state.get(key), "block", "block")
    if block in blocks:
        select(block=block, channel=None)


def levels(values: NDArray[Any], *, signed: bool = False, low: float | None = None, high: float | None = None) -> Any:
    """Values as colours, (row, column, 4) uint8; NaN is transparent.

    Parameters
    ----------
    values
        (row, column).
    signed
        Differences: 0 is the middle of the colours.
    low, high
        Ends of the colours; by default the least and greatest value, of differences the greatest absolute one.
    """
    finite = values[np.isfinite(values)]
    most = float(finite.max(initial=0.0)) if high is None else high
    least = float(finite.min(initial=most)) if low is None else low
    if signed:
        most = max(abs(least), abs(most))
        least = -most
    norm = mpl.colors.Normalize(least, most if most > least else least + 1)
    colours = mpl.colormaps[SIGNED if signed else LEVELS](norm(np.nan_to_num(values, nan=least)), bytes=True)
    colours[~np.isfinite(values), 3] = 0
    return colours


def heatmap(
    table: pd.DataFrame,
    *,
    rows: str,
    columns: str,
    value: str,
    alt_text: str,
    signed: bool = False,
    low: float | None = None,
    high: float | None = None,
    height: int | None = None,
    key: str | None = None,
) -> Any:
    """A matrix in colours: marks with values under the pointer where there are few, else an image.

    Parameters
    ----------
    table
        (row, column), indexed by what they are called.
    rows, columns, value
        What rows, columns and values are, for titles.
    alt_text
        What it shows, one sentence.
    signed, low, high
        As of `levels`.
    height
        In pixels.
    key
        Of the chart.
    """
    if table.size > MARKS:
        return _image(
            table, rows=rows, columns=columns, value=value, alt_text=alt_text, signed=signed, ends=(low, high)
        )
    names = pd.Index(table.index.map(str)), pd.Index(table.columns.map(str))
    named = table.set_axis(names[0], axis=0).set_axis(names[1], axis=1).rename_axis(index="row", columns="column")
    long = named.reset_index().melt("row", value_name="value")
    most = float(np.nanmax(table.to_numpy(), initial=0.0)) if high is None else high
    least = float(np.nanmin(table.to_numpy(), initial=most)) if low is None else low
    if signed:
        most = max(abs(least), abs(most))
        least = -most
    # the reversed blue-to-red of matplotlib is Vega's "redblue" from its end
    scale = (
        alt.Scale(scheme="redblue", reverse=True, domain=[least, most])
        if signed
        else alt.Scale(scheme="cividis", domain=[least, most])
    )
    chart = (
        alt.Chart(long)
        .mark_rect()
        .encode(
            x=alt.X("column:N", sort=list(names[1]), title=columns, axis=alt.Axis(labelOverlap=True, labelLimit=120)),
            y=alt.Y("row:N", sort=list(names[0]), title=rows, axis=alt.Axis(labelOverlap=True, labelLimit=140)),
            color=alt.Color("value:Q", scale=scale, title=value),
            tooltip=[
                alt.Tooltip("row:N", title=rows),
                alt.Tooltip("column:N", title=columns),
                alt.Tooltip("value:Q", title=value, format=".4f"),
            ],
        )
        .properties(height=height or max(HEIGHT, 18 * len(names[0])))
    )
    return show(chart, alt_text=alt_text, key=key)


def _image(
    table: pd.DataFrame,
    *,
    rows: str,
    columns: str,
    value: str,
    alt_text: str,
    signed: bool,
    ends: tuple[float | None, float | None],
) -> None:
    """A matrix with a pixel for each value, told in words."""
    values = table.to_numpy(float)
    st.image(levels(values, signed=signed, low=ends[0], high=ends[1]), width="stretch", alt=visible(alt_text))
    colours = ("blue", "red") if signed else ("dark", "bright")
    st.caption(
        f"{len(table):,} {rows} from top to bottom, {table.shape[1]:,} {columns} from left to right, a pixel each;"
        f" {value} from {np.nanmin(values):.3g} ({colours[0]}) to {np.nanmax(values):.3g} ({colours[1]}). Choose fewer"
        " to see values under the pointer."
    )


def _has_data(chart: Any) -> bool:
    return isinstance(getattr(chart, "data", None), pd.DataFrame)
