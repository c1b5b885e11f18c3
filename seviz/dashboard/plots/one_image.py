"""Charts of one image: what it is taken for, how like it is to classes, its gates, and what they add; and pictures."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
from PIL import Image

from seviz.dashboard.plots.charts import HEIGHT, blocks_point, depth
from seviz.dashboard.tables.one_image import KINDS

SIDE = 168
"""Pixels of pictures as they are shown."""


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture whose pixels are seen: a small one enlarged by a whole number, without smoothing."""
    times = -(-2 * SIDE // max(picture.size))  # twice as many, for fine screens
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST) if times > 2 else picture


def most_probable(best: pd.DataFrame) -> Any:
    """What the image is taken for, a bar for each class.

    Parameters
    ----------
    best
        `OneImage.best`, with label, what the classes are called.
    """
    return (
        alt.Chart(best)
        .mark_bar()
        .encode(
            x=alt.X(
                "probability:Q",
                title="probability (softmax)",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
            ),
            y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=150)),
            tooltip=[
                alt.Tooltip("label:N", title="class"),
                alt.Tooltip("probability:Q", format=".2%"),
                alt.Tooltip("logit:Q", format=".3f"),
            ],
        )
        .properties(height=alt.Step(32))
    )


def likeness_lines(table: pd.DataFrame, lines: Sequence[int], labels: Sequence[str], block: str) -> Any:
    """The likeness of some classes by depth, in the range of all; a click on a point selects its block.

    Parameters
    ----------
    table
        (block, class), from `seviz.experiments.one_image.likeness`.
    lines
        Which classes.
    labels
        What all are called.
    block
        Which is marked.
    """
    band = pd.DataFrame({"block": table.index, "low": table.min(axis=1), "high": table.max(axis=1)})
    long = (
        table[list(lines)]
        .rename(columns=dict(enumerate(labels)))
        .rename_axis(index="block", columns="label")
        .reset_index()
        .melt("block", value_name="likeness")
        .dropna()
    )
    range_ = (
        alt.Chart(band)
        .mark_area(color="#8A8A8A", opacity=0.2)
        .encode(x=depth(list(table.index)), y=alt.Y("low:Q", title="correlation"), y2="high:Q")
    )
    here = (
        alt.Chart(pd.DataFrame({"block": [block]}))
        .mark_rule(strokeDash=[4, 4], color="#8A8A8A")
        .encode(x=depth(list(table.index)))
    )
    drawn = (
        alt.Chart(long)
        .mark_line(point=alt.OverlayMarkDef(size=50, cursor="pointer"))
        .encode(
            x=depth(list(table.index)),
            y=alt.Y("likeness:Q", title="correlation"),
            color=alt.Color(
                "label:N",
                title=None,
                sort=[labels[k] for k in lines],
                legend=alt.Legend(orient="bottom", columns=3, labelLimit=110),
            ),
            tooltip=[
                alt.Tooltip("block:N"),
                alt.Tooltip("label:N", title="class"),
                alt.Tooltip("likeness:Q", title="correlation", format=".3f"),
            ],
        )
    )
    return alt.layer(range_, here, drawn.add_params(blocks_point())).properties(height=HEIGHT + 100)


def nearest_bars(nearest: pd.DataFrame) -> Any:
    """The distances of the nearest classes: `tables.one_image.nearest_classes`, with label."""
    return (
        alt.Chart(nearest)
        .mark_bar()
        .encode(
            x=alt.X("distance:Q", title="distance: one minus the correlation of gates"),
            y=alt.Y("label:N", title=None, sort=None, axis=alt.Axis(labelLimit=150)),
            color=alt.Color("what:N", title=None, sort=list(KINDS), legend=alt.Legend(orient="bottom")),
            tooltip=[
                alt.Tooltip("label:N", title="class"),
                alt.Tooltip("distance:Q", format=".3f"),
                alt.Tooltip("rank:Q"),
                alt.Tooltip("what:N", title="is"),
            ],
        )
        .properties(height=alt.Step(24))
    )


def channel_by_channel(block: str, table: pd.DataFrame, called: str) -> Any:
    """The gates of an image beside a mean and its spread.

    Parameters
    ----------
    block
        Which.
    table
        From `seviz.experiments.one_image.beside`, with place, where a channel is drawn.
    called
        What the mean is of.
    """
    x = alt.X("place:Q", title=f"channels of {block}, by falling mean", scale=alt.Scale(nice=False))
    mean, image = f"mean of {called}, and its spread", "this image"
    colour = alt.Scale(domain=[image, mean])
    legend = alt.Legend(orient="bottom", labelLimit=260, symbolOpacity=1, columns=1)
    spread = table.assign(low=table["mean"] - table["std"], high=table["mean"] + table["std"], what=mean)
    tooltip = [
        alt.Tooltip("channel:Q"),
        alt.Tooltip("gate:Q", format=".4f"),
        alt.Tooltip("mean:Q", format=".4f"),
        alt.Tooltip("std:Q", format=".4f"),
        alt.Tooltip("deviations:Q", format=".1f"),
    ]
    layers = [
        alt.Chart(spread)
        .mark_line()
        .encode(
            x=x, y=alt.Y("mean:Q", title="gate"), color=alt.Color("what:N", title=None, scale=colour, legend=legend)
        ),
        alt.Chart(table.assign(what=image))
        .mark_point(filled=True, size=18, opacity=0.8)
        .encode(
            x=x,
            y=alt.Y("gate:Q", title="gate"),
            color=alt.Color("what:N", title=None, scale=colour, legend=legend),
            tooltip=tooltip,
        ),
    ]
    if spread["std"].notna().all():
        layers.insert(
            0,
            alt.Chart(spread)
            .mark_area(opacity=0.25)
            .encode(
                x=x,
                y=alt.Y("low:Q", title="gate"),
                y2="high:Q",
                color=alt.Color("what:N", title=None, scale=colour, legend=legend),
            ),
        )
    return alt.layer(*layers).properties(height=HEIGHT + 60)


def block_bars(by_block: pd.DataFrame, block: str) -> Any:
    """The share of each block in what gates add to a logit: `Attributions.by_block`, and which block is marked."""
    return (
        alt.Chart(by_block)
        .mark_bar(cursor="pointer")
        .encode(
            x=depth(list(by_block["block"])),
            y=alt.Y("share:Q", title="share of what all gates add", axis=alt.Axis(format="%")),
            opacity=alt.condition(alt.datum.block == block, alt.value(1), alt.value(0.6)),
            tooltip=[
                alt.Tooltip("block:N"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("attribution:Q", title="adds to the logit", format="+.3f"),
                alt.Tooltip("half:Q", title="channels that hold half"),
            ],
        )
        .properties(height=HEIGHT + 60)
    )


def channel_bars(in_block: pd.DataFrame) -> Any:
    """What channels add to a logit: some rows of `Attributions.by_channel`."""
    return (
        alt.Chart(in_block.assign(label="channel " + in_block["channel"].astype(str)))
        .mark_bar()
        .encode(
            x=alt.X("attribution:Q", title="adds to the logit"),
            y=alt.Y("label:N", title=None, sort=None),
            tooltip=[
                alt.Tooltip("channel:Q"),
                alt.Tooltip("attribution:Q", title="adds to the logit", format="+.4f"),
                alt.Tooltip("share:Q", title="of the block", format=".1%"),
            ],
        )
        .properties(height=alt.Step(22))
    )
