"""Small residual SE networks over one, two or three position axes, with channels first or last.

All have the same two residual units: SE_2_1 of 8 channels at stride 2 and SE_3_1 of 16 channels at stride 4. With
channels first the layers are convolutions, and the gates are made by linear layers in the first unit and by 1x1
convolutions in the second. With channels last they are linear layers, over (batch, positions..., channels).
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

Layout = Literal["first", "last"]

CASES: tuple[tuple[int, Layout], ...] = ((1, "first"), (2, "first"), (3, "first"), (1, "last"), (2, "last"))
"""Position axes and layout of the networks that tests run over."""

SIDES: dict[int, tuple[int, ...]] = {1: (32,), 2: (16, 24), 3: (8, 8, 12)}
"""Positions of an input along each axis."""

CHANNELS, CLASSES = 3, 4
CONVOLUTION: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCHNORM: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class LinearSE(nn.Module):
    """A mean over positions, two linear layers, and the product, in either layout."""

    def __init__(self, channels: int, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.fc = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Sigmoid())

    def forward(self, u: Tensor) -> Tensor:
        if self.layout == "last":
            s = self.fc(u.flatten(1, -2).mean(1))  # (batch, channels)
            return u * s.reshape(u.shape[0], *(1,) * (u.ndim - 2), -1)
        s = self.fc(u.flatten(2).mean(2))
        return u * s.reshape(*u.shape[:2], *(1,) * (u.ndim - 2))


class ConvSE(nn.Module):
    """Pooling to one position, two 1x1 convolutions, and the product; channels first."""

    def __init__(self, channels: int, d: int) -> None:
        super().__init__()
        self.pool = POOL[d](1)
        self.fc1, self.relu, self.fc2 = CONVOLUTION[d](channels, 4, 1), nn.ReLU(), CONVOLUTION[d](4, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, u: Tensor) -> Tensor:
        return u * self.gate(self.fc2(self.relu(self.fc1(self.pool(u)))))


class Unit(nn.Module):
    """A residual unit of two convolutions and an SE block, channels first."""

    def __init__(self, d: int, inputs: int, outputs: int, stride: int, se: nn.Module) -> None:
        super().__init__()
        conv, norm = CONVOLUTION[d], BATCHNORM[d]
        self.conv1, self.bn1 = conv(inputs, 8, 3, stride=stride, padding=1, bias=False), norm(8)
        self.conv2, self.bn2 = conv(8, outputs, 3, padding=1, bias=False), norm(outputs)
        self.se = se
        self.relu = nn.ReLU()
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.se(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return self.relu(y + self.shortcut(x))


class LinearUnit(nn.Module):
    """A residual unit of two linear layers and an SE block, channels last; its stride skips positions."""

    def __init__(self, inputs: int, outputs: int, stride: int, se: nn.Module) -> None:
        super().__init__()
        self.stride = stride
        self.fc1, self.fc2 = nn.Linear(inputs, 8), nn.Linear(8, outputs)
        self.se = se
        self.relu = nn.ReLU()
        self.shortcut = nn.Linear(inputs, outputs) if stride > 1 else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        x = x[(slice(None), *(slice(None, None, self.stride),) * (x.ndim - 2))]
        return self.relu(self.se(self.fc2(self.relu(self.fc1(x)))) + self.shortcut(x))


class Residual(nn.Module):
    """A stem of stride 2, two residual units and a linear classifier; channels first."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(CONVOLUTION[d](CHANNELS, 8, 3, stride=2, padding=1), BATCHNORM[d](8), nn.ReLU())
        self.unit1 = Unit(d, 8, 8, 1, LinearSE(8, "first"))
        self.unit2 = Unit(d, 8, 16, 2, ConvSE(16, d))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.unit2(self.unit1(self.stem(x))).flatten(2).mean(2))


class ResidualLast(nn.Module):
    """The same with channels last: the stem's convolution between two permutations, as Keras has it on torch."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.stem = CONVOLUTION[d](CHANNELS, 8, 3, stride=2, padding=1)
        self.unit1 = LinearUnit(8, 8, 1, LinearSE(8, "last"))
        self.unit2 = LinearUnit(8, 16, 2, LinearSE(16, "last"))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.movedim(-1, 1)).relu().movedim(1, -1)
        return self.head(self.unit2(self.unit1(x)).flatten(1, -2).mean(1))


def network(d: int, layout: Layout = "first") -> nn.Module:
    """A network over `d` position axes, the same at every call, in evaluation mode.

    Its BatchNorms have statistics of their own and its gates differ between inputs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(d)
        model = Residual(d) if layout == "first" else ResidualLast(d)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, tuple(BATCHNORM.values())):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.3, 0.7)
                    module.running_mean.uniform_(-0.5, 0.5)
                    module.running_var.uniform_(0.5, 1.5)
            for name, parameter in model.named_parameters():
                if ".se." in name and parameter.ndim > 1:
                    parameter.mul_(4)
    return model.eval()


def inputs(d: int, layout: Layout = "first", rows: int = 2, seed: int = 0) -> Tensor:
    """Random inputs of `network`, the same at every call, each with a level of its own."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, CHANNELS, *SIDES[d], generator=generator)
    x += torch.randn(rows, CHANNELS, *(1,) * d, generator=generator)
    return x if layout == "first" else x.movedim(1, -1).contiguous()
