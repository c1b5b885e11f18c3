"""Where gates stop working: always open, always shut, the same for every image, near the identity.

The paper finds SE_5_2 of SE-ResNet-50 near a saturated state, in which most activations are close to one: where all
are, an SE block is the identity, and can be left out.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.store import Run
from seviz.stats.entropy import effective_rank, stable_rank
from seviz.tables.columns import BLOCKS, COUNT, POSITIVE, SHARE, SPREAD, TEXT, every
from seviz.tables.saturation_by_channel import ENTROPY, SHARES, channels_of_blocks, remarks_on, root_mean_square

MOST = 0.5
"""Most gates are more than this share of them."""
SMALL = 0.1
"""A change of gates is small if its root mean square is below this share of what the gates were."""
MODERATE = 0.25
"""How far from 1, root mean square, gates may be of which most are near 1, for the block to be near the identity."""


@table(
    title="Saturation by block",
    caption=(
        "Shares of gates that are near their bounds, and how far the block is from the identity and from a constant."
    ),
    cost="gates",
    columns={
        **BLOCKS,
        **every(COUNT, "images", "squeezed_channels", "always_off", "always_on", "constant_channels"),
        **every(SHARE, *SHARES),
        "entropy": ENTROPY,
        "flag": TEXT,
        **every(SPREAD, "distance_from_identity", "distance_from_constant"),
        **every(POSITIVE, "effective_rank", "stable_rank"),
    },
)
def saturation(run: Run, *, signal: str = "excitation") -> pd.DataFrame:
    """How far the gates of each block are from working.

    Parameters
    ----------
    run
        A finished run.
    signal
        Signal to analyse: excitation, squeeze or response. Columns about gates are NaN for others than "excitation".

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

    Examples
    --------
    >>> seviz.saturation(run).columns.tolist()[:4]
    ['block', 'stage', 'channels', 'images']
    """
    rows = []
    for name, channels in zip(run.blocks, channels_of_blocks(run, run.blocks, signal), strict=True):
        record = run.block(name)
        identity, constant = root_mean_square(channels["distance_from_identity"]), root_mean_square(channels["std"])
        mean = channels[[*SHARES, "entropy"]].mean(skipna=False)
        near_zero, near_one = float(mean["near_zero"]), float(mean["near_one"])
        size = root_mean_square(np.hypot(channels["mean"], channels["std"]))
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
    table.attrs["remarks"] = remarks_on(run, run.blocks, signal)
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
