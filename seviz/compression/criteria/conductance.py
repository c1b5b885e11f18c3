"""Absolute conductance of the gate on the logit of the image's class, mean over images."""

from seviz.compression.scoring import Channels, Scores, attributed
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="conductance (slow)", needs=("images",), passes=2000)
def conductance(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Absolute conductance of the gate on the logit of the image's class, mean over images."""
    return attributed(network, channels, "conductance")
