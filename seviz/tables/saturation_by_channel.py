"""How far the gate of each channel is from working."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.registry import Column, table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.entropy import BINS, histogram_entropy
from seviz.stats.parallel import each
from seviz.tables.columns import CHANNELS, SHARE, SIGNAL, SPREAD, every

SHARES = ("near_zero", "near_one", "exactly_zero", "exactly_one")
ENTROPY = Column(low=0, high=float(np.log2(BINS)), unit="bits")
CONSTANT = 1e-3
"""A channel whose gate has a smaller standard deviation is constant: bfloat16 rounds gates near 1 by as much."""


@table(
    title="Saturation by channel",
    caption="How far the gate of each channel is from working: near its bounds, constant, near the identity.",
    cost="gates",
    columns={
        **CHANNELS,
        **every(SIGNAL, "mean", "min", "max"),
        **every(SHARE, "always_off", "always_on", "constant", *SHARES),
        "entropy": ENTROPY,
        **every(SPREAD, "std", "distance_from_identity"),
    },
)
def saturation_by_channel(run: Run, *, blocks: Sequence[str] | None = None, signal: str = "excitation") -> pd.DataFrame:
    """How far the gate of each channel is from working.

    Parameters
    ----------
    run
        A finished run.
    blocks
        Names of SE blocks; by default all.
    signal
        Signal to analyse: excitation, squeeze or response.

    Returns
    -------
    pandas.DataFrame
        Columns block, channel; mean, std (over images, n in the denominator), min, max; and near_zero, near_one,
        exactly_zero, exactly_one, always_off, always_on, constant (whether it is), entropy, distance_from_identity as
        in `saturation`. By block and channel; `attrs["remarks"]` as there.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal.

    Examples
    --------
    >>> seviz.saturation_by_channel(run, blocks=["SE_5_1"]).shape
    (512, 15)
    """
    blocks = run.blocks if blocks is None else blocks
    frames = channels_of_blocks(run, blocks, signal)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    table.attrs["remarks"] = remarks_on(run, blocks, signal)
    return table


def channels_of_blocks(run: Run, blocks: Sequence[str], signal: str) -> list[pd.DataFrame]:
    """What is said of the channels of each block, which both tables need."""

    def of_block(block: str) -> pd.DataFrame:
        return run.shared(("saturation", block, signal), lambda: _channels(run, block, signal))

    return each(of_block, blocks)


def _channels(run: Run, block: str, signal: str) -> pd.DataFrame:
    sample = run.sample(block, signal)
    total, record, finite = run.total(block, signal), sample.record, sample.channels.finite
    low, high = run.bounds(block, signal)
    images = int(total.count[0])
    whole = images if images else np.nan
    known = np.where(finite & (images > 0), 1.0, np.nan)
    mean, variance = np.where(finite, total.mean[0], 0) * known, np.where(finite, total.m2[0], 0) * known / whole
    std = np.sqrt(variance)
    scale = 1.0 if signal == "excitation" else root_mean_square(np.hypot(mean, std))
    unknown = np.full(record.channels, np.nan)
    bounded = np.isfinite(low) and np.isfinite(high)
    return pd.DataFrame(
        {
            "block": block,
            "channel": np.arange(record.channels),
            "mean": mean,
            "std": std,
            "min": np.where(np.isnan(known), np.nan, total.min[0]),
            "max": np.where(np.isnan(known), np.nan, total.max[0]),
            "near_zero": total.near_zero[0] / whole * known if low == 0 else unknown,
            "near_one": total.near_one[0] / whole * known if high == 1 else unknown,
            "exactly_zero": total.zero[0] / whole * known,
            "exactly_one": total.one[0] / whole * known,
            "always_off": (total.near_zero[0] == whole) & (low == 0),
            "always_on": (total.near_one[0] == whole) & (high == 1),
            "constant": (std < CONSTANT * scale) | (std == 0),
            "entropy": histogram_entropy(run.gates(block, signal), low, high) if bounded and _keeps(run) else unknown,
            "distance_from_identity": np.sqrt(variance + np.square(mean - 1)) if signal == "excitation" else unknown,
        }
    )


def _keeps(run: Run) -> bool:
    return bool(run.samples["kept"].any())


def remarks_on(run: Run, blocks: Sequence[str], signal: str) -> list[str]:
    remarks = unresolved(run, blocks, signal, near_constant=False)
    if signal != "excitation":
        return [*remarks, f"{signal} has no range of its own: what is near 0 or 1, and the entropy, are left out."]
    if not _keeps(run):
        remarks.append("The run keeps the gates of no image: the entropy is left out.")
    odd = dict.fromkeys(run.block(name).gate for name in run.blocks if run.bounds(name) != (0, 1))
    if odd:
        remarks.append(f"The gates ({', '.join(odd)}) are not bounded by 0 and 1: near is told only of ends they have.")
    return remarks


def root_mean_square(values: NDArray[np.float64] | pd.Series) -> float:
    return float(np.sqrt(np.square(np.asarray(values, np.float64)).mean()))
