"""What the network of a run takes an image for, and its gates beside those of the classes."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from seviz.dashboard.escaping import escaped, plain
from seviz.dashboard.one_image.running import METHODS, attributed, like_classes, total_gates
from seviz.dashboard.one_image.subject import Subject, of_run, of_upload
from seviz.dashboard.plots.charts import show, take_block
from seviz.dashboard.plots.one_image import (
    SIDE,
    block_bars,
    channel_bars,
    channel_by_channel,
    enlarged,
    likeness_lines,
    most_probable,
    nearest_bars,
)
from seviz.dashboard.reading import fingerprint, read_block
from seviz.dashboard.selection import choose
from seviz.dashboard.tables.class_names import labels_of
from seviz.dashboard.tables.one_image import nearest_classes, place_in_words
from seviz.dashboard.view import View
from seviz.errors import SevizError
from seviz.experiments.attribution import Attributions
from seviz.experiments.one_image import OneImage, as_seen, beside, together
from seviz.network.axes import of_image
from seviz.network.networks import Network

SOURCES = {"run": "An image of the run", "upload": "Your own image"}
CENTRED = {"own": "what sets classes apart", "all": "all of the gates"}
METHOD_NAMES = {"gradient": "gradient × gate", "integrated": "integrated gradients"}
BASELINES = {"shut": "a shut gate, 0", "mean": "the mean gate of the run"}
NEAREST, CHANNELS, LINES = 10, 15, 7
"""Classes and channels that are listed, and classes that are drawn as lines."""
_COMPUTED = "image_computed"


def draw(view: View) -> None:
    """Choose an image; what it is taken for, its gates beside those of classes, and what they add to the prediction."""
    if not view.run.manifest.model.trained:
        st.warning(
            "The weights of the SE blocks are untrained: the gates say nothing of learned features.",
            icon=":material/info:",
        )
    source = choose("origin", "Which image", list(SOURCES), widget=st.segmented_control, shown=SOURCES.__getitem__)
    subject = of_run(view) if source == "run" else of_upload(view)
    if subject is None:
        return
    if subject.one is not None:
        _prediction(view, subject, subject.one[0])
    _by_block(view, subject)
    _channels(view, subject)
    if subject.one is not None:
        _attribution(view, subject, *subject.one)


def _prediction(view: View, subject: Subject, one: OneImage) -> None:
    """The image, what the network sees of it, and what it takes it for."""
    seen = Image.fromarray(as_seen(one.pixels, view.run.manifest.model.preprocessing))
    positions = "pixels" if of_image(one.pixels.shape) else "positions"
    left, right = st.columns(2)
    with left, st.container(horizontal=True):
        st.image(enlarged(one.picture), caption=f"The image, {one.described}", width=SIDE, alt="The image.")
        st.image(
            enlarged(seen),
            caption=f"As the network sees it, {' × '.join(map(str, one.pixels.shape[:0:-1]))} {positions}",
            width=SIDE,
            alt="The image as the network sees it: resized, and cut at its edges.",
        )
    with right:
        best = one.best().assign(label=lambda table: [labels_of(one.classes)[k] for k in table["index"]])
        if best.empty:
            st.info("The network gives no class: it is the backbone of another, or its logits are not numbers.")
        else:
            _best(view, subject, best)
    if one.reason:
        st.caption(f"When it was decoded: {escaped(one.reason)}.")


def _best(view: View, subject: Subject, best: pd.DataFrame) -> None:
    own = [labels_of(view.run.classes)[k] for k in subject.own]
    right = (
        ""
        if not own or subject.predicted is None
        else ", rightly"
        if subject.predicted in subject.own
        else (f"; it is of class **{escaped(', '.join(own))}**")
    )
    st.markdown(
        f"Taken for **{escaped(best['label'].iloc[0])}** with a probability of"
        f" {best['probability'].iloc[0]:.1%}{right}."
    )
    show(most_probable(best), alt_text=f"The {len(best)} most probable classes of the image.", key="image_best")


def _by_block(view: View, subject: Subject) -> None:
    """How like the image is to each class, block by block, and the nearest classes in the selected block."""
    st.subheader("How like each class, block by block")
    run = view.run
    which = choose(
        "alike",
        "Compared is",
        list(CENTRED),
        widget=st.segmented_control,
        shown=CENTRED.__getitem__,
        help="What sets classes apart: less the mean over classes, channel by channel.",
    )
    chosen = [run.class_index(each) for each in view.choose_classes("Classes beside it")]
    table = like_classes(run, subject.key, subject.gates, centred=which == "own")
    if table.notna().to_numpy().sum() == 0:
        st.info("There is nothing to compare with: of fewer than two classes there are gates, or they are all alike.")
        return
    labels = labels_of(run.classes)
    known = [subject.predicted] if subject.predicted is not None else []
    drawn = list(dict.fromkeys([*known, *subject.own, *chosen]))
    lines = [k for k in drawn if table[k].notna().any()][:LINES]
    if len(drawn) > LINES:
        st.caption(f"Drawn are the first {LINES} of {len(drawn)} classes.")
    if missing := [labels[k] for k in drawn if table[k].isna().all()]:
        st.caption(f"No images, or no direction: {escaped(', '.join(missing[:5]))}.")
    _lines(view, table, lines, labels)
    here = table.T[view.block]
    nearest = nearest_classes(here, subject.predicted, subject.own).head(NEAREST)
    st.subheader(f"Nearest classes in {view.block}")
    if nearest.empty:
        st.info(f"In {view.block} no class has a direction of its own.")
        return
    nearest["label"] = [labels[k] for k in nearest["index"]]
    show(
        nearest_bars(nearest),
        alt_text=f"The classes whose mean gates in {view.block} are nearest to the image.",
        key="image_nearest",
    )
    st.caption(place_in_words(here, labels, subject.predicted, subject.own))


def _lines(view: View, table: pd.DataFrame, lines: list[int], labels: list[str]) -> None:
    """The likeness of some classes by depth, in the range of all."""
    key = f"image_likeness_{view.block}"
    show(
        likeness_lines(table, lines, labels, view.block),
        alt_text="Correlation of the image's gates with the mean gates of classes, by SE block.",
        key=key,
        on_select=partial(take_block, key, view.run.blocks),
        selection_mode="block",
    )
    st.caption(
        "The grey area is the range of all classes; the dashed line is the selected block. Click a point to select its"
        " block."
    )


def _channels(view: View, subject: Subject) -> None:
    """The gates of the selected block, channel by channel, beside the mean and spread of a class or of all."""
    run, block = view.run, view.block
    st.subheader(f"Gates of {block}, channel by channel")
    labels = labels_of(run.classes)
    options = ["all", *(f"class {each}" for each in run.classes.ids)]
    names = dict(zip(options, ["all images", *labels], strict=True))
    default = "all"
    if subject.predicted is not None:
        options = ["predicted", *options]
        names["predicted"] = f"the predicted class, {labels[subject.predicted]}"
        default = "predicted"
    chosen = choose("beside", "Beside the mean of", options, default=default, shown=names.__getitem__)
    if chosen == "all":
        mean, std = total_gates(run)[block]
        called = "all images"
    else:
        label = subject.predicted if chosen == "predicted" else options.index(chosen) - options.index("all") - 1
        assert label is not None
        data = read_block(run, block)
        mean, std = data["mean"].to_numpy()[label], data["std"].to_numpy()[label]
        called = labels[label]
    if not np.isfinite(mean).all():
        st.info(f"The run has no gates of {escaped(called)} to set the image beside.")
        return
    table = beside(subject.gates[block], mean, std)
    table = (
        table.sort_values("mean", ascending=False, kind="stable", ignore_index=True).rename_axis("place").reset_index()
    )
    _drawn_channels(block, table, called)
    measure = "deviations" if table["deviations"].notna().any() else "difference"
    order = table[measure].abs().sort_values(ascending=False, kind="stable").index[:CHANNELS]
    st.markdown(f"Channels that differ most from the mean of {escaped(called)}")
    st.dataframe(
        plain(table.loc[order, ["channel", "gate", "mean", "std", "deviations"]]),
        hide_index=True,
        width="stretch",
        height=35 * 6,
        column_config={
            "channel": st.column_config.NumberColumn("channel", format="%d"),
            **{each: st.column_config.NumberColumn(each, format="%.3f") for each in ("gate", "mean", "std")},
            "deviations": st.column_config.NumberColumn(
                "deviations", format="%.1f", help="Gate less mean, in standard deviations."
            ),
        },
    )
    most = int(table.loc[order[0], "channel"])
    view.link("channel", f"Channel {most} of {block}", icon=":material/tune:", channel=most)


def _drawn_channels(block: str, table: pd.DataFrame, called: str) -> None:
    show(
        channel_by_channel(block, table, called),
        alt_text=f"The image's gates in {block} channel by channel, beside the mean of {called} and one standard"
        " deviation to either side.",
        key="image_channels",
    )


def _attribution(view: View, subject: Subject, one: OneImage, network: Network) -> None:
    """What the gates add to the logit of the prediction."""
    st.subheader("What the gates add to the prediction")
    target = one.predicted
    if target is None:
        st.info("There is no prediction to attribute to the gates.")
        return
    left, right = st.columns(2)
    with left:
        method = choose("adds", "Method", list(METHODS), widget=st.segmented_control, shown=METHOD_NAMES.__getitem__)
    with right:
        base = choose("base", "Counted from", list(BASELINES), widget=st.segmented_control, shown=BASELINES.__getitem__)
    found = _attributions(view, subject, one, network, target, method, base)
    if found is None:
        return
    name = labels_of(one.classes)[target]
    by_block = found.by_block()
    by_channel = found.by_channel()
    in_block = by_channel[by_channel["block"] == view.block].head(CHANNELS)
    if not by_block["absolute"].sum() > 0:
        st.info("No gate adds to this logit.")
        return
    _adding(view, by_block, in_block, name)


def _adding(view: View, by_block: pd.DataFrame, in_block: pd.DataFrame, name: str) -> None:
    left, right = st.columns(2)
    with left:
        st.markdown(f"By block: the logit of **{escaped(name)}**")
        show(
            block_bars(by_block, view.block),
            alt_text=f"Share of each block in what gates add to the logit of {name}.",
            key="image_blocks",
        )
    with right:
        st.markdown(f"The {len(in_block)} channels of {view.block} that add or take most")
        show(
            channel_bars(in_block),
            alt_text=f"What the strongest channels of {view.block} add to the logit of {name}.",
            key="image_adding",
        )
    total = float(by_block.loc[by_block["block"] == view.block, "attribution"].sum())
    st.caption(
        f"Shares are of absolute values, over all channels and blocks. In sum the gates of {view.block} add"
        f" {total:+.3f} to the logit."
    )


def _attributions(
    view: View, subject: Subject, one: OneImage, network: Network, target: int, method: str, base: str
) -> Attributions | None:
    """Of all blocks; integrated gradients only when asked for, block by block. None, and why, if there are none yet."""
    run = view.run
    baseline: Any = 0.0
    if base == "mean":
        baseline = {block: mean for block, (mean, _) in total_gates(run).items()}
        if not all(np.isfinite(each).all() for each in baseline.values()):
            st.info("The run has no mean gate to count from, since all its images failed.")
            return None
    try:
        if method == "gradient":
            return attributed(run, subject.key, one, target, network, method=method, base=base, baseline=baseline)
        asked = (fingerprint(run.path), subject.key, target, base)
        known = st.session_state.get(_COMPUTED) == asked
        if not known:
            st.caption(f"Integrated gradients run the network and back {32 * len(run.blocks):,} times.")
            if not st.button("Compute", key="image_integrate", icon=":material/calculate:"):
                return None
        bar, parts = st.empty(), []
        for done, block in enumerate(run.blocks):
            if not known:
                bar.progress(done / len(run.blocks), f"Integrated gradients of {block}")
            parts.append(
                attributed(
                    run, subject.key, one, target, network, method=method, base=base, baseline=baseline, block=block
                )
            )
        if not known:
            st.session_state[_COMPUTED] = asked
            st.rerun()
        return together(parts)
    except SevizError as error:
        st.info(escaped(str(error)), icon=":material/info:")
        return None
