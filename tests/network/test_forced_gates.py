from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

import seviz
from seviz.errors import CompiledModelError, OptionError
from seviz.network.blocks import find_se_blocks
from seviz.network.gates import capture_gates, force_gates
from tests.network.forms import FORMS, SHAPE, Gated, SELayer, Written, images

GIVEN = torch.linspace(0.1, 0.9, 40).reshape(5, 8)
"""Gates of five images."""


def by_hand(model: Gated, form: str, s: Tensor, x: Tensor) -> Tensor:
    """What a network of one block gives with these gates, (batch or 1, channels)."""
    u = model.stem(x)
    s = s[:, :, None, None]
    extra = {"addcmul": u + u * s, "addcmul of a tensor": u + 2 * s * u}
    return extra.get(form, s * u).mean((2, 3))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("forced", "gates"),
    [
        (0.0, torch.zeros(1, 8)),
        (1, torch.ones(1, 8)),
        (GIVEN[0], GIVEN[:1]),
        (GIVEN[0].numpy(), GIVEN[:1]),
        (GIVEN, GIVEN),
        (GIVEN.double(), GIVEN),
        (lambda _: GIVEN, GIVEN),
        (lambda _: 0.5, torch.full((1, 8), 0.5)),
        (lambda s: torch.zeros_like(s[0]), torch.zeros(1, 8)),
    ],
    ids=("zero", "one", "channels", "array", "images", "float64", "function", "number", "function to channels"),
)
@torch.no_grad()
def test_every_form_of_block_goes_on_with_the_gates_given(form: str, forced: Any, gates: Tensor) -> None:
    model = Gated(FORMS[form][0]).eval()
    blocks = find_se_blocks(model, SHAPE)
    before = model(images())
    with force_gates(model, blocks, {"SE_2_1": forced}):
        output = model(images())
    torch.testing.assert_close(output, by_hand(model, form, gates, images()), rtol=0, atol=1e-6)
    assert torch.equal(model(images()), before)


@pytest.mark.parametrize("form", ["scaled in the parent", "a function call"])
@torch.no_grad()
def test_single_channels_and_functions_of_the_gate(form: str) -> None:
    model = Gated(FORMS[form][0]).eval()
    blocks = find_se_blocks(model, SHAPE)
    with capture_gates(model, blocks) as gates:
        model(images())
    s = gates["SE_2_1"].clone()
    for forced, expected in (
        ({2: 0.0, 5: 0.25}, torch.stack([*s.T[:2], torch.zeros(5), *s.T[3:5], torch.full((5,), 0.25), *s.T[6:]], 1)),
        (lambda gate: 1 - gate, 1 - s),
        (lambda gate: gate.roll(1, 0), s[[4, 0, 1, 2, 3]]),
        (lambda gate: gate.mul_(0.5), s / 2),
    ):
        with force_gates(model, blocks, {"SE_2_1": forced}):
            output = model(images())
        torch.testing.assert_close(output, by_hand(model, form, expected, images()), rtol=0, atol=1e-6)


@torch.no_grad()
def test_both_calls_of_a_shared_block() -> None:
    for layer in (SELayer(), FORMS["a function call"][0]):
        model = Gated(nn.Sequential(layer, nn.ReLU(), layer)).eval()
        blocks = find_se_blocks(model, SHAPE)
        first = model.stem(images())
        for name, expected in (
            ("SE_2_1", layer(torch.relu(0.5 * first))),
            ("SE_2_2", 0.5 * torch.relu(layer(first))),
        ):
            with force_gates(model, blocks, {name: 0.5}):
                for _ in range(2):
                    torch.testing.assert_close(model(images()), expected.mean((2, 3)))
        with force_gates(model, blocks, {"SE_2_1": 0.5, "SE_2_2": 2.0}):
            torch.testing.assert_close(model(images()), torch.relu(first).mean((2, 3)))


