"""Charts of classes and of two of them: the tree, the channels in which two differ, and their distance by depth."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from seviz.dashboard.plots.charts import HEIGHT, depth

DISTANCE = "distance (1 − r)"
"""What distances between classes are called."""


def tree(leaves: Sequence[str], lines: pd.DataFrame, joins: pd.DataFrame, *, height: int) -> Any:
    """The tree of classes, from left (alike) to right.

    Parameters
    ----------
    leaves, lines, joins
        From `tables.class_pairs.branches`.
    height
        In pixels.
    """
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(domain=[-0.5, len(leaves) - 0.5], reverse=True, nice=False),
        axis=alt.Axis(
            values=list(range(len(leaves))),
            labelExpr=f"{json.dumps(list(leaves))}[datum.value]",
            labelLimit=110,
            labelOverlap=False,
            grid=False,
            ticks=False,
            domain=False,
        ),
    )
    x = alt.X("x:Q", title=DISTANCE, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    rules = alt.Chart(lines).mark_rule(strokeWidth=2, color="#888888").encode(x=x, x2="x2:Q", y=y, y2="y2:Q")
    points = (
        alt.Chart(joins.rename(columns={"distance": "x", "place": "y"}))
        .mark_circle(size=70, opacity=1)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("classes:N"),
                alt.Tooltip("number:Q", title="number of classes"),
                alt.Tooltip("x:Q", title="joined at", format=".4f"),
            ],
        )
    )
    return (rules + points).properties(height=height)


def scatter(table: pd.DataFrame, channel: int, one: str, other: str) -> Any:
    """Mean gates of two classes, a point for each channel; a click selects it.

    Parameters
    ----------
    table
        From `tables.class_pairs.side_by_side`.
    channel
        Which is marked.
    one, other
        What the classes are called.
    """
    lines = pd.DataFrame({"x": _range(table), "y": _range(table)})
    most = float(table["d_prime"].replace([np.inf, -np.inf], np.nan).abs().max())
    scale = alt.Scale(zero=False, nice=True)
    points = (
        alt.Chart(table.assign(chosen=table["channel"] == channel))
        .mark_circle(cursor="pointer", opacity=0.9)
        .encode(
            x=alt.X("mean_other:Q", title=f"mean gate, {other}", scale=scale),
            y=alt.Y("mean_one:Q", title=f"mean gate, {one}", scale=scale),
            color=alt.Color(
                "d_prime:Q",
                title="d′",
                scale=alt.Scale(scheme="redblue", reverse=True, domain=[-most, most] if most > 0 else [-1, 1]),
                legend=alt.Legend(gradientLength=160),
            ),
            size=alt.condition("datum.chosen", alt.value(220), alt.value(40)),
            stroke=alt.condition("datum.chosen", alt.value("#D55E00"), alt.value("#888888")),
            strokeWidth=alt.condition("datum.chosen", alt.value(3), alt.value(0.5)),
            tooltip=_tips(one, other),
        )
        .add_params(alt.selection_point(name="channel", fields=["channel"], on="click", empty=False))
    )
    diagonal = alt.Chart(lines).mark_line(strokeDash=[4, 4], strokeWidth=1, color="#888888").encode(x="x:Q", y="y:Q")
    return (diagonal + points).properties(height=HEIGHT + 120)


def most_different(table: pd.DataFrame, one: str, other: str) -> Any:
    """How far two classes differ in some channels, a bar for each; arguments as of `scatter`."""
    by = "d_prime" if table["d_prime"].notna().any() else "difference"
    drawn = table.assign(
        toward=np.where(table[by] > 0, one, other), shown=table[by].replace([np.inf, -np.inf], np.nan)
    ).dropna(subset="shown")
    title = "d′ (standard deviations)" if by == "d_prime" else "difference of mean gates"
    return (
        alt.Chart(drawn)
        .mark_bar(cursor="pointer")
        .encode(
            x=alt.X("shown:Q", title=title),
            y=alt.Y("channel:N", sort=drawn["channel"].tolist(), title="channel", axis=alt.Axis(labelOverlap=False)),
            color=alt.Color(
                "toward:N",
                title="more open for",
                scale=alt.Scale(domain=[one, other]),
                legend=alt.Legend(orient="top", labelLimit=150),
            ),
            tooltip=_tips(one, other),
        )
        .add_params(alt.selection_point(name="channel", fields=["channel"], on="click", empty=False))
        .properties(height=HEIGHT + 120)
    )


def _tips(one: str, other: str) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("channel:Q"),
        alt.Tooltip("mean_one:Q", title=f"mean gate, {one}", format=".4f"),
        alt.Tooltip("mean_other:Q", title=f"mean gate, {other}", format=".4f"),
        alt.Tooltip("d_prime:Q", title="d′", format="+.2f"),
    ]


def _range(table: pd.DataFrame) -> list[float]:
    means = table[["mean_one", "mean_other"]].to_numpy()
    return [float(np.nanmin(means)), float(np.nanmax(means))]


def course(table: pd.DataFrame, field: str, title: str, blocks: list[str], pairs: list[str], block: str) -> Any:
    """How far apart pairs of classes are with depth.

    Parameters
    ----------
    table
        block, pair, difference and distance.
    field, title
        The column that is drawn, and the title of its axis.
    blocks, pairs
        In the order of the axis, and of the colours.
    block
        Which is marked.
    """
    x = depth(blocks)
    lines = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=x,
            y=alt.Y(f"{field}:Q", title=title),
            color=alt.Color(
                "pair:N",
                title=None,
                scale=alt.Scale(domain=pairs),
                legend=alt.Legend(
                    orient="top", direction="vertical", labelLimit=280, symbolType="stroke", symbolStrokeWidth=3
                ),
            ),
            strokeDash=alt.StrokeDash("pair:N", sort=pairs, legend=None),
            tooltip=[
                alt.Tooltip("block:N"),
                alt.Tooltip("pair:N", title="classes"),
                alt.Tooltip("difference:Q", title="mean absolute difference", format=".4f"),
                alt.Tooltip("distance:Q", title=DISTANCE, format=".4f"),
            ],
        )
    )
    here = alt.Chart(pd.DataFrame({"block": [block]})).mark_rule(strokeDash=[3, 3], color="#888888").encode(x=x)
    return (here + lines).properties(height=HEIGHT + 60)
