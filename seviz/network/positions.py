"""The axes of a feature map: (batch, channels, positions...), with one to three axes of positions.

Networks that keep their channels last, (batch, positions..., channels), are looked at through views that have them
first; so nothing else in the house knows of it.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Layout = Literal["first", "last"]
"""Where the axis of the channels stands: behind that of the batch, or at the end."""
AXES: tuple[Layout, ...] = get_args(Layout)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Over one to three axes of positions."""
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Of as many."""
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = _BatchNorm

RANKS = range(3, 6)
"""Numbers of axes that a feature map may have."""


def is_feature_map(tensor: Tensor) -> bool:
    """Whether this can be channels at more than one position, by its shape: more than one axis has a length over 1."""
    return tensor.ndim in RANKS and sum(n > 1 for n in tensor.shape[1:]) > 1


def channels_first(tensor: Tensor, layout: Layout) -> Tensor:
    """A view (batch, channels, positions...) of a tensor in a layout."""
    return tensor if layout == "first" or tensor.ndim < 3 else tensor.movedim(-1, 1)


def position_sizes(shape: Sequence[int], layout: Layout = "first") -> tuple[int, ...]:
    """The lengths of the axes of positions of a shape that has a batch and channels."""
    return tuple(shape[2:] if layout == "first" else shape[1:-1])


def positions(u: Tensor) -> tuple[int, ...]:
    """The axes of the positions of (batch, channels, positions...)."""
    return tuple(range(2, u.ndim))


def over_positions(u: Tensor) -> Tensor:
    """The mean over positions, (batch, channels), of (batch, channels, positions...)."""
    return u.mean(positions(u)) if u.ndim > 2 else u


def spread_over(gate: Tensor, u: Tensor) -> Tensor:
    """A gate (batch, channels), or (channels), as (batch, channels, 1...) with as many axes as a feature map."""
    return gate.reshape(*gate.shape, *(1,) * (u.ndim - 2))
