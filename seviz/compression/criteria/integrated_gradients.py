"""Absolute integrated gradient of the gate from 0, on the logit of the image's class, mean over images."""

from seviz.compression.scoring import Channels, Scores, attributed
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="integrated gradients (slow)", needs=("images",), passes=2000)
def integrated_gradients(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Absolute integrated gradient of the gate from 0, on the logit of the class, mean over images."""
    return attributed(network, channels, "integrated_gradients")
