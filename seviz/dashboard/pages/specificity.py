"""Specificity by depth: what share of the gates' variance lies between classes, by block and by channel."""

from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.plots.charts import show, take_block
from seviz.dashboard.plots.specificity import (
    by_depth,
    chance_bound,
    counts,
    decoded,
    deviations,
    histogram,
    specificity_profile,
)
from seviz.dashboard.reading import read_block, read_table
from seviz.dashboard.selection import choose, choose_number, select
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask, offer
from seviz.run.pairing import pair_runs
from seviz.run.store import Run

LISTED = {"block": "The selected block", "all": "All blocks"}
COLUMNS = {
    "block": "block",
    "channel": "channel",
    "omega_squared": "ω²",
    "low": "from",
    "high": "to",
    "std_between": "std between",
    "std_within": "std within",
    "std_total": "std of all",
    "F": "F",
    "q": "q",
}
"""What is listed of a channel, and its title."""
_TELLS = {
    "ω²": "Share of the gate's variance between classes, bias-corrected.",
    "from": "95 % interval of ω², its lower end.",
    "to": "95 % interval of ω², its upper end.",
    "std between": "Standard deviation between classes, bias-corrected, in units of the gate.",
    "std within": "Standard deviation over the images of one class.",
    "std of all": "Standard deviation over all images.",
    "F": "Ratio of the mean squares between and within classes.",
    "q": "False-discovery rate. With many images every q is small: look at ω².",
}


def page(view: View) -> None:
    """The profile by depth, then the channels."""
    if not view.run.manifest.model.trained:
        st.warning("The weights of the SE blocks are untrained: these gates say nothing of learned features.")
    if view.run.manifest.data.labels == "multi":
        st.info(
            "Images of this run have several classes: each class is set against all other images, and shares are means"
            " over the classes. They are smaller than where each image has one class.",
            icon=":material/info:",
        )
    tables = {name: read_table(view.run, name) for name in ("specificity", "specificity_by_channel")}
    missing = [name for name, table in tables.items() if table is None]
    if missing:
        offer(view.run, missing)
    if (specificity := tables["specificity"]) is not None:
        _profile(view, specificity)
    if (channels := tables["specificity_by_channel"]) is not None:
        st.subheader("Channels")
        _histogram(view, channels)
        _list(view, channels)


def listed_channels(table: pd.DataFrame, *, block: str | None, least: float) -> pd.DataFrame:
    """The channels of a block, or of all where it is None, with an omega squared of at least so much.

    The most specific come first; those without an omega squared last, and only where `least` is 0.
    """
    rows = table if block is None else table[table["block"] == block]
    rows = rows.sort_values("omega_squared", ascending=False, kind="stable")
    return rows[rows["omega_squared"] >= least] if least > 0 else rows


def take_row(key: str, rows: pd.DataFrame) -> None:
    """Select the channel, and its block, of the row that was selected in the list."""
    chosen = (st.session_state.get(key) or {}).get("selection", {}).get("rows", [])
    if chosen:
        row = rows.iloc[chosen[0]]
        select(block=str(row["block"]), channel=int(row["channel"]))


def _profile(view: View, specificity: pd.DataFrame) -> None:
    runs, decoding = {view.name: specificity}, {view.name: read_table(view.run, "decoding")}
    partners: dict[str, dict[str, str]] = {}
    if view.against is not None:
        pairing = pair_runs(view.run, view.against)
        partners[view.against_name] = {pair.other: pair.one for pair in pairing.pairs}
        other = _second(view.against, view.against_name)
        if other is not None:
            runs[view.against_name] = other
            decoding[view.against_name] = read_table(view.against, "decoding")
    blocks = view.run.blocks
    table = by_depth(runs, decoding, blocks, partners)
    if table["omega_squared"].isna().all():
        st.info("No share of variance is known: no class has two images, or nothing varies.", icon=":material/info:")
        return
    key, of = f"profile_{view.block}", " and ".join(runs)
    show(
        specificity_profile(table, blocks=blocks, selected=view.block),
        alt_text=f"The share of the gates' variance between classes of each SE block of {of}, in order of depth.",
        key=key,
        on_select=partial(take_block, key, blocks),
        selection_mode="block",
    )
    kinds = [each for each in ("over images", "over classes") if (table["interval"] == each).any()]
    words = [f"Bars: 95 % interval {' or '.join(kinds)}." if kinds else "The run has no interval."]
    words += ["Dashed: ω² by chance: 0 on average, or the 95 % quantile over permuted labels where it was computed."]
    if len(runs) > 1 and not partners[view.against_name]:
        words += [
            f"No block of {escaped(view.against_name)} has the module path or the name of one of these: they stand at"
            " their relative depth."
        ]
    elif len(runs) > 1:
        words += [escaped(remark) for remark in pairing.remarks(view.name, view.against_name)]
        if pairing.only_other:
            words += ["Blocks without counterpart stand at their relative depth."]
    st.caption(" ".join(words))
    for remark in specificity.attrs.get("remarks", []):
        st.caption(escaped(str(remark)))
    left, right = st.columns(2)
    known = table["accuracy"].notna().any()
    with left if known else st.container():
        st.markdown("**How much the gates move**")
        show(
            deviations(table, blocks=blocks, selected=view.block),
            alt_text=f"The standard deviation of the gates of each SE block of {of}.",
            key="deviations",
        )
        st.caption("A nearly constant gate can have a large share of next to nothing.")
    if known:
        with right:
            st.markdown("**How well the class is read off them**")
            show(
                decoded(table, blocks=blocks, selected=view.block),
                alt_text=f"How often the class is read off the gates of each SE block of {of}.",
                key="decoded",
            )
            st.caption("On images that the decoder was not trained on.")


