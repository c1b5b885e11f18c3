"""A random number, the control that every other criterion is compared with."""

import numpy as np

from seviz.compression.scoring import Channels, Scores
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="random", kinds=("gated", "inner"), argument="SEED")
def random(network: Network, run: Run | Part | None, channels: Channels, *, seed: int = 0) -> Scores:
    """Uniform in [0, 1)."""
    generator = np.random.default_rng(seed)
    return {key: generator.random(size) for key, size in channels.sizes.items()}
