"""Small networks with the channel attention of papers, SE and near to it, each written from its paper.

Each attention is declared once, with `@attention`: its name, its paper, whether it is a Squeeze-and-Excitation block by
the definition of seviz and why, and what else is to be said of it. Where it is one, its module `gate` returns the gate,
so that a forward hook there reads and replaces what seviz reads and forces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, SIDES = 16, (16, 20, 24)
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCHNORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

CBAM = "by a factor that differs between positions, from the channel mean and maximum (spatial gate as in CBAM)"
SCSE = "by a factor that differs between positions, from a 1x1 convolution (spatial gate as in scSE)"
GATHERED = "by a full-size factor gathered over neighbourhoods (gather-excite)"
MEAN = "per channel and image, by the sigmoid of the channel mean, without learned weights (gather-excite)"
COMPETING = "per channel and image, by learned vectors and norms over channels (gated channel transformation)"
GAUSSIAN = "per channel and image, by a Gaussian of the channel-normalised squeeze (Gaussian context transformer)"
RESPONSE = "per channel and image, by no learned matrix (response or instance normalisation)"
BAM = "by a full-size factor, the sigmoid of channel and spatial logits combined (BAM)"
SELECTIVE = "several feature maps at once, by a softmax between them (selective kernels)"
SPLIT = "several feature maps at once, by a softmax between parts of one (split attention)"
SIDES = "by one factor along each side (coordinate attention)"
TRIPLET = "by a factor that differs between channels and along one side, from mean and maximum (triplet attention)"
SIMAM = "by a full-size factor from squared distances to the channel mean, without learned weights (SimAM)"
SCALE = "by numbers that are the same for every image (layer scale)"


def example(axes: int = 2, batch: int = 2) -> Tensor:
    """Random input with some position axes, (batch, 3, 16, 20, 24) for three; sides and channels all differ."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(batch, 3, *SIDES[:axes], generator=generator)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """An attention, and what is to be found of it.

    Attributes
    ----------
    make
        Builds it for feature maps of 16 channels, given the number of position axes.
    name
        As its paper calls it.
    paper
        Its arXiv id, or where it appeared.
    se
        Whether it is an SE block by our definition.
    why
        In words.
    gate
        The name of its activation, where it is one.
    told
        Kinds of other scaling that are to be told of it, as in `OtherScaling.kind`.
    axes
        Numbers of position axes that it is built for.
    """

    make: Callable[[int], nn.Module]
    name: str
    paper: str
    se: bool
    why: str
    gate: str = ""
    told: tuple[str, ...] = ()
    axes: tuple[int, ...] = (2,)

    def network(self, axes: int = 2) -> nn.Module:
        """A network with two of it, the same weights at each call, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            network = Net(axes, self.make(axes), self.make(axes))
            for name, parameter in network.named_parameters():
                if "attention" in name and parameter.ndim > 1:
                    nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)  # none is zero, gates differ visibly
            return network.eval()


ATTENTIONS: dict[str, Attention] = {}


def attention(name: str, paper: str, *, se: bool, why: str, **known: object) -> Callable[[type], type]:
    """Declare a class of modules as an attention; it is built with the number of position axes."""

    def declare(kind: type) -> type:
        assert name not in ATTENTIONS
        ATTENTIONS[name] = Attention(make=kind, name=name, paper=paper, se=se, why=why, **known)
        return kind

    return declare


class Layer(nn.Module):
    """Convolution, BatchNorm, ReLU, and behind them an attention."""

    def __init__(self, axes: int, channels: int, stride: int, attention: nn.Module) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[axes](channels, CHANNELS, 3, stride, 1)
        self.bn = BATCHNORMS[axes](CHANNELS)
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(F.relu(self.bn(self.conv(x))))


class Net(nn.Module):
    """A stem, two layers with attention, and a linear head of three classes."""

    def __init__(self, axes: int, *attentions: nn.Module) -> None:
        super().__init__()
        self.stem = Layer(axes, 3, 2, nn.Identity())
        self.layers = nn.ModuleList(Layer(axes, CHANNELS, 1, each) for each in attentions)
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.flatten(2).mean(2))


def _mean(x: Tensor) -> Tensor:
    """(batch, channels)."""
    return x.flatten(2).mean(2)


def _spread(gate: Tensor, x: Tensor) -> Tensor:
    """A gate (batch, channels) with the rank of a feature map."""
    return gate.reshape(*gate.shape, *(1,) * (x.ndim - 2))


class Gated(nn.Module):
    """Multiplies by a gate made of `excite`; the kinds of SE differ in that."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.gate: nn.Module = nn.Sigmoid()

    def excite(self, x: Tensor) -> Tensor:
        """What the gate's activation is given, (batch, channels)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * _spread(self.gate(self.excite(x)), x)


