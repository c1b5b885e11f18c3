"""Mean of |s·u| over positions and images."""

from seviz.compression.scoring import Channels, Scores
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part, mean_over_images
from seviz.run.store import Run


@criterion(title="mean of |s·u|", signals=("response",))
def gate_effective(network: Network, run: Run | Part, channels: Channels) -> Scores:
    """Mean of |s·u| over positions and images."""
    return {block: mean_over_images(run, block, "response") for block in channels.blocks}
