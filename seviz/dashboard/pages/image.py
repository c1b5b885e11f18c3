"""Your image: what the network of a run takes it for, and its gates beside those of the classes."""

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from seviz.capture.datasets import Dataset
from seviz.classes import Classes
from seviz.dashboard.charts import HEIGHT, blocks_point, clicked, depth, show
from seviz.dashboard.escaping import escaped
from seviz.dashboard.reading import fingerprint, read_block
from seviz.dashboard.selection import choose, choose_number, select
from seviz.dashboard.thumbnails import inside
from seviz.dashboard.view import Page, View
from seviz.errors import ImageFormatError, OptionError, SevizError, UnknownModelError
from seviz.experiments.attribution import Attributions, Method
from seviz.experiments.one_image import (
    OneImage,
    as_seen,
    attribute_image,
    beside,
    code_of,
    image_file,
    kept_gates_of,
    likeness,
    of_a_library,
    run_image,
    together,
)
from seviz.experiments.reopening import reopen_data, reopen_network
from seviz.network.models import Network
from seviz.run.store import Run

LARGEST = 20
"""MB of a file that is uploaded."""
TYPES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
SOURCES = {"run": "An image of the run", "upload": "Your own image"}
CENTRED = {"own": "what sets classes apart", "all": "all of the gates"}
METHODS: dict[str, Method] = {"gradient": "gradient_x_activation", "integrated": "integrated_gradients"}
METHOD_NAMES = {"gradient": "gradient × gate", "integrated": "integrated gradients"}
BASELINES = {"shut": "a shut gate, 0", "mean": "the mean gate of the run"}
NEAREST, CHANNELS, LINES = 10, 15, 7
"""Classes and channels that are listed, and classes that are drawn as lines."""
_SIDE = 168  # pixels, of pictures as they are shown
_ALLOWED, _COMPUTED = "image_allowed", "image_computed"

_TURN = threading.Lock()
"""Images are decoded and networks run one at a time, whoever asks: neither can be done by two threads at once."""


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """The image that is looked at.

    Attributes
    ----------
    key
        Tells it from others.
    gates
        By block, (channel).
    own
        Its classes, as labels of the run; none of an image of one's own.
    predicted
        What it is taken for, as a label of the run; None where it is no class of the run, or not known.
    one
        What the network made of it, and the network; None where only its gates are kept.
    """

    key: str
    gates: Mapping[str, NDArray[np.float32]]
    own: tuple[int, ...] = ()
    predicted: int | None = None
    one: tuple[OneImage, Network] | None = None


def page(view: View) -> None:
    """Choose an image; what it is taken for, its gates beside those of classes, and what they add to the prediction."""
    if not view.run.manifest.model.trained:
        st.warning(
            "The weights of the SE blocks are untrained: the gates say nothing of learned features.",
            icon=":material/info:",
        )
    source = choose("origin", "Which image", list(SOURCES), widget=st.segmented_control, shown=SOURCES.__getitem__)
    subject = _of_run(view) if source == "run" else _of_upload(view)
    if subject is None:
        return
    if subject.one is not None:
        _prediction(view, subject, subject.one[0])
    _by_block(view, subject)
    _channels(view, subject)
    if subject.one is not None:
        _attribution(view, subject, *subject.one)


