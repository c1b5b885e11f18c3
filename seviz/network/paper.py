"""The networks of the paper, each with its SE blocks and without.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

import timm
import torchvision
from torch import nn

from seviz.extras import needing
from seviz.network.insertion import fresh_weights, insert_se


@dataclass(frozen=True, kw_only=True)
class PaperNetwork:
    """A network of the paper, with SE blocks and without.

    Attributes
    ----------
    base
        "torchvision/NAME", "timm/NAME" or "pytorchcv/NAME".
    side
        Height and width of its images.
    built_in
        Whether the base comes with its SE blocks, as those of timm do that are named "legacy_se...".
    options
        What the base is made with.
    """

    base: str
    side: int = 224
    built_in: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, se: bool = True) -> nn.Module:
        """Build the network with fresh weights, the same at every call.

        Parameters
        ----------
        se
            With SE blocks or without.

        Returns
        -------
        torch.nn.Module
            In evaluation mode. Takes (batch, 3, side, side), gives logits (batch, 1000).

        Raises
        ------
        MissingPackageError
            If the package of the base is not installed.
        """
        with fresh_weights():
            network = _build(self.base, self.options).eval()
        if self.built_in:
            return network if se else _without_legacy_se(network)
        return insert_se(network) if se else network


def _build(base: str, options: Mapping[str, Any]) -> nn.Module:
    source, name = base.split("/")
    network: nn.Module
    if source == "torchvision":
        network = torchvision.models.get_model(name, weights=None, **options)
    elif source == "timm":
        network = timm.create_model(name, pretrained=False, **options)
    else:
        with needing("paper", base):  # this module alone, since pytorchcv's list of models imports hundreds
            module = import_module(f"pytorchcv.models.{name.partition('_')[0]}")
        network = getattr(module, name)(**options)
    return network


def _without_legacy_se(network: nn.Module) -> nn.Module:
    for unit in network.modules():
        if hasattr(unit, "se_module"):
            unit.se_module = nn.Identity()
    return network


# Heads that serve training only would count as parameters; and torchvision warns where the second is left open.
_NO_AUXILIARY = {"aux_logits": False, "init_weights": False}
# timm would start the last BatchNorm of each branch at zero, and SE blocks behind it without a gradient.
_ALIVE = {"zero_init_last": False}

NETWORKS: Mapping[str, PaperNetwork] = MappingProxyType(
    {
        "SE-ResNet-50": PaperNetwork(base="torchvision/resnet50"),
        "SE-ResNet-101": PaperNetwork(base="torchvision/resnet101"),
        "SE-ResNet-152": PaperNetwork(base="torchvision/resnet152"),
        "SE-ResNeXt-50": PaperNetwork(base="torchvision/resnext50_32x4d"),
        "SE-ResNeXt-101": PaperNetwork(base="timm/resnext101_32x4d", options=_ALIVE),
        "SENet-154": PaperNetwork(base="timm/legacy_senet154", built_in=True),
        "SE-Inception": PaperNetwork(base="pytorchcv/bninception"),
        "SE-GoogLeNet": PaperNetwork(base="torchvision/googlenet", options=_NO_AUXILIARY),
        "SE-Inception-v3": PaperNetwork(base="torchvision/inception_v3", side=299, options=_NO_AUXILIARY),
        "SE-Inception-ResNet-v2": PaperNetwork(base="timm/inception_resnet_v2", side=299),
        "SE-VGG-16": PaperNetwork(base="torchvision/vgg16_bn"),
        "SE-MobileNet": PaperNetwork(base="timm/mobilenetv1_100"),
        "SE-ShuffleNet": PaperNetwork(base="pytorchcv/shufflenet_g3_w1"),
        "SE-ShuffleNet-v2": PaperNetwork(base="torchvision/shufflenet_v2_x1_0"),
    }
)
"""The networks of the paper, VGG-16 with BatchNorm as there, and three of the same families beside them."""
