"""Small networks of sound, time series and video with SE blocks, each written from its paper.

The packages that hold them (speechbrain, NeMo, pytorchvideo) are too heavy for tests. What is kept is how the parts
hang together: where the SE blocks stand, what they squeeze, and what else scales features beside them, such as the
attention of statistics pooling. Each SE block is written as the package writes it.

References
----------
Desplanques, Thienpondt, Demuynck, "ECAPA-TDNN", arXiv:2005.07143.
Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv:2004.04730.
Majumdar et al., "Citrinet", arXiv:2104.01721.
Han et al., "ContextNet", arXiv:2005.03191.
Koluguri, Park, Ginsburg, "TitaNet", arXiv:2110.04410.
Karim, Majumdar, Darabi, Harford, "Multivariate LSTM-FCNs for Time Series Classification", arXiv:1801.04503.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvSE(nn.Module):
    """SE of ECAPA-TDNN and X3D: 1x1 convolutions in place of matrices."""

    def __init__(self, conv: type[nn.Module], channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, squeezed, 1), conv(squeezed, channels, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        z = x.mean(tuple(range(2, x.ndim)), keepdim=True)
        return self.sigmoid(self.conv2(torch.relu(self.conv1(z)))) * x


class Res2Conv(nn.Module):
    """Channels in groups; each but the first is convolved together with the result of the group before."""

    def __init__(self, channels: int, scale: int, dilation: int) -> None:
        super().__init__()
        width = channels // scale
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation), nn.ReLU(), nn.BatchNorm1d(width)
            )
            for _ in range(scale - 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *others = x.chunk(len(self.convs) + 1, 1)
        done = [first]
        for k, (conv, group) in enumerate(zip(self.convs, others, strict=True)):
            done.append(conv(group if k == 0 else group + done[-1]))
        return torch.cat(done, 1)


def frames(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel // 2))
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm1d(outputs))


class SERes2Block(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.before = frames(channels, channels, 1)
        self.res2 = Res2Conv(channels, 4, dilation)
        self.after = frames(channels, channels, 1)
        self.se = ConvSE(nn.Conv1d, channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.se(self.after(self.res2(self.before(x)))) + x


class AttentiveStatistics(nn.Module):
    """Mean and deviation over time, weighted by a softmax over time for each channel: attention, but no SE block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv1d(3 * channels, 8, 1), nn.ReLU(), nn.BatchNorm1d(8), nn.Tanh(), nn.Conv1d(8, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(2, keepdim=True).expand_as(x)
        deviation = x.var(2, keepdim=True).clamp_min(1e-4).sqrt().expand_as(x)
        weight = self.attention(torch.cat([x, mean, deviation], 1)).softmax(2)
        mean = (x * weight).sum(2)
        deviation = ((x**2 * weight).sum(2) - mean**2).clamp_min(1e-4).sqrt()
        return torch.cat([mean, deviation], 1)


class EcapaTdnn(nn.Module):
    """For (batch, 20 mel bands, frames). Each block is given the sum of all before it; their outputs are joined."""

    def __init__(self, speakers: int = 5, channels: int = 24) -> None:
        super().__init__()
        self.stem = frames(20, channels, 5)
        self.blocks = nn.ModuleList(SERes2Block(channels, dilation) for dilation in (2, 3, 4))
        self.joined = nn.Sequential(nn.Conv1d(3 * channels, 48, 1), nn.ReLU())
        self.pool = AttentiveStatistics(48)
        self.embedding = nn.Sequential(nn.BatchNorm1d(96), nn.Linear(96, 16), nn.BatchNorm1d(16))
        self.speakers = nn.Parameter(torch.randn(speakers, 16))

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self.stem(x)]
        for block in self.blocks:
            outputs.append(block(sum(outputs)))
        embedding = self.embedding(self.pool(self.joined(torch.cat(outputs[1:], 1))))
        return 30 * F.linear(F.normalize(embedding), F.normalize(self.speakers))


