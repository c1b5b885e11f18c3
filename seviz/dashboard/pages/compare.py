"""Compare: two runs side by side, from what they are of to the gates of one block."""

from pathlib import Path
from typing import Any, cast

import altair as alt
import pandas as pd
import streamlit as st

from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.plots.charts import HEIGHT, MARKS, depth, heatmap, show
from seviz.dashboard.reading import fingerprint, read_block
from seviz.dashboard.selection import choose
from seviz.dashboard.tables.class_names import distinct_names
from seviz.dashboard.tables.comparison import (
    cost,
    counterpart,
    gates_of_both,
    in_words,
    nothing_shifts,
    profiles,
    shared_classes,
)
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask
from seviz.errors import MissingSignalError, UnknownClassError
from seviz.run.pairing import Match, pair_runs
from seviz.run.store import Run
from seviz.tables.agreement import agreement
from seviz.tables.compare import compare
from seviz.tables.differences import differences
from seviz.tables.excitation import ALL_CLASSES

MATCHES = {"path": "by module", "name": "by name", "position": "by place in depth"}
"""By module is by the module's path and, where paths differ, by name."""
QUANTITIES = {
    "shift": "shift of class means",
    "difference": "mean difference",
    "change": "change of class specificity",
}
"""Columns of `compare` that have an interval."""
_ENDS = {
    "shift": ("low", "high"),
    "difference": ("difference_low", "difference_high"),
    "change": ("change_low", "change_high"),
}
QUICK = 2_000_000
"""Class means (classes times channels, of all blocks) up to which runs are compared without asking: about a second."""
_ASKED = "compare_asked"


def page(view: View) -> None:
    """Figures, differences, specificity and shift by depth, agreement, and the gates of a block beside each other."""
    if view.against is None:
        _how_to_begin(view)
        return
    one, other = view.run, view.against
    _figures(view, one, other)
    st.subheader("What differs")
    table = differences(one, other)
    if table.empty:
        st.info("The runs are of the same network, data and settings.")
    else:
        shown = table.set_axis(["", f"{view.name} ", f"{view.against_name}  "], axis=1)
        st.dataframe(plain(shown), hide_index=True, width="stretch")
    chosen = choose(
        "match",
        "Blocks belong together",
        list(MATCHES),
        default="path" if pair_runs(one, other).pairs else "position",
        widget=st.segmented_control,
        shown=MATCHES.__getitem__,
    )
    match: Match = cast(Match, chosen)
    st.subheader("Class specificity by depth")
    _profiles(view, one, other, match)
    st.subheader("How far gates have shifted")
    _shifts(view, one, other, match)
    st.subheader("Do the runs agree on which classes are alike?")
    _agreement(view, one, other)
    _block(view, one, other, match)


def _how_to_begin(view: View) -> None:
    if len(view.runs) > 1:
        st.info("Select a **second run** in the sidebar, to see it beside this one.", icon=":material/left_click:")
    else:
        st.info(
            "Only one run is open. Start the dashboard with two or more, `seviz dashboard RUN RUN`, or with the folder"
            " that holds them, and select the second in the sidebar.",
            icon=":material/info:",
        )


def _figures(view: View, one: Run, other: Run) -> None:
    """What each run is of."""
    for place, run, name in zip(st.columns(2), (one, other), (view.name, view.against_name), strict=True):
        accuracy = run.accuracy
        figures = {
            "Images": f"{len(run.samples):,}",
            "Classes": f"{len(run.classes):,}",
            "SE blocks": f"{len(run.blocks)}",
            "Top-1": "not known" if accuracy is None else f"{accuracy.top1:.1%}",
        }
        with place:
            st.markdown(f"**{escaped(name)}**")
            st.caption(f"{escaped(run.manifest.model.spec)} on {escaped(run.manifest.data.spec)}")
            with st.container(horizontal=True):
                for label, figure in figures.items():
                    st.metric(label, figure, border=True, width="content")


def _profiles(view: View, one: Run, other: Run, match: Match) -> None:
    """Class specificity of both runs, block by block, from their kept tables."""
    tables = []
    for run, name in ((one, view.name), (other, view.against_name)):
        if (found := ask(run, "specificity")) is None:  # one offer at a time
            st.caption(f"Of the run {escaped(name)}.")
            return
        tables.append(found[0])
    pairing = pair_runs(one, other, match=match)
    order, joined = profiles(*tables, names=(view.name, view.against_name), pairing=pairing)
    x = depth(order, field="place")
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("block:N"),
        alt.Tooltip("omega_squared:Q", title="class specificity", format=".3f"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
    ]
    colour = alt.Color(
        "run:N", title=None, sort=None, legend=alt.Legend(orient="bottom", labelLimit=160, symbolOpacity=1)
    )
    base = alt.Chart(joined)
    title = "class specificity (ω²)"
    lines = base.mark_line(point=alt.OverlayMarkDef(size=50)).encode(
        x=x, y=alt.Y("omega_squared:Q", title=title), color=colour, tooltip=tooltip
    )
    band = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=colour)
    layers = [band, lines] if joined[["low", "high"]].notna().all(axis=None) else [lines]
    show(
        alt.layer(*layers).properties(height=HEIGHT + 60),
        alt_text="Class specificity of both runs by SE block.",
        key="compare_profiles",
    )
    for remark in pairing.remarks(view.name, view.against_name):
        st.caption(escaped(remark))
    if one.manifest.data.class_ids != other.manifest.data.class_ids:
        st.caption("Each run's specificity is over its own classes, which are not the same.")


