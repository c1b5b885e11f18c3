"""Variance of the gate between classes, bias-corrected."""

from seviz.compression.scoring import Channels, Scores
from seviz.errors import OptionError
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run
from seviz.stats.variance import split_variance


@criterion(title="variance of the gate between classes", signals=("excitation",), needs=("labels",))
def gate_between(network: Network, run: Run | Part, channels: Channels) -> Scores:
    """Component of the variance of the gate between classes."""
    if run.labels.ndim != 1:
        raise OptionError("gate_between needs images of one class each, and those of the run have several")
    return {block: split_variance(run.moments(block)).variance_between for block in channels.blocks}
