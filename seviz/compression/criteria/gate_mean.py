"""Mean gate over images; of inner channels, what the mean gates behind let through."""

import numpy as np

from seviz.compression.scoring import Channels, Scores, let_through
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part, mean_over_images
from seviz.run.store import Run


@criterion(title="mean gate", signals=("excitation",), kinds=("gated", "inner"))
def gate_mean(network: Network, run: Run | Part, channels: Channels) -> Scores:
    """|mean of s| over images; see `let_through` for inner channels."""
    return let_through(network, channels, {block: np.abs(mean_over_images(run, block)) for block in channels.blocks})
