"""What the weights behind an inner channel let through, with gates of 1."""

import numpy as np

from seviz.compression.scoring import Channels, Scores, let_through
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="what its weights let through", kinds=("inner",))
def weights(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """As `gate_mean` of inner channels, with gates of 1."""
    return let_through(network, channels, {name: np.ones(network.blocks[name].channels) for name in channels.blocks})
