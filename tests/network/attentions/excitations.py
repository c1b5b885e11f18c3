"""Attention that is SE by the definition of seviz, in whole or in part."""

import torch
from torch import Tensor, nn

from seviz.network.positions import CONVOLUTIONS
from tests.network.attentions.declaration import CHANNELS, attention, mean, spread

CBAM = "by a factor that differs between positions, from the channel mean and maximum (spatial gate as in CBAM)"
SCSE = "by a factor that differs between positions, from a 1x1 convolution (spatial gate as in scSE)"


class Gated(nn.Module):
    """Multiplies by a gate made of `excite`; the kinds of SE differ in that."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.gate: nn.Module = nn.Sigmoid()

    def excite(self, x: Tensor) -> Tensor:
        """What the gate's activation is given, (batch, channels)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * spread(self.gate(self.excite(x)), x)


def bottleneck(reduction: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(CHANNELS, CHANNELS // reduction), nn.ReLU(), nn.Linear(CHANNELS // reduction, CHANNELS)
    )


@attention("SE", "1709.01507", se=True, why="mean, bottleneck of two matrices, sigmoid", gate="sigmoid", axes=(1, 2, 3))
class SqueezeExcitation(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(mean(x))


@attention(
    *("ECA", "1910.03151"),
    se=True,
    why="mean, learned convolution over channels; no bottleneck: squeezed to as many channels",
    gate="sigmoid",
    axes=(1, 2, 3),
)
class EfficientChannelAttention(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)  # |log2(16) / 2 + 1 / 2| as the nearest odd number

    def excite(self, x: Tensor) -> Tensor:
        return self.conv(mean(x)[:, None])[:, 0]


@attention("eSE", "1911.06667", se=True, why="mean, one matrix, hard sigmoid; no bottleneck", gate="hard_sigmoid")
class EffectiveSqueezeExcitation(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc, self.gate = nn.Linear(CHANNELS, CHANNELS), nn.Hardsigmoid()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(mean(x))


@attention(
    *("SRM", "1903.10829"),
    se=True,
    why="mean and standard deviation, a learned 1x2 matrix for each channel, sigmoid",
    gate="sigmoid",
    axes=(1, 2),
)
class StyleRecalibration(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.cfc = nn.Conv1d(CHANNELS, CHANNELS, 2, bias=False, groups=CHANNELS)
        self.bn = nn.BatchNorm1d(CHANNELS)

    def excite(self, x: Tensor) -> Tensor:
        style = torch.stack([x.flatten(2).mean(2), x.flatten(2).std(2)], 2)  # (batch, channel, 2)
        return self.bn(self.cfc(style))[:, :, 0]


@attention(
    *("SRM, weights multiplied", "1903.10829"),
    se=True,
    why="the same, the matrix as a product and a sum over the two",
    gate="sigmoid",
)
class StyleRecalibrationByProduct(Gated):
    """As the authors' code writes it."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.cfc, self.bn = nn.Parameter(torch.zeros(CHANNELS, 2)), nn.BatchNorm1d(CHANNELS)

    def excite(self, x: Tensor) -> Tensor:
        style = torch.stack([x.flatten(2).mean(2), x.flatten(2).std(2)], 2)  # (batch, channel, 2)
        return self.bn((style * self.cfc[None]).sum(2))


def cosines(sides: tuple[int, int]) -> Tensor:
    """The four lowest frequencies of the cosine transform, each for a quarter of the channels, (16, *sides)."""
    rows, columns = (torch.arange(n) + 0.5 for n in sides)
    basis = [
        torch.cos(torch.pi * v * rows / sides[0])[:, None] * torch.cos(torch.pi * h * columns / sides[1])
        for v, h in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    return torch.stack(basis).repeat_interleave(CHANNELS // 4, 0)


@attention(
    *("FcaNet", "2012.11879"),
    se=True,
    why="squeezed by sums weighted with cosines, bottleneck, sigmoid",
    gate="sigmoid",
)
class FrequencyChannelAttention(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = bottleneck()
        self.register_buffer("cosines", cosines((8, 10)))

    def excite(self, x: Tensor) -> Tensor:
        return self.fc((x * self.cosines).sum((2, 3)))


class Spatial(nn.Module):
    """A factor of one channel, of the mean and the maximum over channels, or of all channels."""

    def __init__(self, axes: int, *, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.conv = CONVOLUTIONS[axes - 1](2 if pooled else CHANNELS, 1, 7 if pooled else 1, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1) if self.pooled else x
        return torch.sigmoid(self.conv(y))


class ChannelHalf(Gated):
    """Of CBAM: a mean and a maximum go through the same bottleneck."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(mean(x)) + self.fc(x.flatten(2).amax(2))


@attention(
    *("CBAM", "1807.06521"),
    se=True,
    why="channel half: mean and maximum, shared bottleneck, sigmoid of the sum; the spatial half is none",
    gate="sigmoid",
    axes=(1, 2, 3),
    told=(CBAM,),
)
class ConvolutionalBlockAttention(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.channel, self.spatial = ChannelHalf(axes), Spatial(axes, pooled=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel(x)
        return x * self.spatial(x)


@attention(
    *("scSE", "1803.02579"),
    se=True,
    why="channel half (cSE): as SE; the spatial half (sSE) is none",
    gate="sigmoid",
    axes=(1, 2, 3),
    told=(SCSE,),
)
class ConcurrentSqueezeExcitation(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.channel, self.spatial = SqueezeExcitation(axes), Spatial(axes, pooled=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(x) + x * self.spatial(x)


class ContextPool(nn.Module):
    """The mean over positions weighted by a softmax of learned attention, (batch, channels)."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.mask = CONVOLUTIONS[axes - 1](CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.mask(x).flatten(2).softmax(2)  # (batch, 1, position)
        return (x.flatten(2) @ weights.transpose(1, 2))[:, :, 0]


@attention(
    *("GC, multiplied", "1904.11492"),
    se=True,
    why="squeezed by attention over positions, bottleneck, sigmoid",
    gate="sigmoid",
)
class MultipliedContext(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.pool = ContextPool(axes)
        self.fc = nn.Sequential(nn.Linear(CHANNELS, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, CHANNELS))

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(x))


@attention("GE-θ, global", "1810.12348", se=True, why="squeezed by a learned depthwise convolution", gate="sigmoid")
class GatherLearned(Gated):
    """θ, with one learned depthwise filter as large as the feature map."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.gather = nn.Conv2d(CHANNELS, CHANNELS, (8, 10), groups=CHANNELS, bias=False)
        self.bn = nn.BatchNorm2d(CHANNELS)

    def excite(self, x: Tensor) -> Tensor:
        return self.bn(self.gather(x)).flatten(1)


@attention(
    *("GE-θ⁺, global", "1810.12348"),
    se=True,
    why="squeezed by a learned depthwise convolution, bottleneck",
    gate="sigmoid",
)
class GatherExcited(GatherLearned):
    """θ⁺, with two 1x1 convolutions behind the gathering."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(super().excite(x))
