"""Networks of real architectures with fewer or narrower layers, where the whole would only take longer."""

import timm
import torch
import torchvision
from torch import nn
from torchvision.models.vgg import VGG, make_layers

import seviz


def small_vgg(*, batch_norm: bool) -> nn.Module:
    """VGG-11 an eighth as wide, with one matrix behind its convolutions, and SE blocks inserted."""
    with torch.device("meta"):
        model = VGG(nn.Sequential(), init_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.features = make_layers([16, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"], batch_norm=batch_norm)
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)
    return seviz.insert_se(model)


def small_googlenet() -> nn.Module:
    """GoogLeNet for ten classes without its auxiliary classifiers, and SE blocks inserted."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False)
    return seviz.insert_se(model)


def small_tresnet() -> nn.Module:
    """TResNet-M with one block in each stage, half as wide."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model("tresnet_m", layers=(1, 1, 1, 1), width_factor=0.5, num_classes=10)
