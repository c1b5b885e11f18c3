"""Kinds of scaling that come near to a named one and are not it, and other ways to write one that is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.network.scalings import Scaling
from seviz.network.tracing import Trace, trace

Form = Callable[[Tensor, nn.ModuleList], Tensor]
CHANNELS = 16


class Called(nn.Module):
    """A module whose forward is given as a function of its input and of its layers."""

    def __init__(self, form: Form, *layers: nn.Module) -> None:
        super().__init__()
        self.form, self.layers = form, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, self.layers)


def traced(form: Form, *layers: nn.Module, x: Tensor | None = None) -> Trace:
    torch.manual_seed(3)
    model = Called(form, *layers).eval()
    with torch.no_grad(), trace(model) as state:
        model(torch.randn(2, CHANNELS, 8, 10) if x is None else x)
    return state


def conv(inputs: int, outputs: int, kernel: int = 1) -> nn.Module:
    return nn.Conv2d(inputs, outputs, kernel, padding="same")


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def spread(gate: Tensor) -> Tensor:
    return gate[:, :, None, None]


def pooled(x: Tensor, axis: int) -> Tensor:
    """Mean and maximum over an axis, side by side as channels."""
    return torch.cat([x.mean(axis, keepdim=True), x.max(axis, keepdim=True)[0]], 1)


def recalibrated(x: Tensor) -> Tensor:
    """What is left of a feature map when each of its channels is brought to mean 0 and deviation 1."""
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


def crossed(x: Tensor, m: nn.ModuleList) -> Tensor:
    """A factor of a single channel along each side."""
    x = m[0](x)
    down, across = m[1](torch.cat([x.mean(3), x.mean(2)], 2)).sigmoid().split([8, 10], 2)
    return x * down[:, :, :, None] * across[:, :, None]


def rows(x: Tensor) -> Tensor:
    """Rows that add up to one, as those of self-attention."""
    return x / x.sum(3, keepdim=True)


def grouped(x: Tensor, m: nn.ModuleList) -> Tensor:
    """Spatial group-wise enhance (arXiv 1905.09646), with groups in the place of images."""
    y = x.view(-1, 4, *x.shape[2:])
    similar = (y * y.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
    return (y * torch.sigmoid(recalibrated(similar))).view_as(x)


def glu(x: Tensor, m: nn.ModuleList) -> Tensor:
    one, other = m[0](x).chunk(2, 1)
    return one * torch.sigmoid(other)


def half_by_half(x: Tensor, m: nn.ModuleList) -> Tensor:
    """One softmax over all channels, of which each half of a feature map takes its own."""
    gate = spread(m[0](mean(x)).softmax(1))
    return torch.cat([half * each for half, each in zip(x.chunk(2, 1), gate.chunk(2, 1), strict=True)], 1)


def mixed(x: Tensor, m: nn.ModuleList) -> Tensor:
    """Three gates, mixed by a softmax over these."""
    gates = m[1](mean(x)).unflatten(1, (3, CHANNELS)).sigmoid()
    return x * spread((m[0](mean(x)).softmax(1)[:, :, None] * gates).sum(1))


def in_parts(x: Tensor, m: nn.ModuleList) -> Tensor:
    """Three branches, scaled one by one."""
    branches = [layer(x) for layer in list(m)[:3]]
    weights = m[3](mean(sum(branches))).unflatten(1, (3, CHANNELS)).softmax(1).unbind(1)
    return sum(spread(weight) * branch for weight, branch in zip(weights, branches, strict=True))


TOLD: dict[str, tuple[list[Scaling], Form, tuple[nn.Module, ...]]] = {
    # Spatial gates
    "3x3": ([Scaling.SPATIAL], lambda x, m: x * m[0](x).sigmoid(), (conv(CHANNELS, 1, 3),)),
    "two layers": ([Scaling.SPATIAL], lambda x, m: x * m[1](m[0](x).relu()).sigmoid(), (conv(CHANNELS, 4), conv(4, 1))),
    "mean alone": ([Scaling.SPATIAL], lambda x, m: x * m[0](x.mean(1, keepdim=True)).sigmoid(), (conv(1, 1, 7),)),
    "softmax of positions": (
        [Scaling.SPATIAL],
        lambda x, m: x * m[0](x).flatten(2).softmax(2).unflatten(2, (8, 10)),
        (conv(CHANNELS, 1),),
    ),
    "of another map": ([Scaling.SPATIAL], lambda x, m: m[1](x) * m[0](x).sigmoid(), (conv(16, 1), conv(16, 16))),
    "expanded": ([Scaling.POOLED], lambda x, m: x * m[0](pooled(x, 1)).sigmoid().expand_as(x), (conv(2, 1, 7),)),
    "by groups": ([Scaling.UNLEARNED, Scaling.NORMALISED, Scaling.SPATIAL], grouped, ()),
    # Along one side
    "one side": ([Scaling.DIRECTIONAL], lambda x, m: x * m[0](x.mean(3, keepdim=True)).sigmoid(), (conv(16, 16),)),
    "one side, pooled": ([Scaling.DIRECTIONAL], lambda x, m: x * m[0](pooled(x, 3)).sigmoid(), (conv(32, 16),)),
    "each side by itself": (
        [Scaling.DIRECTIONAL],
        lambda x, m: x * m[0](x.mean(3, keepdim=True)).sigmoid() * m[1](x.mean(2, keepdim=True)).sigmoid(),
        (conv(16, 16), conv(16, 16)),
    ),
    "each side, of all channels": ([Scaling.DIRECTIONAL], crossed, (conv(16, 16), nn.Conv1d(CHANNELS, 1, 1))),
    # A factor for every number
    "SiLU": ([], lambda x, m: x * x.sigmoid(), ()),
    "GLU": ([], glu, (conv(CHANNELS, 2 * CHANNELS),)),
    "pixel attention": ([], lambda x, m: x * m[0](x).sigmoid(), (conv(CHANNELS, CHANNELS),)),
    "hourglass": (
        [],
        lambda x, m: x * F.interpolate(m[0](F.max_pool2d(x, 2)), x.shape[2:]).sigmoid(),
        (conv(CHANNELS, CHANNELS, 3),),
    ),
    "channel gate times spatial gate": (
        [Scaling.COMBINED],
        lambda x, m: x * (spread(m[0](mean(x)).sigmoid()) * m[1](x).sigmoid()),
        (nn.Linear(CHANNELS, CHANNELS), conv(CHANNELS, 1)),
    ),
    # Per channel and image, without a matrix
    "LayerNorm": ([Scaling.UNLEARNED], lambda x, m: x * spread(m[0](mean(x)).sigmoid()), (nn.LayerNorm(CHANNELS),)),
    "1 + tanh": ([Scaling.UNLEARNED], lambda x, m: x * spread(1 + m[0](mean(x)).tanh()), (nn.LayerNorm(CHANNELS),)),
    "exp(-z)": ([Scaling.UNLEARNED], lambda x, m: x * spread((-m[0](mean(x))).exp()), (nn.LayerNorm(CHANNELS),)),
    "channel by channel": (
        [Scaling.UNLEARNED],
        lambda x, m: x * spread(m[0](mean(x)).sigmoid()),
        (nn.BatchNorm1d(CHANNELS),),
    ),
    "mean of squares": ([Scaling.UNLEARNED], lambda x, m: x * spread(mean(x.pow(2)).sigmoid()), ()),
    "its own mean": ([Scaling.UNLEARNED], lambda x, m: x * spread(mean(x)), ()),
    "filter response": ([Scaling.NORMALISED], lambda x, m: x * spread((mean(x.pow(2)) + 1e-6).rsqrt()), ()),
    "rows that add up to one": ([Scaling.UNLEARNED], lambda x, m: rows(x.softmax(3)), ()),
    "instance norm": ([Scaling.NORMALISED], lambda x, m: recalibrated(x), ()),
    # For all images, for all channels
    "a number an image": (
        [Scaling.IMAGE_GATE],
        lambda x, m: x * spread(m[0](mean(x)).sigmoid()),
        (nn.Linear(CHANNELS, 1),),
    ),
    "drawn an image": ([Scaling.IMAGE], lambda x, m: x * x.new_empty(2, 1, 1, 1).bernoulli_(0.5), ()),
    "weights of positions": ([Scaling.WEIGHTED], lambda x, m: x * m[0].weight.view(1, 1, 8, 10), (nn.Linear(80, 1),)),
    "weights of numbers": ([Scaling.WEIGHTED], lambda x, m: x * m[0].weight.view(16, 8, 10), (nn.Linear(80, 16),)),
    "three branches": ([Scaling.SELECTIVE], in_parts, (*(conv(16, 16) for _ in range(3)), nn.Linear(16, 48))),
}


@pytest.mark.parametrize("name", TOLD)
def test_no_name_is_given_that_the_way_of_the_factor_does_not_prove(name: str) -> None:
    kinds, form, layers = TOLD[name]
    state = traced(form, *layers)
    assert [kind for _, kind in state.scalings] == kinds
    assert state.finds == []


FOUND: dict[str, tuple[int, Form, tuple[nn.Module, ...]]] = {
    "softmax over channels": (1, lambda x, m: x * spread(m[0](mean(x)).softmax(1)), (nn.Linear(16, 16),)),
    "softmax over groups of channels": (
        1,
        lambda x, m: x * spread(m[0](mean(x)).unflatten(1, (2, 8)).softmax(1).flatten(1)),
        (nn.Linear(16, 16),),
    ),
    "softmax over channels, half by half": (2, half_by_half, (nn.Linear(16, 16),)),
    "softmax of on and off": (
        1,
        lambda x, m: x * spread(m[0](mean(x)).unflatten(1, (2, 16)).softmax(1)[:, 1]),
        (nn.Linear(16, 32),),
    ),
    "a mixture of gates": (1, mixed, (nn.Linear(16, 3), nn.Linear(16, 48))),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_softmax_that_scales_one_feature_map_is_a_gate(name: str) -> None:
    finds, form, layers = FOUND[name]
    state = traced(form, *layers)
    assert len(state.finds) == finds
    assert list(state.scalings) == []


def test_a_gate_that_two_feature_maps_share_is_no_softmax_between_them() -> None:
    def shared(x: Tensor, m: nn.ModuleList) -> Tensor:
        gate = spread(m[0](mean(x)).unflatten(1, (2, CHANNELS)).softmax(1)[:, 1])
        return x * gate + m[1](x) * gate

    state = traced(shared, nn.Linear(CHANNELS, 2 * CHANNELS), conv(CHANNELS, CHANNELS))
    assert len(state.finds) == 1
    assert list(state.scalings) == [("", Scaling.FOREIGN)]


def test_each_branch_is_told_of_the_module_that_scales_it() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor, gate: Tensor) -> Tensor:
            return x * spread(gate)

    def selected(x: Tensor, m: nn.ModuleList) -> Tensor:
        branches = m[0](x), m[1](x)
        weights = m[2](mean(sum(branches))).unflatten(1, (2, CHANNELS)).softmax(1)
        return sum(m[3 + k](branch, weights[:, k]) for k, branch in enumerate(branches))

    layers = *(conv(CHANNELS, CHANNELS) for _ in range(2)), nn.Linear(CHANNELS, 2 * CHANNELS), Branch(), Branch()
    state = traced(selected, *layers)
    assert list(state.scalings) == [("layers.3", Scaling.SELECTIVE), ("layers.4", Scaling.SELECTIVE)]
    assert state.finds == []


def test_a_factor_of_more_axes_than_the_feature_map_is_no_scaling_of_it() -> None:
    assert list(traced(lambda x, m: (x * torch.ones(1, 1, 1, 1, 10))[0]).scalings) == []


def test_what_leads_to_a_gate_is_not_told_beside_it() -> None:
    """The weights of positions in a squeeze; but those of a product beside it are."""

    def weighted(x: Tensor, m: nn.ModuleList) -> Tensor:
        return x * spread(m[1]((x * m[0].weight.view(1, 1, 8, 10)).sum((2, 3))).sigmoid())

    layers = nn.Linear(80, 1), nn.Linear(CHANNELS, CHANNELS)
    assert list(traced(weighted, *layers).scalings) == []
    both = traced(lambda x, m: weighted(x, m) * m[0].weight.view(1, 1, 8, 10), *layers)
    assert list(both.scalings) == [("", Scaling.WEIGHTED)]
    assert len(both.finds) == 1
    behind = traced(lambda x, m: weighted(x * m[0].weight.view(1, 1, 8, 10), m), *layers)
    assert list(behind.scalings) == [("", Scaling.WEIGHTED)]
    assert len(behind.finds) == 1


def test_a_scaled_feature_map_that_is_squeezed_stays_told() -> None:
    def spatial_first(x: Tensor, m: nn.ModuleList) -> Tensor:
        x = x * m[0](x).sigmoid()
        return x * spread(m[1](mean(x)).sigmoid())

    state = traced(spatial_first, conv(CHANNELS, 1, 3), nn.Linear(CHANNELS, CHANNELS))
    assert list(state.scalings) == [("", Scaling.SPATIAL)]
    assert len(state.finds) == 1


def test_channels_that_stand_in_the_place_of_rows_are_seen_by_their_number() -> None:
    """With as many channels as rows it cannot be known, and triplet attention is not named."""

    def turned(x: Tensor, m: nn.ModuleList) -> Tensor:
        y = x.permute(0, 2, 1, 3).contiguous()
        return y * m[0](pooled(y, 1)).sigmoid()

    for rows, kind in ((8, Scaling.TURNED), (CHANNELS, Scaling.POOLED)):
        state = traced(turned, conv(2, 1, 7), x=torch.randn(2, CHANNELS, rows, 10))
        assert [each for _, each in state.scalings] == [kind]


def test_channels_that_are_last_are_not_taken_for_turned_ones() -> None:
    """Of square feature maps a spatial gate as in CBAM, in a network that keeps its channels last."""

    def last(x: Tensor, m: nn.ModuleList) -> Tensor:
        y = m[1](x.permute(0, 2, 3, 1))
        two = torch.cat([y.mean(3, keepdim=True), y.amax(3, keepdim=True)], 3)
        return y * m[0](two.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).sigmoid()

    state = traced(last, conv(2, 1, 7), nn.Linear(CHANNELS, CHANNELS), x=torch.randn(2, CHANNELS, 8, 8))
    assert [kind for _, kind in state.scalings] == [Scaling.POOLED]
