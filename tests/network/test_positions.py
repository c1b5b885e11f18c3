import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import seviz
from seviz.network.blocks import find_se_blocks, survey
from seviz.network.gates import capture_gates, force_gates
from seviz.network.positions import Layout, over_positions, position_sizes, positions, spread_over
from tests.network.layered import KINDS, inputs, layered

kinds = pytest.mark.parametrize(("d", "layout"), KINDS)


def test_axes_of_positions() -> None:
    u = torch.arange(24.0).reshape(2, 3, 4)
    assert positions(u) == (2,)
    torch.testing.assert_close(over_positions(u), torch.tensor([[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]))
    assert spread_over(torch.ones(2, 3), torch.ones(2, 3, 4, 4, 4)).shape == (2, 3, 1, 1, 1)
    assert position_sizes((2, 3, 4, 5)) == (4, 5)
    assert position_sizes((2, 4, 5, 3), "last") == (4, 5)


@kinds
def test_blocks_are_found_and_named(d: int, layout: Layout) -> None:
    blocks = find_se_blocks(layered(d, layout), inputs(d, layout))
    assert [(b.name, b.path, b.channels, b.squeezed_channels) for b in blocks.values()] == [
        ("SE_2_1", "units.0", 6, 2),
        ("SE_3_1", "units.1", 8, 2),
    ]
    assert [(b.stride, b.gate, b.bounds, b.layout) for b in blocks.values()] == [
        (2, "sigmoid", (0, 1), layout),
        (4, "sigmoid", (0, 1), layout),
    ]
    assert blocks["SE_3_1"].gate_path == "units.1.excite"
    assert blocks["SE_3_1"].weights == ("units.1.excite.down.weight", "units.1.excite.up.weight")


@kinds
def test_gates_are_those_that_the_modules_give(d: int, layout: Layout) -> None:
    model, x = layered(d, layout), inputs(d, layout)
    blocks = find_se_blocks(model, x)
    seen: dict[str, Tensor] = {}
    maps: dict[str, Tensor] = {}
    for k, name in enumerate(blocks):
        unit = model.units[k]
        unit.excite.register_forward_hook(lambda m, a, out, name=name: seen.update({name: out}))
        unit.excite.register_forward_pre_hook(lambda m, a, name=name: maps.update({name: a[0]}))
    with torch.no_grad(), capture_gates(model, blocks, signals=("squeeze", "response")) as gates:
        model(x)
    for name in blocks:
        torch.testing.assert_close(gates[name], seen[name], rtol=0, atol=0)
        torch.testing.assert_close(gates.signal("squeeze")[name], maps[name], rtol=0, atol=1e-6)
    with torch.no_grad():
        u = (model.units[0].conv if layout == "first" else lambda x: _linear(model, x, d))(x)
    u = u if layout == "first" else u.movedim(-1, 1)
    response = (u.flatten(2) * seen["SE_2_1"][:, :, None]).abs().mean(2)
    torch.testing.assert_close(gates.signal("response")["SE_2_1"], response)


def _linear(model: nn.Module, x: Tensor, d: int) -> Tensor:
    return model.units[0].linear(x[(slice(None), *(slice(None, None, 2),) * d)])


@kinds
def test_forced_gates_are_constants_written_in(d: int, layout: Layout) -> None:
    model, x = layered(d, layout), inputs(d, layout)
    blocks = find_se_blocks(model, x)
    constant = torch.linspace(0.1, 0.9, 8)
    with torch.no_grad(), force_gates(model, blocks, {"SE_2_1": 1.0, "SE_3_1": constant}):
        forced = model(x)
    written = layered(d, layout)
    for unit, value in zip(written.units, (torch.ones(6), constant), strict=True):
        unit.excite.forward = lambda z, value=value: value.expand(len(z), -1)
    with torch.no_grad():
        torch.testing.assert_close(forced, written(x), rtol=0, atol=1e-6)
        assert not torch.allclose(forced, layered(d, layout)(x), atol=1e-4)


@kinds
def test_a_pass_of_another_size_has_the_same_gates_in_the_same_places(d: int, layout: Layout) -> None:
    model = layered(d, layout)
    blocks = find_se_blocks(model, inputs(d, layout))
    small = inputs(d, layout, side=4)
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        model(small)
        assert gates["SE_3_1"].shape == (4, 8)
        assert find_se_blocks(model, small) == blocks  # enlarged, where strides cannot be told


@pytest.mark.parametrize("form", ["channels last", "tokens", "einsum", "diagonal", "expanded"])
def test_channels_last_within_a_network_of_images(form: str) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            gate = torch.sigmoid(self.fc(x.mean((2, 3))))
            tokens, last = x.flatten(2).transpose(1, 2), x.permute(0, 2, 3, 1)
            if form == "tokens":
                return (tokens * gate[:, None]).transpose(1, 2).unflatten(2, x.shape[2:])
            if form == "diagonal":
                return (tokens @ gate.diag_embed()).transpose(1, 2).unflatten(2, x.shape[2:])
            if form == "einsum":
                return torch.einsum("bhwc,bc->bhwc", last, gate).permute(0, 3, 1, 2)
            factor = gate[:, None, None]
            return (last * (factor.expand_as(last) if form == "expanded" else factor)).permute(0, 3, 1, 2)

    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), Block()).eval()
    x = torch.randn(3, 3, 16, 16)
    blocks = find_se_blocks(model, x)
    (block,) = blocks.values()
    assert (block.name, block.path, block.channels, block.layout, block.stride) == ("SE_2_1", "1", 8, "last", 2)
    assert survey(model, x).other == ()
    with torch.no_grad(), capture_gates(model, blocks) as gates:
        u = model[0](x)
        model(x)
        torch.testing.assert_close(gates["SE_2_1"], torch.sigmoid(model[1].fc(u.mean((2, 3)))))
        with force_gates(model, blocks, {"SE_2_1": torch.linspace(0, 1, 8)}):
            torch.testing.assert_close(model(x), u * torch.linspace(0, 1, 8)[:, None, None])


