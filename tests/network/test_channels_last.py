"""Channels last by plain functions, as Keras writes them: convolutions between two permutations, gates of 1x1 ones."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.network.blocks import find_se_blocks


class Conv(nn.Module):
    """A convolution of (batch, height, width, channels)."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = nn.Parameter(torch.randn(size, size, inputs, outputs) / 3), stride

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.permute(3, 2, 0, 1)
        return F.conv2d(x.permute(0, 3, 1, 2), kernel, None, self.stride, len(kernel[0, 0]) // 2).permute(0, 2, 3, 1)


class ChannelsLast(nn.Module):
    """One SE block between convolutions."""

    def __init__(self, *, linear: bool) -> None:
        super().__init__()
        self.stem = Conv(3, 8, 3, 2)
        self.reduce, self.expand = (nn.Linear(8, 4), nn.Linear(4, 8)) if linear else (Conv(8, 4, 1), Conv(4, 8, 1))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.relu(self.stem(x))
        z = u.mean((1, 2), keepdim=True)
        return self.head((u * torch.sigmoid(self.expand(torch.relu(self.reduce(z))))).mean((1, 2)))


@pytest.mark.parametrize("linear", [True, False])
def test_channels_last_by_plain_functions(linear: bool) -> None:
    torch.manual_seed(0)
    blocks = find_se_blocks(ChannelsLast(linear=linear), torch.zeros(2, 32, 32, 3))
    assert [(block.name, block.layout, block.channels, block.squeezed_channels) for block in blocks.values()] == [
        ("SE_2_1", "last", 8, 4)
    ]
