"""Convolutions and linear layers seen alike: how many channels they take and give, in how many groups."""

from torch import nn

from seviz.network.positions import CONVOLUTIONS, Convolution

Layer = Convolution | nn.Linear
LAYERS = (*CONVOLUTIONS, nn.Linear)
"""The layers that mix channels: convolutions with channels first, linear layers with channels last."""


def channels_in(layer: Layer) -> int:
    """How many channels a layer takes."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def channels_out(layer: Layer) -> int:
    """How many channels a layer gives."""
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def groups_of(layer: Layer) -> int:
    """The groups of its channels; 1 where every output depends on every input."""
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def is_depthwise(layer: nn.Module) -> bool:
    """Whether this is a convolution with a group for each of its outputs."""
    return isinstance(layer, CONVOLUTIONS) and 1 < layer.groups == layer.out_channels
