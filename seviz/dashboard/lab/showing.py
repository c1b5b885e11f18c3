"""What compressions came to: smaller networks side by side, masking curves, and one result in detail."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from seviz.compression.listing import compared, curves, name_of
from seviz.compression.result import Compression
from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.lab.results import (
    action_of,
    called,
    card,
    damage,
    damage_masked,
    files,
    network_zip,
    place_of,
    settings,
    summary,
    table_of,
)
from seviz.dashboard.plots.charts import HEIGHT, depth, heatmap, show
from seviz.dashboard.selection import choose, choose_some
from seviz.run.store import Run

ACTIONS = {
    "mask": "Mask channels",
    "fold": "Fold SE blocks",
    "remove": "Take SE blocks out",
    "prune": "Prune channels",
    "specialise": "Specialise to classes",
}
COSTS = {"multiply_adds": "multiply-adds", "parameters": "parameters", "bytes": "size of the weights"}
ROWS = 40
"""Classes that are shown at most."""


def side_by_side(results: Sequence[Compression]) -> None:
    """Smaller networks beside their originals, as a table and against what they cost."""
    actions = {name_of(each): action_of(each) for each in results}
    rows = compared(results)
    rows["action"] = rows["result"].map(actions)
    st.markdown("**Before and after.** A row for each network; of those for some classes only images of these count.")
    st.dataframe(plain(beside(rows)), hide_index=True, column_config=_COLUMNS, width="stretch")
    cost = choose("cost", "Against", list(COSTS), widget=st.segmented_control, shown=COSTS.__getitem__)
    _scatter(rows, cost)


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison as it is shown: shares with their intervals in words."""
    shown = pd.DataFrame(
        {
            "result": table["result"],
            "network": table["network"],
            "judged on": table["classes"].where(table["classes"] != "all", "all classes"),
            "SE blocks": table["blocks"],
            "accuracy": table["accuracy"],
            "interval": [f"{low:.1%} – {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)],
            "points lost": [
                "" if first else f"{100 * drop:.1f} ({100 * low:.1f} – {100 * high:.1f})"
                for first, drop, low, high in zip(
                    table["original"], table["drop"], table["drop_low"], table["drop_high"], strict=True
                )
            ],
            "parameters": table["parameters"],
            "of parameters": table["share_parameters"],
            "multiply-adds": table["multiply_adds"],
            "of multiply-adds": table["share_multiply_adds"],
            "weights": table["bytes"],
        }
    )
    if "latency_ms" not in table:
        return shown
    return shown.assign(**{"ms an image": table["latency_ms"], "times faster": table["latency_ratio"]})


_PERCENT, _COMPACT = st.column_config.NumberColumn(format="percent"), st.column_config.NumberColumn(format="compact")
_COLUMNS = {
    "network": st.column_config.TextColumn(width="medium"),
    "accuracy": _PERCENT,
    "interval": st.column_config.TextColumn(help="95 %, Wilson's"),
    "points lost": st.column_config.TextColumn(help="of accuracy, against the original on the same images; 95 %"),
    "parameters": _COMPACT,
    "of parameters": _PERCENT,
    "multiply-adds": _COMPACT,
    "of multiply-adds": _PERCENT,
    "weights": st.column_config.NumberColumn(format="bytes"),
    "ms an image": st.column_config.NumberColumn(format="%.1f"),
    "times faster": st.column_config.NumberColumn(format="%.2f", help="than the original, timed in turn with it"),
}


def _scatter(table: pd.DataFrame, cost: str) -> None:
    """Accuracy against what is left of a cost, with intervals; each smaller network is joined to its original."""
    what = table["action"].map(ACTIONS).where(~table["original"], "Original")
    # the same original measured on the same images is one mark
    again = table["original"] & table.duplicated(["original", "classes", "images", "accuracy"])
    points = table.assign(share=table[f"share_{cost}"], what=what, shown=~again)
    order = ["Original", *(each for each in ACTIONS.values() if each in set(what))]
    accuracy = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%"))
    share = alt.X("share:Q", title=f"{COSTS[cost]} left", scale=alt.Scale(zero=False), axis=alt.Axis(format=".1~%"))
    legend = alt.Legend(orient="bottom", columns=2)
    base = alt.Chart(points).encode(x=share, y=accuracy)
    looks = {
        "color": alt.Color("what:N", sort=order, title=None, legend=legend),
        "shape": alt.Shape("what:N", sort=order, title=None, legend=legend),
    }
    joined = base.mark_line(color="gray", opacity=0.5, strokeWidth=1).encode(detail="result:N")
    seen = base.transform_filter("datum.shown")
    whiskers = seen.mark_rule().encode(y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=looks["color"])
    marks = seen.mark_point(filled=True, size=90, opacity=1).encode(
        **looks,
        tooltip=[
            alt.Tooltip("result:N"),
            alt.Tooltip("network:N"),
            alt.Tooltip("classes:N", title="judged on"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("share:Q", format=".1%", title=f"{COSTS[cost]} left"),
            alt.Tooltip("images:Q"),
        ],
    )
    numbers = base.transform_filter("datum.last").mark_text(align="left", dx=8, dy=-8, color="gray")
    show(
        (joined + whiskers + marks + numbers.encode(text="number:N")).properties(height=HEIGHT + 60),
        alt_text=f"Accuracy of {len(table)} networks against the share of {COSTS[cost]} that is left, with intervals.",
    )
    st.caption("Whiskers are 95 % intervals. Numbers are those of the results; a line joins each to its original.")


def masking(results: Sequence[Compression], run: Run) -> None:
    """All masking curves in one chart."""
    rows = curves(results)
    st.markdown("**Channels masked.** What is left of the accuracy when those of the lowest score are set to zero.")
    names = list(dict.fromkeys(rows["curve"]))
    chosen = choose_some("curves", "Curves shown", names, default=names)
    _curves(rows[rows["curve"].isin(chosen)], run)


def _curves(table: pd.DataFrame, run: Run) -> None:
    """A line for each curve, with its band."""
    names = list(dict.fromkeys(table["curve"]))
    legend = alt.Legend(orient="bottom", columns=2, symbolOpacity=1, symbolSize=100)
    look: dict[str, Any] = {"sort": names, "title": None, "legend": legend}
    base = alt.Chart(table).encode(
        x=alt.X("fraction:Q", title="share of the channels masked", axis=alt.Axis(format=".0%")),
        y=alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
    )
    lines = base.mark_line().encode(color=alt.Color("curve:N", **look), strokeDash=alt.StrokeDash("curve:N", **look))
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=alt.Color("curve:N", **look)
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        color=alt.Color("curve:N", **look),
        shape=alt.Shape("curve:N", **look),
        tooltip=[
            alt.Tooltip("curve:N", title="criterion"),
            alt.Tooltip("fraction:Q", format=".0%", title="masked"),
            alt.Tooltip("channels:Q", format=",.0f", title="channels masked"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("seeds:Q"),
            alt.Tooltip("scope:N"),
            alt.Tooltip("result:N"),
        ],
    )
    chart = band + lines + dots
    if classes := run.manifest.model.class_ids:
        chance = alt.Chart(pd.DataFrame({"accuracy": [1 / len(classes)], "name": ["by chance"]}))
        chart += chance.mark_rule(strokeDash=[2, 3], color="gray").encode(y="accuracy:Q", tooltip="name:N")
    show(chart.properties(height=HEIGHT + 60), alt_text=f"Accuracy against channels masked, by {', '.join(names)}.")
    st.caption("Shaded are 95 % intervals; with several seeds, for other seeds too. The dotted line is chance.")


def one_result(results: Sequence[Compression]) -> None:
    """One result in detail."""
    by_name = {name_of(result): result for result in results}
    st.subheader("One result")
    name = choose(
        "result",
        "Result",
        list(by_name),
        default=name_of(results[-1]),
        shown=lambda each: f"{each}: {summary(by_name[each])}",
    )
    result = by_name[name]
    try:
        if result.kind == "curve":
            _masked(result)
        else:
            _smaller(result)
    except (OSError, ValueError, KeyError) as error:
        st.warning(f"Not all of it can be shown: {escaped(str(error))}", icon=":material/info:")
    made = settings(result)
    with st.expander("How it was made", icon=":material/receipt_long:"):
        st.dataframe(
            plain(pd.DataFrame({"what": list(made), "value": list(made.values())})),
            hide_index=True,
            width="stretch",
        )
    with st.expander("Its card", icon=":material/description:"):
        try:
            st.code(card(result), language="markdown", wrap_lines=True, height=480)
        except (OSError, ValueError) as error:
            st.warning(f"It cannot be read: {escaped(str(error))}", icon=":material/info:")
    _downloads(result)


def _masked(result: Compression) -> None:
    """What masking does to each class."""
    if "by_class" not in result.tables:
        return
    by_class = table_of(result, "by_class")
    shares = [f"{share:g}" for share in sorted(set(by_class["fraction"])) if share > 0]
    if not shares:
        st.info("Nothing was masked in it.")
        return
    at = choose("at", "Share masked", shares, widget=st.segmented_control, shown=lambda each: f"{float(each):.0%}")
    share = next(share for share in set(by_class["fraction"]) if f"{share:g}" == at)
    lost = damage_masked(by_class, share, ROWS)
    st.markdown(f"**Accuracy lost by class** with {float(at):.0%} of the channels masked; red is lost, blue gained.")
    heatmap(
        lost,
        rows="class",
        columns="criterion",
        value="accuracy lost",
        alt_text=f"Accuracy that each class loses by each criterion with {float(at):.0%} of the channels masked.",
        signed=True,
        height=140 + 22 * len(lost),  # a line for each name
    )
    _counted(len(lost), by_class["class"].nunique())


def _smaller(result: Compression) -> None:
    """What a smaller network reaches and costs, how far it could go, and what it does to each class."""
    before, after = result.measurements.iloc[0], result.measurements.iloc[-1]
    with st.container(horizontal=True):
        gained = _signed(100 * (after["accuracy"] - before["accuracy"]), "points")
        st.metric("Accuracy", f"{after['accuracy']:.1%}", gained, border=True, width=140)
        for column, label in (
            ("parameters", "Parameters"),
            ("multiply_adds", "Multiply-adds"),
            ("bytes", "Weights, bytes"),
        ):
            given = f"{after[column] / 1e6:.3g} M"
            change = _signed(100 * (after[column] / before[column] - 1), "%")
            st.metric(label, given, change, delta_color="inverse", border=True, width=140)
        if "latency_ms" in result.measurements:
            faster = f"{after['latency_ratio']:.2f} times as fast"
            st.metric("An image", f"{after['latency_ms']:.1f} ms", faster, delta_color="off", border=True, width=170)
    if "front" in result.tables:
        _front(table_of(result, "front"), int(before["blocks"] - after["blocks"]))
    if result.kind == "fold":
        _blocks(table_of(result, "blocks"), "taken out" if action_of(result) == "remove" else "folded")
    else:
        _removed(table_of(result, "removed"))
    if "classes" in result.tables:
        _classes(table_of(result, "classes"))


def _signed(change: float, unit: str) -> str | None:
    """A change with its sign, none where it is rounded to nothing."""
    return f"{change:+.1f} {unit}" if round(change, 1) else None


def _front(table: pd.DataFrame, folded: int) -> None:
    """Accuracy with more and more blocks folded, and how many were."""
    st.markdown(
        "**One block after the other.** The accuracy with more and more SE blocks folded; the line is this result."
    )
    title = alt.Axis(format=".0%", title="accuracy")
    base = alt.Chart(table).encode(
        x=alt.X("folded:Q", title="SE blocks folded", axis=alt.Axis(tickMinStep=1, format="d"))
    )
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", axis=title, scale=alt.Scale(zero=False)), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("accuracy:Q", axis=title),
        tooltip=[
            alt.Tooltip("folded:Q", title="blocks folded"),
            alt.Tooltip("block:N", title="the last of them"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("parameters:Q", format=",", title="parameters left"),
        ],
    )
    here = alt.Chart(pd.DataFrame({"folded": [folded]})).mark_rule(strokeDash=[4, 3], color="gray").encode(x="folded:Q")
    show(
        (band + line + here).properties(height=HEIGHT),
        alt_text=f"Accuracy against the number of SE blocks folded; {folded} are in this result.",
    )
    st.caption("Shaded is the 95 % interval.")


def _blocks(table: pd.DataFrame, done: str) -> None:
    """Which blocks are gone."""
    state = table["folded"].map({True: done, False: "kept"})
    given = table.assign(state=state, row="")
    st.markdown(f"**SE blocks.** {int(table['folded'].sum())} of {len(table)} are {done}.")
    chart = (
        alt.Chart(given)
        .mark_rect(cornerRadius=4)
        .encode(
            x=depth(list(given["block"]), None),
            color=alt.Color("state:N", sort=[done, "kept"], title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["block:N", "state:N", "channels:Q", alt.Tooltip("parameters:Q", format=","), "reason:N"],
        )
        .properties(height=170)
    )
    show(
        chart, alt_text=f"The SE blocks in order of depth: {', '.join(given.loc[table['folded'], 'block'])} are {done}."
    )


def _removed(table: pd.DataFrame) -> None:
    """What is left of each block's channels."""
    if table.empty:
        st.info("What was removed cannot be told block by block: no feature map is made by convolutions alone.")
        return
    st.markdown("**What is left of each block.** The feature map that its gate scales, and the channels before it.")
    kinds = {"channels": "feature map", "inner": "channels before"}
    parts = [
        table[["block"]].assign(kind=name, before=table[f"{kind}_before"], after=table[f"{kind}_after"])
        for kind, name in kinds.items()
    ]
    long = pd.concat(parts, ignore_index=True)
    long["share"] = long["after"] / long["before"]
    chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=depth(list(table["block"])),
            xOffset=alt.XOffset("kind:N", sort=list(kinds.values())),
            y=alt.Y("share:Q", title="channels left", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("kind:N", sort=list(kinds.values()), title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["block:N", "kind:N", "before:Q", "after:Q", alt.Tooltip("share:Q", format=".0%", title="left")],
        )
        .properties(height=HEIGHT)
    )
    show(chart, alt_text="The share of channels left of each SE block, in order of depth.")


def _classes(classes: pd.DataFrame) -> None:
    """What each class lost, with intervals."""
    table = damage(classes, ROWS)
    st.markdown("**By class.** Points of accuracy lost against the original on the same images; gained, where below 0.")
    points = table.assign(
        name=called(table), lost=100 * table["drop"], least=100 * table["drop_low"], most=100 * table["drop_high"]
    )
    base = alt.Chart(points).encode(
        y=alt.Y("name:N", sort=list(points["name"]), title=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)),
        x=alt.X("lost:Q", title="accuracy lost (points)"),
        tooltip=[
            alt.Tooltip("name:N", title="class"),
            alt.Tooltip("before:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".1%", title="after"),
            alt.Tooltip("lost:Q", format="+.1f", title="points lost"),
            alt.Tooltip("least:Q", format="+.1f", title="from"),
            alt.Tooltip("most:Q", format="+.1f", title="to"),
            alt.Tooltip("images:Q"),
        ],
    )
    whiskers = base.mark_rule(color="gray").encode(x=alt.X("least:Q", title="accuracy lost (points)"), x2="most:Q")
    zero = alt.Chart(pd.DataFrame({"lost": [0]})).mark_rule(color="gray", strokeDash=[4, 3]).encode(x="lost:Q")
    show(
        (zero + whiskers + base.mark_point(filled=True, size=70, opacity=1)).properties(height=100 + 22 * len(table)),
        alt_text=f"Accuracy that {len(table)} classes lost, with intervals.",
    )
    _counted(len(table), classes["class"].nunique())


def _counted(shown: int, of: int) -> None:
    if shown < of:
        st.caption(f"The {shown} of {of:,} classes where most changed; all are in the table to download.")


def _downloads(result: Compression) -> None:
    """The smaller network as a zip file, made when it is asked for, and the tables."""
    with st.container(horizontal=True):
        if names := files(result):
            st.download_button(
                "Smaller network (zip)",
                partial(network_zip, result),
                file_name=f"{name_of(result)}.zip",
                mime="application/zip",
                icon=":material/download:",
                type="primary",
                on_click="ignore",
                help=f"{', '.join(names)}; `seviz.load` reads the directory.",
            )
        for name in result.tables:
            st.download_button(
                f"{name}.csv",
                (place_of(result) / f"{name}.csv").read_bytes,
                file_name=f"{name_of(result)}-{name}.csv",
                mime="text/csv",
                icon=":material/table:",
                key=f"download_{name}",
                on_click="ignore",
            )
