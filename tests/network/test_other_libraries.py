"""SE blocks in networks of further libraries, and what there is in networks without."""

from collections.abc import Callable
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import nn

from seviz.network.blocks import find_se_blocks, survey
from seviz.network.gates import capture_gates

# The libraries take seconds to import, so they are imported where they are used.


def pytorchcv(module: str, name: str) -> nn.Module:
    """From its own module, since pytorchcv's list of models imports hundreds."""
    return getattr(import_module(f"pytorchcv.models.{module}"), name)()


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, str, str, str]] = {
    # name: how it is built; blocks, first and last name, gate; by the depths and strides of their configurations
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
    blocks = find_se_blocks(model, (3, 224, 224))  # they end in a pooling over 7x7
    assert (len(blocks), next(iter(blocks)), list(blocks)[-1]) == (count, first, last)
    assert {block.gate for block in blocks.values()} == {gate}
    with torch.no_grad(), capture_gates(model, blocks, signals=["squeeze"]) as gates:
        model(torch.rand(3, 3, 224, 224))
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
