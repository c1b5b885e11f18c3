"""How two runs differ, block by block."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.moments import Moments
from seviz.registry import table
from seviz.run.pairing import Match
from seviz.run.store import Run
from seviz.stats.shift import change_of, mean_interval, shift_of
from seviz.stats.variance import split_against_rest, split_variance
from seviz.tables.columns import ANY, COUNT, KEY, OMEGA, SIGNAL, SIGNED, SPREAD, TEXT, every
from seviz.tables.two_runs import paired, remarks_on_both, shared_classes

COLLAPSED = 0.1
"""Gates have collapsed where their standard deviation is less than this share of that in the other run."""


@table(
    title="Two runs by block",
    caption=("How far the mean gates of a class shift from one run to the other, and how class specificity changes."),
    needs=("other",),
    columns={
        "block": KEY,
        **every(TEXT, "other_block", "paired_by", "collapsed"),
        **every(COUNT, "stage", "channels", "classes", "collapsed_channels"),
        **every(SPREAD, "shift", "low", "high", "std_total_one", "std_total_other"),
        **every(SIGNAL, "difference", "difference_low", "difference_high"),
        **every(SIGNED, "correlation", "correlation_of_means"),
        **every(OMEGA, "omega_squared_one", "omega_squared_other"),
        **every(ANY, "change", "change_low", "change_high"),
    },
)
def compare(
    one: Run,
    other: Run,
    *,
    match: Match = "path",
    signal: str = "excitation",
    collapse: float = COLLAPSED,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How two runs differ, block by block.

    Parameters
    ----------
    one
        A finished run.
    other
        Another finished run.
    match
        How blocks are paired: "path", those of one module path and, of the rest, those of one name; "name", those of
        one name; "position", those at one place in the order of depth.
    signal
        Signal to analyse: excitation, squeeze or response.
    collapse
        Share of the other run's standard deviation below which gates count as collapsed to a constant, in (0, 1).
    confidence
        Confidence level of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row for each pair of blocks, in the order of depth in `one`; all on the classes, matched by id, of which
        both runs have images:

        - block, other_block, paired_by ("path", "name" or "position"), stage, channels, classes
        - shift, low, high: between the mean gates of a class, root mean square over classes and channels, in units of
          the signal, without what chance adds; interval for classes of the same kind
        - difference, difference_low, difference_high: mean over classes and channels of `other` less `one`
        - correlation: between the two runs' class means over classes and channels, the mean over classes taken off
          each channel: whether the same channels tell the same classes apart. Nearer 0 the noisier the means.
        - correlation_of_means: over channels, of the means over classes
        - omega_squared_one, omega_squared_other: class specificity, as in `specificity`
        - change, change_low, change_high: of omega squared, from one to the other; interval for classes of the same
          kind
        - std_total_one, std_total_other: standard deviation over all images of the run, root mean square over channels
        - collapsed: which of the runs has gates that hardly move beside the other's: "one", "other", "both" where
          neither run's gates move at all, or "neither"; empty where either's standard deviation is not known
        - collapsed_channels: how many channels have collapsed in `other` that move in `one`

        Shifts, correlations and collapsed_channels are NaN where the blocks have different numbers of channels, and
        shifts, correlations and changes where the runs share no class with two images in each. Without a shared class
        omega squared is over all classes of each run. Intervals are NaN for fewer than two classes, those of change
        for fewer than three. What makes the comparison less than fair, how blocks
        were paired, and which have no counterpart and are left out says `attrs["remarks"]`, a list of sentences.

    Raises
    ------
    MissingSignalError
        If a run does not hold the signal, or no two blocks match.
    OptionError
        If an option is outside its range.

    Examples
    --------
    >>> seviz.compare(run, other)["paired_by"].unique().tolist()
    ['path']
    """
    if not 0 < collapse < 1:
        raise OptionError(f"collapse is {collapse}, expected between 0 and 1, such as {COLLAPSED}")
    pairing = paired(one, other, match, confidence)
    mine, theirs = shared_classes(one, other)
    several = one.manifest.data.labels == "multi", other.manifest.data.labels == "multi"
    rows = []
    for pair in pairing.pairs:
        block, other_block = pair.one, pair.other
        mine_of, theirs_of = one.sample(block, signal), other.sample(other_block, signal)
        sides, totals = (mine_of.moments, theirs_of.moments), (mine_of.total, theirs_of.total)
        there = (sides[0].count[mine] > 0) & (sides[1].count[theirs] > 0)
        chosen = mine[there], theirs[there]
        record = one.block(block)
        alike = record.channels == other.block(other_block).channels
        stds = [_total_std(total) for total in totals]
        known = alike and np.isfinite(stds).all()
        ends = one.bounds(block, signal), other.bounds(other_block, signal)
        reach = ends[1][0] - ends[0][1], ends[1][1] - ends[0][0]  # of a difference between gates
        rows.append(
            {
                "block": block,
                "other_block": other_block,
                "paired_by": pair.by,
                "stage": record.stage,
                "channels": record.channels,
                "classes": int(there.sum()),
                **_shifts(sides[0].take(chosen[0]), sides[1].take(chosen[1]), alike, reach, confidence),
                **_change(sides, totals, chosen, several, confidence),
                "std_total_one": _root_mean_square(stds[0]),
                "std_total_other": _root_mean_square(stds[1]),
                "collapsed": _collapsed(_root_mean_square(stds[0]), _root_mean_square(stds[1]), collapse),
                "collapsed_channels": float((stds[1] < collapse * stds[0]).sum()) if known else float("nan"),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = remarks_on_both(one, other, pairing, signal, len(mine))
    return table


def _shifts(
    one: Moments, other: Moments, alike: bool, reach: tuple[float, float], confidence: float
) -> dict[str, float]:
    """Shift, difference and correlations of a block, none for blocks that are not alike, intervals within reach."""
    names = ["shift", "low", "high", "difference", "difference_low", "difference_high"]
    names += ["correlation", "correlation_of_means"]
    if not alike or not len(one.count):
        return dict.fromkeys(names, float("nan"))
    shift = shift_of(one, other, confidence=confidence)
    squared = shift.squared[np.isfinite(shift.squared)]
    values = [*mean_interval(squared, confidence)]
    values = [float(np.sqrt(max(value, 0))) if np.isfinite(value) else value for value in values]
    values[2] = min(values[2], max(np.abs(reach)))
    mean, low, high = mean_interval(shift.difference, confidence)
    values += [mean, max(low, reach[0]), min(high, reach[1])]
    centred = [(moments.mean - moments.mean.mean(0)).ravel() for moments in (one, other)]
    values += [_correlation(*centred), _correlation(one.mean.mean(0), other.mean.mean(0))]
    return dict(zip(names, values, strict=True))


def _change(
    sides: tuple[Moments, Moments],
    totals: tuple[Moments, Moments],
    chosen: tuple[NDArray[np.int64], NDArray[np.int64]],
    several: tuple[bool, bool],
    confidence: float,
) -> dict[str, float]:
    """Omega squared of both, and its change with an interval over classes."""
    shared, each = len(chosen[0]) > 0, []
    for side, total, of, many in zip(sides, totals, chosen, several, strict=True):
        labels = of if shared else np.flatnonzero(side.count)
        splits = [split_against_rest(side, total, label) for label in labels] if many else []
        each.append(np.array([s.omega_squared for s in splits] if many else [_omega_squared(side.take(labels))]))
    change, reach = float("nan"), float("nan")
    if shared and all(several):
        change, low, _ = mean_interval(each[1] - each[0], confidence)
        reach = change - low
    elif shared and not any(several):
        change, reach = change_of(sides[0].take(chosen[0]), sides[1].take(chosen[1]), confidence=confidence)
    omega = [float(values.mean()) if len(values) else float("nan") for values in each]
    least = [_least(side.take(of), many) for side, of, many in zip(sides, chosen, several, strict=True)]
    return {
        "omega_squared_one": omega[0],
        "omega_squared_other": omega[1],
        "change": change,
        "change_low": float(np.maximum(change - reach, least[1] - 1)),
        "change_high": float(np.minimum(change + reach, 1 - least[0])),
    }


def _least(moments: Moments, several: bool) -> float:
    """The least value that omega squared can have; -inf where images have several classes, whose number is not told."""
    return -np.inf if several else split_variance(moments).least_omega_squared


def _omega_squared(moments: Moments) -> float:
    return split_variance(moments).omega_squared


def _total_std(total: Moments) -> NDArray[np.float64]:
    """Standard deviation of each channel over all images, exactly 0 where it is constant; NaN for one image."""
    variance = total.variance()[0]
    result: NDArray[np.float64] = np.sqrt(np.where(total.min[0] >= total.max[0], 0 * variance, variance))
    return result


def _collapsed(one: float, other: float, collapse: float) -> str:
    if np.isnan([one, other]).any():
        return ""
    if one == other == 0:
        return "both"
    if other < collapse * one:
        return "other"
    return "one" if one < collapse * other else "neither"


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson's; NaN where either is constant but for rounding."""
    x, y = x - x.mean(), y - y.mean()
    whole = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float(x @ y) / whole if whole > 1e-24 else float("nan")


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
