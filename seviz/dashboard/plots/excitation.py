"""Charts of the excitation over channels: lines, and colours where there are too many points for lines."""

import base64
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from seviz.dashboard.plots.charts import levels
from seviz.figures.style import FAINT
from seviz.tables.excitation import ALL_CLASSES

PANEL = 220
"""Height of a panel, in pixels."""
CROWD = 150
"""More channels than these have the whole width, and thin lines."""
TOLD = 12
"""So many values at most are told under the pointer."""
_TICKS = 6


def legend(labels: Sequence[str]) -> Any:
    """The colours of the classes, once for all panels."""
    return (
        alt.Chart(pd.DataFrame({"class": list(labels)}))
        .mark_line()
        .encode(
            color=alt.Color(
                "class:N",
                scale=alt.Scale(domain=list(labels)),
                legend=alt.Legend(
                    orient="top", direction="horizontal", title=None, columns=2, labelLimit=140, symbolStrokeWidth=3
                ),
            )
        )
        .properties(height=36 + 22 * math.ceil(len(labels) / 2))
        .configure_view(strokeWidth=0)
    )


def lines(
    means: pd.DataFrame,
    *,
    labels: Sequence[str],
    channels: NDArray[np.int64],
    title: str,
    span: tuple[float, float],
    spread: bool = False,
    images: pd.DataFrame | None = None,
    selected: int | None = None,
) -> Any:
    """Mean gates of classes over the channels of one block; a click on a point selects its channel.

    Parameters
    ----------
    means
        From `tables.excitation.class_means`.
    labels
        The classes, in the order of their colours.
    channels
        In the order in which they are drawn.
    title
        Of the axis of channels.
    span
        Ends of the axis of gates.
    spread
        Whether to draw one standard deviation about each mean.
    images
        Single images, from `tables.excitation.image_gates`.
    selected
        A channel that is marked.
    """
    at = pd.Series(np.arange(len(channels)), index=channels)
    table = means.assign(position=means["channel"].map(at)).dropna(subset="mean")
    everyone, own = table[table["class"] == ALL_CLASSES], table[table["class"] != ALL_CLASSES]
    x = alt.X("position:Q", title=title, axis=_ticks(channels), scale=_span(len(channels)))
    y = alt.Y("mean:Q", title="gate", scale=alt.Scale(domain=list(span), zero=False, nice=False, clamp=True))
    colour = alt.Color("class:N", scale=alt.Scale(domain=list(labels)), legend=None)
    of_any = [
        alt.Tooltip("class:N", title="class"),
        alt.Tooltip("channel:Q", title="channel"),
        alt.Tooltip("mean:Q", title="mean gate", format=".4f"),
        alt.Tooltip("std:Q", title="standard deviation", format=".4f"),
    ]
    tells = [*of_any, alt.Tooltip("images:Q", title="images", format=",")]
    of_all = [*of_any, alt.Tooltip("images:Q", title="classes", format=",")]
    layers = [alt.Chart(everyone).mark_line(color=FAINT, strokeWidth=3.5, opacity=0.6).encode(x=x, y=y, tooltip=of_all)]
    if selected is not None and selected in at.index:
        mark = pd.DataFrame({"position": [int(at[selected])], "channel": [selected]})
        layers.append(
            alt.Chart(mark)
            .mark_rule(color=FAINT, strokeDash=[4, 3], strokeWidth=1.5)
            .encode(x=x, tooltip=[alt.Tooltip("channel:Q", title="selected channel")])
        )
    if spread:
        band = own.dropna(subset="std")
        layers.append(
            alt.Chart(band)
            .mark_area(opacity=0.22, clip=True)
            .encode(x=x, y=alt.Y("low:Q", title="gate"), y2="high:Q", color=colour, tooltip=tells)
        )
    if images is not None:
        single = images.assign(position=images["channel"].map(at))
        layers.append(
            alt.Chart(single)
            .mark_line(strokeWidth=0.8, opacity=0.55)
            .encode(
                x=x,
                y=alt.Y("gate:Q", title="gate"),
                color=colour,
                detail="image:N",
                tooltip=[alt.Tooltip("class:N"), alt.Tooltip("path:N", title="image")],
            )
        )
    few = len(channels) <= CROWD
    layers.append(alt.Chart(own).mark_line(strokeWidth=1.8 if few else 0.9).encode(x=x, y=y, color=colour))
    layers.append(
        alt.Chart(own)
        .mark_point(filled=True, size=26 if few else 9, opacity=1, cursor="pointer")
        .encode(x=x, y=y, color=colour, tooltip=tells)
        .properties(name="points")  # named, since altair makes up names from the text of all the data
        .add_params(channel_point())
    )
    return alt.layer(*layers).properties(height=PANEL)


