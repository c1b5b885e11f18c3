"""The network of a run, opened again, and what it makes of images: each made once and kept in memory, one at a time.

Everything that is kept is kept by the fingerprint of its run, and no more of it than a bounded number.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from seviz.capture.datasets import Dataset
from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.reading import fingerprint
from seviz.dashboard.thumbnails import TURN
from seviz.errors import ImageFormatError, OptionError, SevizError, UnknownModelError
from seviz.experiments.attribution import Attributions, Method
from seviz.experiments.belonging import check_blocks
from seviz.experiments.one_image import OneImage, attribute_image, image_file, kept_gates_of, likeness, run_image
from seviz.experiments.reopening import reopen_data, reopen_network
from seviz.network.networks import Network
from seviz.run.inside import inside
from seviz.run.store import Run

LARGEST = 20
"""MB of a file that is uploaded."""
METHODS: dict[str, Method] = {"gradient": "gradient_x_activation", "integrated": "integrated_gradients"}
"""Of attribution, by what an address calls them."""


def opened(run: Run, *, trust_code: bool = False) -> Network:
    """The network of a run; raises what `reopen_network` and `check_blocks` raise; UnknownModelError from its code."""
    return _opened(run.path, fingerprint(run.path), trust_code, run)


def run_row(run: Run, row: int, network: Network) -> OneImage:
    """What the network makes of an image of the run.

    Raises
    ------
    SevizError
        What `run_image` raises; DataNotFoundError for an image outside the data, OptionError where the network has
        other blocks than the run.
    """
    one = _made_of_row(run.path, fingerprint(run.path), row, run, network)
    _check_blocks(run, one)
    return one


def run_file(run: Run, name: str, content: bytes, digest: str, network: Network) -> OneImage:
    """The same of a file that was uploaded, kept by its digest and the ending of its name.

    Raises
    ------
    SevizError
        What `run_image` raises; ImageFormatError for too many bytes or none, OptionError as of `run_row`.
    """
    ending = Path(name).suffix.lower()
    one = _made_of_file(run.path, fingerprint(run.path), digest, ending, checked(content), run, network)
    _check_blocks(run, one)
    return one


def checked(content: bytes) -> bytes:
    """The bytes of a file that was uploaded; raises ImageFormatError if they are too many, or none."""
    if not content:
        raise ImageFormatError("the file is empty")
    if len(content) > LARGEST * 10**6 * 1.05:
        raise ImageFormatError(f"the file has {len(content) / 1e6:.0f} MB, expected at most {LARGEST}")
    return content


def kept_gates(run: Run, row: int) -> dict[str, NDArray[np.float32]] | None:
    """The gates that a run keeps of an image, (channel) by block; None where it does not."""
    return _kept(run.path, fingerprint(run.path), row, run)


def total_gates(run: Run) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and standard deviation of each channel over all images, by block; NaN where there are none."""
    return _totals(run.path, fingerprint(run.path), run)


def like_classes(run: Run, key: str, gates: Mapping[str, NDArray[np.float32]], *, centred: bool) -> pd.DataFrame:
    """How like an image is to each class, (block, class), by `likeness`.

    Parameters
    ----------
    run
        Of the classes.
    key
        Tells the image from others.
    gates
        Of the image, (channel) by block.
    centred
        Whether the mean over classes is taken off.
    """
    return _likeness(run.path, fingerprint(run.path), key, centred, gates, run)


def attributed(
    run: Run,
    key: str,
    one: OneImage,
    target: int,
    network: Network,
    *,
    method: str,
    base: str,
    baseline: Any,
    block: str | None = None,
) -> Attributions:
    """What the gates of an image add to a logit.

    Parameters
    ----------
    run
        Of the network.
    key, one
        Tells the image from others; and what the network made of it.
    target
        Of which class the logit is.
    network
        That of the run.
    method
        One of `METHODS`.
    base, baseline
        What the gates are counted from, by what it is called, and as of `attribute_image`.
    block
        Of one block only; by default of all.
    """
    return _attributed(run.path, fingerprint(run.path), key, target, method, base, block, baseline, one.pixels, network)


def _check_blocks(run: Run, one: OneImage) -> None:
    """Raise OptionError unless the network has the blocks of the run."""
    if any(len(one.gates.get(block.name, ())) != block.channels for block in run.manifest.blocks):
        raise OptionError("the network opened again has other SE blocks than the run, which was made with other names")


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=2, show_spinner=False)
def _opened(path: Path, mark: str, trust_code: bool, _run: Run) -> Network:
    with TURN:
        try:
            network = reopen_network(_run, trust_code=trust_code)
            check_blocks(network, _run)  # found here, where nobody else runs the network
        except SevizError:
            raise
        except Exception as error:  # whatever a file raises that is executed for it
            raise UnknownModelError(f"it cannot be made again: {type(error).__name__}: {error}") from error
    return network


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=4, show_spinner=False)
def _data(path: Path, mark: str, _run: Run) -> Dataset:
    return reopen_data(_run)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=32, show_spinner=False)
def _made_of_row(path: Path, mark: str, row: int, _run: Run, _network: Network) -> OneImage:
    data = _data(path, mark, _run)
    if data.root is not None:
        inside(data.root, data.paths[row])  # a run is text that anyone may have written
    with TURN:
        return run_image(_network, data, row, rotate=_run.manifest.engine.rotate)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=8, show_spinner=False)
def _made_of_file(
    path: Path, mark: str, digest: str, ending: str, _content: bytes, _run: Run, _network: Network
) -> OneImage:
    how = _run.manifest.data.selection.get("preprocess", "none")
    with TURN, image_file(_content, f"image{ending}", how) as data:
        return run_image(_network, data, rotate=_run.manifest.engine.rotate)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=32, show_spinner=False)
def _kept(path: Path, mark: str, row: int, _run: Run) -> dict[str, NDArray[np.float32]] | None:
    return kept_gates_of(_run, row)


@st.cache_resource(
    hash_funcs=BY_BYTES, max_entries=2, show_spinner=False
)  # 60 MB for 1,000 classes and all channels of an SE-ResNet-50
def _means(path: Path, mark: str, _run: Run) -> dict[str, NDArray[np.float32]]:
    """Mean gates of each block by class and channel, NaN for classes without images."""
    means = {}
    for block in _run.blocks:
        moments = _run.moments(block)
        means[block] = np.where(moments.count[:, None] > 0, moments.mean, np.nan).astype(np.float32)
    return means


@st.cache_data(hash_funcs=BY_BYTES, max_entries=4, show_spinner=False)
def _totals(path: Path, mark: str, _run: Run) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and standard deviation of each channel over all images, by block; NaN where there are none."""
    found = {}
    for block in _run.blocks:
        total = _run.total(block)
        mean = total.mean[0] if total.count[0] else np.full(total.mean.shape[1], np.nan)
        found[block] = (mean, np.sqrt(total.variance()[0]))
    return found


@st.cache_data(hash_funcs=BY_BYTES, max_entries=64, show_spinner="Reading the mean gates of all classes")
def _likeness(
    path: Path, mark: str, key: str, centred: bool, _gates: Mapping[str, NDArray[np.float32]], _run: Run
) -> pd.DataFrame:
    return likeness(_gates, _means(path, mark, _run), centred=centred)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=128, show_spinner=False)
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
    with TURN:
        return attribute_image(
            _network,
            _pixels,
            target,
            method=METHODS[method],
            baseline=_baseline,
            blocks=None if block is None else [block],
        )
