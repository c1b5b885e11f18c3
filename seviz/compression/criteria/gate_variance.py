"""Variance of the gate over images."""

from seviz.compression.scoring import Channels, Scores
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="variance of the gate", signals=("excitation",))
def gate_variance(network: Network, run: Run | Part, channels: Channels) -> Scores:
    """Variance of the gate over images."""
    return {block: run.total(block).variance()[0] for block in channels.blocks}