def channel_point() -> alt.Parameter:
    """A click on a mark selects its channel."""
    return alt.selection_point(name="channel", fields=["channel"], on="click", empty=False)


def strips(
    table: pd.DataFrame,
    *,
    title: str,
    span: tuple[float, float],
    selected: int | None = None,
) -> Any:
    """Gates as an image, a strip for each row; the pointer tells the values of a channel, a click selects it.

    Parameters
    ----------
    table
        (row, channel), in the order in which they are drawn.
    title
        Of the axis of channels.
    span
        Ends of the colours.
    selected
        A channel that is marked.
    """
    rows, channels = [str(each) for each in table.index], table.columns.to_numpy(np.int64)
    values = table.to_numpy(np.float64)
    picture = pd.DataFrame({"url": [_picture(levels(values, low=span[0], high=span[1]))], "row": [rows[0]]})
    whole = {"y": alt.value(0), "y2": alt.value("height")}
    image = (
        alt.Chart(picture)
        .mark_image(aspect=False, smooth=False)
        .encode(url="url:N", x=alt.value(0), x2=alt.value("width"), **whole)
    )
    names = (
        alt.Chart(pd.DataFrame({"row": rows}))
        .mark_rect(opacity=0)
        .encode(y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(labelOverlap=True, labelLimit=120)))
    )
    told = pd.DataFrame({f"v{k}": values[k] for k in range(min(len(rows), TOLD))})
    told = told.assign(channel=channels, position=np.arange(len(channels)) - 0.5, end=np.arange(len(channels)) + 0.5)
    x = alt.X("position:Q", title=title, axis=_ticks(channels), scale=_span(len(channels)))
    bars = (
        alt.Chart(told)
        .mark_rect(opacity=0, cursor="pointer")
        .encode(
            x=x,
            x2="end:Q",
            tooltip=[
                alt.Tooltip("channel:Q", title="channel"),
                *(alt.Tooltip(f"v{k}:Q", title=rows[k], format=".4f") for k in range(min(len(rows), TOLD))),
            ],
            **whole,
        )
        .properties(name="channels")
        .add_params(channel_point())
    )
    layers = [names, image, bars]
    if selected is not None and selected in channels:
        mark = pd.DataFrame({"position": [int(np.flatnonzero(channels == selected)[0])]})
        layers.insert(2, alt.Chart(mark).mark_rule(color="#D55E00", strokeWidth=2).encode(x=x))
    return alt.layer(*layers).properties(height=70 + 24 * len(rows))  # the axis beneath, and the rows


def _picture(colours: NDArray[np.uint8]) -> str:
    """Colours (row, column, 4) as a PNG in an address."""
    file = io.BytesIO()
    Image.fromarray(colours).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _ticks(channels: NDArray[np.int64]) -> alt.Axis:
    """A few ticks that tell the index of the channel at their place."""
    last = len(channels) - 1
    at = sorted({round(k * last / (_TICKS - 1)) for k in range(_TICKS)})
    told = json.dumps({str(k): str(channels[k]) for k in at})
    return alt.Axis(values=at, labelExpr=f"{told}[datum.value]", grid=False, labelAngle=0)


def _span(channels: int) -> alt.Scale:
    return alt.Scale(domain=[-0.5, channels - 0.5], nice=False, zero=False)
