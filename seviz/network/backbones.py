"""The backbones of torchvision's detection and segmentation networks, given images as the whole network sees them.

All of a network's SE blocks lie in its backbone, the part that turns an image into feature maps. What comes behind
finds boxes or masks in the maps, and is not run.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import functional

Task = Literal["classification", "detection", "segmentation"]


@dataclass(frozen=True)
class DetectionPreprocess:
    """What a detection network makes of an image alone: resized, normalised, padded as a batch of one.

    In a batch the network pads each image to the largest beside it; here none is beside it, and the result depends
    on the image only.

    Attributes
    ----------
    transform
        The `GeneralizedRCNNTransform` of the network, in evaluation mode.
    """

    transform: GeneralizedRCNNTransform

    def __call__(self, image: Image.Image) -> Tensor:
        pixels = functional.convert_image_dtype(functional.pil_to_tensor(image), torch.float32)
        batch, _ = self.transform([pixels])
        result: Tensor = batch.tensors[0]
        return result

    @property
    def description(self) -> dict[str, Any]:
        """What is done, in words and numbers that JSON holds."""
        if self.fixed_size:
            width, height = self.transform.fixed_size
            size: dict[str, Any] = {"resize": [height, width]}
        else:
            size = {"min_size": self.transform.min_size[-1], "max_size": self.transform.max_size}
        return {
            "library": "torchvision",
            **size,
            "interpolation": "bilinear",
            "antialias": False,
            "size_divisible": self.transform.size_divisible,
            "mean": list(self.transform.image_mean),
            "std": list(self.transform.image_std),
        }

    @property
    def fixed_size(self) -> bool:
        """Whether all images come out in one size."""
        return self.transform.fixed_size is not None


@dataclass(frozen=True)
class SegmentationPreprocess:
    """What a segmentation network's weights want done to an image: resized by its shorter side, normalised.

    Attributes
    ----------
    preset
        The `SemanticSegmentation` preset of torchvision.
    """

    preset: Any

    def __call__(self, image: Image.Image) -> Tensor:
        result: Tensor = self.preset(image)
        return result

    @property
    def description(self) -> dict[str, Any]:
        """What is done, in words and numbers that JSON holds."""
        return {
            "library": "torchvision",
            "resize": list(self.preset.resize_size),
            "interpolation": self.preset.interpolation.value,
            "antialias": self.preset.antialias,
            "mean": list(self.preset.mean),
            "std": list(self.preset.std),
        }

    @property
    def fixed_size(self) -> bool:
        """Whether all images come out in one size."""
        return False


def whole_network(name: str, weights: Any) -> nn.Module:
    """A detection or segmentation network of torchvision, in evaluation mode, its backbone at `backbone`.

    With weights, most backbones have frozen BatchNorm where they have BatchNorm without: the same function in
    evaluation, but that torchvision sets its eps to 0 in the first ResNet-50 networks of detection.

    Parameters
    ----------
    name
        As torchvision lists it.
    weights
        Of torchvision's enum, or None for freshly drawn ones, in the backbone too.
    """
    network: nn.Module = torchvision.models.get_model(name, weights=weights, weights_backbone=None)
    return network.eval()
