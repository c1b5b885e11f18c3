"""The channels that move with one."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.scaling import moderate
from seviz.tables.channel_by_class import check_channel
from seviz.tables.columns import NUMBER, SIGNED


@table(
    title="Channels that move with one",
    caption=("Correlation of one channel's gate with that of each other channel of its block, the strongest first."),
    needs=("gates",),
    cost="gates",
    columns={
        "channel": NUMBER,
        "correlation": SIGNED,
    },
)
def channel_correlations(run: Run, block: str, channel: int, *, images: int = 5_000) -> pd.DataFrame:
    """The correlation of a channel's gate with that of each other channel of its block, the strongest first.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    channel
        Channel number, from 0.
    images
        Greatest number of images to correlate over, evenly spread, at least 2.

    Returns
    -------
    pandas.DataFrame
        As of `correlations`.

    Raises
    ------
    MissingSignalError
        If the run does not hold the block, or keeps the gates of no image.
    OptionError
        If there is no such channel, or `images` is less than 2.

    Examples
    --------
    >>> seviz.channel_correlations(run, "SE_5_1", 7).shape
    (511, 2)
    """
    check_channel(run, block, channel)
    if images < 2:
        raise OptionError(f"images is {images}, expected at least 2")
    gates = run.sample(block).gates
    gates = gates[:: max(-(-len(gates) // images), 1)]
    table = correlations(gates[np.isfinite(gates).all(1)], channel)
    table.attrs["remarks"] = unresolved(run, [block])
    return table


def correlations(gates: NDArray[np.floating], channel: int) -> pd.DataFrame:
    """The correlation of a channel with each other that varies, the strongest first.

    Parameters
    ----------
    gates
        (image, channel), finite.
    channel
        Which.

    Returns
    -------
    pandas.DataFrame
        channel, correlation in [-1, 1]. Empty where it does not vary, or there are no images.
    """
    if not len(gates):
        return pd.DataFrame({"channel": np.empty(0, np.int64), "correlation": np.empty(0)})
    x, _ = moderate(gates - gates.mean(0, dtype=np.float64).astype(gates.dtype))
    size = np.sqrt(np.square(x).sum(0, dtype=np.float64))
    varies = size > 1e-4 * np.sqrt(max(len(x), 1))  # less is the rounding of stored gates
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x.T @ x[:, channel]) / (size * size[channel])
    others = varies & varies[channel] & (np.arange(len(size)) != channel)
    table = pd.DataFrame({"channel": np.flatnonzero(others), "correlation": np.clip(r[others], -1, 1).astype(float)})
    return table.sort_values("correlation", key=np.abs, ascending=False, kind="stable", ignore_index=True)
