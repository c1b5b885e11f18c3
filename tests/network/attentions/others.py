"""Attention that is not SE by the definition of seviz, and what else scales a feature map."""

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tests.network.attentions.declaration import CHANNELS, attention, mean, spread
from tests.network.attentions.excitations import CBAM, Gated, MultipliedContext, Spatial

GATHERED = "by a full-size factor gathered over neighbourhoods (gather-excite)"
MEAN = "per channel and image, by the sigmoid of the channel mean, without learned weights (gather-excite)"
COMPETING = "per channel and image, by learned vectors and norms over channels (gated channel transformation)"
GAUSSIAN = "per channel and image, by a Gaussian of the channel-normalised squeeze (Gaussian context transformer)"
RESPONSE = "per channel and image, by no learned matrix (response or instance normalisation)"
BAM = "by a full-size factor that combines channel and spatial logits (BAM)"
SELECTIVE = "several feature maps at once, by a softmax between them (selective kernels)"
SPLIT = "several feature maps at once, by a softmax between parts of one (split attention)"
SIDES = "by one factor along each side (coordinate attention)"
TRIPLET = "by a factor that differs between channels and along one side, from mean and maximum (triplet attention)"
SIMAM = "by a full-size factor from squared distances to the channel mean, without learned weights (SimAM)"
SCALE = "by numbers that are the same for every image (layer scale)"


@attention("GC", "1904.11492", se=False, why="added to the feature map, nothing is multiplied")
class GlobalContext(MultipliedContext):
    def forward(self, x: Tensor) -> Tensor:
        return x + spread(self.excite(x), x)


@attention("GE-θ⁻, global", "1810.12348", se=False, why="no learned weights: sigmoid of the mean", told=(MEAN,))
class GatherMean(Gated):
    def excite(self, x: Tensor) -> Tensor:
        return mean(x)


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
        z = mean(x)
        z = (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * spread(torch.exp(-(z**2) / (2 * 2**2)), x)


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
        z = F.layer_norm(mean(x), (CHANNELS,))
        c = 1 + 3 * torch.sigmoid(self.theta)
        return x * spread(torch.exp(-(z**2) / (2 * c**2)), x)


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
        return spread(self.channel(mean(x)), x), self.spatial(x)


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
        return self.expand(F.relu(self.reduce(mean(x)))).unflatten(1, (2, CHANNELS)).softmax(1)


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
        return one * spread(weights[:, 0], x) + two * spread(weights[:, 1], x)


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
        self.height, self.width, self.plain = (Spatial(axes, pooled=True) for _ in range(3))

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
        weights = (self.fc(mean(x)) / 30).softmax(1)  # (batch, kernel)
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
