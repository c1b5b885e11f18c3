"""The images whose gates a run keeps one by one, without those that failed."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.run.store import Run

_TILE = 256  # images whose gates stay in the cache while they are turned


def images_with_gates(run: Run) -> pd.DataFrame:
    """The rows of `run.samples` of images that did not fail and whose gates are kept.

    The index is that of `run.samples`; a column `row` is added, the image's row in `run.gates(...)`.
    """
    kept = run.samples["kept"].to_numpy(bool)
    rows = run.samples.assign(row=np.cumsum(kept) - 1)
    return rows[kept & (rows["status"] != "failed").to_numpy()]


def by_channel(gates: NDArray[Any], channels: slice) -> NDArray[Any]:
    """Some channels of gates (image, channel), as a new array (channel, image), copied tile by tile for speed."""
    part = gates[:, channels]
    result = np.empty(part.shape[::-1], gates.dtype)
    for first in range(0, len(part), _TILE):
        result[:, first : first + _TILE] = part[first : first + _TILE].T
    return result


def kept_gates(run: Run, block: str, signal: str = "excitation") -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Their gates, and which images they are.

    Returns
    -------
    gates
        (image, channel), without NaN.
    rows
        Which rows of `run.samples` and `run.labels` they are, (image).

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    """
    images = images_with_gates(run)
    kept = images["row"].to_numpy(np.int64)
    return run.gates(block, signal, kept), images.index.to_numpy(np.int64)
