"""Euclidean norm of the filter that makes the channel."""

from seviz.compression.scoring import Channels, Scores, by_layer, filters
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="L2 norm of the filter", kinds=("gated", "inner"))
def l2(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Euclidean norm of the filter that makes the channel."""
    return by_layer(channels, "l2", lambda piece: filters(network, piece).norm(p=2, dim=1))
