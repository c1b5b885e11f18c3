"""Sum of absolute weights of the filter that makes the channel."""

from seviz.compression.scoring import Channels, Scores, by_layer, filters
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="L1 norm of the filter", kinds=("gated", "inner"))
def l1(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Sum of absolute weights of the filter that makes the channel."""
    return by_layer(channels, "l1", lambda piece: filters(network, piece).norm(p=1, dim=1))