def _bottleneck(reduction: int = 4) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(CHANNELS, CHANNELS // reduction), nn.ReLU(), nn.Linear(CHANNELS // reduction, CHANNELS)
    )


@attention("SE", "1709.01507", se=True, why="mean, bottleneck of two matrices, sigmoid", gate="sigmoid", axes=(1, 2, 3))
class SqueezeExcitation(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = _bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(_mean(x))


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
        return self.conv(_mean(x)[:, None])[:, 0]


@attention("eSE", "1911.06667", se=True, why="mean, one matrix, hard sigmoid; no bottleneck", gate="hard_sigmoid")
class EffectiveSqueezeExcitation(Gated):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc, self.gate = nn.Linear(CHANNELS, CHANNELS), nn.Hardsigmoid()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(_mean(x))


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
        self.fc = _bottleneck()
        self.register_buffer("cosines", cosines((8, 10)))

    def excite(self, x: Tensor) -> Tensor:
        return self.fc((x * self.cosines).sum((2, 3)))


class _Spatial(nn.Module):
    """A factor of one channel, of the mean and the maximum over channels, or of all channels."""

    def __init__(self, axes: int, *, pooled: bool) -> None:
        super().__init__()
        self.pooled = pooled
        self.conv = CONVOLUTIONS[axes](2 if pooled else CHANNELS, 1, 7 if pooled else 1, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1) if self.pooled else x
        return torch.sigmoid(self.conv(y))


class _ChannelHalf(Gated):
    """Of CBAM: a mean and a maximum go through the same bottleneck."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.fc = _bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(_mean(x)) + self.fc(x.flatten(2).amax(2))


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
        self.channel, self.spatial = _ChannelHalf(axes), _Spatial(axes, pooled=True)

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
        self.channel, self.spatial = SqueezeExcitation(axes), _Spatial(axes, pooled=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(x) + x * self.spatial(x)


class _ContextPool(nn.Module):
    """The mean over positions weighted by a softmax of learned attention, (batch, channels)."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.mask = CONVOLUTIONS[axes](CHANNELS, 1, 1)

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
        self.pool = _ContextPool(axes)
        self.fc = nn.Sequential(nn.Linear(CHANNELS, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, CHANNELS))

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(x))


@attention("GC", "1904.11492", se=False, why="added to the feature map, nothing is multiplied")
class GlobalContext(MultipliedContext):
    def forward(self, x: Tensor) -> Tensor:
        return x + _spread(self.excite(x), x)


# Gather-excite


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
        self.fc = _bottleneck()

    def excite(self, x: Tensor) -> Tensor:
        return self.fc(super().excite(x))


@attention("GE-θ⁻, global", "1810.12348", se=False, why="no learned weights: sigmoid of the mean", told=(MEAN,))
class GatherMean(Gated):
    def excite(self, x: Tensor) -> Tensor:
        return _mean(x)


class _Extent(nn.Module):
    """Gathers over neighbourhoods, and multiplies by what was gathered, brought back to the full size."""

    def __init__(self, axes: int, extent: int = 4) -> None:
        super().__init__()
        self.gather: nn.Module = nn.AvgPool2d(2 * extent - 1, extent, extent - 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(F.interpolate(self.gather(x), x.shape[2:], mode="nearest"))


@attention("GE-θ⁻, extent 4", "1810.12348", se=False, why="the factor differs between neighbourhoods", told=(GATHERED,))
class GatherMeanOfExtent(_Extent):
    pass


@attention("GE-θ, extent 4", "1810.12348", se=False, why="the factor differs between neighbourhoods", told=(GATHERED,))
class GatherLearnedOfExtent(_Extent):
    """Two depthwise convolutions of stride 2."""

    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1, groups=CHANNELS, bias=False), nn.BatchNorm2d(CHANNELS)]
        self.gather = nn.Sequential(*layers[:2], nn.ReLU(), *layers[2:])


@attention("GE-θ⁺, extent 4", "1810.12348", se=False, why="the factor differs between neighbourhoods", told=(GATHERED,))
class GatherExcitedOfExtent(GatherLearnedOfExtent):
    def __init__(self, axes: int) -> None:
        super().__init__(axes)
        self.gather.extend([nn.Conv2d(CHANNELS, 4, 1), nn.ReLU(), nn.Conv2d(4, CHANNELS, 1)])


# No learned matrix


