import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

from seviz.compression.places import Place, Scaled, places
from seviz.network.blocks import find_se_blocks


class Unit(nn.Module):
    """A convolution, what is given, an SE block, and what is given again."""

    def __init__(self, between: nn.Module, after: nn.Module, *, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.between, self.se, self.after = between, SqueezeExcitation(8, 4), after

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.after(self.se(self.between(self.norm(self.conv(images)))))


class Shortcut(nn.Module):
    """The feature map that a block scales is also added behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.se = nn.Conv2d(3, 8, 3), SqueezeExcitation(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        u = self.conv(images)
        return (self.se(u) + u).mean((2, 3))


class Functional(nn.Module):
    """The product stands in the forward of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.matrix = nn.Conv2d(3, 8, 3), nn.Linear(8, 8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        u = self.conv(images)
        return (u * torch.sigmoid(8 * self.matrix(u.mean((2, 3))))[:, :, None, None]).mean((2, 3))


class Twice(nn.Module):
    """One block scales two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.se = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), SqueezeExcitation(8, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.se(self.two(self.se(self.one(images)))).mean((2, 3))


class Standardised(nn.Conv2d):
    """Its weights are computed anew at each pass."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.conv2d(input, self.weight - self.weight.mean(), self.bias)


class Parted(nn.Module):
    """Some of the channels go to one convolution, the others behind two constant ones to another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(5, 4, 1), nn.Conv2d(5, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = torch.split(x, [5, 3], dim=1)
        return self.one(left) + self.two(torch.cat([torch.ones(len(x), 2, *x.shape[2:]), right], 1))


def _only(model: nn.Module) -> Place:
    images = torch.randn(2, 3, 16, 16)
    model.eval()
    (place,) = places(model, images, find_se_blocks(model, images)).values()
    return place


def _outputs(path: str) -> tuple[Scaled, ...]:
    return (Scaled(path=path, axis="outputs", first=0, start=0, stop=8),)


def _inputs(path: str) -> tuple[Scaled, ...]:
    return (Scaled(path=path, axis="inputs", first=0, start=0, stop=8),)


@pytest.mark.parametrize(
    ("make", "side", "layers", "positive"),
    [
        (lambda: Unit(nn.Identity(), nn.ReLU()), "before", _outputs("norm"), False),
        (lambda: Unit(nn.Identity(), nn.ReLU(), norm=False), "before", _outputs("conv"), False),
        (lambda: Unit(nn.ReLU(inplace=True), nn.ReLU()), "before", _outputs("norm"), True),
        (lambda: Unit(nn.MaxPool2d(2), nn.ReLU()), "before", _outputs("norm"), True),
        (lambda: Unit(nn.AvgPool2d(2), nn.ReLU()), "before", _outputs("norm"), False),
        (lambda: Unit(nn.SiLU(), nn.Conv2d(8, 4, 1)), "after", _inputs("after"), False),
        (lambda: Unit(nn.Hardswish(), nn.Conv2d(8, 8, 3, groups=4)), "after", _inputs("after"), False),
        (
            lambda: Unit(nn.SiLU(), nn.Sequential(nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(8, 4, 1))),
            "after",
            _inputs("after.2"),
            True,
        ),
        (
            lambda: Unit(nn.SiLU(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))),
            "after",
            _inputs("after.2"),
            False,
        ),
        (
            lambda: Unit(nn.SiLU(), Parted()),
            "after",
            (
                Scaled(path="after.one", axis="inputs", first=0, start=0, stop=5),
                Scaled(path="after.two", axis="inputs", first=2, start=5, stop=8),
            ),
            False,
        ),
    ],
    ids=["norm", "conv", "relu", "max", "avg", "silu", "grouped", "relu-after", "linear", "parted"],
)
def test_where_a_gate_goes(
    make: Callable[[], nn.Module], side: str, layers: tuple[Scaled, ...], positive: bool
) -> None:
    place = _only(make())
    assert (place.side, place.layers, place.positive, place.reason) == (side, layers, positive, "")


@pytest.mark.parametrize(
    ("make", "removable", "reason"),
    [
        (Functional, False, "the network itself does more than scale what it is given"),
        (Twice, False, "its module 'se' is called several times"),
        (Shortcut, True, "before it what conv2d in 'conv' gives is also used elsewhere.*; after it .*add.* does not"),
        (lambda: Unit(nn.SiLU(), nn.SiLU()), True, "before it silu .* does not pass a factor on; after it silu"),
        (lambda: Unit(nn.SiLU(), nn.Identity()), True, "after it comes the network's output"),
        (lambda: Unit(nn.SiLU(), Standardised(8, 8, 1)), True, "the weights of conv2d .* are computed anew"),
    ],
    ids=["functional", "twice", "shortcut", "silu", "output", "standardised"],
)
def test_why_a_gate_can_go_nowhere(make: Callable[[], nn.Module], removable: bool, reason: str) -> None:
    model = make().eval()
    images = torch.randn(2, 3, 16, 16)
    place = next(iter(places(model, images, find_se_blocks(model, images)).values()))
    assert place.side is None
    assert place.removable is removable
    assert re.search(reason, place.reason), place.reason


def test_a_layer_that_is_shared_or_has_hooks_takes_nothing() -> None:
    model = Unit(nn.Identity(), nn.ReLU(), norm=False).eval()
    model.conv.register_forward_hook(lambda *_: None)
    assert "the layer 'conv' has hooks" in _only(model).reason
    shared = Unit(nn.Identity(), nn.ReLU(), norm=False).eval()
    shared.twin = nn.Conv2d(3, 8, 3, padding=1)
    shared.twin.weight = shared.conv.weight
    assert "are used several times" in _only(shared).reason
