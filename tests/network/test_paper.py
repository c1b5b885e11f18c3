import sys

import pytest
import torch
from torch import nn

from seviz.errors import MissingPackageError, NoSEBlocksError
from seviz.network.blocks import find_se_blocks
from seviz.network.paper import NETWORKS, PaperNetwork

# Channels of the blocks by stage, worked out by hand from the published architectures.
RESNET_50 = {2: [256] * 3, 3: [512] * 4, 4: [1024] * 6, 5: [2048] * 3}
RESNET_101 = {2: [256] * 3, 3: [512] * 4, 4: [1024] * 23, 5: [2048] * 3}
RESNET_152 = {2: [256] * 3, 3: [512] * 8, 4: [1024] * 36, 5: [2048] * 3}
CHANNELS = {
    "SE-ResNet-50": RESNET_50,
    "SE-ResNet-101": RESNET_101,
    "SE-ResNet-152": RESNET_152,
    "SE-ResNeXt-50": RESNET_50,
    "SE-ResNeXt-101": RESNET_101,
    "SENet-154": RESNET_152,
    # Modules 3a to 5b; 3c and 4e halve the side, so they belong to the stage they open.
    "SE-Inception": {3: [256, 320], 4: [576, 576, 576, 608, 608], 5: [1056, 1024, 1024]},
    "SE-GoogLeNet": {3: [256, 480], 4: [512, 512, 512, 528, 832], 5: [832, 1024]},
    "SE-Inception-v3": {3: [256, 288, 288], 4: [768] * 5, 5: [1280, 2048, 2048]},
    "SE-Inception-ResNet-v2": {3: [320] * 10, 4: [1088] * 20, 5: [2080] * 10},
    # From stride 1, and the names start at 2.
    "SE-VGG-16": {2: [64] * 2, 3: [128] * 2, 4: [256] * 3, 5: [512] * 3, 6: [512] * 3},
    # From stride 2, and the names start at 2.
    "SE-MobileNet": {2: [64], 3: [128] * 2, 4: [256] * 2, 5: [512] * 6, 6: [1024] * 2},
    # The first branch of a stage is concatenated with the shortcut, so it has as many channels less.
    "SE-ShuffleNet": {3: [240 - 24] + [240] * 3, 4: [480 - 240] + [480] * 7, 5: [960 - 480] + [960] * 3},
    "SE-ShuffleNet-v2": {3: [58] * 4, 4: [116] * 8, 5: [232] * 4},
}

# Weights and biases of the SE blocks, counted from the network definitions that the authors released.
RELEASED = {
    "SE-ResNet-50": (2_514_944, 16_048),
    "SE-ResNet-101": (4_743_168, 34_544),
    "SE-ResNet-152": (6_578_176, 50_864),
    "SENet-154": (6_578_176, 50_864),
    "SE-Inception": (639_360, 7_038),
}

# These end in a pooling of whatever is left, and their strides divide even small images: less to compute.
ANY_SIDE = {
    *("torchvision/resnet50", "torchvision/resnet101", "torchvision/resnet152", "torchvision/resnext50_32x4d"),
    *("timm/resnext101_32x4d", "timm/legacy_senet154", "torchvision/googlenet", "torchvision/vgg16_bn"),
    *("timm/mobilenetv1_100", "torchvision/shufflenet_v2_x1_0"),
}


def forced_to_one(network: nn.Module, paths: list[str | None]) -> None:
    for path in paths:
        assert path is not None
        network.get_submodule(path).register_forward_hook(lambda *call: torch.ones_like(call[2]))


def test_all_networks_of_the_paper_are_here() -> None:
    assert list(NETWORKS) == list(CHANNELS)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_paper(name: str) -> None:
    channels = CHANNELS[name]
    plain, network = NETWORKS[name].build(se=False), NETWORKS[name].build()
    side = 96 if NETWORKS[name].base in ANY_SIDE else NETWORKS[name].side

    blocks = find_se_blocks(network, (1, 3, side, side))
    assert [(block.name, block.channels, block.squeezed_channels) for block in blocks.values()] == [
        (f"SE_{stage}_{i}", c, c // 16) for stage, cs in channels.items() for i, c in enumerate(cs, start=1)
    ]
    assert {block.gate for block in blocks.values()} == {"sigmoid"}

    every = [c for cs in channels.values() for c in cs]
    weights, biases = sum(2 * c * (c // 16) for c in every), sum(c + c // 16 for c in every)
    assert (weights, biases) == RELEASED.get(name, (weights, biases))
    given, scaled = (sum(p.numel() for p in module.parameters()) for module in (plain, network))
    assert scaled - given == weights + biases

    old, new = plain.state_dict(), network.state_dict()
    assert all(torch.equal(new[key], value) for key, value in old.items())
    assert len(new) - len(old) == 4 * len(blocks)

    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        given, scaled = plain(images), network(images)
        assert given.shape == scaled.shape == (1, 1000)
        assert not torch.allclose(scaled, given)
        forced_to_one(network, [block.gate_path for block in blocks.values()])
        torch.testing.assert_close(network(images), given, rtol=1e-6, atol=1e-6)
        images = torch.empty(1, 3, NETWORKS[name].side, NETWORKS[name].side, device="meta")
        assert network.to("meta")(images).shape == (1, 1000)


def test_building_leaves_the_random_state_and_repeats_itself() -> None:
    random = torch.get_rng_state()
    one = NETWORKS["SE-ShuffleNet-v2"].build()
    torch.rand(3)
    other = NETWORKS["SE-ShuffleNet-v2"].build()
    torch.set_rng_state(random)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    NETWORKS["SE-ShuffleNet-v2"].build()
    assert torch.equal(torch.get_rng_state(), random)


def test_built_in_blocks_are_taken_out() -> None:
    plain = PaperNetwork(base="timm/legacy_seresnet18", built_in=True).build(se=False)
    with pytest.raises(NoSEBlocksError, match="no SE block in SENet"):
        find_se_blocks(plain, (1, 3, 64, 64))


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorchcv.models.bninception", None)
    message = r"pytorchcv/bninception needs pytorchcv \(.+\): pip install 'seviz\[paper\]'"
    with pytest.raises(MissingPackageError, match=message):
        NETWORKS["SE-Inception"].build()
