"""Made-up networks that are all gates: as wide as a real one, with next to no work, to try seviz at its size.

    seviz blocks analyses/benchmarks/made_network.py:wide

Their images are made up, too (`batches`): a vector for each class, with noise on it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES, CHANNELS, SIDE = 1000, 32, 16
SE_RESNET_50 = {16: (256,) * 3, 8: (512,) * 4, 4: (1024,) * 6, 2: (2048,) * 3}
"""Channels of the blocks of SE-ResNet-50, 15,104 together, by the side of the feature map here."""


class Block(nn.Module):
    """An SE block on a few of an image's features."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.expand = nn.Conv2d(CHANNELS, channels, 1)
        self.fc1, self.fc2 = nn.Linear(channels, channels // 16), nn.Linear(channels // 16, channels)
        nn.init.normal_(self.fc2.weight, std=1)

    def forward(self, x: Tensor) -> Tensor:
        u = F.relu(self.expand(F.adaptive_avg_pool2d(x, self.side)))
        s = torch.sigmoid(self.fc2(F.relu(self.fc1(u.mean((2, 3))))))
        return u * s[:, :, None, None]


class Made(nn.Module):
    """SE blocks side by side; the class is the one whose vector is nearest."""

    def __init__(self, blocks: dict[int, tuple[int, ...]], classes: int) -> None:
        super().__init__()
        self.pretrained_cfg = {"input_size": (CHANNELS, SIDE, SIDE), "mean": [0.0] * CHANNELS, "std": [1.0] * CHANNELS}
        self.class_names = [f"class {k:04d}" for k in range(classes)]
        self.blocks = nn.ModuleList(Block(channels, side) for side, some in blocks.items() for channels in some)
        self.register_buffer("means", torch.randn(classes, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            block(x)
        return x.mean((2, 3)) @ self.means.T - self.means.square().sum(1) / 2


def _made(blocks: dict[int, tuple[int, ...]], classes: int) -> Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Made(blocks, classes)


def wide() -> Made:
    """As many gates as SE-ResNet-50 has, for as many classes as ImageNet."""
    return _made(SE_RESNET_50, CLASSES)


def tiny() -> Made:
    """Two blocks, ten classes."""
    return _made({16: (16,), 8: (32,)}, 10)


def batches(model: Made, images: int, size: int = 256) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels, by class, one batch after the other; never all at once."""
    random = torch.Generator().manual_seed(1)
    for start in range(0, images, size):
        labels = torch.arange(start, min(start + size, images)) * len(model.means) // images
        vectors = model.means[labels] + torch.randn(len(labels), CHANNELS, generator=random)
        noise = torch.randn(len(labels), CHANNELS, SIDE, SIDE, generator=random)
        yield vectors[:, :, None, None] + noise, labels