def _of_run(view: View) -> _Subject | None:
    """An image of the run, by the number of its row."""
    run = view.run
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        row = choose_number(
            "image", f"Number of the image, 0 to {len(run.samples) - 1:,}", 0, len(run.samples) - 1, default=0
        )
    with right:
        st.button(
            "Another",
            icon=":material/shuffle:",
            width="stretch",
            help="Goes through all images in an order that is drawn once.",
            on_click=select,
            kwargs={"image": another(row, len(run.samples))},
        )
    sample = run.samples.iloc[row]
    own = tuple(map(int, np.flatnonzero(run.labels[row]))) if run.labels.ndim == 2 else (int(run.labels[row]),)
    labels = labels_of(run.classes)
    named = ", ".join(escaped(labels[k]) for k in own) or "none"
    st.caption(f"{escaped(sample['path'])} · class: {named}")
    if sample["status"] == "failed":
        st.info(f"This image failed in the capture: {escaped(str(sample['reason']))}.", icon=":material/info:")
        return None
    network = _network(view)
    one = None
    if network is not None:
        try:
            with st.spinner("Running the network on the image"):
                one = _made_of_row(run.path, fingerprint(run.path), row, run, network)
            _check_blocks(run, one)
        except SevizError as error:
            one = None
            st.info(escaped(str(error)), icon=":material/info:")
    if one is not None and network is not None:
        return _Subject(
            key=f"row {row}", gates=one.gates, own=own, predicted=_label(run, one.predicted), one=(one, network)
        )
    gates = _kept(run.path, fingerprint(run.path), row, run)
    if gates is None:
        st.info("The run does not keep the gates of this image, so there is nothing else to show of it.")
        return None
    predicted = _label(run, _number(run, sample["predicted"]))
    told = f" Taken for **{escaped(labels[predicted])}** in the capture." if predicted is not None else ""
    st.info(f"Shown are the gates that the run keeps of this image.{told}", icon=":material/info:")
    return _Subject(key=f"row {row}", gates=gates, own=own, predicted=predicted)


def _of_upload(view: View) -> _Subject | None:
    """An image of one's own."""
    run = view.run
    upload = st.file_uploader(
        f"An image file of at most {LARGEST} MB",
        type=list(TYPES),
        key="image_upload",
        max_upload_size=LARGEST,
        help="It is read by this server, and not kept.",
    )
    network = _network(view)
    if network is None:
        return None
    if upload is None:
        st.info("Choose a file to see what the network makes of it.", icon=":material/upload_file:")
        return None
    content = upload.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    try:
        with st.spinner("Running the network on the image"):
            one = _made_of_file(run.path, fingerprint(run.path), digest, checked(content), run, network)
        _check_blocks(run, one)
    except SevizError as error:
        st.error(f"{escaped(upload.name)}: {escaped(str(error))}", icon=":material/broken_image:")
        return None
    return _Subject(key=digest, gates=one.gates, predicted=_label(run, one.predicted), one=(one, network))


def _network(view: View) -> Network | None:
    """The network of the run, opened again; None where it may not be yet, or cannot be, which is then said."""
    run, mark = view.run, fingerprint(view.run.path)
    spec = run.manifest.model.spec
    try:
        if not of_a_library(spec) and mark not in st.session_state.get(_ALLOWED, ()):
            code = code_of(spec)
            with st.container(border=True):
                st.markdown(
                    f"To run the network of this run, {escaped(spec)}, the Python file {escaped(code)} **is executed**"
                    " on the machine of this server. Do that only if you trust it."
                    if code
                    else f"The network of this run, {escaped(spec)}, is none of a library that is installed: it is"
                    " loaded from there, over the network if need be."
                )
                if not st.button("Execute it" if code else "Load it", key="image_allow", icon=":material/play_arrow:"):
                    return None
            st.session_state[_ALLOWED] = (*st.session_state.get(_ALLOWED, ()), mark)
            st.rerun()
        with st.spinner("Opening the network"):
            return _opened(run.path, mark, run)
    except SevizError as error:
        st.warning(f"The network cannot be run: {escaped(str(error))}", icon=":material/warning:")
        return None


