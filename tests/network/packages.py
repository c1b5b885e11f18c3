"""Networks of packages from PyPI, and those written from papers, with what their sources say of their SE blocks.

Packages take seconds to import, so each is imported where its network is made. Widths are the smallest that keep the
architecture.
"""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from tests.network import paper_networks
from tests.network.declared import HARD_SIGMOID, PADDLE_SIGMOID, SIGMOID, Declared, Holder

EFFICIENTNET = (2, 3, 4, 5, 5, 5, 5, 6, 6, 6)
"""Depths 1, 2, 2, 3, 3, 4, 1 times 0.34, rounded up, at strides 2, 4, 8, 16, 16, 32, 32: two more than their log2 less
one, since the smallest stage is 2."""
MOBILENETV3_SMALL = (2, 4, 4, 4, 4, 4, 5, 5, 5)
"""SE in all but the second and third of eleven blocks, at strides 4, 16 and 32."""
IMAGE = (torch.zeros(2, 3, 64, 64),)
MEL = (torch.zeros(2, 20, 40),)
MEL_WITH_LENGTHS = (torch.zeros(2, 20, 40), torch.tensor([40, 29]))


def monai_seresnet(dimensions: int) -> nn.Module:
    from monai.networks.nets import SEResNet50

    return SEResNet50(spatial_dims=dimensions, in_channels=2, num_classes=3, layers=(1, 2, 1, 1), inplanes=16)


def monai_efficientnet(dimensions: int) -> nn.Module:
    """As EfficientNetBN makes efficientnet-b0, narrower."""
    from monai.networks.nets import EfficientNet

    blocks = [
        *("r1_k3_s11_e1_i32_o16_se0.25", "r2_k3_s22_e6_i16_o24_se0.25", "r2_k5_s22_e6_i24_o40_se0.25"),
        *("r3_k3_s22_e6_i40_o80_se0.25", "r3_k5_s11_e6_i80_o112_se0.25", "r4_k5_s22_e6_i112_o192_se0.25"),
        "r1_k3_s11_e6_i192_o320_se0.25",
    ]
    return EfficientNet(
        blocks,
        dimensions,
        in_channels=2,
        num_classes=3,
        width_coefficient=0.25,
        depth_coefficient=0.34,
        image_size=32,
    )


def efficientnet_pytorch() -> nn.Module:
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name(
        "efficientnet-b0", num_classes=3, width_coefficient=0.25, depth_coefficient=0.34, image_size=64
    )


def geffnet() -> nn.Module:
    import geffnet

    return geffnet.create_model("mobilenetv3_small_075", pretrained=False, num_classes=3)


def regnet() -> nn.Module:
    from transformers import RegNetConfig, RegNetForImageClassification

    config = RegNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 2, 1, 1],
        groups_width=8,
        layer_type="y",
        num_labels=3,
    )
    return RegNetForImageClassification(config)


def transformers_efficientnet() -> nn.Module:
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    return EfficientNetForImageClassification(
        EfficientNetConfig(width_coefficient=0.25, depth_coefficient=0.34, hidden_dim=320, num_labels=3)
    )


def align() -> nn.Module:
    """The tower of ALIGN for images."""
    from transformers import AlignVisionConfig, AlignVisionModel

    return AlignVisionModel(AlignVisionConfig(width_coefficient=0.25, depth_coefficient=0.34, hidden_dim=320))


def pp_lcnet() -> nn.Module:
    from transformers import PPLCNetConfig, PPLCNetForImageClassification

    return PPLCNetForImageClassification(PPLCNetConfig(scale=0.25, class_expand=64, num_labels=3))


def pp_ocr() -> nn.Module:
    """A text detector: SE in its backbone and, with a hard sigmoid of slope 0.2, in its neck."""
    from transformers import PPLCNetV3Config, PPOCRV5MobileDetConfig, PPOCRV5MobileDetForObjectDetection

    stages = ["stage2", "stage3", "stage4", "stage5"]
    backbone = PPLCNetV3Config(scale=0.25, conv_symmetric_num=1, out_features=stages)
    return PPOCRV5MobileDetForObjectDetection(PPOCRV5MobileDetConfig(backbone_config=backbone, neck_out_channels=32))


