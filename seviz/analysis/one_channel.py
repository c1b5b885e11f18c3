"""One channel of a block: its gate by class, and the channels that move with it."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from seviz.analysis.images import kept_gates
from seviz.analysis.selectivity import sensitivity
from seviz.errors import OptionError
from seviz.run.store import Run


def channel_by_class(run: Run, block: str, channel: int) -> pd.DataFrame:
    """The gate of one channel by class, by falling mean.

    Parameters
    ----------
    run
        A finished run.
    block
        By name.
    channel
        Its number, from 0.

    Returns
    -------
    pandas.DataFrame
        Columns: class, class_name; images; mean, std, min, max of the gate; difference, d' of the class against all
        other images, see `seviz.analysis.selectivity.sensitivity`. Without classes that have no image.

    Raises
    ------
    MissingSignalError
        If the run does not hold the block.
    OptionError
        If there is no such channel.
    """
    _check(run, block, channel)
    table = of_channel(run[block], sensitivity(run.moments(block), run.total(block)), channel)
    table.insert(1, "class_name", [run.classes.names[label] for label in table.pop("label")])
    return table


def of_channel(block: xr.Dataset, differences: NDArray[np.float64], channel: int) -> pd.DataFrame:
    """The same from what is known of the block, with `label`, the number of the class.

    Parameters
    ----------
    block
        As of `run[block]`.
    differences
        d' of each class against the rest, (class, channel).
    channel
        Its number.
    """
    of = block.isel(channel=channel)
    ids = [str(each) for each in of["class"].to_numpy()]
    table = pd.DataFrame(
        {
            "class": ids,
            "label": np.arange(len(ids)),
            "images": of["count"].to_numpy(),
            **{key: of[key].to_numpy().astype(float) for key in ("mean", "std", "min", "max")},
            "difference": differences[:, channel],
        }
    )
    table = table[(table["images"] > 0) & table["mean"].notna()]
    return table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def channel_correlations(run: Run, block: str, channel: int, *, images: int = 5_000) -> pd.DataFrame:
    """The correlation of a channel's gate with that of each other channel of its block, the strongest first.

    Parameters
    ----------
    run, block, channel
        As in `channel_by_class`; the run keeps gates of images.
    images
        Images that it is taken over at most, evenly spread, at least 2.

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
    """
    _check(run, block, channel)
    if images < 2:
        raise OptionError(f"images is {images}, expected at least 2")
    gates, _ = kept_gates(run, block)
    gates = gates[:: max(-(-len(gates) // images), 1)]
    return correlations(gates[np.isfinite(gates).all(1)], channel)


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
    x = gates - gates.mean(0, dtype=np.float64).astype(gates.dtype)
    size = np.sqrt(np.square(x).sum(0, dtype=np.float64))
    varies = size > 1e-4 * np.sqrt(max(len(x), 1))  # less is the rounding of stored gates
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x.T @ x[:, channel]) / (size * size[channel])
    others = varies & varies[channel] & (np.arange(len(size)) != channel)
    table = pd.DataFrame({"channel": np.flatnonzero(others), "correlation": np.clip(r[others], -1, 1).astype(float)})
    return table.sort_values("correlation", key=np.abs, ascending=False, kind="stable", ignore_index=True)


def _check(run: Run, block: str, channel: int) -> None:
    width = run.block(block).channels
    if not 0 <= channel < width:
        raise OptionError(f"no channel {channel} in {block}; it has {width}, from 0 to {width - 1}")
