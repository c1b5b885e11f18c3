"""The paper's view: the mean excitation of some classes, over some channels, block by block."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.tables.columns import CLASSES, COUNT, KEY, NUMBER, SIGNAL, SPREAD

PAPER_BLOCKS = ("SE_2_3", "SE_3_4", "SE_4_6", "SE_5_1", "SE_5_2", "SE_5_3")
PAPER_CLASSES = ("n01443537", "n02110958", "n02690373", "n09246464")
"""Goldfish, pug, airliner (the paper's plane) and cliff."""
ALL_CLASSES = "all classes"


def default_blocks(run: Run) -> tuple[str, ...]:
    """The paper's six blocks where the run has them all; else the last of each stage, and all of the last."""
    if set(PAPER_BLOCKS) <= set(run.blocks):
        return PAPER_BLOCKS
    records = run.manifest.blocks
    final = max(record.stage for record in records)
    last = {record.stage: record.name for record in records}
    return tuple(r.name for r in records if r.stage == final or last[r.stage] == r.name)


def default_classes(run: Run, number: int) -> tuple[str, ...]:
    """The paper's classes where the run has images of them; else some that have images, spread evenly."""
    count = run.moments(run.blocks[0]).count
    present = [class_id for class_id, n in zip(run.classes.ids, count, strict=True) if n]
    if set(PAPER_CLASSES) <= set(present):
        return PAPER_CLASSES[:number]
    positions = np.linspace(0, len(present) - 1, min(number, len(present))).round().astype(int)
    return tuple(present[k] for k in positions)


def sampled_channels(channels: int, number: int | Literal["all"], seed: int) -> NDArray[np.int64]:
    """Some channels, drawn uniformly without replacement, ascending; all where there are no more.

    Raises
    ------
    OptionError
        If `number` is less than 1.
    """
    if number == "all" or number >= channels:
        return np.arange(channels)
    if number < 1:
        raise OptionError(f"channels is {number}, expected at least 1, or 'all'")
    return np.sort(np.random.default_rng(seed).choice(channels, number, replace=False))


@table(
    title="Excitation by class",
    caption="Mean gates of some classes over sampled channels, block by block: figure 5 of the paper.",
    columns={
        "block": KEY,
        **CLASSES,
        "channel": NUMBER,
        "mean": SIGNAL,
        "std": SPREAD,
        "images": COUNT,
    },
)
def excitation(
    run: Run,
    *,
    classes: Sequence[str] | None = None,
    blocks: Sequence[str] | None = None,
    channels: int | Literal["all"] = 50,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean and standard deviation of the gates of some classes.

    Parameters
    ----------
    run
        A finished run.
    classes
        Classes, by id or name; by default four, the paper's on ImageNet.
    blocks
        Names of SE blocks; by default the paper's six.
    channels
        Number of channels of each block, drawn uniformly; or "all".
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        Columns block, class, class_name, channel, mean, std (over images), images; by block, class and channel.
        Each block ends with the class "all classes": mean is the average of the means of all classes that have
        images, std their standard deviation, images the number of these classes.

    Raises
    ------
    UnknownClassError, MissingSignalError, OptionError
        If a class or block is not in the run, or `channels` is less than 1.

    Examples
    --------
    >>> table = seviz.excitation(run, classes=["cat", "dog"], blocks=["SE_5_1"], channels=3)
    >>> table["class"].unique().tolist()
    ['cat', 'dog', 'all classes']
    """
    labels = list(dict.fromkeys(run.class_index(name) for name in (classes or default_classes(run, 4))))
    frames = []
    blocks = blocks or default_blocks(run)
    for name in blocks:
        moments = run.moments(name)
        mean = np.where(np.isfinite(moments.mean), moments.mean, np.nan)
        chosen = sampled_channels(run.block(name).channels, channels, seed)
        std = np.sqrt(moments.variance())
        for label in labels:
            seen = moments.count[label] > 0
            frames.append(
                pd.DataFrame(
                    {
                        "block": name,
                        "class": run.classes.ids[label],
                        "class_name": run.classes.names[label],
                        "channel": chosen,
                        "mean": mean[label, chosen] if seen else np.nan,
                        "std": std[label, chosen],
                        "images": moments.count[label],
                    }
                )
            )
        means = mean[moments.count > 0][:, chosen]
        frames.append(
            pd.DataFrame(
                {
                    "block": name,
                    "class": ALL_CLASSES,
                    "class_name": ALL_CLASSES,
                    "channel": chosen,
                    "mean": means.mean(0) if len(means) else np.nan,
                    "std": means.std(0, ddof=1) if len(means) > 1 else np.nan,
                    "images": len(means),
                }
            )
        )
    table = pd.concat(frames, ignore_index=True)
    table.attrs["remarks"] = unresolved(run, blocks, near_constant=False)
    return table