class X3DBlock(nn.Module):
    """1x1x1, 3x3x3 channel by channel, SE in every other block before the Swish, 1x1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, se: bool) -> None:
        super().__init__()
        inner = int(2.25 * outputs)
        self.expand = nn.Sequential(nn.Conv3d(inputs, inner, 1, bias=False), nn.BatchNorm3d(inner), nn.ReLU(True))
        self.depthwise = nn.Conv3d(inner, inner, 3, (1, stride, stride), 1, groups=inner, bias=False)
        self.norm = nn.Sequential(
            nn.BatchNorm3d(inner), ConvSE(nn.Conv3d, inner, max(8, inner // 16)) if se else nn.Identity()
        )
        self.swish = nn.SiLU()
        self.reduce = nn.Sequential(nn.Conv3d(inner, outputs, 1, bias=False), nn.BatchNorm3d(outputs))
        self.shortcut = (
            nn.Sequential(nn.Conv3d(inputs, outputs, 1, (1, stride, stride), bias=False), nn.BatchNorm3d(outputs))
            if stride > 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = self.swish(self.norm(self.depthwise(self.expand(x))))
        return torch.relu(self.reduce(inner) + self.shortcut(x))


class X3D(nn.Module):
    """For (batch, 3, frames, height, width). Only height and width are reduced, never time."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 8, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            nn.Conv3d(8, 8, (5, 1, 1), padding=(2, 0, 0), groups=8, bias=False),
            nn.BatchNorm3d(8),
            nn.ReLU(True),
        )
        widths, depths = (8, 8, 16, 24, 32), (1, 2, 3, 2)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    *(X3DBlock(widths[k + (j > 0)], widths[k + 1], 1 if j else 2, se=j % 2 == 0) for j in range(depth))
                )
                for k, depth in enumerate(depths)
            )
        )
        self.last = nn.Sequential(nn.Conv3d(32, 48, 1, bias=False), nn.BatchNorm3d(48), nn.ReLU(True))
        self.head = nn.Sequential(nn.Linear(48, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.stages(self.stem(x))).mean((2, 3, 4)))


