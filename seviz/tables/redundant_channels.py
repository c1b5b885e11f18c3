"""Which channels of a block move together, and one that can stand for them."""

from typing import Literal

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.store import Run
from seviz.tables.columns import COUNT, NUMBER, SIGNED, every
from seviz.tables.grouping import IMAGES, Grouping, drawn_images, values_of


@table(
    title="Channels that move together",
    caption=(
        "Groups of channels in which any two correlate by at least the threshold, and the channel that "
        "can stand for each group."
    ),
    needs=("gates",),
    cost="gates",
    columns={
        "channel": NUMBER,
        **every(COUNT, "cluster", "cluster_size", "representative"),
        "correlation": SIGNED,
    },
)
def redundant_channels(
    run: Run,
    block: str,
    *,
    within_classes: bool = False,
    threshold: float = 0.9,
    signal: str = "excitation",
    images: int | Literal["all"] = IMAGES,
    seed: int = 0,
) -> pd.DataFrame:
    """Which channels of a block move together, and one that can stand for them.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    block
        Name of an SE block, such as SE_5_1.
    within_classes, threshold, signal, images, seed
        As of `redundancy`.

    Returns
    -------
    pandas.DataFrame
        One row a channel: channel; cluster, its number (0 is the largest); cluster_size; representative, the channel
        of the cluster with the greatest mean absolute correlation with the others; correlation with it, signed. All
        but channel are missing where the channel does not vary. `attrs["remarks"]` as of `redundancy`.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If `threshold` or `images` is out of its range.

    Examples
    --------
    >>> seviz.redundant_channels(run, "SE_5_1", threshold=0.99).columns.tolist()
    ['channel', 'cluster', 'cluster_size', 'representative', 'correlation']
    """
    draw = drawn_images(run, within_classes, threshold, images, seed)

    def make() -> Grouping:
        values = values_of(run, block, signal, draw)
        return Grouping.of(block, values, values.correlations(), threshold)

    found = run.shared(Grouping.key(block, within_classes, threshold, signal, images, seed), make)
    varying = pd.DataFrame(
        {
            "cluster": found.group,
            "cluster_size": np.bincount(found.group)[found.group],
            "representative": found.representative,
            "correlation": found.correlation,
        },
        index=found.channels,
    )
    whole = dict.fromkeys(("cluster", "cluster_size", "representative"), "Int64")
    table = varying.reindex(range(run.block(block).channels)).astype(whole).rename_axis("channel").reset_index()
    table.attrs["remarks"] = draw.remarks + found.remarks
    return table
