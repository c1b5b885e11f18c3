"""How far gates tell right predictions from wrong ones, within classes."""

from typing import Literal

import numpy as np
import pandas as pd

from seviz.errors import OptionError
from seviz.moments import Moments
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.parallel import each
from seviz.stats.variance import VarianceSplit, false_discovery_rate, quotient, ratio, root_or_zero, split_variance
from seviz.tables.columns import CHANNELS, COUNT, OMEGA, POSITIVE, SHARE, SIGNAL, every


@table(
    title="Right and wrong predictions",
    caption=("Share of the variance between classes, within them between right and wrong predictions, and the rest."),
    needs=(
        "gates",
        "predictions",
    ),
    cost="gates",
    columns={
        **CHANNELS,
        **every(COUNT, "stage", "images", "right"),
        **every(SHARE, "between_classes", "between_outcomes", "within", "null", "p", "q"),
        "omega_squared": OMEGA,
        "F": POSITIVE,
        "difference": SIGNAL,
    },
)
def specificity_by_outcome(
    run: Run, *, by: Literal["block", "channel"] = "block", signal: str = "excitation"
) -> pd.DataFrame:
    """What share of the variance lies between classes, within them between right and wrong predictions, and within.

    Parameters
    ----------
    run
        A finished run that keeps gates of images, of a network whose predictions can be right.
    by
        "block" for a row a block, "channel" for a row a channel.
    signal
        Signal to analyse: excitation, squeeze or response.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth; or a channel, in each block by falling omega_squared:

        - block; stage, or channel
        - images, right: how many with gates, and how many of them predicted right
        - between_classes, between_outcomes, within: shares of the variance, which sum to 1: between classes, between
          the images of a class that were predicted right and those that were not, and the rest
        - omega_squared: between_outcomes, bias-corrected; may fall below 0 by chance
        - null: mean of between_outcomes if outcomes made no difference: classes with both over N - 1
        - difference: right less wrong, within classes, weighted as precise as it is for each class; over a block its
          root mean square over channels, not corrected for chance
        - F, p, q: of a channel, of the difference between outcomes; q the false-discovery rate among all rows

        NaN where nothing varies or no class has both outcomes. Where images have several classes, right is any of
        them, between_classes is NaN, and right and wrong are compared over all images.

    Raises
    ------
    MissingSignalError
        If the run does not hold the signal, keeps no gates, or does not know which predictions are right.
    OptionError
        If `by` is neither.

    Examples
    --------
    >>> seviz.specificity_by_outcome(run).shape
    (16, 10)
    """
    if by not in ("block", "channel"):
        raise OptionError(f"by is {by!r}, expected 'block' or 'channel'")
    known, several = run.right, run.labels.ndim == 2

    def of_block(name: str) -> pd.DataFrame:
        sample = run.sample(name, signal)
        gates, rows = sample.gates, sample.rows
        right = known.iloc[rows].to_numpy(bool)
        labels = np.zeros(len(rows), np.int64) if several else run.labels[rows]
        classes, labels = np.unique(labels, return_inverse=True)
        groups = Moments.of(gates, 2 * labels + right, 2 * len(classes))
        wrong, correct = (groups.take(np.arange(side, 2 * len(classes), 2)) for side in (0, 1))
        inner, outer = split_variance(groups), split_variance(wrong.merge(correct))
        within, outcomes = inner.within, np.maximum(outer.within - inner.within, 0)
        total, freedom = outer.between + outer.within, inner.classes - outer.classes
        wrong_count, right_count = groups.count.reshape(-1, 2).T.astype(float)
        weight = wrong_count * right_count / np.maximum(wrong_count + right_count, 1)
        step = groups.mean[1::2] - groups.mean[::2]
        frame = {
            "between_classes": np.full(len(total), np.nan) if several else outer.between,
            "between_outcomes": outcomes,
            "within": within,
        }
        if by == "block":
            total, outcomes, within = (np.atleast_1d(array.sum()) for array in (total, outcomes, within))
            frame = {key: np.atleast_1d(array.sum()) for key, array in frame.items()}
        difference = weight @ step / (weight.sum() if freedom else np.nan)
        measures = VarianceSplit(outcomes, within, inner.images - outer.classes + 1, freedom + 1, 1.0).by_channel()
        square = within / (inner.images - inner.classes if inner.images > inner.classes else np.nan)
        shares = {key: quotient(array, total) for key, array in frame.items()}
        table = pd.DataFrame(
            {
                "block": name,
                **({"stage": run.block(name).stage} if by == "block" else {"channel": np.arange(len(total))}),
                "images": len(rows),
                "right": int(right.sum()),
                **shares,
                "omega_squared": quotient(outcomes - freedom * square, total + square) if freedom else np.nan,
                "null": ratio(freedom, len(rows) - 1),
                "difference": root_or_zero(np.square(difference).mean()) if by == "block" else difference,
                **({} if by == "block" else {key: measures[key] for key in ("F", "p")}),
            }
        )
        return table if by == "block" else table.sort_values("omega_squared", ascending=False, kind="stable")

    frames = each(of_block, run.blocks)
    result = pd.concat(frames, ignore_index=True)
    if by == "channel":
        result = result.assign(q=false_discovery_rate(result["p"].to_numpy(np.float64)))
    result.attrs["remarks"] = unresolved(run, run.blocks, signal)
    return result
