from collections import OrderedDict

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import seviz
from seviz.network.blocks import find_se_blocks
from seviz.network.flow import Producer, flow_of, producers
from tests.network.forms import SELayer


class Branched(nn.Module):
    """Two convolutions side by side, one of them with BatchNorm and SiLU, scaled by one SE block, then a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 8, 3, padding=1)
        self.right = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), norm=nn.BatchNorm2d(4), act=nn.SiLU()))
        self.se = SELayer(12, 3)
        self.last = nn.Conv2d(12, 12, 1)
        self.se2 = SELayer(12, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        both = torch.cat([F.relu(self.left(images)), self.right(images)], dim=1)
        x = self.se(both)
        return self.se2(self.last(x) + x).mean((2, 3))


def test_producers_of_concatenated_channels_and_of_a_sum() -> None:
    model = Branched().eval()
    images = torch.randn(2, 3, 8, 8)
    found = producers(model, images, find_se_blocks(model, images))
    assert list(found.values()) == [
        (
            Producer(start=0, stop=8, convolution="left", norm=None),
            Producer(start=8, stop=12, convolution="right.conv", norm="right.norm"),
        ),
        (),  # a sum is made by no layer alone
    ]


@pytest.mark.parametrize(
    ("spec", "block", "convolution", "norm"),
    [
        ("timm/legacy_seresnet18", "SE_3_2", "layer2.1.conv2", "layer2.1.bn2"),
        ("timm/efficientnet_b0", "SE_3_1", "blocks.1.0.conv_dw", "blocks.1.0.bn2"),
        ("timm/regnety_002", "SE_3_1", "s2.b1.conv2.conv", "s2.b1.conv2.bn"),
        ("torchvision/mobilenet_v3_small", "SE_4_1", "features.4.block.1.0", "features.4.block.1.1"),
    ],
)
def test_producers_of_known_networks(spec: str, block: str, convolution: str, norm: str) -> None:
    network = seviz.load(spec, weights="none")
    size = (1, 3, 64, 64)
    (piece,) = producers(network.model, torch.randn(size), network.blocks)[block]
    channels = network.blocks[block].channels
    assert piece == Producer(start=0, stop=channels, convolution=convolution, norm=norm)


def test_producers_of_a_network_without_norms() -> None:
    vgg = torchvision.models.vgg11(init_weights=False)
    vgg.classifier = nn.Linear(512 * 49, 3)  # its own has most of the weights
    model, images = seviz.insert_se(vgg).eval(), torch.randn(1, 3, 64, 64)
    (piece,) = producers(model, images, find_se_blocks(model, images))["SE_3_1"]
    assert piece == Producer(start=0, stop=128, convolution="features.3", norm=None)


def test_a_feature_map_changed_in_place_is_another_value() -> None:
    class Inplace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.act = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.norm(self.conv(x)))

    flow = flow_of(Inplace(), torch.randn(1, 3, 4, 4))
    names = [call.name for call in flow.calls]
    assert names == ["conv2d", "batch_norm", "relu"]
    conv, norm, relu = flow.calls
    assert flow.users[conv.outputs[0]] == [norm]
    assert flow.users[norm.outputs[0]] == [relu]
    assert flow.given_back == set(relu.outputs)
    assert relu.outputs[0] != norm.outputs[0]
    assert relu.inside == ("", "act")


def test_reading_a_shape_uses_nothing() -> None:
    class Reshaped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y.view(y.shape[0], y.size(1), -1)

    flow = flow_of(Reshaped(), torch.randn(1, 3, 4, 4))
    conv = flow.calls[0]
    assert [call.name for call in flow.users[conv.outputs[0]]] == ["view"]


def test_the_model_comes_back_as_it_was(tiny_network: seviz.Network) -> None:
    model = tiny_network.model.train()
    flow_of(model, torch.randn(1, *tiny_network.input_size))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