def _second(run: Run, name: str) -> pd.DataFrame | None:
    """The table of the second run; None, and an offer to compute it, where it is not there."""
    if read_table(run, "specificity") is None:
        st.markdown(f"Of the second run, {escaped(name)}:")
    found = ask(run, "specificity")
    return None if found is None else found[0]


def _histogram(view: View, table: pd.DataFrame) -> None:
    """The channels of the selected block by their omega squared, beside chance."""
    values = table.loc[table["block"] == view.block, "omega_squared"]
    if values.isna().all():
        st.info(f"Nothing is known of the channels of {escaped(view.block)}.", icon=":material/info:")
        return
    if view.run.manifest.data.labels == "multi":
        bound, text = 0.0, "what channels show on average where classes make no difference"
    else:
        count = read_block(view.run, view.block)["count"].to_numpy()
        bound = chance_bound(int(count.sum()), int((count > 0).sum()))
        text = "95 % of channels without any difference between classes lie below this"
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        show(
            histogram(counts(values), bound=bound, text=text),
            alt_text=f"How many channels of {view.block} have which share of variance between classes, beside chance.",
            key="histogram",
        )
    with right:
        above, known = int((values > bound).sum()), int(values.notna().sum())
        st.metric(f"Median ω² of {escaped(view.block)}", f"{values.median():.3f}")
        st.caption(
            f"{above:,} of {known:,} channels lie beyond the dashed line at {bound:.4f}: {text}."
            if np.isfinite(bound)
            else "Where chance ends is not known: no class has two images."
        )


def _list(view: View, table: pd.DataFrame) -> None:
    """The channels as a list, of which one can be selected."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        of = choose("of", "Listed", list(LISTED), widget=st.segmented_control, shown=LISTED.__getitem__)
        least = choose_number("least", "ω² at least, in %", 0, 100, default=0, width=170)
    of_all = len(table) if of == "all" else int((table["block"] == view.block).sum())
    rows = listed_channels(table, block=None if of == "all" else view.block, least=least / 100).reset_index(drop=True)
    st.caption(f"{len(rows):,} of {of_all:,} channels; select a row for its channel, a title to sort.")
    if rows.empty:
        st.info(f"No channel has an ω² of {least} % or more.", icon=":material/info:")
    else:
        key = f"list_{view.name}_{'' if of == 'all' else view.block}_{least}"
        st.dataframe(
            plain(rows[list(COLUMNS)].rename(columns=COLUMNS)),
            hide_index=True,
            column_config={
                title: st.column_config.NumberColumn(
                    title,
                    help=_TELLS[title],
                    format={"F": "%.1f", "q": "%.1e"}.get(title, "%.3f"),
                )
                for title in _TELLS
            },
            key=key,
            on_select=partial(take_row, key, rows),
            selection_mode="single-row",
            height=min(38 + 35 * len(rows), 420),
            alt=f"{len(rows):,} channels with their share of variance between classes.",
        )
    view.link(
        "channel",
        f"Channel {view.channel} of {escaped(view.block)}, class by class",
        icon=":material/tune:",
        channel=view.channel,
    )


PAGE = Page(
    title="Specificity by depth",
    path="specificity",
    icon=":material/stacked_line_chart:",
    says=(
        "How far an SE block opens its gates may or may not depend on what is in the image; this page tells, for each"
        " block from the first to the last, what share of the gates' ups and downs the class explains. Near 0 the gates"
        " do the same for all classes, near 1 the class decides."
    ),
    how=(
        "The share is ω² of an analysis of variance over all channels of a block, **bias-corrected**: by chance alone a"
        " share of (classes - 1) / (images - 1) would be seen, which ω² has taken off, so that it is around 0, the"
        " dashed line, where classes make no difference. Its bar tells how far it might be off, had other images of the"
        " same classes been taken. Choose a **second run**, such as one of the untrained network, to see what training"
        " made. Click a point to select its block; the **channels** beneath are those of that block, the most specific"
        " first. A share says nothing of how much a gate moves: that is the standard deviation."
    ),
    draw=page,
    keys=("of", "least"),
    short="Specificity",
)
