"""Channel: one channel of a block, how far its gate opens for each class, and for which images most and least."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.plots.channel import differences_by_class, gates_by_class
from seviz.dashboard.plots.charts import show
from seviz.dashboard.reading import RUNS, fingerprint, read_block, read_gates, read_table
from seviz.dashboard.selection import choose, choose_number, choose_some
from seviz.dashboard.tables.channel import (
    Images,
    by_class,
    classes_of,
    ends,
    extremes,
    from_table,
    outcome,
    spread_of_images,
    spread_of_moments,
)
from seviz.dashboard.tables.channel_measures import MEASURES, measures, preferences, signed
from seviz.dashboard.tables.class_names import distinct_names
from seviz.dashboard.thumbnails import SIDE, thumbnail, unseen
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask, offer
from seviz.run.store import Run
from seviz.stats.selectivity import sensitivity
from seviz.tables.channel_correlations import correlations
from seviz.texts import visible

FEW = 30
"""So many classes are drawn all; of more, the first and last by their mean."""
PICTURES = ("6", "12", "24")
"""How many of the images that open the channel most are shown, and of those least."""
QUICK = 150_000_000
"""Gates that a run keeps, over all blocks, so that a block of them is read at once: in a second or two."""
NEIGHBOURS = 8
"""Channels listed as correlated."""
CORRELATED = 5_000
"""Images that correlations are taken over at most."""
SOURCES = {"classes": "means of classes", "images": "single images"}
"""What the gates of a large run are shown by."""


def page(view: View) -> None:
    """The channel, its gate by class, its images, what is measured of it, and the channels that move with it."""
    channel = _steps(view)
    run, block = view.run, view.block
    names = distinct_names(view.names)
    table = by_class(read_block(run, block), _differences(run.path, fingerprint(run.path), block, run), channel, names)
    if table.empty:
        st.info("No class of this run has images with gates: there is nothing to show.", icon=":material/info:")
        return
    images = _images(view)
    st.subheader(f"Gate of channel {channel} by class")
    st.markdown(preferences(table))
    _spread(view, table, images, channel)
    with st.expander("All classes as a table", icon=":material/table:"):
        _listed(table)
    st.subheader("Images that open it most and least")
    _pictures(view, images, channel, names)
    st.subheader("How class-specific it is")
    _measures(view, channel)
    st.subheader("Channels that move with it")
    _correlated(view, images, channel)


def _steps(view: View) -> int:
    """The number of the channel, and links to its neighbours."""
    blocks, last = view.run.blocks, view.run.block(view.block).channels - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        channel = choose_number("channel", f"Channel of {view.block}, 0 to {last}", 0, last, default=0, width=200)
        place = blocks.index(view.block)
        if channel > 0:
            view.link("channel", f"Channel {channel - 1}", icon=":material/chevron_left:", channel=channel - 1)
        if channel < last:
            view.link("channel", f"Channel {channel + 1}", icon=":material/chevron_right:", channel=channel + 1)
        for other, icon in ((place - 1, "keyboard_double_arrow_left"), (place + 1, "keyboard_double_arrow_right")):
            if 0 <= other < len(blocks):
                name = blocks[other]
                there = channel if channel < view.run.block(name).channels else 0
                view.link("channel", f"{name}, channel {there}", icon=f":material/{icon}:", block=name, channel=there)
    return channel


def _images(view: View) -> Images | None:
    """The gates of images, where they are kept, and read at once or asked for."""
    run = view.run
    kept = int(run.samples["kept"].sum())
    if not kept:
        st.info(
            "This run keeps the gates of no image, only means of classes: bars are these, and single images cannot be"
            " shown.",
            icon=":material/info:",
        )
        return None
    size = kept * sum(record.channels for record in run.manifest.blocks)
    if size > QUICK and (
        choose(
            "source",
            "Gates by",
            list(SOURCES),
            widget=st.segmented_control,
            shown=SOURCES.__getitem__,
            help=f"The run keeps gates of {kept:,} images: to read a block of them takes some seconds at first.",
        )
        == "classes"
    ):
        return None
    with st.spinner(f"Reading the gates of {kept:,} images", show_time=True):
        gates = read_gates(run, view.block)
    images = run.kept
    if images.empty:
        st.info("All images whose gates are kept failed: single images cannot be shown.", icon=":material/info:")
        return None
    return Images(gates, images["row"].to_numpy(np.int64), images.index.to_numpy(np.int64))


def _spread(view: View, table: pd.DataFrame, images: Images | None, channel: int) -> None:
    """The gate by class, and beside it how far each class stands out."""
    if len(table) > FEW:
        left, right = st.columns([1, 3])
        with left:
            most = min(60, len(table) // 2)
            each = choose_number("each", "Classes at each end", 5, most, default=15)
        with right:
            shown = dict(zip(table["class"], table["name"], strict=True))
            also = choose_some("classes", "Also these classes", list(shown), shown=shown.__getitem__)
        st.caption(f"The {each} classes of {len(table):,} with the greatest mean gate, and the {each} with the least.")
        table = ends(table, each, also)
    spread, ticks = pd.DataFrame(), None
    if images is not None:
        values, rows = images.of(channel)
        spread, ticks = spread_of_images(table, values, view.run.labels[rows])
        said = "Thin: 5 to 95 % of the images of the class. Thick: the middle half, with the median. Strokes: images."
        if not view.run.samples["kept"].all():
            said += f" These are the {len(rows):,} of {len(view.run.samples):,} images whose gates the run keeps."
    if spread.empty:
        spread, ticks = spread_of_moments(table), None
        said = "Thin: least to greatest gate of the class. Thick: one standard deviation about its mean, the line."
    order, height = list(spread["name"]), max(120, 22 * len(spread) + 60)
    left, right = st.columns([3, 2])
    with left:
        show(
            gates_by_class(spread, ticks, order, height, view.run.block(view.block).gate, view.run.bounds(view.block)),
            alt_text=f"Gate of channel {channel} of {view.block} by class, by falling mean: {_in_words(order)}.",
            key=f"gate_{view.block}_{channel}",
        )
        st.caption(said)
    with right:
        if spread["difference"].replace([np.inf, -np.inf], np.nan).notna().any():
            show(
                differences_by_class(spread, order, height),
                alt_text=f"Difference of each class to all other images, channel {channel} of {view.block}.",
                key=f"difference_{view.block}_{channel}",
            )
            st.caption("Right of 0 the channel favours the class, left of 0 it avoids it.")


def _in_words(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:3])} to {names[-1]}"


def _listed(table: pd.DataFrame) -> None:
    shown = table[["name", "images", "mean", "std", "min", "max", "difference"]]
    st.dataframe(
        plain(shown.rename(columns={"name": "class", "std": "standard deviation", "difference": "d′"})),
        hide_index=True,
        column_config={
            key: st.column_config.NumberColumn(format="%.4f") for key in ("mean", "standard deviation", "min", "max")
        }
        | {"d′": st.column_config.NumberColumn(format="%.2f")},
        alt="The channel's gate by class.",
    )


def _pictures(view: View, images: Images | None, channel: int, names: Mapping[str, str]) -> None:
    """The images at both ends, as tiles or, where there are none to be had, in a table."""
    run = view.run
    if images is not None:
        number = choose("pictures", "Images at each end", PICTURES, widget=st.segmented_control)
        values, rows = images.of(channel)
        most, least = extremes(values, int(number))
        sides = {"most": (rows[most], values[most]), "least": (rows[least], values[least])}
    elif not run.samples["kept"].any():
        st.info("The run keeps the gates of no image: which images open the channel most is not known.")
        return
    else:
        tables = ask(run, "channels", block=view.block)
        if tables is None:
            return
        sides = {side: from_table(run, tables[0], channel, f"{side} excited") for side in ("most", "least")}
    if not any(len(rows) for rows, _ in sides.values()):
        st.info("No image has a gate of this channel that is a number.", icon=":material/info:")
        return
    if reason := unseen(run):
        st.info(escaped(reason), icon=":material/hide_image:")
    columns = st.columns(2) if reason else (st.container(), st.container())
    for (side, (rows, values)), place in zip(sides.items(), columns, strict=True):
        with place:
            st.markdown(f"**{side.capitalize()} open**")
            if reason:
                _images_listed(run, rows, values, names)
            else:
                _tiles(run, rows, values, names)


def _tiles(run: Run, rows: NDArray[np.int64], values: NDArray[np.floating], names: Mapping[str, str]) -> None:
    with st.container(horizontal=True, gap="small"):
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            tile, of, said = thumbnail(run, row), classes_of(run, row, names), outcome(run, row)
            with st.container(width=SIDE + 8, gap=None):
                alt_text = f"No image: {tile.reason}" if tile.reason else f"Image of {of}"
                st.image(tile.image, width=SIDE, alt=visible(alt_text))
                lines = [f"**{escaped(of)}**", f"{value:.3f}", escaped(said), escaped(tile.reason)]
                st.caption("  \n".join(filter(None, lines)))


def _images_listed(run: Run, rows: NDArray[np.int64], values: NDArray[np.floating], names: Mapping[str, str]) -> None:
    st.dataframe(
        plain(
            pd.DataFrame(
                {
                    "image": run.samples["path"].iloc[rows].to_numpy(object),
                    "class": [classes_of(run, row, names) for row in rows.tolist()],
                    "gate": values,
                    "prediction": [outcome(run, row) for row in rows.tolist()],
                }
            )
        ),
        hide_index=True,
        column_config={"gate": st.column_config.NumberColumn(format="%.4f")},
        alt="Images with their class and gate.",
    )


def _measures(view: View, channel: int) -> None:
    tables = {name: read_table(view.run, name) for name in MEASURES}
    there = {name: table for name, table in tables.items() if table is not None}
    found = list(measures(view.run, view.block, channel, there))
    for k in range(0, len(found), 3):
        for column, measure in zip(st.columns(3), found[k : k + 3], strict=False):
            with column.container(border=True, height="stretch"):
                st.metric(measure.label, measure.figure)
                st.caption(measure.says)
    if missing := [name for name in MEASURES if name not in there]:
        offer(view.run, missing)


def _correlated(view: View, images: Images | None, channel: int) -> None:
    run, block = view.run, view.block
    if not run.samples["kept"].any():
        st.info("The run keeps the gates of no image: which channels move together is not known.")
        return
    if images is not None:
        found = _correlations(run.path, fingerprint(run.path), block, channel, images)
        if found.empty:
            st.info(f"The gate of channel {channel} does not vary: it moves with no other.", icon=":material/info:")
            return
        st.markdown("By the correlation of their gates over images, the strongest first; each is a link.")
        with st.container(horizontal=True):
            for other, r in found.itertuples(index=False):
                view.link("channel", f"{other} (r {signed(r, 2)})", channel=int(other))
    table = read_table(run, "redundant_channels", block=block)
    if table is not None:
        _cluster(view, table, channel, with_links=images is None)
    elif images is None:
        offer(run, ["redundant_channels"])


def _cluster(view: View, table: pd.DataFrame, channel: int, *, with_links: bool) -> None:
    """The group of channels that could share one gate."""
    row: Any = table.set_index("channel").loc[channel]
    if pd.isna(row["cluster"]):
        st.markdown(f"Channel {channel} varies too little to be grouped with others.")
        return
    size, standing = int(row["cluster_size"]), int(row["representative"])
    if size == 1:
        st.markdown("It is redundant with no other channel: none correlates with it by 0.9 or more.")
        return
    st.markdown(
        f"It is one of {size} channels any two of which correlate by 0.9 or more, whatever the sign;"
        f" {'it' if standing == channel else f'channel {standing}'} stands for them best."
    )
    if with_links:
        members = table.loc[(table["cluster"] == row["cluster"]) & (table["channel"] != channel), "channel"]
        with st.container(horizontal=True):
            for other in members.head(NEIGHBOURS):
                view.link("channel", str(other), channel=int(other))


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=RUNS, show_spinner=False)
def _differences(path: Path, mark: str, block: str, _run: Run) -> NDArray[np.float64]:
    """d' of each class of a block against the rest, (class, channel)."""
    differences = sensitivity(_run.moments(block), _run.total(block))
    differences.setflags(write=False)
    return differences


