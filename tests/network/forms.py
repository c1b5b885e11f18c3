"""SE blocks written by hand in every form that is found in the wild, a network of one of them, and its images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE = (3, 16, 16)


def images(count: int = 5, side: int = 16) -> Tensor:
    """The same random images at each call."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(9))


class Gated(nn.Module):
    """A network of one hand-written block of 8 channels at stride 2."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.block = block

    def forward(self, images: Tensor) -> Tensor:
        return self.block(self.stem(images)).mean((2, 3))


class Excite(nn.Module):
    """From u to s, as (batch, 8)."""

    def __init__(self, last: nn.Module | None = None) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(8, 2), nn.ReLU(inplace=True), nn.Linear(2, 8), *([last] if last else []))

    def forward(self, u: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(u, 1).view(len(u), -1))


class SELayer(nn.Module):
    """The form most copied: pool, linear layers in a Sequential, view, expand."""

    def __init__(self, channels: int = 8, squeezed: int = 2) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(inplace=True), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        y = self.fc(self.pool(x).view(b, c)).view(b, c, 1, 1)
        return x * y.expand_as(x)


class Written(nn.Module):
    """A block whose forward is given as a function of u and s, or of u and the excitation module."""

    def __init__(self, form: Callable[[Tensor, Tensor], Tensor], last: nn.Module | None = None) -> None:
        super().__init__()
        self.excite, self.form = Excite(last), form

    def forward(self, u: Tensor) -> Tensor:
        return self.form(u, self.excite(u)[:, :, None, None])


class InPlaceSigmoid(nn.Module):
    """The pre-activation becomes the gate in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid_()


S = "block.excite.fc.3"
FORMS: dict[str, tuple[nn.Module, str | None, str]] = {
    # name: block, path of the gate, activation
    "linear layers, view and expand": (SELayer(), "block.fc.3", "sigmoid"),
    "scaled in the parent": (Written(lambda u, s: u * s, nn.Sigmoid()), S, "sigmoid"),
    "factor first": (Written(lambda u, s: s * u, nn.Sigmoid()), S, "sigmoid"),
    "torch.mul": (Written(torch.mul, nn.Sigmoid()), S, "sigmoid"),
    "in place": (Written(lambda u, s: u.mul_(s), nn.Sigmoid()), S, "sigmoid"),
    "in place by operator": (Written(lambda u, s: u.__imul__(s), nn.Sigmoid()), S, "sigmoid"),
    "addcmul": (Written(lambda u, s: torch.addcmul(u, u, s), nn.Sigmoid()), S, "sigmoid"),
    "addcmul of a tensor": (Written(lambda u, s: u.addcmul(s, u, value=2), nn.Sigmoid()), S, "sigmoid"),
    "keyword": (Written(lambda u, s: torch.mul(u, other=s), nn.Sigmoid()), S, "sigmoid"),
    "a function call": (Written(lambda u, s: u * torch.sigmoid(s)), None, "sigmoid"),
    "hard sigmoid by hand": (Written(lambda u, s: u * (F.relu6(s + 3) / 6)), None, "hard_sigmoid"),
    "one plus tanh": (Written(lambda u, s: u * (1 + torch.tanh(s))), None, "one_plus_tanh"),
    "tanh": (Written(lambda u, s: u * s, nn.Tanh()), S, "tanh"),
    "hard sigmoid module": (Written(lambda u, s: u * s, nn.Hardsigmoid()), S, "hard_sigmoid"),
    "sigmoid in place": (Written(lambda u, s: u * s, InPlaceSigmoid()), S, "sigmoid"),
    "dropout after the gate": (Written(lambda u, s: u * F.dropout(s, 0.1, False), nn.Sigmoid()), S, "sigmoid"),
    "channels last": (
        Written(lambda u, s: u.contiguous(memory_format=torch.channels_last) * s, nn.Sigmoid()),
        S,
        "sigmoid",
    ),
}