def _shifts(view: View, one: Run, other: Run, match: Match) -> None:
    """How far the mean gates of classes are apart, by depth, with intervals."""
    if not _may(view, "shift", "Compare the gates"):
        return
    try:
        with st.spinner("Comparing the gates of all classes"):
            table = _compared(one.path, fingerprint(one.path), other.path, fingerprint(other.path), match, one, other)
    except MissingSignalError:
        what = "name" if match == "name" else "module path or the name"
        st.info(f"No block of one run has the {what} of a block of the other: match them by place in depth.")
        return
    for remark in dict.fromkeys(table.attrs["remarks"]):
        st.caption(escaped(remark))
    known = [key for key in QUANTITIES if table[key].notna().any()]
    if not known:
        st.info(nothing_shifts(table))
        return
    quantity = choose("by", "Shown is", known, widget=st.segmented_control, shown=QUANTITIES.__getitem__)
    low, high = _ENDS[quantity]
    drawn = table.dropna(subset=[quantity]).assign(value=lambda rows: rows[quantity], low=table[low], high=table[high])
    units = {"shift": "shift, in units of the gate", "difference": "second less first, in units of the gate"}
    title = units.get(quantity, "ω² of the second less the first")
    tooltip = [
        alt.Tooltip("block:N"),
        alt.Tooltip("other_block:N", title="beside"),
        alt.Tooltip("paired_by:N", title="paired by"),
        alt.Tooltip("value:Q", title=QUANTITIES[quantity], format=".4f"),
        alt.Tooltip("low:Q", format=".4f"),
        alt.Tooltip("high:Q", format=".4f"),
        alt.Tooltip("correlation:Q", title="correlation of class means", format=".3f"),
        alt.Tooltip("classes:Q"),
    ]
    base = alt.Chart(drawn).encode(x=depth(list(drawn["block"])))
    points = base.mark_point(filled=True, size=70, opacity=1).encode(y=alt.Y("value:Q", title=title), tooltip=tooltip)
    layers: list[Any] = [points]
    if drawn[["low", "high"]].notna().any(axis=None):
        ends = base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        bars = ends.mark_rule(strokeWidth=2, color="#8A8A8A").encode(y=alt.Y("low:Q", title=title), y2="high:Q")
        layers.insert(0, bars)
    zero = alt.Chart(pd.DataFrame({"value": [0.0]})).mark_rule(strokeDash=[4, 4], color="#8A8A8A").encode(y="value:Q")
    show(
        alt.layer(zero, *layers).properties(height=HEIGHT),
        alt_text=f"{QUANTITIES[quantity].capitalize()} between the two runs by SE block, with 95 % intervals.",
        key="compare_shift",
    )
    st.caption(
        f"{in_words(table)} Bars are 95 % intervals for classes of the same kind."
        " Of the same images in both runs they are too wide."
    )
    with st.expander("All numbers", icon=":material/table:"):
        st.dataframe(plain(table), hide_index=True, width="stretch")


def _agreement(view: View, one: Run, other: Run) -> None:
    """How far each block of one run and each of the other have the same classes alike."""
    if not _may(view, "agreement", "Compute the agreement"):
        return
    try:
        with st.spinner("Comparing which classes are alike"):
            table = _agreed(one.path, fingerprint(one.path), other.path, fingerprint(other.path), one, other)
    except UnknownClassError:
        st.info("The runs have images of no class in common, by its id: there is nothing to agree on.")
        return
    matrix = table.set_index(["one", "other"])["correlation"].unstack()  # noqa: PD010 - a table of pairs
    matrix = matrix.reindex(index=list(one.blocks), columns=list(other.blocks))
    if matrix.isna().all(axis=None):
        st.info(f"The runs share {shared_classes(one, other)} classes: agreement needs at least three.")
        return
    heatmap(
        matrix,
        rows=f"block of {view.name}",
        columns=f"block of {view.against_name}",
        value="agreement",
        alt_text="Agreement between the blocks of both runs on which classes are alike.",
        signed=True,
        low=-1,
        high=1,
        height=max(HEIGHT, 20 * len(matrix) + 90),
        key="compare_agreement",
    )
    st.caption(
        "Spearman correlation of the distances between classes, of each block of one run with each of the other:"
        f" 1 is the same order of all pairs of the {int(table['classes'].iloc[0]):,} classes in common."
    )