@st.cache_data(hash_funcs=BY_BYTES, max_entries=256, show_spinner=False)
def _correlations(path: Path, mark: str, block: str, channel: int, _images: Images) -> pd.DataFrame:
    step = max(-(-len(_images.rows) // CORRELATED), 1)
    gates = _images.gates[_images.rows[::step]]
    return correlations(gates[np.isfinite(gates).all(1)], channel).head(NEIGHBOURS)


PAGE = Page(
    title="Channel",
    path="channel",
    icon=":material/tune:",
    says=(
        "Each channel of a feature map looks for something of its own, and an SE block gives it a gate: near 1 the"
        " channel is let through, near 0 it is shut off. This page is of one channel: for which classes and which"
        " images its gate opens, and for which it shuts."
    ),
    how=(
        "A channel whose classes all have the same spread does not care what is in the image; one that opens for a few"
        " classes and shuts for others is **class-specific**. **d′** says how far a class stands out: the mean gate of"
        " its images less that of all others, in standard deviations; beyond about 1 the two overlap little. The images"
        " at both ends often show what the channel answers to: something that they share. Channels of the same stage"
        " are those of the same feature map, so the same number in the next block is worth a look; between stages"
        " numbers have nothing to do with each other."
    ),
    draw=page,
    keys=("each", "source", "pictures"),
)
