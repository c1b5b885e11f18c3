"""Two classes beside each other: in which channels gates tell them apart."""

import numpy as np
import pandas as pd
import xarray as xr

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.tables.columns import ANY, NUMBER, SIGNAL, SPREAD, every


@table(
    title="Two classes by channel",
    caption=("The channels of a block by how far the mean gates of two classes differ, the most different first."),
    columns={
        "channel": NUMBER,
        **every(SIGNAL, "mean_one", "mean_other", "difference"),
        **every(SPREAD, "std_one", "std_other"),
        "d_prime": ANY,
    },
)
def class_pair(run: Run, block: str, one: str, other: str) -> pd.DataFrame:
    """The channels of a block by how far two classes differ, the most different first.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    one
        First class, by id or name, with images in the run.
    other
        Second class, by id or name, with images in the run.

    Returns
    -------
    pandas.DataFrame
        As of `side_by_side`; d_prime is NaN where it is infinite there, so that such channels come first.

    Raises
    ------
    UnknownClassError
        If there is no such class.
    OptionError
        If a class has no image.
    MissingSignalError
        If the run does not hold the block.

    Examples
    --------
    >>> len(seviz.class_pair(run, "SE_5_1", "cat", "dog"))
    512
    """
    table = side_by_side(run[block], *(run.classes.ids[label] for label in labels_of_pair(run, one, other)))
    table["d_prime"] = table["d_prime"].where(np.isfinite(table["d_prime"]))
    table.attrs["remarks"] = unresolved(run, [block])
    return table


def side_by_side(block: xr.Dataset, one: str, other: str) -> pd.DataFrame:
    """Two classes, channel by channel, the most different first.

    Parameters
    ----------
    block
        As of `run[block]`.
    one, other
        Ids of classes with images.

    Returns
    -------
    pandas.DataFrame
        channel; mean_one, mean_other, std_one, std_other; difference of the means, one less other; and d_prime, that
        in root mean square standard deviations. d_prime is infinite where both are constant and differ, NaN where they
        are constant and the same, or a class has fewer than two images: there the difference decides the order.
    """
    means, stds = [], []
    for key in (one, other):
        of = block.sel({"class": key})
        means.append(of["mean"].to_numpy().astype(float))
        varies = of["min"].to_numpy() < of["max"].to_numpy()
        stds.append(np.where(varies, of["std"].to_numpy(), np.where(int(of["count"]) > 1, 0.0, np.nan)))
    # what is constant in both has the same mean, but for rounding, if it has the same values
    difference = np.where(
        (stds[0] == 0) & (stds[1] == 0) & np.isclose(means[0], means[1], rtol=1e-9, atol=1e-12),
        0.0,
        means[0] - means[1],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        d_prime = difference / np.sqrt((np.square(stds[0]) + np.square(stds[1])) / 2)
    table = pd.DataFrame(
        {
            "channel": block["channel"].to_numpy(),
            "mean_one": means[0],
            "mean_other": means[1],
            "std_one": stds[0],
            "std_other": stds[1],
            "difference": difference,
            "d_prime": d_prime,
        }
    )
    rank = table.assign(size=table["d_prime"].abs(), gap=table["difference"].abs())
    order = rank.sort_values(["size", "gap"], ascending=False, kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


def labels_of_pair(run: Run, one: str, other: str) -> tuple[int, int]:
    first, second = labels_with_images(run, one, other)
    return first, second


def labels_with_images(run: Run, *names: str) -> list[int]:
    """The labels of classes; raises UnknownClassError if there is none, OptionError if one has no image."""
    count = run.moments(run.blocks[0]).count
    labels = [run.class_index(name) for name in names]
    for name, label in zip(names, labels, strict=True):
        if not count[label]:
            raise OptionError(f"class {name!r} has no image in {run!r}, so no mean gates")
    return labels