def slanet() -> nn.Module:
    """The backbone of a reader of tables, which is a PP-LCNet and a pyramid of its feature maps."""
    from transformers import PPLCNetConfig, SLANetConfig, SLANetForTableRecognition

    stages = ["stage2", "stage3", "stage4", "stage5"]
    backbone = PPLCNetConfig(scale=0.25, out_features=stages)
    config = SLANetConfig(
        backbone_config=backbone, max_text_length=2, hidden_size=16, post_conv_out_channels=16, out_channels=8
    )
    return SLANetForTableRecognition(config).backbone


def qwen_speaker() -> nn.Module:
    """The ECAPA-TDNN that Qwen2.5-Omni hears its speaker with; for (batch, frames, mel bands)."""
    from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import ECAPA_TimeDelayNet

    config = SimpleNamespace(
        mel_dim=12,
        enc_dim=5,
        enc_channels=(16, 16, 16, 16, 48),
        enc_kernel_sizes=(5, 3, 3, 3, 1),
        enc_dilations=(1, 2, 3, 4, 1),
        enc_attention_channels=8,
        enc_res2net_scale=2,
        enc_se_channels=4,
    )
    return ECAPA_TimeDelayNet(config)


def encoder(name: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    return smp.encoders.get_encoder(name, weights=None)


def adapted(*, dora: bool) -> nn.Module:
    """A MobileNetV3 of timm, whose SE matrices have low-rank companions."""
    import timm
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=r".*se\.conv_(reduce|expand)", use_dora=dora, init_lora_weights=False)
    return get_peft_model(timm.create_model("mobilenetv3_small_050", num_classes=3), config)


def _declared(
    build: Callable[[], nn.Module],
    stages: tuple[int, ...],
    *holders: Holder,
    folds: int,
    example: tuple[Tensor, ...] = IMAGE,
) -> Declared:
    return Declared(build=build, example=example, stages=stages, holders=holders, folds=folds)


CUBE = (torch.zeros(2, 2, 32, 32, 64),)
SQUARE = (torch.zeros(2, 2, 64, 64),)
MBCONV = Holder(type="MBConvBlock", last="_se_expand", activation=SIGMOID)
MONAI_SE = Holder(type="ChannelSELayer", last="fc")
PAPER_SE = Holder(type="ConvSE", last="sigmoid")
NEMO_SE = Holder(type="MaskedSE", last="fc", activation=SIGMOID)
TIMM_SE = Holder(type="SqueezeExcite", last="gate")
LCNET_SE = Holder(type="PPLCNetSqueezeExcitationModule", last="convolutions.3")

