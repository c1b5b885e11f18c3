"""Excitation: mean gates of some classes over channels, a panel for each of several blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped, listed
from seviz.dashboard.plots.charts import MARKS, clicked, heatmap, show
from seviz.dashboard.plots.excitation import CROWD, legend, lines, strips
from seviz.dashboard.reading import read_block
from seviz.dashboard.selection import choose, choose_number, choose_some, select
from seviz.dashboard.tables.class_names import distinct_names
from seviz.dashboard.tables.excitation import (
    Channels,
    class_means,
    drawn_images,
    image_gates,
    most_specific,
    pick_channels,
    read_image_gates,
)
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import ask
from seviz.run.store import Run
from seviz.tables.excitation import ALL_CLASSES, default_blocks

FORMS = {"lines": "Lines", "heatmap": "Heatmap"}
SHOWN = {"mean": "Mean", "spread": "Mean and spread", "images": "Single images"}
PICKS = {"uniform": "A uniform sample", "all": "All", "specific": "The most specific"}
RANGES = {"unit": "From 0 to 1", "fit": "As wide as the values"}
COLOURS = 7
"""Classes that lines tell apart."""
POINTS = 4 * MARKS
"""Of all panels together; above, all are drawn as images."""
IMAGES = 5
"""Of a class at most."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What one block shows.

    Attributes
    ----------
    block
        Its name.
    channels
        In the order in which they are drawn.
    means
        From `class_means`.
    images
        From `image_gates`; None where no single images are drawn.
    """

    block: str
    channels: Channels
    means: pd.DataFrame
    images: pd.DataFrame | None

    @property
    def points(self) -> int:
        """How many points its lines have."""
        return len(self.means) + (0 if self.images is None else len(self.images))


def page(view: View) -> None:
    """What is shown, and a panel for each block."""
    run = view.run
    if not run.manifest.model.trained:
        st.warning("The weights of the SE blocks are untrained: these gates say nothing of learned features.")
    left, right = st.columns(2)
    with left:
        classes = view.choose_classes()
    with right:
        chosen = choose_some("panels", "SE blocks", run.blocks, default=default_blocks(run))
    blocks = ordered(run.blocks, chosen, view.block)
    with st.container(horizontal=True):
        form = choose("form", "Drawn as", list(FORMS), widget=st.segmented_control, shown=FORMS.__getitem__)
        shown = choose("shown", "Shown", list(SHOWN), widget=st.segmented_control, shown=SHOWN.__getitem__)
        scale = choose("range", "Scale", list(RANGES), widget=st.segmented_control, shown=RANGES.__getitem__)
    with st.container(horizontal=True):
        pick = choose("pick", "Channels", list(PICKS), widget=st.segmented_control, shown=PICKS.__getitem__)
        most = max(run.block(block).channels for block in blocks)
        number = 0
        if pick != "all":
            number = choose_number("number", "Channels of each block", 1, most, default=min(50, most), width=180)
        apiece = 3
        if shown == "images":
            apiece = choose_number("apiece", "Images of a class", 1, IMAGES, default=apiece, width=160)
        seed = 0
        if pick == "uniform" or shown == "images":
            seed = choose_number("seed", "Seed", 0, 9999, default=0, width=130, help="Of what is drawn at random.")
    ranked: dict[str, Channels] = {}
    if pick == "specific":
        tables = ask(run, "specificity_by_channel")
        if tables is None:
            st.info("Until then a uniform sample is drawn.")
        else:
            ranked = {block: most_specific(tables[0], block, number) for block in blocks}
    channels = {
        block: pick_channels(run.block(block).channels, pick, number, seed, ranked.get(block)) for block in blocks
    }
    names = view.names
    labels = distinct_names({each: names[each] for each in classes}, taken=[ALL_CLASSES])
    _classes_without(run, blocks[0], labels, spread=shown == "spread")
    images = _images(run, labels, apiece, seed) if shown == "images" else None
    gates = read_image_gates(run, blocks, images["sample"].to_numpy()) if images is not None else {}
    panels = [
        Panel(
            block=block,
            channels=channels[block],
            means=class_means(read_block(run, block), labels, channels[block]),
            images=None if images is None else image_gates(images, gates[block], channels[block]),
        )
        for block in blocks
    ]
    title = "channel, the most specific first" if ranked else "channel"
    if form == "lines" and len(labels) > COLOURS:
        st.info(f"Lines tell at most {COLOURS} classes apart, {len(labels)} are selected: they are drawn as a heatmap.")
        form = "heatmap"
    if form == "lines":
        _lines(view, panels, list(labels.values()), title=title, spread=shown == "spread", unit=scale == "unit")
    else:
        _heatmaps(view, panels, title=title, spread=shown == "spread", unit=scale == "unit")
    _selected(view)


def ordered(all_blocks: Sequence[str], chosen: Sequence[str], block: str) -> list[str]:
    """The blocks that are drawn, in order of depth; the selected one comes first where it is not among them."""
    among = [each for each in all_blocks if each in chosen]
    return among if block in among else [block, *among]


def span_of(panels: Sequence[Panel], *, spread: bool, unit: bool) -> tuple[float, float]:
    """The ends of a scale for all panels: 0 and 1 if those are asked for and hold all gates, else as wide as these."""
    values = [panel.means["mean"] for panel in panels]
    values += [panel.images["gate"] for panel in panels if panel.images is not None]
    inside = pd.concat(values).dropna()
    if inside.empty or (unit and inside.min() >= 0 and inside.max() <= 1):
        return 0.0, 1.0
    if spread:
        own = pd.concat([panel.means[panel.means["class"] != ALL_CLASSES] for panel in panels])
        inside = pd.concat([inside, own["low"], own["high"]]).dropna()
    low, high = float(inside.min()), float(inside.max())
    room = 0.04 * (high - low) or 0.05
    return low - room, high + room


def too_dense(points: Mapping[str, int]) -> list[str]:
    """The blocks whose panels have too many points for lines, themselves or, the largest first, all together."""
    left, total = dict(points), sum(points.values())
    for block, number in sorted(points.items(), key=lambda item: -item[1]):
        if number > MARKS or total > POINTS:
            total -= left.pop(block)
    return [block for block in points if block not in left]


def matrix(panel: Panel, *, spread: bool) -> pd.DataFrame:
    """The panel as (row, channel): means of the classes, or their spread, or single images."""
    if panel.images is not None:
        rows, column, table = "image", "gate", panel.images
    else:
        rows, column, table = "class", "std" if spread else "mean", panel.means
        if spread:
            table = table[table["class"] != ALL_CLASSES]
    names = list(dict.fromkeys(table[rows]))
    values = table[column].to_numpy().reshape(len(names), len(panel.channels))
    return pd.DataFrame(values, index=names, columns=panel.channels)


def take(key: str, block: str) -> None:
    """Select the channel that was clicked in the chart of a block."""
    channel = clicked(st.session_state.get(key), "channel", "channel")
    if channel is not None:
        select(block=block, channel=int(channel))


def _classes_without(run: Run, block: str, labels: Mapping[str, str], *, spread: bool) -> None:
    """Say which of the classes have no images, or too few for a spread."""
    count = read_block(run, block)["count"].to_numpy()
    images = {label: int(count[run.classes.ids.index(each)]) for each, label in labels.items()}
    without = [label for label, number in images.items() if number == 0]
    if without:
        st.info(f"This run has no image of {listed(without)}.", icon=":material/info:")
    single = [label for label, number in images.items() if number == 1]
    if spread and single:
        st.info(f"There is one image of {listed(single)}, which has no spread.", icon=":material/info:")


def _images(run: Run, labels: Mapping[str, str], number: int, seed: int) -> pd.DataFrame | None:
    """The single images that are drawn; None, and why, where there are none."""
    if run.kept.empty:
        st.info(
            "This run keeps the gates of no image, only moments of classes: their means are drawn.",
            icon=":material/info:",
        )
        return None
    images = drawn_images(run, labels, number, seed)
    without = [label for label in labels.values() if label not in set(images["class"])]
    if without:
        st.info(f"The run keeps the gates of no image of {listed(without)}.", icon=":material/info:")
    return None if images.empty else images


def _lines(view: View, panels: list[Panel], labels: list[str], *, title: str, spread: bool, unit: bool) -> None:
    """The panels as lines; those with too many points for that as strips."""
    span = span_of(panels, spread=spread, unit=unit)
    dense = too_dense({panel.block: panel.points for panel in panels})
    if dense:
        st.info(
            f"Too many points for lines ({MARKS:,} in a panel and {POINTS:,} in all are drawn), and so in colours,"
            f" {span[0]:.2g} dark and {span[1]:.2g} bright: {listed(dense, len(panels))}.",
            icon=":material/info:",
        )
    if labels and len(dense) < len(panels):
        show(legend(labels), alt_text=f"The colours of the classes: {', '.join(labels)}.", key="legend")
    for panel, place in zip(panels, _places(panels), strict=True):
        with place:
            _head(view, panel)
            if panel.block in dense:
                _strips(view, panel, title=title, spread=False, span=span)
                continue
            key = f"lines_{panel.block}"
            what = "single images and mean gates" if panel.images is not None else "mean gates"
            show(
                lines(
                    panel.means,
                    labels=labels,
                    channels=panel.channels,
                    title=title,
                    span=span,
                    spread=spread,
                    images=panel.images,
                    selected=_chosen(view, panel),
                ),
                alt_text=f"Lines of the {what} of {len(labels)} classes over {len(panel.channels)} channels of"
                f" {panel.block}.",
                key=key,
                on_select=partial(take, key, panel.block),
                selection_mode="channel",
            )
    words = ["Grey: the average of the mean gates of all classes that have images."]
    words += ["Bands: one standard deviation over the images of the class to either side of its mean."] * spread
    words += ["Thin lines: single images."] * (panels[0].images is not None)
    st.caption(" ".join([*words, "Lines help the eye to follow a class; neighbouring channels are not related."]))


def _heatmaps(view: View, panels: list[Panel], *, title: str, spread: bool, unit: bool) -> None:
    """The panels as colours, a row for each class or image."""
    spread = spread and panels[0].images is None
    span = span_of(panels, spread=False, unit=unit)
    if spread:
        own = pd.concat([panel.means.loc[panel.means["class"] != ALL_CLASSES, "std"] for panel in panels])
        span = 0.0, float(own.dropna().max()) if own.notna().any() else 1.0
        st.caption("Spread: the standard deviation of the gate over the images of a class.")
    what = "spread" if spread else "gate"
    if any(matrix(panel, spread=spread).size > MARKS for panel in panels):
        st.caption(
            f"Where there are too many channels for a legend: dark is a {what} of {span[0]:.2g}, bright {span[1]:.2g}."
        )
    for panel, place in zip(panels, _places(panels), strict=True):
        with place:
            _head(view, panel)
            table = matrix(panel, spread=spread)
            if table.empty or table.isna().all(axis=None):
                st.info("There is nothing to draw of these classes.", icon=":material/info:")
            elif table.size > MARKS:
                _strips(view, panel, title=title, spread=spread, span=span)
            else:
                heatmap(
                    table,
                    rows="image" if panel.images is not None else "class",
                    columns=title,
                    value=what,
                    alt_text=f"Gates of {len(table)} rows over {table.shape[1]} channels of {panel.block} in colours.",
                    low=span[0],
                    high=span[1],
                    height=110 + 22 * len(table),  # the axis beneath, and the rows
                    key=f"heatmap_{panel.block}",
                )


def _strips(view: View, panel: Panel, *, title: str, spread: bool, span: tuple[float, float]) -> None:
    table, key = matrix(panel, spread=spread), f"strips_{panel.block}"
    what = "spread" if spread else "gate"
    show(
        strips(table, title=title, span=span, selected=_chosen(view, panel)),
        alt_text=f"The {what} of {len(table)} rows over {table.shape[1]} channels of {panel.block} in colours.",
        key=key,
        on_select=partial(take, key, panel.block),
        selection_mode="channel",
    )


def _places(panels: Sequence[Panel]) -> list[st.delta_generator.DeltaGenerator]:
    """A place for each panel, two beside each other; one alone, and many channels, have the whole width."""
    if len(panels) == 1 or max(len(panel.channels) for panel in panels) > CROWD:
        return [st.container() for _ in panels]
    return [place for _ in range(0, len(panels), 2) for place in st.columns(2)][: len(panels)]


def _head(view: View, panel: Panel) -> None:
    total, drawn = view.run.block(panel.block).channels, len(panel.channels)
    count = f"all {total:,} channels" if drawn == total else f"{drawn:,} of {total:,} channels"
    st.markdown(f"**{escaped(panel.block)}**, {count}" + (", selected" if panel.block == view.block else ""))


def _chosen(view: View, panel: Panel) -> int | None:
    """The selected channel, in the panel of its block."""
    return view.channel if panel.block == view.block else None


def _selected(view: View) -> None:
    """The selected channel, and a link to its page."""
    channels = view.run.block(view.block).channels
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    with left:
        channel = choose_number("channel", f"Selected channel of {escaped(view.block)}", 0, channels - 1, default=0)
    with right:
        view.link(
            "channel",
            f"Channel {channel} of {escaped(view.block)}, class by class",
            icon=":material/tune:",
            block=view.block,
            channel=channel,
        )


PAGE = Page(
    title="Excitation",
    path="excitation",
    icon=":material/show_chart:",
    says=(
        "An SE block gives each channel of its feature map a gate, a number that the channel is multiplied by; this"
        " page shows how far the gates open, on average, for images of one class and of another. Early in a network"
        " the classes mostly share their gates, late in it each class has its own."
    ),
    how=(
        "Each panel is an SE block, each coloured line a class: how high it is at a channel is the mean gate of the"
        " class's images there. Lines that lie on each other are **class-agnostic** gates, lines that part are"
        " **class-specific** ones. **Spread** tells how much images of one class differ: where bands overlap, one image"
        " does not give its class away. In a **heatmap** a row is a class and the colour the gate. The channels are a"
        " uniform sample, since a block has more than can be told apart; **the most specific** are those whose gates"
        " differ most between classes, and show more than the block as a whole does. Put the pointer on a point for its"
        " values, click it to select its channel for the other pages."
    ),
    draw=page,
    keys=("panels", "form", "shown", "range", "pick", "number", "apiece", "seed"),
)
