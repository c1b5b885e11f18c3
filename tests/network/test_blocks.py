from collections.abc import Mapping
from functools import cache

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.errors import CompiledModelError, ExampleError, NoSEBlocksError, SevizWarning
from seviz.network.blocks import SEBlock, find_se_blocks, survey
from tests.network.forms import FORMS, Excite, Gated, SELayer

SE_RESNET_50 = [f"SE_{s}_{b}" for s, n in ((2, 3), (3, 4), (4, 6), (5, 3)) for b in range(1, n + 1)]

# Worked out by hand from the published strides: blocks, first and last name, channels and squeezed channels of
# the last block, gate.
ARCHITECTURES = {
    "timm/legacy_seresnet50": (16, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    "timm/seresnet50": (16, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    "timm/legacy_senet154": (50, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    "timm/seresnext50_32x4d": (16, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    # 16 MBConv blocks; the first runs at stride 2 and opens stage 2, the last at stride 32 is in stage 6 with the
    # four of the stage before it. The bottleneck is a quarter of the block's input, 192 / 4.
    "timm/efficientnet_b0": (16, "SE_2_1", "SE_6_5", 1152, 48, "sigmoid"),
    # The three 40-channel blocks (stride 8), then two at stride 16, then three at stride 32.
    "timm/mobilenetv3_large_100": (8, "SE_3_1", "SE_5_3", 960, 240, "hard_sigmoid"),
    # RegNetY-200MF: depths 1, 1, 4, 7 at strides 4 to 32; width 368, a quarter is 92.
    "timm/regnety_002": (13, "SE_2_1", "SE_5_7", 368, 92, "sigmoid"),
    # ECA has no bottleneck: as narrow as its 2048 channels.
    "timm/ecaresnet26t": (8, "SE_2_1", "SE_5_2", 2048, 2048, "sigmoid"),
    "timm/ese_vovnet19b_dw": (4, "SE_2_1", "SE_5_1", 1024, 1024, "hard_sigmoid"),
    # Nine blocks: one at stride 4, five at stride 16, three at stride 32.
    "torchvision/mobilenet_v3_small": (9, "SE_2_1", "SE_5_3", 576, 144, "hard_sigmoid"),
    "torchvision/efficientnet_b0": (16, "SE_2_1", "SE_6_5", 1152, 48, "sigmoid"),
    # RegNetY-400MF: depths 1, 3, 6, 6; width 440, a quarter is 110.
    "torchvision/regnet_y_400mf": (16, "SE_2_1", "SE_5_6", 440, 110, "sigmoid"),
    "timm/seresnet18": (8, "SE_2_1", "SE_5_2", 512, 32, "sigmoid"),
    "timm/legacy_seresnet101": (33, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    "timm/seresnext101_32x8d": (33, "SE_2_1", "SE_5_3", 2048, 128, "sigmoid"),
    "timm/ecaresnet50d": (16, "SE_2_1", "SE_5_3", 2048, 2048, "sigmoid"),
    # B0's depths times 1.4, rounded up: 2, 3, 3, 5, 5, 6, 2; the last stage's 384 channels, six times expanded.
    "timm/efficientnet_b3": (26, "SE_2_1", "SE_6_8", 2304, 96, "sigmoid"),
    # SE in the last three stages only: 6 and 9 blocks at stride 16, 15 at stride 32; 256 channels, six times expanded.
    "timm/tf_efficientnetv2_s": (30, "SE_4_1", "SE_5_15", 1536, 64, "sigmoid"),
    "torchvision/efficientnet_v2_s": (30, "SE_4_1", "SE_5_15", 1536, 64, "sigmoid"),
    "torchvision/mobilenet_v3_large": (8, "SE_3_1", "SE_5_3", 960, 240, "hard_sigmoid"),
    "timm/mobilenetv3_small_100": (9, "SE_2_1", "SE_5_3", 576, 144, "hard_sigmoid"),
    # RegNetY-8GF: depths 2, 4, 10, 1; width 2016, whose bottleneck is a quarter of the block's input of 896.
    "torchvision/regnet_y_8gf": (17, "SE_2_1", "SE_5_1", 2016, 224, "sigmoid"),
    # RegNetY-800MF: depths 1, 3, 8, 2; width 768.
    "timm/regnety_008": (14, "SE_2_1", "SE_5_2", 768, 192, "sigmoid"),
    # GhostNet: two at stride 8, two at stride 16, three at stride 32 (of 672, 960, 960).
    "timm/ghostnet_100": (7, "SE_3_1", "SE_5_3", 960, 240, "hard_sigmoid"),
    # MnasNet-A1: three at stride 8, two at stride 16, three at stride 32; a quarter of the block's input of 160.
    "timm/semnasnet_100": (8, "SE_3_1", "SE_5_3", 960, 40, "sigmoid"),
}

TWINS = [
    ("timm/efficientnet_b0", "torchvision/efficientnet_b0"),
    ("timm/tf_efficientnetv2_s", "torchvision/efficientnet_v2_s"),
    ("timm/mobilenetv3_large_100", "torchvision/mobilenet_v3_large"),
    ("timm/mobilenetv3_small_100", "torchvision/mobilenet_v3_small"),
    ("timm/regnety_004", "torchvision/regnet_y_400mf"),
    ("timm/legacy_seresnet50", "timm/seresnet50"),
]


def build(spec: str) -> nn.Module:
    source, name = spec.split("/")
    return timm.create_model(name) if source == "timm" else torchvision.models.get_model(name)


@cache
def blocks_of(spec: str) -> Mapping[str, SEBlock]:
    """The blocks of an architecture, as images of 64 x 64 show them: 2 x 2 positions are left at stride 32."""
    return find_se_blocks(build(spec), (1, 3, 64, 64))


@pytest.mark.parametrize("spec", ARCHITECTURES)
def test_finds_every_block_of_known_architectures(spec: str) -> None:
    count, first, last, channels, squeezed, gate = ARCHITECTURES[spec]
    blocks = blocks_of(spec)
    assert len(blocks) == count
    assert (next(iter(blocks)), list(blocks)[-1]) == (first, last)
    final = blocks[last]
    assert (final.channels, final.squeezed_channels, final.stride) == (channels, squeezed, 32)
    assert {block.gate for block in blocks.values()} == {gate}
    assert all(block.name == name for name, block in blocks.items())


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins[0].partition("/")[2])
def test_twins_of_two_libraries_get_the_same_names(twins: tuple[str, str]) -> None:
    first, second = (blocks_of(spec) for spec in twins)
    assert [(b.name, b.channels, b.stride) for b in first.values()] == [
        (b.name, b.channels, b.stride) for b in second.values()
    ]


def test_se_resnet_50_is_named_as_in_the_paper() -> None:
    for spec in ("timm/legacy_seresnet50", "timm/seresnet50"):
        assert list(blocks_of(spec)) == SE_RESNET_50


@pytest.mark.parametrize("spec", ["timm/mobilenetv3_small_050", "timm/legacy_seresnet18"])
def test_the_size_of_the_images_changes_no_block(spec: str) -> None:
    assert find_se_blocks(build(spec), (1, 3, 224, 224)) == blocks_of(spec)


def test_paths_point_at_the_block_and_its_gate() -> None:
    block = blocks_of("timm/seresnet50")["SE_4_6"]
    assert (block.path, block.gate_path) == ("layer3.5.se", "layer3.5.se.gate")
    assert block.weights == ("layer3.5.se.fc1.weight", "layer3.5.se.fc2.weight")


@pytest.mark.parametrize(
    ("name", "side"), [("resnet18", 64), ("convnextv2_atto", 64), ("vit_tiny_patch16_224", 224), ("resnetblur18", 64)]
)
def test_networks_without_channel_gates_are_an_error(name: str, side: int) -> None:
    with pytest.raises(NoSEBlocksError, match="no SE block in"):
        find_se_blocks(timm.create_model(name), (1, 3, side, side))


@pytest.mark.parametrize("form", FORMS)
def test_finds_hand_written_blocks(form: str) -> None:
    module, gate_path, gate = FORMS[form]
    blocks = find_se_blocks(Gated(module), (1, 3, 16, 16))
    assert list(blocks) == ["SE_2_1"]
    block = blocks["SE_2_1"]
    assert (block.path, block.gate_path, block.gate) == ("block", gate_path, gate)
    assert (block.channels, block.squeezed_channels, block.stride) == (8, 2, 2)


class Residual(nn.Module):
    """A residual branch whose last BatchNorm starts at zero, so that u is zero and every gate equal."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.se = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), Excite(nn.Sigmoid())
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        u = self.bn(self.conv(x))
        return torch.relu(x + u * self.se(u)[:, :, None, None])


def test_a_zero_feature_map_hides_no_block() -> None:
    blocks = find_se_blocks(Gated(Residual()), (1, 3, 16, 16))
    assert [block.path for block in blocks.values()] == ["block"]
    assert blocks["SE_2_1"].gate_path == "block.se.fc.3"


def test_no_draw_of_weights_hides_a_narrow_block() -> None:
    """With two hidden units and a hard sigmoid, some draws shut every unit or saturate every gate."""
    for seed in range(40):
        torch.manual_seed(seed)
        layer = SELayer()
        layer.fc[-1] = nn.Hardsigmoid()
        with torch.no_grad():
            layer.fc[0].bias -= 2
        assert list(find_se_blocks(Gated(layer), (1, 3, 16, 16))) == ["SE_2_1"], seed


def test_gates_that_start_constant_are_found() -> None:
    layer = SELayer()
    for parameter in layer.fc.parameters():
        nn.init.zeros_(parameter)
    assert list(find_se_blocks(Gated(layer), (1, 3, 16, 16))) == ["SE_2_1"]


class ConcurrentSE(nn.Module):
    """Concurrent spatial and channel SE (Roy et al., arXiv 1803.02579): only one of the gates is per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = SELayer()
        self.spatial = nn.Sequential(nn.Conv2d(8, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(x) + x * self.spatial(x)


class BlockAttention(nn.Module):
    """CBAM (Woo et al., arXiv 1807.06521): two squeezes through shared layers, then a spatial gate."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)) + self.fc(F.adaptive_max_pool2d(x, 1)))
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class SharedSigmoid(nn.Module):
    """One module makes two gates, of which the second is per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial, self.fc, self.gate = nn.Conv2d(8, 1, 1), nn.Linear(8, 8), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.gate(self.spatial(x))
        return x * self.gate(self.fc(x.mean((2, 3))))[:, :, None, None]


class GlobalContext(nn.Module):
    """The squeeze is a sum over positions weighted by attention; a LayerNorm over channels follows."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm, self.fc = nn.Conv2d(8, 1, 1), nn.LayerNorm(8), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention(x).flatten(2).softmax(-1).unsqueeze(3)  # (batch, 1, position, 1)
        z = (x.flatten(2).unsqueeze(1) @ weights).view(len(x), -1, 1, 1)
        z = self.norm(z.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x * torch.sigmoid(self.fc(z))


@pytest.mark.parametrize(
    ("block", "path", "gate_path", "call"),
    [
        (ConcurrentSE(), "block.channel", "block.channel.fc.3", 0),
        (BlockAttention(), "block", None, 0),
        (SharedSigmoid(), "block", "block.gate", 1),
        (GlobalContext(), "block", None, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_channel_gates_beside_others(block: nn.Module, path: str, gate_path: str | None, call: int) -> None:
    blocks = find_se_blocks(Gated(block), (1, 3, 16, 16))
    assert [(b.path, b.gate_path, b.call, b.gate) for b in blocks.values()] == [(path, gate_path, call, "sigmoid")]


class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class InstanceNorm(nn.Module):
    """Scales each channel of each image by something computed from it, without learning what."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((2, 3), keepdim=True)) * x.var((2, 3), keepdim=True).add(1e-5).rsqrt()


class SpatialGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


class CoordinateGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x.mean(3, keepdim=True)))


class DropPath(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.full((len(x), 1, 1, 1), 0.5)


class GateOfAnother(nn.Module):
    """The factor does not come from the feature map it scales."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.excite = nn.Conv2d(8, 8, 3, padding=1), Excite(nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.excite(x)[:, :, None, None]


class SplitAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (2, 4))
        weights = self.fc(x.sum(1).mean((2, 3))).unflatten(1, (2, 4)).softmax(1)
        return (x * weights[:, :, :, None, None]).sum(1)


OTHERS = {
    LayerScale: "by numbers that are the same for every image",
    InstanceNorm: "by no learned matrix",
    SpatialGate: "spatial gate",
    CoordinateGate: "along one side",
    DropPath: "by one number an image",
    GateOfAnother: "by what is not computed from that feature map",
    SplitAttention: "several feature maps at once",
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_scaling_is_told_apart_and_listed(other: type[nn.Module]) -> None:
    found = survey(Gated(other()), (1, 3, 16, 16))
    assert found.blocks == {}
    assert [scaling.path for scaling in found.other] == ["block"]
    assert OTHERS[other] in found.other[0].kind
    with pytest.raises(NoSEBlocksError, match=f"no SE block in Gated: .* such as in 'block' .*{OTHERS[other]}"):
        find_se_blocks(Gated(other()), (1, 3, 16, 16))


@pytest.mark.parametrize("block", [nn.SiLU(), nn.Identity(), nn.BatchNorm2d(8), nn.GroupNorm(2, 8)])
def test_what_scales_nothing_is_not_listed(block: nn.Module) -> None:
    found = survey(Gated(block), (1, 3, 16, 16))
    assert (found.blocks, found.other, found.unverified, found.uncalled) == ({}, (), (), ())


class NeverCalled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.se = nn.Conv2d(8, 8, 1), SELayer()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_layers_that_are_never_called_are_reported() -> None:
    assert survey(Gated(NeverCalled()), (1, 3, 16, 16)).uncalled == ("block.se",)
    with pytest.raises(NoSEBlocksError, match=r"Never called in the forward pass are block.se\."):
        find_se_blocks(Gated(NeverCalled()), (1, 3, 16, 16))


class ChannelOfTokens(nn.Module):
    """An SE block over the tokens of a transformer, which are channels last at positions in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (batch, position, channel)
        tokens = tokens * torch.sigmoid(self.fc(tokens.mean(1, keepdim=True)))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


def test_tokens_are_a_feature_map_with_channels_last() -> None:
    (block,) = find_se_blocks(Gated(ChannelOfTokens()), (1, 3, 16, 16)).values()
    assert (block.name, block.path, block.layout, block.stride) == ("SE_2_1", "block", "last", 2)


def test_a_block_called_twice_is_two_blocks() -> None:
    layer = SELayer()
    blocks = find_se_blocks(Gated(nn.Sequential(layer, nn.ReLU(), layer)), (1, 3, 16, 16))
    assert list(blocks) == ["SE_2_1", "SE_2_2"]
    assert [(b.path, b.call, b.calls) for b in blocks.values()] == [("block.0", 0, 2), ("block.0", 1, 2)]


def test_shape_and_tensor_are_the_same_example(tiny_net: nn.Module) -> None:
    assert find_se_blocks(tiny_net, (3, 16, 16)) == find_se_blocks(tiny_net, torch.zeros(5, 3, 16, 16))


def test_a_network_without_strided_stem_starts_at_stage_2(tiny_net: nn.Module) -> None:
    assert list(find_se_blocks(tiny_net, (3, 16, 16))) == ["SE_2_1", "SE_3_1", "SE_4_1"]


def test_half_precision() -> None:
    block = find_se_blocks(Gated(SELayer()).to(torch.bfloat16), (1, 3, 16, 16))["SE_2_1"]
    assert (block.gate_path, block.gate) == ("block.fc.3", "sigmoid")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["legacy_seresnet18", "efficientnet_b0", "ecaresnet26t", "mobilenetv3_small_050"])
def test_finds_the_same_blocks_on_a_gpu(name: str) -> None:
    model = timm.create_model(name)
    expected = find_se_blocks(model, (1, 3, 96, 96))
    assert find_se_blocks(model.cuda(), (1, 3, 96, 96)) == expected


def test_leaves_the_model_and_the_random_state_as_they_were() -> None:
    model = timm.create_model("mobilenetv3_small_050").train()
    model.blocks[0].eval()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    random = torch.get_rng_state()
    find_se_blocks(model, (1, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert torch.equal(torch.get_rng_state(), random)


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = SELayer()

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no way through")


def test_leaves_no_hook_after_an_exception() -> None:
    model = Gated(Failing()).train()
    with pytest.raises(ExampleError, match=r"Gated does not take shape .* \(RuntimeError: no way through\)"):
        find_se_blocks(model, (1, 3, 16, 16))
    assert all(not m._forward_hooks and not m._forward_pre_hooks and m.training for m in model.modules())


def test_of_a_compiled_model_the_one_it_was_made_from_is_searched_and_parts_are_refused(tiny_net: nn.Module) -> None:
    plain = find_se_blocks(tiny_net, (3, 16, 16))
    with pytest.warns(SevizWarning, match="compiled by torch.compile.* the TinyNet that it was made from is taken"):
        assert find_se_blocks(torch.compile(tiny_net), (3, 16, 16)) == plain
    tiny_net.stages[0].compile()
    with pytest.raises(CompiledModelError, match=r"its module 'stages.0' was compiled"):
        find_se_blocks(tiny_net, (3, 16, 16))


def test_example_must_be_an_image(tiny_net: nn.Module) -> None:
    with pytest.raises(ExampleError, match=r"example has shape \(16,\), expected \(channels, height, width\) or"):
        find_se_blocks(tiny_net, (16,))


class Observer(nn.Module):
    """Writes down the largest number that it sees, as observers of a quantisation do."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.largest.copy_(torch.maximum(self.largest, x.max()))
        return x


def test_what_a_network_writes_to_its_buffers_comes_back_as_it_was() -> None:
    observer = Observer()
    assert list(find_se_blocks(Gated(nn.Sequential(observer, SELayer())), (3, 16, 16))) == ["SE_2_1"]
    assert float(observer.largest) == 0
