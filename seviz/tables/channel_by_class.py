"""The gate of one channel by class."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.selectivity import sensitivity
from seviz.tables.columns import ANY, CLASSES, COUNT, SIGNAL, SPREAD, every


@table(
    title="One channel by class",
    caption="The gate of one channel by class, the greatest mean first.",
    columns={
        **CLASSES,
        "images": COUNT,
        **every(SIGNAL, "mean", "min", "max"),
        "std": SPREAD,
        "difference": ANY,
    },
)
def channel_by_class(run: Run, block: str, channel: int) -> pd.DataFrame:
    """The gate of one channel by class, by falling mean.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    channel
        Channel number, from 0.

    Returns
    -------
    pandas.DataFrame
        Columns: class, class_name; images; mean, std, min, max of the gate; difference, d' of the class against all
        other images, see `seviz.stats.selectivity.sensitivity`. Without classes that have no image.

    Raises
    ------
    MissingSignalError
        If the run does not hold the block.
    OptionError
        If there is no such channel.

    Examples
    --------
    >>> seviz.channel_by_class(run, "SE_5_1", 7).shape
    (10, 8)
    """
    check_channel(run, block, channel)
    table = of_channel(run[block], sensitivity(run.moments(block), run.total(block)), channel)
    table.insert(1, "class_name", [run.classes.names[label] for label in table.pop("label")])
    table["difference"] = table["difference"].where(np.isfinite(table["difference"]))
    table.attrs["remarks"] = unresolved(run, [block])
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


def check_channel(run: Run, block: str, channel: int) -> None:
    width = run.block(block).channels
    if not 0 <= channel < width:
        raise OptionError(f"no channel {channel} in {block}; it has {width}, from 0 to {width - 1}")
