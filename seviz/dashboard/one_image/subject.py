"""The image that the image page looks at: one of the run, or one's own, run through the network where that may be."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from seviz.dashboard.escaping import escaped
from seviz.dashboard.one_image.running import LARGEST, kept_gates, opened, run_file, run_row
from seviz.dashboard.selection import choose_number, select
from seviz.dashboard.tables.class_names import labels_of
from seviz.dashboard.tables.one_image import another, label_of, number_of
from seviz.dashboard.trusting import untrusted
from seviz.dashboard.view import View
from seviz.errors import SevizError
from seviz.experiments.one_image import OneImage
from seviz.network.axes import of_image
from seviz.network.networks import Network

TYPES = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif")
"""Of images that are uploaded."""
ARRAYS = ("npy", "npz", "pt")
"""Of arrays."""


@dataclass(frozen=True, kw_only=True)
class Subject:
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


def of_run(view: View) -> Subject | None:
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
                one = run_row(run, row, network)
        except SevizError as error:
            st.info(escaped(str(error)), icon=":material/info:")
    if one is not None and network is not None:
        return Subject(
            key=f"row {row}", gates=one.gates, own=own, predicted=label_of(run, one.predicted), one=(one, network)
        )
    gates = kept_gates(run, row)
    if gates is None:
        st.info("The run does not keep the gates of this image, so there is nothing else to show of it.")
        return None
    predicted = label_of(run, number_of(run, sample["predicted"]))
    told = f" Taken for **{escaped(labels[predicted])}** in the capture." if predicted is not None else ""
    st.info(f"Shown are the gates that the run keeps of this image.{told}", icon=":material/info:")
    return Subject(key=f"row {row}", gates=gates, own=own, predicted=predicted)


def of_upload(view: View) -> Subject | None:
    """An image of one's own, or an array for a network that takes those."""
    run = view.run
    arrays = ARRAYS if "preprocess" in run.manifest.data.selection else ()
    images = TYPES if of_image(run.manifest.model.input_size) else ()
    upload = st.file_uploader(
        f"A file of at most {LARGEST} MB, {'an image' if images else 'an array'}",
        type=[*images, *(arrays if images else ARRAYS)],
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
            one = run_file(run, upload.name, content, digest, network)
    except SevizError as error:
        st.error(f"{escaped(upload.name)}: {escaped(str(error))}", icon=":material/broken_image:")
        return None
    return Subject(key=digest, gates=one.gates, predicted=label_of(run, one.predicted), one=(one, network))


def _network(view: View) -> Network | None:
    """The network of the run, opened again; None where it may not be, or cannot be, which is then said."""
    run = view.run
    try:
        if reason := untrusted(run, trust_code=view.trust_code):
            st.info(escaped(reason), icon=":material/shield:")
            return None
        with st.spinner("Opening the network"):
            network = opened(run, trust_code=view.trust_code)
    except SevizError as error:
        st.warning(f"The network cannot be run: {escaped(str(error))}", icon=":material/warning:")
        return None
    for remark in network.remarks:
        st.warning(escaped(remark), icon=":material/info:")
    return network