class Expanded(nn.Module):
    """A gate whose module expands it over positions."""

    class Gate(nn.Module):
        def forward(self, s: Tensor, u: Tensor) -> Tensor:
            return torch.sigmoid(s)[:, :, None, None].expand_as(u)

    def __init__(self) -> None:
        super().__init__()
        self.excite, self.gate = nn.Linear(8, 8), self.Gate()

    def forward(self, u: Tensor) -> Tensor:
        return u * self.gate(self.excite(u.mean((2, 3))), u)


@torch.no_grad()
def test_gates_that_are_expanded_over_positions() -> None:
    for module in (
        Expanded(),
        Written(lambda u, s: u * torch.sigmoid(s).expand_as(u)),
    ):
        model = Gated(module).eval()
        blocks = find_se_blocks(model, SHAPE)
        with force_gates(model, blocks, {"SE_2_1": GIVEN}):
            output = model(images())
        torch.testing.assert_close(output, by_hand(model, "", GIVEN, images()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@torch.no_grad()
def test_gates_take_the_precision_of_the_network(dtype: torch.dtype) -> None:
    for form in ("scaled in the parent", "a function call"):
        model = Gated(FORMS[form][0]).eval()
        blocks = find_se_blocks(model, SHAPE)
        model.to(dtype)
        with force_gates(model, blocks, {"SE_2_1": GIVEN}), capture_gates(model, blocks) as gates:
            output = model(images().to(dtype))
        model.float()
        assert output.dtype == gates["SE_2_1"].dtype == dtype
        torch.testing.assert_close(gates["SE_2_1"], GIVEN.to(dtype))
        torch.testing.assert_close(output.float(), by_hand(model, form, GIVEN, images()), rtol=0.05, atol=0.01)


@pytest.mark.parametrize("name", ["seresnet50", "mobilenetv3_large_100"])
@torch.no_grad()
def test_a_block_with_gates_of_one_is_a_network_without_it(name: str) -> None:
    model = timm.create_model(name, **({"zero_init_last": False} if name == "seresnet50" else {})).eval()
    blocks = find_se_blocks(model, (3, 64, 64))
    x = images(2, 64)
    block = blocks["SE_4_2"]
    with force_gates(model, blocks, {"SE_4_2": 1}):
        forced = model(x)
    parent, _, child = block.path.rpartition(".")
    setattr(model.get_submodule(parent), child, nn.Identity())
    torch.testing.assert_close(forced, model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["scaled in the parent", "a function call"])
@torch.no_grad()
def test_contexts_take_turns_in_the_order_they_are_entered(form: str) -> None:
    model = Gated(FORMS[form][0]).eval()
    blocks = find_se_blocks(model, SHAPE)
    signals = ("excitation", "squeeze", "response")
    with capture_gates(model, blocks, signals=signals) as plain:
        model(images())
    s, u = plain["SE_2_1"].clone(), model.stem(images()).abs().mean((2, 3))
    with (
        capture_gates(model, blocks, signals=signals) as around,
        force_gates(model, blocks, {"SE_2_1": lambda gate: gate / 2}),
        capture_gates(model, blocks, signals=signals) as between,
        force_gates(model, blocks, {"SE_2_1": lambda gate: gate + 3}),
        capture_gates(model, blocks, signals=signals) as inside,
    ):
        output = model(images())
    for gates, expected in ((around, s), (between, s / 2), (inside, s / 2 + 3)):
        torch.testing.assert_close(gates["SE_2_1"], expected)
        torch.testing.assert_close(gates.signal("response")["SE_2_1"], expected * u)
        torch.testing.assert_close(gates.signal("squeeze")["SE_2_1"], plain.signal("squeeze")["SE_2_1"])
    torch.testing.assert_close(output, by_hand(model, form, s / 2 + 3, images()), rtol=0, atol=1e-6)
    with force_gates(model, blocks, {"SE_2_1": 0.0}), force_gates(model, blocks, {"SE_2_1": GIVEN}):
        torch.testing.assert_close(model(images()), by_hand(model, form, GIVEN, images()), rtol=0, atol=1e-6)


@torch.no_grad()
def test_later_blocks_see_what_comes_of_it(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    with force_gates(tiny_net, blocks, {"SE_3_1": 0.0}), capture_gates(tiny_net, blocks) as gates:
        tiny_net(images())
    with capture_gates(tiny_net, blocks) as plain:
        tiny_net(images())
    assert torch.equal(gates["SE_2_1"], plain["SE_2_1"])
    assert not gates["SE_3_1"].any()
    assert torch.equal(gates["SE_4_1"][0], gates["SE_4_1"][1])
    assert not torch.equal(plain["SE_4_1"][0], plain["SE_4_1"][1])


def test_gradients_flow_through_what_is_given() -> None:
    for form in ("scaled in the parent", "a function call"):
        model = Gated(FORMS[form][0]).eval()
        given = GIVEN.clone().requires_grad_()
        with force_gates(model, find_se_blocks(model, SHAPE), {"SE_2_1": given}):
            model(images()).sum().backward()
        torch.testing.assert_close(given.grad, model.stem(images()).mean((2, 3)))


def test_the_model_comes_back_and_the_tensor_stays_as_it_was(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    given = torch.rand(5, 8)
    kept = given.clone()
    with force_gates(tiny_net, blocks, {"SE_2_1": given}):
        tiny_net(images())
    with (
        pytest.raises(RuntimeError, match="to have 3 channels"),
        force_gates(tiny_net, blocks, {"SE_2_1": given}),
    ):
        tiny_net(images()[:, :2])
    model = Gated(FORMS["a function call"][0]).eval()
    found = find_se_blocks(model, SHAPE)
    with pytest.raises(ZeroDivisionError), force_gates(model, found, {"SE_2_1": lambda _: 1 / 0}):
        model(images())
    with torch.no_grad():
        assert torch.equal(model(images()), Gated.forward(model, images()))
    assert torch.equal(given, kept)
    for net in (tiny_net, model):
        assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())


def refusal(model: nn.Module, forced: dict[str, Any], call: Callable[[], object] = lambda: None) -> str:
    with pytest.raises(OptionError) as error, force_gates(model, find_se_blocks(model, SHAPE), forced):
        call()
    return str(error.value)


def test_what_does_not_fit_is_an_error(tiny_net: nn.Module) -> None:
    expected = "forced has 'SE_9_9', expected some of the blocks SE_2_1, SE_3_1, SE_4_1"
    assert refusal(tiny_net, {"SE_9_9": 1.0}) == expected
    for shape in ((7,), (5, 7), (1, 5, 8)):
        assert refusal(tiny_net, {"SE_2_1": np.zeros(shape)}) == (
            f"forced['SE_2_1'] has shape {shape}, expected a number, (8) or (batch, 8)"
        )
    for channel in (8, -1, "a"):
        assert refusal(tiny_net, {"SE_2_1": {channel: 0.0}}) == (
            f"forced['SE_2_1'] has channel {channel!r}, expected whole numbers from 0 to 7"
        )
    assert "has channel 9, expected" in refusal(tiny_net, {"SE_2_1": {3: 0.0, 9: 0.0, 8: 0.0}})  # the first of them
    for forced in (torch.zeros(4, 8), lambda _: torch.zeros(4, 8)):
        assert refusal(tiny_net, {"SE_2_1": forced}, lambda: tiny_net(images(5))) == (
            "what SE_2_1 is forced to has shape (4, 8), expected a number, (8,) or (5, 8)"
        )
    with pytest.raises(CompiledModelError, match=r"before torch.compile"), force_gates(torch.compile(tiny_net), {}, {}):
        pytest.fail("forced gates of a compiled model")


@torch.no_grad()
def test_public_door(tiny_net: nn.Module) -> None:
    blocks = seviz.find_se_blocks(tiny_net, images())
    with seviz.force_gates(tiny_net, blocks, {}):
        output = tiny_net(images())
    assert torch.equal(output, tiny_net(images()))
