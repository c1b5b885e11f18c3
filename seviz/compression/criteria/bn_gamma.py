"""Absolute scale of the BatchNorm behind the filter that makes the channel."""

from torch import Tensor

from seviz.compression.scoring import Channels, Scores, by_layer
from seviz.errors import OptionError
from seviz.network.flow import Producer
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="scale of the BatchNorm", kinds=("gated", "inner"))
def bn_gamma(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Absolute scale of the BatchNorm behind the filter that makes the channel."""

    def scale(piece: Producer) -> Tensor:
        if piece.norm is None:
            raise OptionError(
                f"criterion 'bn_gamma' needs a BatchNorm with a scale behind {piece.convolution!r}, whose outputs it"
                " scores, and there is none; take l1 or l2"
            )
        gamma = network.model.get_parameter(f"{piece.norm}.weight").detach().cpu().double()
        return gamma[piece.norm_first : piece.norm_first + piece.stop - piece.start].abs()

    return by_layer(channels, "bn_gamma", scale)
