"""Whether a run has images enough for its channel orders and block figures to be stable."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.registry import table
from seviz.run.store import Run
from seviz.stats.reliability import RELIABLE, SPREAD, spearman_brown, wanted_factor
from seviz.stats.resampling import median_size
from seviz.tables.columns import BLOCKS, COUNT, TEXT, every
from seviz.tables.convergence_by_size import COLUMNS, FIGURES, convergence_by_size, named


@table(
    title="Convergence by block",
    caption=("Whether the run has images enough for the order of channels and the figures of a block to be stable."),
    needs=("gates",),
    cost="gates",
    columns={
        **BLOCKS,
        **every(COUNT, "images", "stable_from", "wanted"),
        **FIGURES,
        "verdict": TEXT,
    },
)
def convergence(
    run: Run,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 10,
    signal: str = "excitation",
    seed: int = 0,
) -> pd.DataFrame:
    """Whether the run has images enough, block by block.

    Parameters
    ----------
    run
        A finished run that keeps gates of images, of some if not of all.
    sizes, repeats, signal, seed
        As of `convergence_by_size`.

    Returns
    -------
    pandas.DataFrame
        As of `stability`, with images those of the median class of the run, whether or not their gates are kept.
        Where no class has two images all is missing and the verdict "not enough"; of a block with gates that are not
        finite all is missing and the verdict "not known". `attrs["remarks"]` says what was left out, and which classes
        have fewer images than wanted.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `repeats` or one of `sizes` is below 1.

    Examples
    --------
    >>> seviz.convergence(run, sizes=[2, 3], repeats=2)["block"].nunique()
    16
    """
    curve = convergence_by_size(run, sizes=sizes, repeats=repeats, signal=signal, seed=seed)
    count = run.moments(run.blocks[0], signal).count
    table = stability(curve, median_size(count))
    if table.empty:
        blocks = pd.DataFrame({"block": run.blocks, "stage": [run.block(name).stage for name in run.blocks]})
        table = blocks.assign(images=median_size(count), verdict="not enough").reindex(columns=table.columns)
    found = [run.sample(name, signal).channels for name in table["block"]]
    still = np.array([channels.near_constant.all() for channels in found], bool)
    odd = np.array([not channels.finite.all() for channels in found], bool)
    table.loc[still | odd, [*FIGURES, "wanted"]] = np.nan
    table.loc[still | odd, "stable_from"] = pd.NA
    table.loc[still, "verdict"], table.loc[odd, "verdict"] = "nothing varies", "not known"
    table.attrs["remarks"] = [*curve.attrs["remarks"], *_wanting(table, run, count)]
    return table


def stability(curve: pd.DataFrame, images: int) -> pd.DataFrame:
    """Judge how well samples agree.

    Parameters
    ----------
    curve
        From `convergence_by_size`.
    images
        How many images per class there are.

    Returns
    -------
    pandas.DataFrame
        One row a block of the curve:

        - block, stage, images
        - mean_order, omega_order, omega_squared_std: as in the curve at its greatest size, but carried on to all
          images, by Spearman and Brown's formula and as one over the root of their number
        - omega_squared: at the greatest size
        - stable_from: the smallest size from which on the curve is stable: both orders are at least 0.9, and the
          standard deviation of omega squared at most 0.02; missing where the curve's end is not
        - wanted: images per class with which that is reached, from the agreement at the greatest size; NaN where an
          order agrees no better than chance makes it (2 over the root of channels - 1), or where it is not known
        - verdict: "enough" where images are as many as wanted, else "not enough"; "as by chance" where an order agrees
          no better, so that no number of images can be told; "nothing varies" where there is no order at all

        What a block does not have (omega squared of a single class, or of constant gates) is not asked of it.
    """
    rows = []
    for name, group in curve.sort_values("size", kind="stable").groupby("block", sort=False):
        sizes = [_Agreement(*row) for row in group[list(COLUMNS[2:])].itertuples(index=False)]
        stable_from = [size.size for k, size in enumerate(sizes) if all(later.stable for later in sizes[k:])]
        last = sizes[-1]
        factor = images / last.size
        rows.append(
            {
                "block": name,
                "stage": group["stage"].iloc[0],
                "images": images,
                "mean_order": spearman_brown(last.mean_order, factor),
                "omega_order": spearman_brown(last.omega_order, factor),
                "omega_squared": last.omega_squared,
                "omega_squared_std": last.omega_squared_std / np.sqrt(factor),
                "stable_from": min(stable_from, default=pd.NA),
                "wanted": last.wanted if np.isfinite(last.wanted) else np.nan,
                "verdict": last.verdict(images),
            }
        )
    columns = ("block", "stage", "images", *FIGURES, "stable_from", "wanted", "verdict")
    return pd.DataFrame(rows, columns=columns).astype({"stable_from": "Int64"})


@dataclass(frozen=True)
class _Agreement:
    """How well samples of one size agree: a row of the curve."""

    channels: int
    size: int
    classes: int
    mean_order: float
    omega_order: float
    omega_squared: float
    omega_squared_std: float

    @property
    def orders(self) -> list[float]:
        return [order for order in (self.mean_order, self.omega_order) if not np.isnan(order)]

    @property
    def unknown(self) -> bool:
        """Whether there is an omega squared, but not of single images."""
        return self.size == 1 and self.classes > 1 and np.isnan(self.omega_order)

    @property
    def stable(self) -> bool:
        return not self.unknown and all(o >= RELIABLE for o in self.orders) and not self.omega_squared_std > SPREAD

    @property
    def wanted(self) -> float:
        if self.unknown or not self.orders:
            return float("nan")
        chance = 2 / np.sqrt(max(self.channels - 1, 1))
        factors = [wanted_factor(order) if order > chance else np.inf for order in self.orders]
        factor = max(*factors, np.nan_to_num(self.omega_squared_std / SPREAD) ** 2)
        return float(max(np.ceil(np.round(self.size * factor, 9)), 1))

    def verdict(self, images: int) -> str:
        if not self.orders:
            return "nothing varies"
        if np.isinf(self.wanted):
            return "as by chance"
        return "enough" if self.wanted <= images else "not enough"


def _wanting(table: pd.DataFrame, run: Run, count: NDArray[np.int64]) -> list[str]:
    """Which classes have fewer images than the most that a block wants."""
    remarks, wanted = [], table["wanted"].astype(float)
    if endless := list(table["block"][table["verdict"] == "as by chance"]):
        remarks.append(f"No number of images can be told for {', '.join(endless)}: samples agree as by chance.")
    most = wanted.max()
    if (small := count < most).any():
        block = table["block"][wanted == most].iloc[0]
        remarks.append(f"{named(run, count, small)} have fewer images than the {most:.0f} that {block} wants.")
    return remarks
