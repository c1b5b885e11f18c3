from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from seviz.network.products import is_feature_map
from seviz.network.scalings import Scaling
from seviz.network.tracing import trace
from tests.network.forms import Excite, Gated, SELayer, images


class Called(nn.Module):
    """A module whose forward is given as a function of its input and of its layers."""

    def __init__(self, form: Callable[[Tensor, nn.ModuleList], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.form, self.layers = form, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, self.layers)


def scalings(form: Callable[..., Tensor], *layers: nn.Module, x: Tensor | None = None) -> list[tuple[str, Scaling]]:
    model = Called(form, *layers)
    with torch.no_grad(), trace(model) as state:
        model(torch.randn(2, 8, 4, 4) if x is None else x)
    assert state.finds == []
    return list(state.scalings)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3, 4, 4), True),
        ((2, 3, 1, 2), True),
        ((2, 3, 2, 1), True),
        ((2, 3, 1, 1), False),
        ((2, 1, 1, 3), False),
        ((2, 3, 4), True),
        ((2, 3, 1), False),
        ((2, 2, 3, 4, 4), True),
        ((2, 2, 3, 4, 4, 4), False),
        ((2, 3), False),
    ],
)
def test_a_feature_map_has_channels_and_positions(shape: tuple[int, ...], expected: bool) -> None:
    assert is_feature_map(torch.zeros(shape)) == expected


def test_a_find_tells_the_block_and_what_its_gate_was_computed_from() -> None:
    model = Gated(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), SELayer())).eval()
    with torch.no_grad():
        u = model.block[0](model.stem(images(2)))
        with trace(model) as state:
            model(images(2))
    (find,) = state.finds
    squeezed = u.mean((2, 3))
    assert (find.path, find.product, find.gate) == ("block.1", 0, ("block.1.fc.3", 0))
    torch.testing.assert_close(find.u, u)
    torch.testing.assert_close(find.inputs[0][0], u)
    torch.testing.assert_close(find.factor, model.block[1].fc(squeezed))
    assert find.weights == ("block.1.fc.0.weight", "block.1.fc.2.weight")
    assert find.width == 2
    assert isinstance(find.width, int)
    trail = [origin.value for origin in find.origin.since_squeeze()]
    shapes = [tuple(tensor.shape) for tensor in trail]
    assert shapes[0] == (2, 8, 1, 1)
    assert (2, 2) in shapes
    torch.testing.assert_close(trail[0].flatten(1), squeezed)
    assert dict(state.calls) == {name: 1 for name, _ in model.named_modules()}
    assert dict(state.products) == {"": 1, "block": 1, "block.1": 1}


def test_calls_and_products_are_counted_within_each_module() -> None:
    layer = SELayer()
    model = Gated(nn.Sequential(layer, nn.ReLU(), layer, SELayer())).eval()
    with torch.no_grad(), trace(model) as state:
        model(images(2))
    assert [(find.path, find.product, find.gate) for find in state.finds] == [
        ("block.0", 0, ("block.0.fc.3", 0)),
        ("block.0", 1, ("block.0.fc.3", 1)),
        ("block.3", 0, ("block.3.fc.3", 0)),
    ]
    assert (state.calls["block.0"], state.calls["block.3"], state.calls["block"]) == (2, 1, 1)
    assert (state.products["block.0"], state.products["block.3"], state.products["block"]) == (2, 1, 3)


def test_a_gate_belongs_to_the_feature_map_it_was_squeezed_from() -> None:
    """Of three feature maps in a row, only the product with the first is one of an SE block."""
    model = Called(
        lambda x, m: [y * m[2](x)[:, :, None, None] for y in (x, m[0](x), m[1](m[0](x)))][-1],
        *(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), Excite(nn.Sigmoid())),
    )
    with torch.no_grad(), trace(model) as state:
        model(torch.randn(2, 8, 4, 4))
    assert [(find.path, find.product) for find in state.finds] == [("", 0)]
    assert list(state.scalings) == [("", Scaling.FOREIGN)]
    assert state.products[""] == 3


