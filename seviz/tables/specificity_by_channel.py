"""How class-specific each channel is."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.variance import (
    channel_interval,
    entrywise_mean,
    false_discovery_rate,
    known_mean,
    split_against_rest,
    splits_by_class,
)
from seviz.tables.columns import CHANNELS, OMEGA, POSITIVE, SHARE, SPREAD, every
from seviz.tables.intervals import check_confidence


@table(
    title="Class specificity by channel",
    caption=(
        "Share of each channel's variance that lies between classes, the most specific channels of a block first."
    ),
    columns={
        **CHANNELS,
        **every(SHARE, "eta_squared", "null", "low", "high", "p", "q"),
        "omega_squared": OMEGA,
        "F": POSITIVE,
        **every(SPREAD, "std_between", "std_within", "std_total"),
    },
)
def specificity_by_channel(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    against_rest: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Class specificity of each channel.

    Parameters
    ----------
    run
        A finished run.
    blocks
        Names of SE blocks; by default all.
    signal
        Signal to analyse: excitation, squeeze or response.
    against_rest
        A class, by id or name: its images are compared with all others, instead of class with class.
    confidence
        Confidence level of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row a channel; blocks in order of depth, in each the channels by falling omega_squared:

        - block, channel
        - eta_squared, omega_squared, null: as in `specificity`
        - low, high: interval of omega_squared by the noncentral F distribution, see `channel_interval`
        - std_between, std_within, std_total: between classes (bias-corrected), within them, over all images
        - F, p: of the analysis of variance
        - q: false-discovery rate (Benjamini, Hochberg) among all rows. At many images every q is small: look at the
          size of the effect.

        NaN where nothing varies, and all but eta_squared where no class has two images; F also where nothing varies
        within classes. Where images have several classes, shares and the variance of std_between are means over
        the classes, each against the rest, and low, high, F, p and q, of which there is no mean, are NaN unless
        `against_rest` names a class.

    Raises
    ------
    MissingSignalError, UnknownClassError, OptionError
        If the run does not hold a block, the signal or the class, or `confidence` is outside its range.

    Examples
    --------
    >>> len(seviz.specificity_by_channel(run, blocks=["SE_5_1"]))
    512
    """
    check_confidence(confidence)
    several = run.labels.ndim == 2
    frames = []
    for name in blocks or run.blocks:
        sample = run.sample(name, signal)
        moments, total = sample.moments, sample.total
        if against_rest is None:
            splits = splits_by_class(moments, total, several)
        else:
            splits = [split_against_rest(moments, total, run.class_index(against_rest))]
        measures = [split.by_channel() for split in splits]
        columns = {
            key: entrywise_mean([measure[key] for measure in measures]) for key in ("eta_squared", "omega_squared")
        }
        single = len(splits) == 1
        unknown = np.full(len(columns["eta_squared"]), np.nan)
        low, high = channel_interval(splits[0], confidence=confidence) if single else (unknown, unknown)
        frames.append(
            pd.DataFrame(
                {
                    "block": name,
                    "channel": np.arange(len(unknown)),
                    **columns,
                    "low": low,
                    "high": high,
                    "null": known_mean([split.null for split in splits]),
                    "std_between": np.sqrt(np.maximum(entrywise_mean([split.variance_between for split in splits]), 0)),
                    "std_within": np.sqrt(entrywise_mean([split.mean_square_within for split in splits])),
                    "std_total": np.sqrt(splits[0].variance_total),
                    "F": measures[0]["F"] if single else unknown,
                    "p": measures[0]["p"] if single else unknown,
                }
            ).sort_values("omega_squared", ascending=False, kind="stable")
        )
    table = pd.concat(frames, ignore_index=True)
    table = table.assign(q=false_discovery_rate(table["p"].to_numpy(np.float64)))
    table.attrs["remarks"] = unresolved(run, blocks or run.blocks, signal)
    return table