def _prediction(view: View, subject: _Subject, one: OneImage) -> None:
    """The image, what the network sees of it, and what it takes it for."""
    width, height = one.size
    seen = Image.fromarray(as_seen(one.pixels, view.run.manifest.model.preprocessing))
    left, right = st.columns(2)
    with left, st.container(horizontal=True):
        st.image(
            enlarged(one.picture), caption=f"The image, {width:,} × {height:,} pixels", width=_SIDE, alt="The image."
        )
        st.image(
            enlarged(seen),
            caption=f"As the network sees it, {seen.width} × {seen.height} pixels",
            width=_SIDE,
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


def _best(view: View, subject: _Subject, best: pd.DataFrame) -> None:
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
    chart = (
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
    show(chart, alt_text=f"The {len(best)} most probable classes of the image.", key="image_best")


def _by_block(view: View, subject: _Subject) -> None:
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
    table = _likeness(run.path, fingerprint(run.path), subject.key, which == "own", subject.gates, run)
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
    chart = (
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
    show(chart, alt_text=f"The classes whose mean gates in {view.block} are nearest to the image.", key="image_nearest")
    st.caption(place_in_words(here, labels, subject.predicted, subject.own))


def _lines(view: View, table: pd.DataFrame, lines: list[int], labels: list[str]) -> None:
    """The likeness of some classes by depth, in the range of all."""
    band = pd.DataFrame({"block": table.index, "low": table.min(axis=1), "high": table.max(axis=1)})
    long = (
        table[lines]
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
        alt.Chart(pd.DataFrame({"block": [view.block]}))
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
    event = show(
        alt.layer(range_, here, drawn.add_params(blocks_point())).properties(height=HEIGHT + 100),
        alt_text="Correlation of the image's gates with the mean gates of classes, by SE block.",
        key="image_likeness",
        on_select="rerun",
        selection_mode="block",
    )
    block = clicked(event, "block", "block")
    if block and block != st.session_state.get("image_clicked"):
        st.session_state["image_clicked"] = block
        if block != view.block:
            select(block=block, channel=None)
            st.rerun()
    st.caption(
        "The grey area is the range of all classes; the dashed line is the selected block. Click a point to select its"
        " block."
    )


def _channels(view: View, subject: _Subject) -> None:
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
        mean, std = _totals(run.path, fingerprint(run.path), run)[block]
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
        table.loc[order, ["channel", "gate", "mean", "std", "deviations"]],
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
    show(
        alt.layer(*layers).properties(height=HEIGHT + 60),
        alt_text=f"The image's gates in {block} channel by channel, beside the mean of {called} and one standard"
        " deviation to either side.",
        key="image_channels",
    )


def _attribution(view: View, subject: _Subject, one: OneImage, network: Network) -> None:
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
    _bars(view, by_block, in_block, name)


def _bars(view: View, by_block: pd.DataFrame, in_block: pd.DataFrame, name: str) -> None:
    left, right = st.columns(2)
    blocks = (
        alt.Chart(by_block)
        .mark_bar(cursor="pointer")
        .encode(
            x=depth(list(by_block["block"])),
            y=alt.Y("share:Q", title="share of what all gates add", axis=alt.Axis(format="%")),
            opacity=alt.condition(alt.datum.block == view.block, alt.value(1), alt.value(0.6)),
            tooltip=[
                alt.Tooltip("block:N"),
                alt.Tooltip("share:Q", format=".1%"),
                alt.Tooltip("attribution:Q", title="adds to the logit", format="+.3f"),
                alt.Tooltip("half:Q", title="channels that hold half"),
            ],
        )
        .properties(height=HEIGHT + 60)
    )
    channels = (
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
    with left:
        st.markdown(f"By block: the logit of **{escaped(name)}**")
        show(blocks, alt_text=f"Share of each block in what gates add to the logit of {name}.", key="image_blocks")
    with right:
        st.markdown(f"The {len(in_block)} channels of {view.block} that add or take most")
        show(
            channels,
            alt_text=f"What the strongest channels of {view.block} add to the logit of {name}.",
            key="image_adding",
        )
    total = float(by_block.loc[by_block["block"] == view.block, "attribution"].sum())
    st.caption(
        f"Shares are of absolute values, over all channels and blocks. In sum the gates of {view.block} add"
        f" {total:+.3f} to the logit."
    )


def _attributions(
    view: View, subject: _Subject, one: OneImage, network: Network, target: int, method: str, base: str
) -> Attributions | None:
    """Of all blocks; integrated gradients only when asked for, block by block. None, and why, if there are none yet."""
    run = view.run
    mark = fingerprint(run.path)
    baseline: Any = 0.0
    if base == "mean":
        baseline = {block: mean for block, (mean, _) in _totals(run.path, mark, run).items()}
        if not all(np.isfinite(each).all() for each in baseline.values()):
            st.info("The run has no mean gate to count from, since all its images failed.")
            return None
    try:
        if method == "gradient":
            return _attributed(run.path, mark, subject.key, target, method, base, None, baseline, one.pixels, network)
        asked = (mark, subject.key, target, base)
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
                _attributed(run.path, mark, subject.key, target, method, base, block, baseline, one.pixels, network)
            )
        if not known:
            st.session_state[_COMPUTED] = asked
            st.rerun()
        return together(parts)
    except SevizError as error:
        st.info(escaped(str(error)), icon=":material/info:")
        return None


def labels_of(classes: Classes) -> list[str]:
    """What classes are called, each by its own name: with the id where two share one."""
    number = Counter(classes.names)
    return [
        f"{name} ({each})" if number[name] > 1 else name for each, name in zip(classes.ids, classes.names, strict=True)
    ]


def another(row: int, number: int) -> int:
    """The image after this one, in an order of all that is drawn once."""
    order = np.random.default_rng(0).permutation(number)
    return int(order[(int(np.flatnonzero(order == row)[0]) + 1) % number])


def checked(content: bytes) -> bytes:
    """The bytes of a file that was uploaded; raises ImageFormatError if they are too many, or none."""
    if not content:
        raise ImageFormatError("the file is empty")
    if len(content) > LARGEST * 10**6 * 1.05:
        raise ImageFormatError(f"the file has {len(content) / 1e6:.0f} MB, expected at most {LARGEST}")
    return content


KINDS = ("what it is taken for", "its class", "another class")
"""What a class is to an image."""


def nearest_classes(likeness: pd.Series, predicted: int | None, own: tuple[int, ...]) -> pd.DataFrame:
    """Classes by their distance to an image in one block, the nearest first.

    Columns: index; distance; rank, from 1; what, one of `KINDS`. Classes without a distance are left out.
    """
    apart = (1 - likeness).dropna().sort_values(kind="stable")
    return pd.DataFrame(
        {
            "index": apart.index.astype(int),
            "distance": apart.to_numpy(),
            "rank": np.arange(1, len(apart) + 1),
            "what": [KINDS[0] if k == predicted else KINDS[1] if k in own else KINDS[2] for k in apart.index],
        }
    )


def place_in_words(likeness: pd.Series, labels: list[str], predicted: int | None, own: tuple[int, ...]) -> str:
    """Which place the prediction and its own classes have among all, in a sentence; Markdown."""
    table = nearest_classes(likeness, predicted, own).set_index("index")
    told = [
        f"{escaped(labels[k])} is number {table['rank'][k]:,}"
        for k in dict.fromkeys([*([] if predicted is None else [predicted]), *own])
        if k in table.index
    ]
    return f"Of {len(table):,} classes, {' and '.join(told)}." if told else f"There are {len(table):,} classes."


def enlarged(picture: Image.Image) -> Image.Image:
    """A picture whose pixels are seen: a small one enlarged by a whole number, without smoothing."""
    times = -(-2 * _SIDE // max(picture.size))  # twice as many, for fine screens
    size = (picture.width * times, picture.height * times)
    return picture.resize(size, Image.Resampling.NEAREST) if times > 2 else picture


def _label(run: Run, number: int | None) -> int | None:
    """The label in the run of a class of the network; None where it is none."""
    targets = run.manifest.data.model_classes
    return targets.index(number) if number is not None and targets is not None and number in targets else None


def _number(run: Run, predicted: Any) -> int | None:
    """The number of a class among the network's, as `samples` has it; None where nothing was predicted."""
    ids = run.manifest.model.class_ids
    if not isinstance(predicted, str) or not predicted:
        return None
    if ids is None:
        return int(predicted) if predicted.isdecimal() else None
    return ids.index(predicted) if predicted in ids else None


def _check_blocks(run: Run, one: OneImage) -> None:
    """Raise OptionError unless the network has the blocks of the run."""
    if any(len(one.gates.get(block.name, ())) != block.channels for block in run.manifest.blocks):
        raise OptionError("the network opened again has other SE blocks than the run, which was made with other names")


@st.cache_resource(max_entries=2, show_spinner=False)
def _opened(path: Path, mark: str, _run: Run) -> Network:
    with _TURN:
        try:
            network = reopen_network(_run)
            len(network.blocks)  # found here, where nobody else runs the network
        except SevizError:
            raise
        except Exception as error:  # whatever a file raises that is executed for it
            raise UnknownModelError(f"it cannot be made again: {type(error).__name__}: {error}") from error
    return network


@st.cache_resource(max_entries=4, show_spinner=False)
def _data(path: Path, mark: str, _run: Run) -> Dataset:
    return reopen_data(_run)


@st.cache_data(max_entries=32, show_spinner=False)
def _made_of_row(path: Path, mark: str, row: int, _run: Run, _network: Network) -> OneImage:
    data = _data(path, mark, _run)
    if data.root is not None:
        inside(data.root, data.paths[row])  # a run is text that anyone may have written
    with _TURN:
        return run_image(_network, data, row, rotate=_run.manifest.engine.rotate)


@st.cache_data(max_entries=8, show_spinner=False)
def _made_of_file(path: Path, mark: str, digest: str, _content: bytes, _run: Run, _network: Network) -> OneImage:
    with _TURN, image_file(_content) as data:
        return run_image(_network, data, rotate=_run.manifest.engine.rotate)


@st.cache_data(max_entries=32, show_spinner=False)
def _kept(path: Path, mark: str, row: int, _run: Run) -> dict[str, NDArray[np.float32]] | None:
    return kept_gates_of(_run, row)


@st.cache_resource(max_entries=2, show_spinner=False)  # 60 MB for 1,000 classes and all channels of an SE-ResNet-50
def _means(path: Path, mark: str, _run: Run) -> dict[str, NDArray[np.float32]]:
    """Mean gates of each block by class and channel, NaN for classes without images."""
    means = {}
    for block in _run.blocks:
        moments = _run.moments(block)
        means[block] = np.where(moments.count[:, None] > 0, moments.mean, np.nan).astype(np.float32)
    return means


@st.cache_data(max_entries=4, show_spinner=False)
def _totals(path: Path, mark: str, _run: Run) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and standard deviation of each channel over all images, by block; NaN where there are none."""
    found = {}
    for block in _run.blocks:
        total = _run.total(block)
        mean = total.mean[0] if total.count[0] else np.full(total.mean.shape[1], np.nan)
        found[block] = (mean, np.sqrt(total.variance()[0]))
    return found


@st.cache_data(max_entries=64, show_spinner="Reading the mean gates of all classes")
def _likeness(
    path: Path, mark: str, key: str, centred: bool, _gates: Mapping[str, NDArray[np.float32]], _run: Run
) -> pd.DataFrame:
    return likeness(_gates, _means(path, mark, _run), centred=centred)


@st.cache_data(max_entries=128, show_spinner=False)
def _attributed(
    path: Path,
    mark: str,
    key: str,
    target: int,
    method: str,
    base: str,
    block: str | None,
    _baseline: Any,
    _pixels: NDArray[np.float32],
    _network: Network,
) -> Attributions:
    with _TURN:
        return attribute_image(
            _network,
            _pixels,
            target,
            method=METHODS[method],
            baseline=_baseline,
            blocks=None if block is None else [block],
        )


PAGE = Page(
    title="Your image",
    path="image",
    icon=":material/image:",
    says=(
        "An SE block decides for every image anew how far it opens the gate of each channel. This page runs one image,"
        " of the run or your own, through the network, and tells which classes its gates resemble and which gates the"
        " prediction rests on."
    ),
    how=(
        "**How like each class**: the correlation, over the channels of a block, of the image's gates with the mean"
        " gates of a class; 1 is the same pattern, 0 none in common. By default what all classes share is taken off"
        " first, so that only what sets classes apart is compared. Where a block does not tell classes apart, what is"
        " left is chance.\n\n"
        "**Channel by channel**: points far outside of the band are gates that this image opens or shuts unlike the"
        " others.\n\n"
        "**What the gates add** is the change of the gate from where it is counted, times how steeply the logit of the"
        " prediction rises with it (gradient × gate), or the same added up on the whole way (integrated gradients,"
        " exact in sum and slower). An image of the run is part of the means that it is compared with."
    ),
    draw=page,
    keys=("origin", "image", "alike", "beside", "adds", "base"),
)