def separable(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution over time channel by channel, then one over channels, and a BatchNorm."""
    return nn.Sequential(
        nn.Conv1d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False),
        nn.Conv1d(inputs, outputs, 1, bias=False),
        nn.BatchNorm1d(outputs),
    )


class MaskedSE(nn.Module):
    """SE as NeMo writes it: matrices without bias at the last axis, and the mean over what is no padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 8, bias=False),
            nn.ReLU(True),
            nn.Linear(channels // 8, channels, bias=False),
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(x.shape[2])[None, :] >= lengths[:, None]
        sums = x.masked_fill(padding[:, None], 0.0).sum(2, keepdim=True)
        z = (sums / lengths[:, None, None]).transpose(1, 2)  # (batch, 1, channels)
        return x * torch.sigmoid(self.fc(z).transpose(1, 2))


class JasperBlock(nn.Module):
    """Repeated separable convolutions, SE, and a residual branch where it is repeated."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, repeat: int = 1, stride: int = 1) -> None:
        super().__init__()
        widths = (inputs, *(outputs,) * (repeat - 1))
        self.convs = nn.ModuleList(
            separable(width, outputs, kernel, stride if k == 0 else 1) for k, width in enumerate(widths)
        )
        self.se = MaskedSE(outputs)
        self.residual = (
            nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm1d(outputs))
            if repeat > 1
            else None
        )
        self.stride = stride

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        y = x
        for k, conv in enumerate(self.convs):
            y = conv(torch.relu(y) if k else y)
        lengths = (lengths + self.stride - 1) // self.stride
        y = self.se(y, lengths)
        return torch.relu(y if self.residual is None else y + self.residual(x)), lengths


class Citrinet(nn.Module):
    """For (batch, 20 mel bands, frames) and their lengths; letters by frame. Three parts, the first of each strided."""

    def __init__(self, letters: int = 7, width: int = 32) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([JasperBlock(20, width, 5)])
        for kernel in (5, 7, 9):
            self.blocks.append(JasperBlock(width, width, kernel, repeat=2, stride=2))
            self.blocks.append(JasperBlock(width, width, kernel + 2, repeat=2))
        self.blocks.append(JasperBlock(width, 48, 11))
        self.letters = nn.Conv1d(48, letters, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x, lengths = block(x, lengths)
        return self.letters(x).transpose(1, 2).log_softmax(2), lengths


class ContextNetBlock(nn.Module):
    """Separable convolutions with Swish, SE with Swish inside and its gate tiled over time, and a projection."""

    def __init__(self, inputs: int, outputs: int, *, depth: int, stride: int = 1, residual: bool = True) -> None:
        super().__init__()
        convs = []
        for k in range(depth):
            convs += [separable(outputs if k else inputs, outputs, 5, stride if k == depth - 1 else 1), nn.SiLU()]
        self.convs = nn.Sequential(*convs)
        self.reduce, self.expand = nn.Linear(outputs, outputs // 8), nn.Linear(outputs // 8, outputs)
        self.projection = (
            nn.Sequential(nn.Conv1d(inputs, outputs, 1, stride), nn.BatchNorm1d(outputs)) if residual else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x)
        gate = torch.sigmoid(self.expand(F.silu(self.reduce(F.adaptive_avg_pool1d(y, 1).squeeze(2)))))
        y = y * gate.unsqueeze(2).repeat(1, 1, y.shape[2])
        return F.silu(y if self.projection is None else y + self.projection(x))


class ContextNet(nn.Module):
    """For (batch, frames, 20 mel bands), as recurrent networks take them."""

    def __init__(self, letters: int = 7) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            ContextNetBlock(20, 24, depth=1, residual=False),
            ContextNetBlock(24, 24, depth=2),
            ContextNetBlock(24, 24, depth=2, stride=2),
            ContextNetBlock(24, 32, depth=2, stride=2),
            ContextNetBlock(32, 40, depth=1, residual=False),
        )
        self.letters = nn.Linear(40, letters)

    def forward(self, x: Tensor) -> Tensor:
        return self.letters(self.blocks(x.transpose(1, 2)).transpose(1, 2))


class TitaNet(nn.Module):
    """For (batch, 20 mel bands, frames) and their lengths: blocks as of Citrinet, pooled as in ECAPA-TDNN."""

    def __init__(self, speakers: int = 5, width: int = 24) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [
                JasperBlock(20, width, 3),
                *(JasperBlock(width, width, kernel, repeat=2) for kernel in (7, 11, 15)),
                JasperBlock(width, 40, 1),
            ]
        )
        self.pool = AttentiveStatistics(40)
        self.embedding = nn.Sequential(nn.BatchNorm1d(80), nn.Linear(80, 16))
        self.speakers = nn.Linear(16, speakers)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x, lengths = block(x, lengths)
        embedding = self.embedding(self.pool(x))
        return self.speakers(embedding), embedding


class SeriesSE(nn.Module):
    """SE as in the Keras code of MLSTM-FCN: matrices without bias, the gate reshaped to be broadcast."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // 8, bias=False)
        self.expand = nn.Linear(channels // 8, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(torch.relu(self.reduce(x.mean(-1)))).sigmoid()
        return x * gate.reshape(len(x), -1, 1)


class MlstmFcn(nn.Module):
    """For (batch, 6 series, steps): three convolutions, the first two with SE, beside an LSTM over the series."""

    def __init__(self, steps: int = 32, classes: int = 4) -> None:
        super().__init__()
        self.lstm, self.dropout = nn.LSTM(steps, 8, batch_first=True), nn.Dropout(0.8)
        self.convs = nn.Sequential(
            *(nn.ZeroPad1d((3, 4)), nn.Conv1d(6, 32, 8), nn.BatchNorm1d(32), nn.ReLU(), SeriesSE(32)),
            *(nn.Conv1d(32, 48, 5, padding=2), nn.BatchNorm1d(48), nn.ReLU(), SeriesSE(48)),
            *(nn.Conv1d(48, 32, 3, padding=1), nn.BatchNorm1d(32), nn.ReLU()),
        )
        self.head = nn.Linear(40, classes)

    def forward(self, x: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(x)  # steps and series change places: each series is one step
        return self.head(torch.cat([self.dropout(hidden[0]), self.convs(x).mean(2)], 1))