def _block(view: View, one: Run, other: Run, match: Match) -> None:
    """The mean gates of the selected block, channel by channel, one run against the other."""
    st.subheader(f"Mean gates of {view.block}, one run against the other")
    theirs = counterpart(one, other, view.block, match)
    if theirs is None:
        st.info(f"{view.block} has no counterpart in {escaped(view.against_name)}.")
        return
    channels = one.block(view.block).channels, other.block(theirs).channels
    if channels[0] != channels[1]:
        st.info(
            f"{view.block} has {channels[0]:,} channels and its counterpart {theirs} {channels[1]:,}: there is no"
            " channel by channel."
        )
        return
    chosen = view.choose_classes()
    both = set(other.classes.ids)
    ids = [each for each in chosen if each in both]
    if not ids:
        st.info("None of these classes is in both runs, by its id.")
        return
    most = max(MARKS // channels[0], 1)
    if len(ids) < len(chosen):
        st.caption(f"{len(chosen) - len(ids)} of these classes are not in the second run.")
    if len(ids) > most:
        st.caption(f"Drawn are the first {most} of {len(ids)} classes, {channels[0]:,} channels of each.")
    table = gates_of_both(read_block(one, view.block), read_block(other, theirs), ids[:most])
    names = view.names
    labels = distinct_names({each: names[each] for each in ids}, taken=[ALL_CLASSES])
    table = table.assign(label=table["class"].map(labels))
    if table.empty:
        st.info("Of these classes one of the runs has no images.")
        return
    _scatter(view, table, theirs)


def _scatter(view: View, table: pd.DataFrame, theirs: str) -> None:
    values = table[["one", "other"]].to_numpy(float)
    least, most = float(values.min()), float(values.max())
    line = alt.Chart(pd.DataFrame({"one": [least, most], "other": [least, most]})).mark_line(
        strokeDash=[4, 4], strokeWidth=1.5, color="#8A8A8A"
    )
    encoding = {
        "x": alt.X("one:Q", title=f"mean gate in {view.name}, {view.block}", scale=alt.Scale(zero=False)),
        "y": alt.Y("other:Q", title=f"mean gate in {view.against_name}, {theirs}", scale=alt.Scale(zero=False)),
    }
    points = (
        alt.Chart(table)
        .mark_point(filled=True, size=24, opacity=0.6)
        .encode(
            **encoding,
            color=alt.Color(
                "label:N",
                title=None,
                sort=list(dict.fromkeys(table["label"])),
                legend=alt.Legend(orient="bottom", columns=3, labelLimit=110, symbolOpacity=1),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="class"),
                alt.Tooltip("channel:Q"),
                alt.Tooltip("one:Q", title="first run", format=".4f"),
                alt.Tooltip("other:Q", title="second run", format=".4f"),
            ],
        )
    )
    show(
        alt.layer(points, line.encode(**encoding)).properties(height=460),
        alt_text=f"Mean gates of the channels of {view.block}, the first run across and the second upward.",
        key="compare_scatter",
    )
    st.caption("A point a channel and class; on the dashed line both runs open the gate alike.")


def _may(view: View, what: str, label: str) -> bool:
    """Whether to compute: at once where it is quick, else when a button was pressed."""
    run, other = view.run, view.against
    assert other is not None
    if cost(run, other) <= QUICK:
        return True
    asked = (what, fingerprint(run.path), fingerprint(other.path))
    if asked in st.session_state.get(_ASKED, ()):
        return True
    st.caption(f"With {shared_classes(run, other):,} classes in common this takes some seconds.")
    if not st.button(label, key=f"compare_{what}_button", icon=":material/calculate:"):
        return False
    st.session_state[_ASKED] = (*st.session_state.get(_ASKED, ())[-19:], asked)
    return True


@st.cache_data(hash_funcs=BY_BYTES, max_entries=16, show_spinner=False)
def _compared(
    path: Path, mark: str, other_path: Path, other_mark: str, match: Any, _one: Run, _other: Run
) -> pd.DataFrame:
    return compare(_one, _other, match=match)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=16, show_spinner=False)
def _agreed(path: Path, mark: str, other_path: Path, other_mark: str, _one: Run, _other: Run) -> pd.DataFrame:
    return agreement(_one, _other, permutations=0)


PAGE = Page(
    title="Compare",
    path="compare",
    icon=":material/compare_arrows:",
    says=(
        "Two runs side by side: two networks, one network before and after training, or clean and corrupted images."
        " The page tells what differs between them, and how far the gates of their SE blocks differ for the same"
        " classes."
    ),
    how=(
        "Select the second run in the sidebar. **Shift of class means** is how far the mean gate of a class in one run"
        " lies from that in the other, root mean square over classes and channels, less what chance alone makes:"
        " gates lie between 0 and 1, so 0.01 is little and 0.2 is much. **Mean difference** keeps the sign: above 0"
        " the gates are opened wider in the second run. **Change of class specificity** is how much more of the gates'"
        " variance lies between classes in the second run. Channels of two networks that were trained apart have"
        " nothing to do with each other but their number; what is said of classes can be compared all the same:"
        " **agreement** is whether the same classes are alike in both."
    ),
    draw=page,
    keys=("match", "by"),
)
