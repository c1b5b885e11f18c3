"""SE blocks in networks of libraries that seviz does not know."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import nn

from seviz.network.blocks import find_se_blocks, survey
from seviz.network.gates import capture_gates

# The libraries take seconds to import, so they are imported where they are used.


def regnet() -> nn.Module:
    import transformers

    config = transformers.RegNetConfig(
        embedding_size=8, hidden_sizes=[16, 24, 32, 48], depths=[1, 2, 1, 1], groups_width=8, layer_type="y"
    )
    return transformers.RegNetModel(config)


def efficientnet() -> nn.Module:
    import transformers

    config = transformers.EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.5, hidden_dim=320)
    return transformers.EfficientNetModel(config)


def encoder(name: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.encoders.get_encoder(name, weights=None)


def pytorchcv(module: str, name: str) -> nn.Module:
    """From its own module, since pytorchcv's list of models imports hundreds."""
    return getattr(import_module(f"pytorchcv.models.{module}"), name)()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, str, str, str]] = {
    # name: how it is built; blocks, first and last name, gate; by the depths and strides of their configurations
    "transformers RegNetY": (regnet, 5, "SE_2_1", "SE_5_1", "sigmoid"),
    # Depths 1, 2, 2, 3, 3, 4, 1, halved and rounded up: ten blocks; strides 2, 4, 8, 16, 16, 32, 32 at the product.
    "transformers EfficientNet": (efficientnet, 10, "SE_2_1", "SE_6_3", "sigmoid"),
    "smp encoder se_resnet50": (partial(encoder, "se_resnet50"), 16, "SE_2_1", "SE_5_3", "sigmoid"),
    "smp encoder regnety_002 of timm": (partial(encoder, "tu-regnety_002"), 13, "SE_2_1", "SE_5_7", "sigmoid"),
    "pytorchcv SE-ResNet-18": (partial(pytorchcv, "seresnet", "seresnet18"), 8, "SE_2_1", "SE_5_2", "sigmoid"),
    "pytorchcv SE-ResNeXt-50": (
        partial(pytorchcv, "seresnext", "seresnext50_32x4d"),
        *(16, "SE_2_1", "SE_5_3", "sigmoid"),
    ),
    "pytorchcv MobileNetV3": (
        partial(pytorchcv, "mobilenetv3", "mobilenetv3_small_w1"),
        *(9, "SE_2_1", "SE_5_3", "hard_sigmoid"),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_are_found_and_captured(name: str) -> None:
    build, count, first, last, gate = NETWORKS[name]
    model = build().eval()
    side = 224 if name.startswith("pytorchcv") else 96  # those end in a pooling over 7x7
    blocks = find_se_blocks(model, (3, side, side))
    assert (len(blocks), next(iter(blocks)), list(blocks)[-1]) == (count, first, last)
    assert {block.gate for block in blocks.values()} == {gate}
    with torch.no_grad(), capture_gates(model, blocks, signals=["squeeze"]) as gates:
        model(torch.rand(3, 3, side, side))
    assert all(gates[block.name].shape == (3, block.channels) for block in blocks.values())
    assert all(gates.signal("squeeze")[block.name].shape == (3, block.channels) for block in blocks.values())


def test_regnetx_has_none() -> None:
    import transformers

    config = transformers.RegNetConfig(
        embedding_size=8, hidden_sizes=[16, 24], depths=[1, 1], groups_width=8, layer_type="x"
    )
    assert survey(transformers.RegNetModel(config), (3, 64, 64)).blocks == {}


def test_mobilevit_has_none() -> None:
    import transformers

    config = transformers.MobileViTConfig(image_size=64)
    assert survey(transformers.MobileViTModel(config), (3, 64, 64)).blocks == {}


def test_scse_decoder_is_found_beside_its_spatial_gates() -> None:
    """smp's scSE scales by the sum of the two gates, or adds the two scaled maps: one channel gate an attention."""
    import segmentation_models_pytorch as smp

    model = smp.Unet("resnet18", encoder_weights=None, decoder_attention_type="scse").eval()
    found = survey(model, (3, 64, 64))
    attentions = {path for path, module in model.named_modules() if type(module).__name__ == "SCSEModule"}
    assert len(attentions) == 10
    # The last decoder block has no skip connection to attend to.
    assert found.uncalled == ("decoder.blocks.4.attention1",)
    assert {block.path for block in found.blocks.values()} == attentions - {"decoder.blocks.4.attention1.attention"}
    assert all("cSE" in block.gate_path for block in found.blocks.values())
