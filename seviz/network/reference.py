"""The two networks that ship with seviz: a narrow SE-ResNet-50 for CIFAR-10 and its twin without SE blocks."""

from typing import Any

import timm
from torch import nn

from seviz.classes import CIFAR10

CHANNELS = (16, 32, 64, 128)
IMAGE_SIZE = 32
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
ARCHITECTURES = {
    "seresnet50-cifar10": "seresnet50",
    "resnet50-cifar10": "resnet50",
}


def build_reference(name: str) -> nn.Module:
    """Build a reference network with fresh weights.

    A ResNet-50 (3-4-6-3 bottlenecks) a quarter as wide as usual, whose stem is a 3x3 convolution of
    stride 1 without pooling, so that 32x32 images keep their resolution into the first stage.

    Parameters
    ----------
    name
        "seresnet50-cifar10" or "resnet50-cifar10".

    Returns
    -------
    torch.nn.Module
        Takes (batch, 3, 32, 32), gives logits (batch, 10). In training mode, as timm makes it.

    Raises
    ------
    KeyError
        If there is no reference network of that name.
    """
    model: Any = timm.create_model(
        ARCHITECTURES[name],
        num_classes=len(CIFAR10),
        channels=CHANNELS,
        # timm would start the last BatchNorm of each branch at zero, where gates get no gradient.
        zero_init_last=False,
    )
    model.conv1 = nn.Conv2d(3, model.conv1.out_channels, 3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    network: nn.Module = model
    return network
