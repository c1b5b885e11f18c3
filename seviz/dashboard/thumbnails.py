"""The images of a run, small, read from where the run says that they lie and from nowhere else.

What a run says is text that anyone may have written. A path is followed only down from the root of the run's data
(`seviz.run.inside`). A file that is no image, or not there, becomes a grey tile with the reason.
"""

import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from seviz.capture.datasets import BUNDLED, Dataset, fetched, open_dataset, packed
from seviz.capture.pictures import read_picture
from seviz.dashboard.caching import BY_BYTES
from seviz.errors import DataNotFoundError, SevizError
from seviz.run.inside import OUTSIDE, image_path
from seviz.run.store import Run

SIDE = 96
"""Pixels of a tile."""
SMALL = 64
"""An image of fewer pixels is enlarged, each pixel to a square."""
KEPT = 1_000
"""Tiles that are kept in memory, of 36 kB each."""
TURN = threading.Lock()
"""Held by who decodes an image or runs a network: neither is for several threads at once, and each session is one."""

_GREY = (128, 128, 128, 96)


@dataclass(frozen=True)
class Thumbnail:
    """An image as a tile.

    Attributes
    ----------
    image
        (96, 96, 4) uint8, red, green, blue and opacity; transparent beside an image that is no square.
    reason
        Why it is grey; empty where it is the image.
    """

    image: NDArray[np.uint8]
    reason: str


def unseen(run: Run) -> str:
    """Why no image of a run can be shown, one sentence; empty where they can be."""
    record = run.manifest.data
    if record.fingerprint is None:
        return "The images of this run were handed over in memory: they cannot be shown."
    if record.root is None and not packed(record.spec):
        return "This run does not say where its images lie: they cannot be shown."
    if fetched(record.spec):
        return "The images of this run are of a hub, from which nothing is fetched here: they cannot be shown."
    try:
        if record.root is None:
            _held(run)
        elif not _root(run).is_dir():
            return f"The images of this run are to be in {str(_root(run))!r}, which is no directory: it was moved."
    except SevizError as error:
        return f"The images of this run cannot be opened: {error}."
    except (OSError, ValueError) as error:
        return f"The images of this run cannot be opened ({error})."
    return ""


def thumbnail(run: Run, row: int) -> Thumbnail:
    """An image of a run.

    Parameters
    ----------
    run
        Of which `unseen` says nothing.
    row
        Of `run.samples`.
    """
    path = str(run.samples["path"].iloc[row])
    try:
        if run.manifest.data.root is None:
            return _of_packed(run, path)
        file = image_path(_root(run), path)
        return _of_file(file, file.stat().st_mtime_ns, run.manifest.engine.rotate)
    except FileNotFoundError as error:
        return grey(OUTSIDE if isinstance(error, DataNotFoundError) else "file not found")
    except (SevizError, OSError, ValueError) as error:
        return grey(getattr(error, "strerror", None) or str(error))


def small(image: Image.Image) -> NDArray[np.uint8]:
    """An image as a tile, (96, 96, 4): shrunk, or enlarged by a whole number, and set in the middle."""
    tile = image.convert("RGB")
    longer = max(tile.size)
    if longer < SMALL:
        factor = SIDE // longer
        tile = tile.resize((tile.width * factor, tile.height * factor), Image.Resampling.NEAREST)
    else:
        tile.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    whole = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    whole.paste(tile, ((SIDE - tile.width) // 2, (SIDE - tile.height) // 2))
    return np.asarray(whole)


def grey(reason: str) -> Thumbnail:
    """A tile in place of an image that cannot be shown."""
    return Thumbnail(np.full((SIDE, SIDE, 4), _GREY, np.uint8), reason)


def _root(run: Run) -> Path:
    """Where the images lie; the bundled ones come with seviz, wherever that was when the run was made."""
    record = run.manifest.data
    if record.spec == BUNDLED:
        return Path(str(resources.files("seviz.capture") / BUNDLED))
    return Path(str(record.root))


def _held(run: Run) -> tuple[Dataset, dict[str, int]]:
    record = run.manifest.data
    return _packed(record.spec, record.split_of(str(run.samples["path"].iloc[0])))


def _of_packed(run: Run, path: str) -> Thumbnail:
    data, places = _held(run)
    if path not in places:
        return grey("no image of that name")
    with TURN:
        decoded = data.read(places[path])
    return Thumbnail(small(decoded.image), "") if isinstance(decoded.image, Image.Image) else grey(decoded.reason)


@st.cache_data(hash_funcs=BY_BYTES, max_entries=KEPT, show_spinner=False)
def _of_file(file: Path, changed: int, rotate: bool) -> Thumbnail:
    with TURN:
        decoded = read_picture(file, rotate=rotate)
    return Thumbnail(small(decoded.image), "") if isinstance(decoded.image, Image.Image) else grey(decoded.reason)


@st.cache_resource(hash_funcs=BY_BYTES, max_entries=2, show_spinner="Opening the images")
def _packed(spec: str, split: str | None) -> tuple[Dataset, dict[str, int]]:
    data = open_dataset(spec, split=split)
    return data, {path: place for place, path in enumerate(data.paths)}
