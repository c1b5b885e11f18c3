"""Small SE networks with one to three axes of positions, channels first or last."""

import torch
from torch import Tensor, nn

from seviz.network.positions import AXES, CONVOLUTIONS, Layout

KINDS: tuple[tuple[int, Layout], ...] = tuple((d, layout) for layout in AXES for d in (1, 2, 3))
"""Axes of positions, and layout."""
SIDE = 8


class Excite(nn.Module):
    """From (batch, channels) to (batch, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 2), nn.Linear(2, channels)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.up(torch.relu(self.down(z))))


class First(nn.Module):
    """A convolution and an SE block, channels first."""

    def __init__(self, d: int, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.conv, self.excite = CONVOLUTIONS[d - 1](fan_in, fan_out, 3, 2, 1), Excite(fan_out)

    def forward(self, x: Tensor) -> Tensor:
        u = self.conv(x)
        gate = self.excite(u.mean(tuple(range(2, u.ndim))))
        return u * gate.reshape(*gate.shape, *(1,) * (u.ndim - 2))


class Last(nn.Module):
    """Every second position, a linear layer over channels and an SE block, channels last."""

    def __init__(self, d: int, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.linear, self.excite = nn.Linear(fan_in, fan_out), Excite(fan_out)

    def forward(self, x: Tensor) -> Tensor:
        u = self.linear(x[(slice(None), *(slice(None, None, 2),) * (x.ndim - 2))])
        return u * self.excite(u.mean(tuple(range(1, u.ndim - 1)))).reshape(len(u), *(1,) * (u.ndim - 2), -1)


class Layered(nn.Module):
    """Two SE blocks, at strides 2 and 4, and a linear head of three classes."""

    def __init__(self, d: int, layout: Layout) -> None:
        super().__init__()
        unit = First if layout == "first" else Last
        self.d, self.layout = d, layout
        self.units = nn.Sequential(unit(d, 3, 6), unit(d, 6, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        u = self.units(x)
        return self.head(u.mean(tuple(range(2, u.ndim) if self.layout == "first" else range(1, u.ndim - 1))))


def layered(d: int, layout: Layout) -> nn.Module:
    """The network with weights that are the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Layered(d, layout).eval()


def inputs(d: int, layout: Layout, count: int = 4, side: int = SIDE) -> Tensor:
    """Random inputs that are the same at each call."""
    x = torch.randn(count, 3, *(side,) * d, generator=torch.Generator().manual_seed(5))
    return x if layout == "first" else x.movedim(1, -1).contiguous()
