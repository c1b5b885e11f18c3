"""Classes: which are alike to a block, and where two of them part, channel by channel and with depth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.plots.charts import HEIGHT, clicked, heatmap, show
from seviz.dashboard.plots.class_pairs import DISTANCE, course, most_different, scatter, tree
from seviz.dashboard.reading import fingerprint, read_block
from seviz.dashboard.selection import choose, select, values
from seviz.dashboard.tables.class_names import distinct_names
from seviz.dashboard.tables.class_pairs import branches, class_means, nearest
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask
from seviz.tables.class_pair import side_by_side
from seviz.tables.class_pair_by_depth import by_depth
from seviz.tables.excitation import default_classes

TREE = 60
"""So many classes have a tree and a matrix with names; of more, the matrix is an image beside the nearest classes."""
NEAREST = 15
"""Classes listed as nearest."""
BARS = 15
"""Channels drawn as the most different."""


def page(view: View) -> None:
    """All classes of the run in the selected block, then two of them."""
    names = distinct_names(view.names)
    block = read_block(view.run, view.block)
    there = [str(each) for each in block["class"].to_numpy()[block["count"].to_numpy() > 0]]
    if len(there) < 2:
        st.info("Fewer than two classes of this run have images: there is nothing to compare.", icon=":material/info:")
        return
    default = [each for each in values("classes") if each in there]
    if len(default) < 2:
        default = list(default_classes(view.run, 2))
    st.subheader(f"Which classes are alike in {view.block}")
    _alike(view, names, default)
    st.subheader("Two classes side by side")
    left, right = st.columns(2)
    with left:
        one = choose("one", "Class", there, default=default[0], shown=names.__getitem__)
    with right:
        second = next(each for each in [default[1], *there] if each != one)
        other = choose("other", "Compared with", there, default=second, shown=names.__getitem__)
    if one == other:
        st.info("Choose two different classes to see where they part.", icon=":material/info:")
        return
    _channels(view, side_by_side(block, one, other), one, other, names)
    st.subheader("How far apart they are with depth")
    _depth(view, one, other, names)


def _alike(view: View, names: Mapping[str, str], default: Sequence[str]) -> None:
    """The matrix of distances, and the tree or, of many classes, the nearest of one."""
    tables = ask(view.run, "similarity", block=view.block)
    if tables is None:
        return
    apart = tables[0].rename(index=str, columns=str)
    if undefined := int(np.isnan(np.diag(apart.to_numpy())).sum()):
        st.info(
            f"In {undefined} of {len(apart)} classes all gates of {view.block} are the same: they have no direction,"
            " and no distance to others.",
            icon=":material/info:",
        )
    if undefined > len(apart) - 2:
        return
    if len(apart) > TREE:
        left, right = st.columns(2)
        with left:
            _matrix(view, apart.rename(index=names, columns=names))
        with right:
            _nearest(view, apart, names, default)
        return
    named = apart.rename(index=names, columns=names)
    leaves, lines, joins = branches(named)
    left, right = st.columns([3, 2])
    with left:
        _matrix(view, named.loc[leaves, leaves])
    with right:
        _tree(view, leaves, lines, joins)


def _matrix(view: View, apart: pd.DataFrame) -> None:
    heatmap(
        apart,
        rows="classes",
        columns="classes",
        value=DISTANCE,
        low=0.0,
        height=_height(len(apart)),
        alt_text=f"Distances between the mean gates of {len(apart)} classes in {view.block}, like ones side by side.",
        key=f"matrix_{view.block}",
    )


def _tree(view: View, leaves: Sequence[str], lines: pd.DataFrame, joins: pd.DataFrame) -> None:
    show(
        tree(leaves, lines, joins, height=_height(len(leaves))),
        alt_text=f"Tree of {len(leaves)} classes by their distances in {view.block}.",
        key=f"tree_{view.block}",
    )


def _nearest(view: View, apart: pd.DataFrame, names: Mapping[str, str], default: Sequence[str]) -> None:
    """The classes nearest to one; a click compares the two."""
    known = [each for each, own in zip(apart.index, np.diag(apart.to_numpy()), strict=True) if not np.isnan(own)]
    known.sort(key=names.__getitem__)
    first = default[0] if default[0] in known else known[0]
    near = choose("near", "Nearest to", known, default=first, shown=names.__getitem__)
    found = nearest(apart, near, NEAREST)
    found["name"] = found["class"].map(names)
    key = f"nearest_{view.block}_{near}"

    def compare(other: str) -> None:
        select(one=near, other=other)

    chart = (
        alt.Chart(found)
        .mark_bar(cursor="pointer")
        .encode(
            x=alt.X("distance:Q", title=DISTANCE),
            y=alt.Y("name:N", sort=list(found["name"]), title=None, axis=alt.Axis(labelLimit=150, labelOverlap=False)),
            tooltip=[alt.Tooltip("name:N", title="class"), alt.Tooltip("distance:Q", title=DISTANCE, format=".4f")],
        )
        .add_params(alt.selection_point(name="class", fields=["class"], on="click", empty=False))
        .properties(height=22 * len(found) + 60)
    )
    show(
        chart,
        alt_text=f"The {len(found)} classes nearest to {names[near]} in {view.block}.",
        key=key,
        on_select=on_click(key, "class", compare),
        selection_mode="class",
    )
    st.caption("Click a bar to compare the two below.")


def _channels(view: View, table: pd.DataFrame, one: str, other: str, names: Mapping[str, str]) -> None:
    """Where the two differ: all channels as points, the most different as bars and in a table."""
    key = f"{view.block}_{one}_{other}"
    known = table["d_prime"].notna()
    if not known.any():
        st.info(
            "Standardised differences (d′) are not known: a class has fewer than two images, or gates are constant."
            " Channels are ordered by the difference of the means.",
            icon=":material/info:",
        )

    def choose_channel(channel: Any) -> None:
        select(channel=int(channel))

    left, right = st.columns(2)
    with left:
        points = f"points_{key}"
        show(
            scatter(table, view.channel, names[one], names[other]),
            alt_text=f"Mean gate of each channel of {view.block} for {names[one]} and for {names[other]}.",
            key=points,
            on_select=on_click(points, "channel", choose_channel),
            selection_mode="channel",
        )
    with right:
        bars = f"bars_{key}"
        show(
            most_different(table.head(BARS), names[one], names[other]),
            alt_text=f"The channels of {view.block} in which {names[one]} and {names[other]} differ most.",
            key=bars,
            on_select=on_click(bars, "channel", choose_channel),
            selection_mode="channel",
        )
    _listed(view, table, key, names[one], names[other], choose_channel)
    row = table.set_index("channel").loc[view.channel]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"Channel {view.channel}: mean gate {row['mean_one']:.3f} for {escaped(names[one])},"
            f" {row['mean_other']:.3f} for {escaped(names[other])}.",
            width="content",
        )
        view.link("channel", f"Channel {view.channel} of {view.block}", icon=":material/tune:", channel=view.channel)


def _listed(
    view: View, table: pd.DataFrame, key: str, one: str, other: str, choose_channel: Callable[[Any], None]
) -> None:
    """All channels, the most different first; a row selects its channel."""
    place = f"channels_{key}"

    def chosen() -> None:
        rows = st.session_state[place]["selection"]["rows"]
        if rows:
            choose_channel(table["channel"].iloc[rows[0]])

    columns = {
        "channel": "channel",
        "d_prime": "d′",
        "mean_one": f"mean, {one}",
        "mean_other": f"mean, {other}",
        "difference": "difference",
        "std_one": f"standard deviation, {one}",
        "std_other": f"standard deviation, {other}",
    }
    with st.expander("All channels as a table", icon=":material/table:"):
        st.dataframe(
            plain(table[list(columns)].rename(columns=columns)),
            hide_index=True,
            height=320,
            column_config={
                label: st.column_config.NumberColumn(format="%.2f" if name == "d_prime" else "%.4f")
                for name, label in columns.items()
                if name != "channel"
            },
            key=place,
            on_select=chosen,
            selection_mode="single-row",
            alt=f"Channels of {view.block} by how much {one} and {other} differ.",
        )
        st.caption("Select a row to select its channel.")


def _depth(view: View, one: str, other: str, names: Mapping[str, str]) -> None:
    """The distance of the two in each block, and what is usual."""
    run = view.run
    means, usually, number = class_means(run.path, fingerprint(run.path), run)
    place = run.classes.ids.index
    own = by_depth(means, place(one), place(other))
    these, pairs = f"{names[one]}, {names[other]}", f"median pair of {number} classes"
    table = pd.concat([own.assign(pair=these), usually.assign(pair=pairs)], ignore_index=True)
    columns = st.columns(2)
    for column, (field, title) in zip(
        columns, {"difference": "mean |difference| of gates", "distance": DISTANCE}.items(), strict=True
    ):
        with column:
            known = table.dropna(subset=field)
            if known.empty:
                st.info("The gates of a class are all the same in every block: there is no correlation.")
                continue
            show(
                course(known, field, title, list(run.blocks), [these, pairs], view.block),
                alt_text=f"{title} of {names[one]} and {names[other]} by block, beside that of the median pair.",
                key=f"depth_{field}_{one}_{other}",
            )
    st.caption(f"The upright line is the selected block, {view.block}.")


def on_click(key: str, name: str, act: Callable[[Any], None]) -> Callable[[], None]:
    """What is done when a mark of a chart is clicked: with the field `name`, which the selection is called by too."""

    def changed() -> None:
        found = clicked(st.session_state[key], name, name)
        if found is not None:
            act(found)

    return changed


def _height(classes: int) -> int:
    """Of the matrix and of the tree beside it, in pixels."""
    return max(HEIGHT, 20 * classes + 160)


PAGE = Page(
    title="Classes",
    path="classes",
    icon=":material/category:",
    says=(
        "To an SE block two classes are alike if it opens and shuts the same channels for both, on average over their"
        " images. This page shows which classes a block treats alike, and for any two of them in which channels, and at"
        " which depth of the network, they part."
    ),
    how=(
        "**Distance** is one minus the correlation of two classes' mean gates over channels: 0 for classes that the"
        " block treats alike, 1 for ones that have nothing to do with each other. Classes that are alike stand beside"
        " each other; the **tree** joins them, the sooner (the further left) the more alike they are. In early blocks"
        " all distances are small, since gates there depend little on the class: look at the scale.\n\n"
        "For two classes each point is a channel: on the dashed line its mean gate is the same for both. **d′** is the"
        " difference of the means in standard deviations of single images; beyond about 1 most images of the two"
        " classes lie apart."
    ),
    draw=page,
    keys=("one", "other", "near"),
)
