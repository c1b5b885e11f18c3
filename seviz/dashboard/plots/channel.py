"""Charts of one channel by class: how its gate is spread, and how far each class stands out."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from seviz.dashboard.tables.channel_measures import signed


def gates_by_class(
    spread: pd.DataFrame,
    ticks: pd.DataFrame | None,
    order: list[str],
    height: int,
    gate: str,
    bounds: tuple[float, float],
) -> Any:
    """How the gate is spread in each class.

    Parameters
    ----------
    spread, ticks
        From `tables.channel.spread_of_images`; or from `spread_of_moments`, and None.
    order
        Names of the classes, from the top.
    height
        In pixels.
    gate
        Which function it is.
    bounds
        Of the gates, from `run.bounds`.
    """
    y = alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=130, labelOverlap=False))
    drawn = pd.concat([spread["low"], spread["high"], *([] if ticks is None else [ticks["gate"]])])
    least, most = float(drawn.min()), float(drawn.max())
    flat = most - least < 1e-3
    scale = alt.Scale(domain=[least - 0.05, most + 0.05]) if flat else alt.Scale(zero=False, nice=True)
    title = "gate (0 shut, 1 open)" if bounds == (0, 1) else f"gate ({gate})"
    from_images = ticks is not None
    tips = [
        alt.Tooltip("name:N", title="class"),
        alt.Tooltip("mean:Q", format=".4f"),
        alt.Tooltip("middle:Q", title="median", format=".4f") if from_images else alt.Tooltip("std:Q", format=".4f"),
        alt.Tooltip("low:Q", title="5 %" if from_images else "least", format=".4f"),
        alt.Tooltip("high:Q", title="95 %" if from_images else "greatest", format=".4f"),
        alt.Tooltip("images:Q", format=","),
    ]
    colour = alt.Scale(domain=["spread", "middle"])
    base = alt.Chart(spread.assign(part="spread", line="middle")).encode(
        y=y, color=alt.Color("part:N", scale=colour, legend=None), tooltip=tips
    )
    layers: list[Any] = []
    if ticks is not None:
        layers.append(
            alt.Chart(ticks)
            .mark_tick(opacity=0.25, thickness=1, height=14)
            .encode(x=alt.X("gate:Q", title=title, scale=scale), y=y)
        )
    layers.append(base.mark_rule(opacity=0.8).encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q"))
    layers.append(base.mark_bar(size=8, opacity=0.7).encode(x=alt.X("lower:Q", title=title, scale=scale), x2="upper:Q"))
    layers.append(
        base.mark_tick(thickness=3, height=14, opacity=1).encode(
            x=alt.X("middle:Q", title=title, scale=scale),
            color=alt.Color("line:N", scale=colour, legend=None),
        )
    )
    return alt.layer(*layers).properties(height=height)


def differences_by_class(spread: pd.DataFrame, order: list[str], height: int) -> Any:
    """How far each class stands out, where that is finite; arguments as of `gates_by_class`."""
    finite = spread["difference"].replace([np.inf, -np.inf], np.nan)
    table = spread.assign(
        difference=finite,
        says=[signed(each) for each in spread["difference"].fillna(0.0)],
        toward=np.where(finite > 0, "favours", "avoids"),
    )
    return (
        alt.Chart(table.dropna(subset="difference"))
        .mark_bar(size=12)
        .encode(
            x=alt.X("difference:Q", title="d′ (standard deviations)"),
            y=alt.Y("name:N", sort=order, title=None, axis=alt.Axis(labelLimit=130, labelOverlap=False)),
            color=alt.Color("toward:N", scale=alt.Scale(domain=["favours", "avoids"]), legend=None),
            tooltip=[
                alt.Tooltip("name:N", title="class"),
                alt.Tooltip("says:N", title="d′"),
                alt.Tooltip("mean:Q", title="mean gate", format=".4f"),
            ],
        )
        .properties(height=height)
    )
