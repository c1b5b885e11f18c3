"""Small networks with the channel attention of papers, SE and near to it, each written from its paper.

Each attention is declared once, with `@attention`: its name, its paper, whether it is a Squeeze-and-Excitation block by
the definition of seviz and why, and what else is to be said of it. Where it is one, its module `gate` returns the gate,
so that a forward hook there reads and replaces what seviz reads and forces.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.network.positions import BATCHNORMS, CONVOLUTIONS

CHANNELS, SIDES = 16, (16, 20, 24)


def example(axes: int = 2, batch: int = 2) -> Tensor:
    """Random input with some position axes, (batch, 3, 16, 20, 24) for three; sides and channels all differ."""
    generator = torch.Generator().manual_seed(5)
    louder = torch.arange(1, batch + 1).reshape(-1, *(1,) * (axes + 1))  # so that gates differ between images
    return louder * torch.randn(batch, 3, *SIDES[:axes], generator=generator)


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
        self.conv = CONVOLUTIONS[axes - 1](channels, CHANNELS, 3, stride, 1)
        self.bn = BATCHNORMS[axes - 1](CHANNELS)
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


def mean(x: Tensor) -> Tensor:
    """(batch, channels)."""
    return x.flatten(2).mean(2)


def spread(gate: Tensor, x: Tensor) -> Tensor:
    """A gate (batch, channels) with the rank of a feature map."""
    return gate.reshape(*gate.shape, *(1,) * (x.ndim - 2))