def glu(x: Tensor, layer: nn.Module) -> Tensor:
    return x * torch.sigmoid(layer(x))


def token_gate(x: Tensor, layer: nn.Module) -> Tensor:
    return x * torch.sigmoid(layer(x).mean(2, keepdim=True))


def squeezed_tokens(x: Tensor, layer: nn.Module) -> Tensor:
    """One number for each token, mixed by a learned matrix over tokens."""
    return x * torch.sigmoid(F.linear(x.mean(2), layer.weight[:5, :5]))[:, :, None]


@pytest.mark.parametrize("form", [glu, token_gate, squeezed_tokens])
def test_gates_of_tokens_are_no_gates_of_channels(form: object) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.layer = nn.Linear(3, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return form(self.embed(x), self.layer)

    assert survey(Tokens().eval(), torch.randn(2, 5, 3)).blocks == {}


def test_a_gate_of_positions_in_a_row_is_spatial() -> None:
    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv1d(3, 8, 3, 2, 1), nn.Conv1d(2, 1, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            u = self.stem(x)
            return u * torch.sigmoid(self.conv(torch.stack([u.mean(1), u.amax(1)], 1)))

    found = survey(Spatial().eval(), torch.randn(2, 3, 32))
    assert found.blocks == {}
    assert [each.kind for each in found.other] == ["by a factor that differs between positions (spatial gate)"]


TRANSFORMERS = {
    "vit_tiny_patch16_224": 0,
    "deit3_small_patch16_224": 0,
    "swin_tiny_patch4_window7_224": 0,
    "cait_xxs24_224": 0,
    "xcit_nano_12_p16_224": 0,
    "mixer_s32_224": 0,
    "gmlp_s16_224": 0,
    "poolformer_s12": 0,
    "eva02_tiny_patch14_224": 0,
    "convnextv2_atto": 0,
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_not_mistaken(name: str) -> None:
    model = timm.create_model(name).eval()
    assert len(survey(model, (3, *model.default_cfg["input_size"][1:])).blocks) == TRANSFORMERS[name]


def test_one_dimensional_networks_at_the_door() -> None:
    assert list(seviz.find_se_blocks(layered(1, "first"), torch.zeros(2, 3, 64))) == ["SE_2_1", "SE_3_1"]