@attention(
    "GCT (gated channel transformation)",
    "1909.11519",
    se=False,
    why="learned vectors, no learned matrix",
    told=(COMPETING,),
)
class GatedChannelTransformation(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        shape = (1, CHANNELS, *(1,) * axes)
        self.alpha, self.gamma, self.beta = (nn.Parameter(torch.ones(shape)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        over = tuple(range(2, x.ndim))
        embedding = (x.pow(2).sum(over, keepdim=True) + 1e-5).pow(0.5) * self.alpha
        norm = self.gamma / (embedding.pow(2).mean(1, keepdim=True) + 1e-5).pow(0.5)
        return x * (1 + torch.tanh(embedding * norm + self.beta))


@attention("GCT (Gaussian context transformer)", "CVPR 2021", se=False, why="no learned matrix", told=(GAUSSIAN,))
class GaussianContext(nn.Module):
    """B0, whose standard deviation is fixed."""

    def __init__(self, axes: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        z = _mean(x)
        z = (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * _spread(torch.exp(-(z**2) / (2 * 2**2)), x)


@attention(
    "GCT (Gaussian context transformer), B1",
    "CVPR 2021",
    se=False,
    why="one learned number, no learned matrix",
    told=(GAUSSIAN,),
)
class LearnedGaussianContext(nn.Module):
    """B1, whose standard deviation is learned."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        z = F.layer_norm(_mean(x), (CHANNELS,))
        c = 1 + 3 * torch.sigmoid(self.theta)
        return x * _spread(torch.exp(-(z**2) / (2 * c**2)), x)


@attention(
    "GRN",
    "2301.00808",
    se=False,
    why="no learned matrix: norms of channels over their mean",
    told=(
        RESPONSE,
        SCALE,
    ),
)
class GlobalResponseNormalisation(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.ones(1, CHANNELS, *(1,) * axes)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=tuple(range(2, x.ndim)), keepdim=True)
        return self.gamma * (x * (norms / (norms.mean(1, keepdim=True) + 1e-6))) + self.beta + x


# More than one number per image and channel


class _Bottleneck(nn.Module):
    """The halves of BAM before they are put together."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(CHANNELS, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, CHANNELS), nn.BatchNorm1d(CHANNELS)
        )
        self.spatial = nn.Sequential(
            *(nn.Conv2d(CHANNELS, 4, 1), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Conv2d(4, 4, 3, padding=4, dilation=4), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1)),
        )

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return _spread(self.channel(_mean(x)), x), self.spatial(x)


@attention("BAM", "1807.06514", se=False, why="one factor of channels and positions", told=(BAM,))
class BottleneckAttention(_Bottleneck):
    def forward(self, x: Tensor) -> Tensor:
        channel, spatial = self.halves(x)
        return x + x * torch.sigmoid(channel + spatial)


@attention("BAM, halves multiplied", "1807.06514", se=False, why="one factor of channels and positions", told=(BAM,))
class BottleneckAttentionByProduct(_Bottleneck):
    """As the authors' code writes it."""

    def forward(self, x: Tensor) -> Tensor:
        channel, spatial = (each.expand_as(x) for each in self.halves(x))
        return (1 + torch.sigmoid(channel * spatial)) * x


class _Selective(nn.Module):
    """Two branches of different dilation, and a softmax between them for each channel."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, 1, k, k), nn.BatchNorm2d(CHANNELS), nn.ReLU())
            for k in (1, 2)
        )
        self.reduce, self.expand = nn.Linear(CHANNELS, 8), nn.Linear(8, 2 * CHANNELS)

    def weights(self, x: Tensor) -> Tensor:
        """Of each branch, (batch, 2, channels), of the sum of both."""
        return self.expand(F.relu(self.reduce(_mean(x)))).unflatten(1, (2, CHANNELS)).softmax(1)


@attention("SK", "1903.06586", se=False, why="a softmax between branches", told=(SELECTIVE,))
class SelectiveKernel(_Selective):
    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([path(x) for path in self.paths], 1)  # (batch, branch, channel, height, width)
        return (branches * self.weights(branches.sum(1))[..., None, None]).sum(1)


@attention("SK, branch by branch", "1903.06586", se=False, why="a softmax between branches", told=(SELECTIVE,))
class SelectiveKernelInTurn(_Selective):
    def forward(self, x: Tensor) -> Tensor:
        one, two = (path(x) for path in self.paths)
        weights = self.weights(one + two)
        return one * _spread(weights[:, 0], x) + two * _spread(weights[:, 1], x)


class _Split(nn.Module):
    """Radix 2: a convolution of twice the channels, and a softmax between the halves."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, 2 * CHANNELS, 3, padding=1, groups=2)
        self.reduce, self.expand = nn.Conv2d(CHANNELS, 8, 1), nn.Conv2d(8, 2 * CHANNELS, 1)

    def weights(self, x: Tensor) -> Tensor:
        """Of each half, (batch, 2, channels), of the sum of both."""
        z = F.adaptive_avg_pool2d(x, 1)
        return self.expand(F.relu(self.reduce(z))).view(len(x), 2, CHANNELS).softmax(1)


@attention(
    "split attention (ResNeSt)", "2004.08955", se=False, why="a softmax between splits of the channels", told=(SPLIT,)
)
class SplitAttention(_Split):
    def forward(self, x: Tensor) -> Tensor:
        splits = self.conv(x).unflatten(1, (2, CHANNELS))  # (batch, radix, channel, height, width)
        return (splits * self.weights(splits.sum(1))[..., None, None]).sum(1)


@attention(
    "split attention (ResNeSt), split by split",
    "2004.08955",
    se=False,
    why="a softmax between splits of the channels",
    told=(SPLIT,),
)
class SplitAttentionInTurn(_Split):
    """As the authors' code writes it."""

    def forward(self, x: Tensor) -> Tensor:
        splits = torch.split(self.conv(x), CHANNELS, dim=1)
        weights = torch.split(self.weights(sum(splits)).reshape(len(x), -1, 1, 1), CHANNELS, dim=1)
        return sum(weight * split for weight, split in zip(weights, splits, strict=True))


class _Coordinates(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.reduce, self.bn = nn.Conv2d(CHANNELS, 8, 1), nn.BatchNorm2d(8)
        self.rows, self.columns = nn.Conv2d(8, CHANNELS, 1), nn.Conv2d(8, CHANNELS, 1)

    def factors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One along the height, one along the width."""
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        y = F.hardswish(self.bn(self.reduce(torch.cat([rows, columns], 2))))
        rows, columns = y.split([x.shape[2], x.shape[3]], 2)
        return self.rows(rows).sigmoid(), self.columns(columns.transpose(2, 3)).sigmoid()


@attention("coordinate attention", "2103.02907", se=False, why="a factor along each side", told=(SIDES,))
class CoordinateAttention(_Coordinates):
    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.factors(x)
        return x * rows * columns


@attention("coordinate attention, factors first", "2103.02907", se=False, why="a factor along each side", told=(SIDES,))
class CoordinateAttentionAtOnce(_Coordinates):
    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.factors(x)
        return x * (rows * columns)


@attention(
    "triplet attention",
    "2010.03045",
    se=False,
    why="spatial gates, also of the permuted feature map",
    told=(
        TRIPLET,
        CBAM,
    ),
)
class TripletAttention(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.height, self.width, self.plain = (_Spatial(axes, pooled=True) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        turned = x.permute(0, 2, 1, 3).contiguous(), x.permute(0, 3, 2, 1).contiguous()
        one = (turned[0] * self.height(turned[0])).permute(0, 2, 1, 3)
        two = (turned[1] * self.width(turned[1])).permute(0, 3, 2, 1)
        return (x * self.plain(x) + one + two) / 3


@attention("SimAM", "ICML 2021", se=False, why="a factor for every number, no learned weights", told=(SIMAM,))
class SimpleAttention(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        d = (x - x.mean((2, 3), keepdim=True)).pow(2)
        variance = d.sum((2, 3), keepdim=True) / (x[0, 0].numel() - 1)
        return x * torch.sigmoid(d / (4 * (variance + 1e-4)) + 0.5)


@attention("FReLU", "2007.11824", se=False, why="a maximum, nothing is multiplied")
class FunnelActivation(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1, groups=CHANNELS), nn.BatchNorm2d(CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.bn(self.conv(x)))


@attention("dynamic convolution", "1912.03458", se=False, why="weights of kernels, one number an image and kernel")
class DynamicConvolution(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(CHANNELS, 4), nn.ReLU(), nn.Linear(4, 4))
        self.kernels = nn.Parameter(torch.zeros(4, CHANNELS, CHANNELS, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.fc(_mean(x)) / 30).softmax(1)  # (batch, kernel)
        kernels = (weights @ self.kernels.flatten(1)).view(-1, CHANNELS, 3, 3)
        return F.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels, padding=1, groups=len(x)).view_as(x)


@attention("LayerScale", "2103.17239", se=False, why="the same numbers for every image", told=(SCALE,))
class LayerScale(nn.Module):
    def __init__(self, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.linspace(0.1, 1, CHANNELS).reshape(1, -1, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


@attention("stochastic depth", "1603.09382", se=False, why="one random number an image, in training only")
class StochasticDepth(torchvision.ops.StochasticDepth):
    def __init__(self, axes: int) -> None:
        super().__init__(0.2, "row")