def test_a_matrix_is_told_from_a_bias_and_a_norm() -> None:
    """Only matrices are weights: a squeeze that is normalised and shifted is scaled by nothing learned."""
    model = Called(lambda x, m: x * torch.sigmoid(m[0](x.mean((2, 3))))[:, :, None, None], nn.LayerNorm(8))
    with torch.no_grad(), trace(model) as state:
        model(torch.randn(2, 8, 4, 4))
    assert state.finds == []
    assert list(state.scalings) == [("", Scaling.UNLEARNED)]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2, 1, 1, 1), Scaling.IMAGE),
        ((1, 8, 1, 1), Scaling.LEARNED),
        ((8, 1, 1), Scaling.LEARNED),
        ((4,), Scaling.LEARNED),
        ((2, 1, 4, 5), Scaling.SPATIAL),
        ((2, 8, 1, 5), Scaling.DIRECTIONAL),
        ((2, 8, 4, 1), Scaling.DIRECTIONAL),
        ((2, 1, 1, 5), Scaling.UNKNOWN),
    ],
)
def test_the_kinds_of_scaling(shape: tuple[int, ...], kind: Scaling) -> None:
    factor = torch.rand(shape)
    x = torch.randn(2, 8, 4, shape[-1] if shape[-1] > 1 else 5)
    for form in (lambda x, _: x * factor, lambda x, _: factor * x):
        assert scalings(form, x=x) == [("", kind)]


@pytest.mark.parametrize("sides", [(2, 2), (2, 9), (9, 2)])
def test_a_factor_along_one_side_of_a_narrow_feature_map(sides: tuple[int, int]) -> None:
    for factor in (torch.rand(2, 8, 1, sides[1]), torch.rand(2, 8, sides[0], 1)):
        assert scalings(lambda x, _, f=factor: x * f, x=torch.randn(2, 8, *sides)) == [("", Scaling.DIRECTIONAL)]


def test_what_is_scaled_by_something_as_large_or_by_single_numbers_is_not_noted() -> None:
    assert scalings(lambda x, _: x * torch.rand(2, 8, 4, 4)) == []
    assert scalings(lambda x, _: x * torch.rand(1, 1, 1, 1)) == []
    assert scalings(lambda x, _: x.flatten(1) * torch.rand(2, 1)) == []
    assert scalings(lambda x, _: x[:1] * torch.rand(2, 1, 1, 1)) == []  # one image times two numbers is two images


def test_several_scalings_are_noted_in_order() -> None:
    assert scalings(lambda x, _: x.repeat(2, 1, 1, 1) * torch.rand(4, 1, 4, 4)) == [("", Scaling.SPATIAL)]
    assert scalings(lambda x, _: x.unflatten(1, (2, 4)) * torch.rand(2, 2, 4, 1, 1)) == [("", Scaling.SEVERAL)]
    assert scalings(lambda x, _: (x * torch.rand(2, 1, 4, 4)) * torch.rand(8, 1, 1)) == [
        ("", Scaling.SPATIAL),
        ("", Scaling.LEARNED),
    ]


def test_scaling_is_noted_of_the_innermost_module() -> None:
    inner = Called(lambda x, _: x * torch.rand(2, 1, 4, 4))
    model = nn.Sequential(nn.Identity(), nn.Sequential(inner))
    with torch.no_grad(), trace(model) as state:
        model(torch.randn(2, 8, 4, 4))
    assert list(state.scalings) == [("1.0", Scaling.SPATIAL)]


def test_stand_ins_for_parameters_are_known_by_name() -> None:
    layer = SELayer()
    weights = {name: torch.rand_like(parameter) for name, parameter in layer.named_parameters()}
    with torch.no_grad(), trace(layer, weights) as state:
        torch.func.functional_call(layer, weights, torch.randn(2, 8, 4, 4))
    assert state.finds[0].weights == ("fc.0.weight", "fc.2.weight")


def test_nothing_stays_when_the_context_ends_even_by_an_error() -> None:
    model = Gated(SELayer())
    with pytest.raises(RuntimeError, match="to have 3 channels"), trace(model) as state:
        model(images(2)[:, :2])
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert state.calls["stem"] == 1
    model(images(2))
    assert state.calls["stem"] == 1
