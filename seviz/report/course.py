"""How a figure of the blocks goes with depth, decided by its intervals."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

Kind = Literal["rises", "falls", "same", "wavers"]

STEADY = 0.5
"""A figure rises or falls with depth if its rank correlation with it is at least so strong."""
LITTLE = 0.02
"""Figures that differ by less are about the same, however narrow their intervals."""


@dataclass(frozen=True)
class At:
    """A figure of one block, with its interval, which is NaN if not known."""

    block: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Course:
    """A figure by depth.

    Attributes
    ----------
    kind
        "same", where the intervals of the least and the greatest overlap; "rises" or "falls", where the rank
        correlation with depth is strong and the intervals of the first and the last block do not overlap; else
        "wavers". Without intervals the figures themselves decide.
    correlation
        Spearman's, with depth; NaN for a single block, or where all figures are equal.
    blocks
        Of which the figure is known, in order of depth; at least one.
    """

    kind: Kind
    correlation: float
    blocks: tuple[At, ...]

    @property
    def first(self) -> At:
        return self.blocks[0]

    @property
    def last(self) -> At:
        return self.blocks[-1]

    @property
    def least(self) -> At:
        return min(self.blocks, key=lambda at: at.value)

    @property
    def greatest(self) -> At:
        return max(self.blocks, key=lambda at: at.value)

    @property
    def with_intervals(self) -> bool:
        return all(np.isfinite([at.low, at.high]).all() for at in self.blocks)


def course(table: pd.DataFrame, figure: str) -> Course | None:
    """How a figure goes with depth.

    Parameters
    ----------
    table
        A row a block, in order of depth: block, the figure, and its interval low, high.
    figure
        Name of its column.

    Returns
    -------
    Course or None
        None if the figure is known of no block; those of which it is not are left out.
    """
    known = table[np.isfinite(table[figure].to_numpy(np.float64))]
    if known.empty:
        return None
    blocks = tuple(At(*row) for row in known[["block", figure, "low", "high"]].itertuples(index=False, name=None))
    values = [at.value for at in blocks]
    varies = max(values) - min(values) > 0
    correlation = float(stats.spearmanr(range(len(values)), values).statistic) if varies else float("nan")
    unjudged = Course("same", correlation, blocks)
    least, greatest = unjudged.least, unjudged.greatest
    if greatest.value - least.value < LITTLE or _reach(least)[1] >= _reach(greatest)[0]:
        return unjudged
    (first_low, first_high), (last_low, last_high) = _reach(unjudged.first), _reach(unjudged.last)
    if correlation >= STEADY and first_high < last_low:
        return Course("rises", correlation, blocks)
    if correlation <= -STEADY and last_high < first_low:
        return Course("falls", correlation, blocks)
    return Course("wavers", correlation, blocks)


def _reach(at: At) -> tuple[float, float]:
    """The interval; the figure itself where that is not known."""
    return (at.value, at.value) if np.isnan([at.low, at.high]).any() else (at.low, at.high)
