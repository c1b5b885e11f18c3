import copy
from dataclasses import replace

import pytest
import timm
import torch
from captum.attr import LayerActivation
from torch import Tensor, nn
from torch.nn import functional as F

import seviz
from seviz.errors import CompiledModelError, GatesNotSeenError, OptionError
from seviz.network.blocks import find_se_blocks
from seviz.network.gates import capture_gates
from seviz.network.reading import module_outputs
from tests.network.forms import FORMS, SHAPE, Gated, SELayer, images


@pytest.mark.parametrize("name", ["seresnet50", "mobilenetv3_large_100", "efficientnet_b0", "ecaresnet26t"])
def test_gates_agree_with_captum(name: str) -> None:
    model = timm.create_model(name).eval()
    blocks = find_se_blocks(model, (3, 64, 64))
    x = images(3, 64)
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(x)
    layers = [model.get_submodule(block.gate_path) for block in blocks.values()]
    for block, expected in zip(blocks.values(), LayerActivation(model, layers).attribute(x), strict=True):
        assert gates[block.name].shape == (3, block.channels)
        torch.testing.assert_close(gates[block.name], expected.reshape(3, -1), rtol=0, atol=1e-6)


def test_gates_are_what_the_formula_gives() -> None:
    model = timm.create_model("seresnet50", zero_init_last=False).eval()
    blocks = find_se_blocks(model, (3, 64, 64))
    u: dict[str, Tensor] = {}
    for name, block in blocks.items():
        model.get_submodule(block.path).register_forward_pre_hook(lambda _, args, n=name: u.update({n: args[0]}))
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(images(3, 64))
        for name, block in blocks.items():
            w1, w2 = (model.get_parameter(weight).flatten(1) for weight in block.weights)
            b1, b2 = (model.get_parameter(weight.replace("weight", "bias")) for weight in block.weights)
            z = u[name].mean((2, 3))
            s = torch.sigmoid(torch.relu(z @ w1.T + b1) @ w2.T + b2)
            assert s.std(0).mean() > 1e-6
            torch.testing.assert_close(gates[name], s, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_signals_of_hand_written_blocks(form: str) -> None:
    block = FORMS[form][0]
    model = Gated(block).eval()
    with torch.no_grad():
        u = model.stem(images())
        s = block.fc(u.mean((2, 3))) if isinstance(block, SELayer) else block.excite(u)
        s = {"a function call": torch.sigmoid, "hard sigmoid by hand": F.hardsigmoid}.get(form, lambda x: x)(s)
        s = 1 + torch.tanh(s) if form == "one plus tanh" else s
        signals = ("excitation", "squeeze", "response")
        with capture_gates(model, find_se_blocks(model, SHAPE), signals=signals) as gates:
            model(images())
    expected = {"excitation": s, "squeeze": u.mean((2, 3)), "response": (s[:, :, None, None] * u).abs().mean((2, 3))}
    for signal, value in expected.items():
        torch.testing.assert_close(gates.signal(signal)["SE_2_1"], value, rtol=0, atol=1e-6)


def test_both_calls_of_a_shared_block() -> None:
    layer = SELayer()
    model = Gated(nn.Sequential(layer, nn.ReLU(), layer)).eval()
    blocks = find_se_blocks(model, SHAPE)
    with torch.no_grad(), capture_gates(model, blocks, signals=("squeeze",)) as gates:
        model(images())
        first = model.stem(images())
        second = torch.relu(layer(first))
    torch.testing.assert_close(gates["SE_2_1"], layer.fc(first.mean((2, 3))))
    torch.testing.assert_close(gates["SE_2_2"], layer.fc(second.mean((2, 3))))
    torch.testing.assert_close(gates.signal("squeeze")["SE_2_2"], second.mean((2, 3)))


def test_single_image_and_layer_scale_are_told_apart() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gamma, self.excite = nn.Parameter(torch.rand(1, 8, 1, 1)), nn.Linear(8, 8)

        def forward(self, u: Tensor) -> Tensor:
            u = u * self.gamma
            return u * torch.sigmoid(self.excite(u.mean((2, 3))))[:, :, None, None]

    model = Gated(Scaled()).eval()
    blocks = find_se_blocks(model, SHAPE)
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(images(1))
        u = model.stem(images(1)) * model.block.gamma
    torch.testing.assert_close(gates["SE_2_1"], torch.sigmoid(model.block.excite(u.mean((2, 3)))))


def test_each_pass_renews_the_gates(tiny_net: nn.Module) -> None:
    with capture_gates(tiny_net, find_se_blocks(tiny_net, SHAPE)) as gates:
        tiny_net(images(5))
        first = gates["SE_3_1"]
        tiny_net(images(2) + 1)
    assert first.shape == (5, 12)
    assert gates["SE_3_1"].shape == (2, 12)
    assert list(gates) == ["SE_2_1", "SE_3_1", "SE_4_1"]


def test_a_pass_that_ends_at_once_leaves_no_gates_of_the_one_before(tiny_net: nn.Module) -> None:
    """Here by a hook of the network that was there before."""
    broken = []
    tiny_net.register_forward_pre_hook(lambda *_: 1 / 0 if broken else None)
    with torch.no_grad(), capture_gates(tiny_net, find_se_blocks(tiny_net, SHAPE)) as gates:
        tiny_net(images())
        assert gates["SE_2_1"].shape == (5, 8)
        broken.append(True)
        with pytest.raises(ZeroDivisionError):
            tiny_net(images())
        with pytest.raises(GatesNotSeenError, match="SE_2_1 was not seen"):
            gates["SE_2_1"]


def test_gradients_flow_through_gates_of_every_form() -> None:
    for form, (block, _, _) in FORMS.items():
        model = Gated(block).eval()
        with capture_gates(model, find_se_blocks(model, SHAPE)) as gates:
            output = model(images())
        (gradient,) = torch.autograd.grad(output.sum(), gates["SE_2_1"])
        assert gradient.abs().sum() > 0, form


def test_graph_is_kept_unless_detached(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    x = images().requires_grad_()
    with capture_gates(tiny_net, blocks) as gates:
        logits = tiny_net(x)
    (to_input,) = torch.autograd.grad(gates["SE_4_1"].sum(), x, retain_graph=True)
    (to_gate,) = torch.autograd.grad(logits[:, 0].sum(), gates["SE_3_1"])
    assert to_input.abs().sum() > 0
    assert to_gate.abs().sum() > 0
    with capture_gates(tiny_net, blocks, detach=True) as gates:
        tiny_net(x)
    assert not gates["SE_4_1"].requires_grad


def test_output_is_unchanged_and_no_hook_stays(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    expected = tiny_net(images())
    with capture_gates(tiny_net, blocks, signals=("squeeze", "response")):
        assert torch.equal(tiny_net(images()), expected)
    with pytest.raises(RuntimeError, match="to have 3 channels"), capture_gates(tiny_net, blocks):
        tiny_net(images()[:, :2])
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in tiny_net.modules())


def test_an_interrupted_pass_does_not_shift_the_next() -> None:
    layer = SELayer()
    model = Gated(nn.Sequential(layer, nn.ReLU(), layer)).eval()
    with torch.no_grad(), capture_gates(model, find_se_blocks(model, SHAPE), signals=("squeeze",)) as gates:
        stop = model.block[1].register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model(images())
        stop.remove()
        model(images())
    torch.testing.assert_close(gates["SE_2_1"], layer.fc(model.stem(images()).mean((2, 3))))


def test_compiled_models_are_refused(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    with (
        pytest.raises(CompiledModelError, match=r"before torch.compile"),
        capture_gates(torch.compile(tiny_net), blocks),
    ):
        pytest.fail("captured a compiled model")


def test_asking_before_a_pass_or_for_another_block_is_an_error(tiny_net: nn.Module) -> None:
    with capture_gates(tiny_net, find_se_blocks(tiny_net, SHAPE)) as gates:
        with pytest.raises(GatesNotSeenError, match="SE_2_1 was not seen: no forward pass of the model went"):
            gates["SE_2_1"]
        with pytest.raises(GatesNotSeenError, match="no block 'SE_9_9' is captured; captured are SE_2_1, SE_3_1"):
            gates["SE_9_9"]
        with pytest.raises(OptionError, match="signal 'squeeze' is not captured; captured are excitation"):
            gates.signal("squeeze")
    with (
        pytest.raises(OptionError, match="signals has 'sqeeze', expected some of excitation, squeeze, response"),
        capture_gates(tiny_net, {}, signals=("sqeeze",)),
    ):
        pytest.fail("captured an unknown signal")


def test_public_door(tiny_net: nn.Module) -> None:
    blocks = seviz.find_se_blocks(tiny_net, images())
    with seviz.capture_gates(tiny_net, blocks) as gates:
        tiny_net(images())
    assert dict(gates).keys() == blocks.keys()


def test_modules_give_the_gates_where_products_use_what_they_return(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    x = torch.randn(5, *SHAPE)
    with (
        torch.no_grad(),
        module_outputs(tiny_net, blocks, strict=True) as returned,
        capture_gates(tiny_net, blocks) as gates,
    ):
        tiny_net(x)
        tiny_net(2 * x)
    assert list(returned) == list(blocks)
    for name, gate in gates.items():
        assert torch.equal(returned[name], gate)


def test_a_module_that_is_called_otherwise_than_found_gives_no_gate(tiny_net: nn.Module) -> None:
    blocks = find_se_blocks(tiny_net, SHAPE)
    twice = copy.deepcopy(blocks)
    twice["SE_2_1"] = replace(blocks["SE_2_1"], calls=2)
    with torch.no_grad():
        with (
            pytest.raises(GatesNotSeenError, match=r"gate of SE_2_1 was computed 1 times, for 2 images in all, exp"),
            module_outputs(tiny_net, twice, strict=True),
        ):
            tiny_net(torch.randn(2, *SHAPE))
        with module_outputs(tiny_net, twice, strict=False) as returned:
            tiny_net(torch.randn(2, *SHAPE))
    assert list(returned) == [name for name in blocks if name != "SE_2_1"]