PACKAGES: dict[str, Declared] = {
    "monai SEResNet50, 2-D": _declared(partial(monai_seresnet, 2), (2, 3, 3, 4, 5), MONAI_SE, folds=5, example=SQUARE),
    "monai SEResNet50, 3-D": _declared(partial(monai_seresnet, 3), (2, 3, 3, 4, 5), MONAI_SE, folds=5, example=CUBE),
    "monai EfficientNet, 2-D": _declared(partial(monai_efficientnet, 2), EFFICIENTNET, MBCONV, folds=0, example=SQUARE),
    "monai EfficientNet, 3-D": _declared(partial(monai_efficientnet, 3), EFFICIENTNET, MBCONV, folds=0, example=CUBE),
    "efficientnet_pytorch": _declared(efficientnet_pytorch, EFFICIENTNET, MBCONV, folds=0),
    "geffnet MobileNetV3": _declared(
        geffnet,
        MOBILENETV3_SMALL,
        Holder(type="SqueezeExcite", last="conv_expand", activation=HARD_SIGMOID),
        folds=9,
    ),
    "transformers RegNetY": _declared(regnet, (2, 3, 3, 4, 5), Holder(type="RegNetSELayer", last="attention"), folds=5),
    "transformers EfficientNet": _declared(
        transformers_efficientnet,
        EFFICIENTNET,
        Holder(type="EfficientNetSqueezeExciteLayer", last="act_expand"),
        folds=10,
    ),
    "transformers ALIGN": _declared(
        align, EFFICIENTNET, Holder(type="AlignVisionSqueezeExciteLayer", last="act_expand"), folds=10
    ),
    # SE in the two blocks of the last stage alone, at stride 32.
    "transformers PP-LCNet": _declared(pp_lcnet, (5, 5), LCNET_SE, folds=2),
    # In the backbone as there, where behind the second a BatchNorm takes what a convolution takes, too; in the neck one
    # SE on each of four feature maps at strides 4 to 32, and again behind their sums, all in residual branches.
    "transformers PP-OCRv5": _declared(
        pp_ocr,
        (5, 5, 2, 3, 4, 5, 2, 3, 4, 5),
        Holder(type="PPLCNetV3SqueezeExcitationModule", last="convolutions.3"),
        Holder(type="PPOCRV5MobileDetSqueezeExcitationModule", last="conv2", activation=PADDLE_SIGMOID),
        folds=1,
    ),
    "transformers SLANet": _declared(slanet, (5, 5), LCNET_SE, folds=2),
    # Nothing in it is strided.
    "transformers Qwen2.5-Omni, speaker": _declared(
        qwen_speaker,
        (2, 2, 2),
        Holder(type="SqueezeExcitationBlock", last="sigmoid"),
        folds=3,
        example=(torch.zeros(2, 40, 12),),
    ),
    "peft LoRA": _declared(partial(adapted, dora=False), MOBILENETV3_SMALL, TIMM_SE, folds=9),
    "peft DoRA": _declared(partial(adapted, dora=True), MOBILENETV3_SMALL, TIMM_SE, folds=9),
    "ECAPA-TDNN": _declared(paper_networks.EcapaTdnn, (2, 2, 2), PAPER_SE, folds=3, example=MEL),
    # SE in the first of one, the first of two, the first and third of three and the first of two blocks. Time is never
    # strided: cube roots of 4 ** 2, 8 ** 2, 16 ** 2 and 32 ** 2 positions to one.
    "X3D": _declared(paper_networks.X3D, (2, 3, 4, 4, 4), PAPER_SE, folds=5, example=(torch.zeros(2, 3, 4, 64, 64),)),
    # Two blocks in each of three parts, behind one and before another that are not strided.
    "Citrinet": _declared(
        paper_networks.Citrinet, (2, 3, 3, 4, 4, 5, 5, 5), NEMO_SE, folds=0, example=MEL_WITH_LENGTHS
    ),
    "ContextNet": _declared(
        paper_networks.ContextNet,
        (2, 2, 3, 4, 4),
        Holder(type="ContextNetBlock", last="expand", activation=SIGMOID),
        folds=0,
        example=(torch.zeros(2, 40, 20),),
    ),
    "TitaNet": _declared(paper_networks.TitaNet, (2,) * 5, NEMO_SE, folds=0, example=MEL_WITH_LENGTHS),
    "MLSTM-FCN": _declared(
        paper_networks.MlstmFcn,
        (2, 2),
        Holder(type="SeriesSE", last="expand", activation=SIGMOID),
        folds=2,
        example=(torch.zeros(2, 6, 32),),
    ),
}

ENCODERS: dict[str, Declared] = {
    "se_resnet50": _declared(
        partial(encoder, "se_resnet50"),
        (*(2,) * 3, *(3,) * 4, *(4,) * 6, *(5,) * 3),
        Holder(type="SEModule", last="sigmoid"),
        folds=16,
    ),
    "efficientnet-b0": _declared(
        partial(encoder, "efficientnet-b0"), (2, 3, 3, 4, 4, *(5,) * 6, *(6,) * 5), MBCONV, folds=0
    ),
    "tu-efficientnet_b0": _declared(
        partial(encoder, "tu-efficientnet_b0"), (2, 3, 3, 4, 4, *(5,) * 6, *(6,) * 5), TIMM_SE, folds=16
    ),
    "mobileone_s4": _declared(
        partial(encoder, "mobileone_s4"),
        (*(4,) * 10, 5, 5),
        Holder(type="SEBlock", last="expand", activation=SIGMOID),
        folds=1,
    ),
}
"""Of segmentation-models-pytorch, one of each family with SE: large, so that not all is tried on them."""


def example_of(declared: Declared) -> Any:
    """As a person gives it: a tensor, or a tuple of several."""
    return declared.example if len(declared.example) > 1 else declared.example[0]
