"""Overview: what the run is, and the network's SE blocks in order of depth, coloured by a measure."""

from collections.abc import Callable
from functools import partial

import altair as alt
import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped
from seviz.dashboard.plots.charts import blocks_point, show, take_block
from seviz.dashboard.reading import read_mean_gates
from seviz.dashboard.selection import choose
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask
from seviz.report.headlines import most_specific_in_words, saturation_in_words, specificity_in_words
from seviz.run.store import Run

MEASURES = {
    "specificity": "class specificity",
    "saturation": "share of gates near 0 or 1",
    "gate": "mean gate",
}
"""What blocks are coloured by."""


def page(view: View) -> None:
    """What the run is, the drawing of the network, and what its tables say in words."""
    _figures(view.run)
    for remark in view.run.remarks:
        st.warning(escaped(remark), icon=":material/info:")
    st.subheader("The network, block by block")
    chosen = choose("measure", "Coloured by", list(MEASURES), widget=st.segmented_control, shown=MEASURES.__getitem__)
    tables = ask(view.run, "specificity", "saturation")
    if tables is None:
        return
    specificity, saturation = tables
    of = {
        "specificity": specificity["omega_squared"],
        "saturation": saturation["near_zero"] + saturation["near_one"],
        "gate": specificity["block"].map(read_mean_gates(view.run)),
    }
    _drawing(view, specificity[["block", "stage"]].assign(value=of[chosen]), MEASURES[chosen])
    with st.container(horizontal=True):
        view.link("excitation", f"Excitation of {view.block}", icon=":material/show_chart:")
        view.link("channel", f"Channels of {view.block}", icon=":material/tune:")
        view.link("specificity", "Specificity by depth", icon=":material/stacked_line_chart:")
    st.subheader("In words")
    trained, several = view.run.manifest.model.trained, view.run.manifest.data.labels == "multi"
    words: tuple[Callable[[], str], ...] = (
        lambda: specificity_in_words(specificity, trained=trained, several=several),
        lambda: most_specific_in_words(specificity, trained=trained),
        lambda: saturation_in_words(saturation),
    )
    for sentence in filter(None, (each() for each in words)):
        st.markdown(f"- {sentence}")
    with st.expander("How the run was made", icon=":material/receipt_long:"):
        _record(view.run)


def _figures(run: Run) -> None:
    """The run in five figures."""
    accuracy, failed = run.accuracy, int((run.samples["status"] == "failed").sum())
    figures = {
        "Images": f"{len(run.samples):,}",
        "Classes": f"{len(run.classes):,}",
        "SE blocks": f"{len(run.blocks)}",
        "Top-1": "not known" if accuracy is None else f"{accuracy.top1:.1%}",
        "Top-5": "not known" if accuracy is None or accuracy.top5 is None else f"{accuracy.top5:.1%}",
    }
    told = {"Images": f"{failed:,} failed", "Top-1": "right at once", "Top-5": "in the first five"}
    with st.container(horizontal=True):
        for label, figure in figures.items():
            st.metric(
                label, figure, told.get(label), delta_color="off", delta_arrow="off", border=True, width=150, height=140
            )


def _drawing(view: View, table: pd.DataFrame, title: str) -> None:
    """A box for each SE block, a row for each stage; a click selects the block."""
    records = {block.name: block for block in view.run.manifest.blocks}
    table = table.assign(
        place=table.groupby("stage").cumcount() + 1,
        row="stage " + table["stage"].astype(str),
        channels=[records[name].channels for name in table["block"]],
        squeezed=[records[name].squeezed_channels for name in table["block"]],
        path=[records[name].path for name in table["block"]],
        chosen=table["block"] == view.block,
    )
    point = blocks_point()
    base = alt.Chart(table).encode(
        x=alt.X("place:O", title="block of the stage", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("row:N", title=None, sort=list(table["row"].unique())),
    )
    boxes = base.mark_rect(cornerRadius=6, cursor="pointer").encode(
        color=alt.Color("value:Q", title=title, scale=alt.Scale(scheme="cividis"), legend=alt.Legend(format=".2f")),
        stroke=alt.condition("datum.chosen", alt.value("#D55E00"), alt.value("transparent")),
        strokeWidth=alt.value(4),
        tooltip=[
            alt.Tooltip("block:N", title="block"),
            alt.Tooltip("value:Q", title=title, format=".3f"),
            alt.Tooltip("channels:Q"),
            alt.Tooltip("squeezed:Q", title="squeezed to"),
            alt.Tooltip("path:N", title="module"),
        ],
    )
    middle = (table["value"].min() + table["value"].max()) / 2
    names = base.mark_text(
        fontSize=alt.ExprRef("max(7, min(12, width / 40))"), fontWeight=600, cursor="pointer"
    ).encode(text="block:N", color=alt.condition(f"datum.value > {middle}", alt.value("#000000"), alt.value("#FFFFFF")))
    chart = (boxes.add_params(point) + names).properties(height=64 * table["stage"].nunique() + 40)
    key = f"network_{view.block}"
    show(
        chart,
        alt_text=f"The SE blocks of {view.run.manifest.model.spec} by stage, coloured by {title}.",
        key=key,
        on_select=partial(take_block, key, view.run.blocks),
        selection_mode="block",
    )


def _record(run: Run) -> None:
    manifest = run.manifest
    rows = {
        "network": manifest.model.spec,
        "weights": f"{manifest.model.weights} (SHA-256 {manifest.model.weights_sha256[:12]})",
        **({} if manifest.model.changed is None else {"changed in Python": manifest.model.changed.what}),
        "input": " × ".join(map(str, manifest.model.input_size)),
        "data": manifest.data.spec,
        "made": manifest.created,
        "engine": f"{manifest.engine.name} on {manifest.engine.device}, {manifest.engine.precision}",
        "signals": ", ".join(manifest.signals),
        "gates kept": manifest.keep_gates,
        "run": str(run.path),
    }
    st.table(pd.DataFrame({"": list(rows), " ": [escaped(str(each)) for each in rows.values()]}).set_index(""))


PAGE = Page(
    title="Overview",
    path="overview",
    icon=":material/account_tree:",
    says=(
        "A Squeeze-and-Excitation (SE) block looks at all channels of a feature map and gives each a gate between 0"
        " and 1 that it is multiplied by. This page tells which network and images the run is of, and how the gates of"
        " its blocks behave from the first block to the last."
    ),
    how=(
        "Each box is an SE block; `SE_2_3` is the third block of stage 2, so depth grows from the upper left to the"
        " lower right. **Class specificity** is the share of the gates' variance that lies between classes: near 0 a"
        " block opens its gates alike for a dog and a plane, near 1 the class decides. **Near 0 or 1** are gates that"
        " are shut or open whatever the image is. Click a box to select its block; all other pages follow."
    ),
    draw=page,
    keys=("measure",),
)
