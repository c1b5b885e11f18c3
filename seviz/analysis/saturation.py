"""Where gates stop working: always open, always shut, the same for every image, near the identity.

The paper finds SE_5_2 of SE-ResNet-50 near a saturated state, in which most activations are close to one: where all
are, an SE block is the identity, and can be left out.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.analysis.blocks import each, shared
from seviz.analysis.ranges import ANY, COUNT, POSITIVE, SHARE, Ranges
from seviz.analysis.resolved import channels_of, unresolved
from seviz.run.store import Run

CONSTANT = 1e-3
"""A channel whose gate has a smaller standard deviation is constant: bfloat16 rounds gates near 1 by as much."""
MOST = 0.5
"""Most gates are more than this share of them."""
SMALL = 0.1
"""A change of gates is small if its root mean square is below this share of what the gates were."""
MODERATE = 0.25
"""How far from 1, root mean square, gates may be of which most are near 1, for the block to be near the identity."""
BINS = 21
"""Of the histograms behind the entropy. Odd, since the gates of an untrained block crowd on both sides of one half."""

_SHARES = dict.fromkeys(("near_zero", "near_one", "exactly_zero", "exactly_one"), SHARE)
SATURATION: Ranges = {
    **dict.fromkeys(("stage", "channels", "images", "squeezed_channels"), COUNT),
    **dict.fromkeys(("always_off", "always_on", "constant_channels"), COUNT),
    **_SHARES,
    "entropy": (0.0, float(np.log2(BINS))),
    **dict.fromkeys(("distance_from_identity", "distance_from_constant", "effective_rank", "stable_rank"), POSITIVE),
}
SATURATION_BY_CHANNEL: Ranges = {
    "channel": COUNT,
    **dict.fromkeys(("mean", "min", "max"), ANY),
    **dict.fromkeys(("always_off", "always_on", "constant"), SHARE),
    **_SHARES,
    "std": POSITIVE,
    **{name: SATURATION[name] for name in ("entropy", "distance_from_identity")},
}


def effective_rank(values: NDArray[np.float64] | Sequence[float]) -> float:
    r"""The number of equal values that would have the same entropy.

    Parameters
    ----------
    values
        Singular values, or eigenvalues, at least 0; in any order.

    Returns
    -------
    float
        :math:`\exp(-\sum p_i \ln p_i)` with :math:`p_i` the share of each value in their sum, from 1 to their number;
        NaN where there are none or all are 0.

    References
    ----------
    Roy, Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
    """
    positive = np.asarray(values, np.float64)
    positive = positive[positive > 0]
    if not len(positive):
        return float("nan")
    share = positive / positive.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def stable_rank(singular_values: NDArray[np.float64] | Sequence[float]) -> float:
    """Squared Frobenius norm over squared spectral norm, from 1 to the rank; NaN where no value is above 0.

    References
    ----------
    Rudelson, Vershynin, "Sampling from large matrices", J. ACM 54(4), 2007, arXiv:math/0503442.
    """
    values = np.asarray(singular_values, np.float64)
    greatest = values.max(initial=0)
    return float(np.square(values / greatest).sum()) if greatest > 0 else float("nan")


def histogram_entropy(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.float64]:
    """Entropy of the values of each channel, over 21 bins of equal width.

    Parameters
    ----------
    values
        (image, channel), from `low` to `high`. Images with a NaN are left out.
    low, high
        Ends of the histogram.

    Returns
    -------
    numpy.ndarray
        (channel), in bits: 0 where all values fall into one bin, at most log2(21) = 4.39, with the Miller-Madow
        correction for finitely many images. NaN for fewer than two images.

    References
    ----------
    Miller, "Note on the bias of information estimates", Information Theory in Psychology, 1955.
    """
    entropy = np.full(values.shape[1], np.nan)
    for start in range(0, values.shape[1], 64):  # a few channels at a time, for memory
        x = values[:, start : start + 64]
        odd = np.isnan(x).any(1)
        x = x[~odd] if odd.any() else x
        images, channels = x.shape
        if images < 2:
            continue
        scaled = x - low
        scaled *= BINS / (high - low)
        bins = np.clip(scaled, 0, BINS - 1, out=scaled).astype(np.int64)
        bins += BINS * np.arange(channels)
        count = np.bincount(bins.ravel(), minlength=BINS * channels)
        share = count.reshape(channels, BINS) / images
        plain = -(share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(1)
        corrected = plain + ((share > 0).sum(1) - 1) / (2 * images * np.log(2))
        entropy[start : start + 64] = np.minimum(corrected, np.log2(BINS))
    return entropy


def saturation(run: Run, *, signal: str = "excitation") -> pd.DataFrame:
    """How far the gates of each block are from working.

    Parameters
    ----------
    run
        A finished run.
    signal
        Whose values are looked at. What speaks of gates is NaN for others than "excitation".

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images
        - near_zero, near_one: shares of the gates, over images and channels, below 0.05 and above 0.95. NaN where
          that is not near an end of the gate's range: near_zero where gates can be negative, near_one where they can
          exceed 1.
        - exactly_zero, exactly_one: shares of the gates that are so
        - always_off, always_on: number of channels near zero, or near one, on every image
        - constant_channels: number of channels with a standard deviation over all images below 0.001; for other
          signals, below a thousandth of the root mean square over images and channels
        - entropy: of a channel's gates over images, in bits, mean over channels; see `histogram_entropy`. NaN where
          the range of the gate has no end, or the run keeps no gates of images.
        - distance_from_identity: root mean square over images and channels of s - 1: what it changes to leave the
          block out
        - distance_from_constant: root mean square over images and channels of s less the channel's mean: what it
          changes to put constants in the gate's place
        - effective_rank, stable_rank: of the product of the block's weights, at most squeezed_channels; NaN where
          its singular values are not known
        - squeezed_channels
        - flag: the first that is true, else empty:
          "near identity", distance_from_identity is below 0.1, or it is below 0.25 and most gates are near one, as the
          paper has it of SE_5_2;
          "near constant", distance_from_constant is at most a tenth of the root mean square of the gates;
          "saturated", most gates are near zero or near one. Such a block need not be idle: it may open and shut
          channels by class, which distance_from_constant tells.

        A flag is a hint at what to try; only the network run again tells what it costs. Where there are no images,
        all is NaN, 0 or empty. Of a block with gates that are not finite so is all but the counts of channels, which
        leave such channels out. `attrs["remarks"]` says what could not be computed.
    """
    rows = []
    for name, channels in zip(run.blocks, _channels_of(run, run.blocks, signal), strict=True):
        record = run.block(name)
        identity, constant = _root_mean_square(channels["distance_from_identity"]), _root_mean_square(channels["std"])
        mean = channels[[*_SHARES, "entropy"]].mean(skipna=False)
        near_zero, near_one = float(mean["near_zero"]), float(mean["near_one"])
        size = _root_mean_square(np.hypot(channels["mean"], channels["std"]))
        rows.append(
            {
                "block": name,
                "stage": record.stage,
                "channels": record.channels,
                "images": int(run.total(name, signal).count[0]),
                "near_zero": near_zero,
                "near_one": near_one,
                "exactly_zero": mean["exactly_zero"],
                "exactly_one": mean["exactly_one"],
                "always_off": int(channels["always_off"].sum()),
                "always_on": int(channels["always_on"].sum()),
                "constant_channels": int(channels["constant"].sum()),
                "entropy": mean["entropy"],
                "distance_from_identity": identity,
                "distance_from_constant": constant,
                "effective_rank": effective_rank(record.singular_values),
                "stable_rank": stable_rank(record.singular_values),
                "squeezed_channels": record.squeezed_channels,
                "flag": flag(near_zero, near_one, identity, constant, size),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = _remarks(run, run.blocks, signal)
    return table


def saturation_by_channel(run: Run, *, blocks: Sequence[str] | None = None, signal: str = "excitation") -> pd.DataFrame:
    """How far the gate of each channel is from working.

    Parameters
    ----------
    run
        A finished run.
    blocks
        By name; by default all.
    signal
        Whose values are looked at.

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
    """
    blocks = run.blocks if blocks is None else blocks
    frames = _channels_of(run, blocks, signal)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    table.attrs["remarks"] = _remarks(run, blocks, signal)
    return table


def flag(near_zero: float, near_one: float, identity: float, constant: float, size: float) -> str:
    """What is to be said of a block in two words; see `saturation`.

    Parameters
    ----------
    near_zero, near_one
        Shares of the gates; NaN where they say nothing.
    identity, constant, size
        Root mean square of s - 1, of s less the channel's mean, and of s. NaN is small of nothing.
    """
    if identity < SMALL or (identity < MODERATE and near_one > MOST):
        return "near identity"
    if constant <= SMALL * size:
        return "near constant"
    if np.nansum([near_zero, near_one]) > MOST:
        return "saturated"
    return ""


def _channels_of(run: Run, blocks: Sequence[str], signal: str) -> list[pd.DataFrame]:
    """What is said of the channels of each block, which both tables need."""

    def of_block(block: str) -> pd.DataFrame:
        return shared(run, ("saturation", block, signal), lambda: _channels(run, block, signal))

    return each(of_block, blocks)


def _channels(run: Run, block: str, signal: str) -> pd.DataFrame:
    total, record, finite = run.total(block, signal), run.block(block), channels_of(run, block, signal).finite
    low, high = run.bounds(block, signal)
    images = int(total.count[0])
    whole = images if images else np.nan
    known = np.where(finite & (images > 0), 1.0, np.nan)
    mean, variance = np.where(finite, total.mean[0], 0) * known, np.where(finite, total.m2[0], 0) * known / whole
    std = np.sqrt(variance)
    scale = 1.0 if signal == "excitation" else _root_mean_square(np.hypot(mean, std))
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


def _remarks(run: Run, blocks: Sequence[str], signal: str) -> list[str]:
    remarks = unresolved(run, blocks, signal, near_constant=False)
    if signal != "excitation":
        return [*remarks, f"{signal} has no range of its own: what is near 0 or 1, and the entropy, are left out."]
    if not _keeps(run):
        remarks.append("The run keeps the gates of no image: the entropy is left out.")
    odd = dict.fromkeys(run.block(name).gate for name in run.blocks if run.bounds(name) != (0, 1))
    if odd:
        remarks.append(f"The gates ({', '.join(odd)}) are not bounded by 0 and 1: near is told only of ends they have.")
    return remarks


def _root_mean_square(values: NDArray[np.float64] | pd.Series) -> float:
    return float(np.sqrt(np.square(np.asarray(values, np.float64)).mean()))
