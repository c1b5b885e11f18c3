"""Transformers and other networks of tokens: gates of theirs are not one number per image and channel."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.layers import GatedMlp
from timm.models.metaformer import Attention, LayerNorm2dNoBias, LayerNormNoBias, MetaFormer, Pooling, SepConv
from timm.models.mlp_mixer import MlpMixer, ResBlock, SpatialGatingBlock
from timm.models.volo import VOLO
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_survey import SE_TYPES

from seviz.network.blocks import survey

FOUR: dict[str, Any] = {"depths": (1, 1, 1, 1)}
TOKENS: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
MIXED: dict[str, Any] = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "num_blocks": 2}


def named(architecture: str, **small: Any) -> Callable[[], nn.Module]:
    return partial(timm.create_model, architecture, num_classes=3, **small)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    # name: how it is built, smaller than timm has it; side of its images
    "ViT": (named("vit_tiny_patch16_224", **TOKENS), 32),
    "DeiT with a distillation token": (named("deit_tiny_distilled_patch16_224", **TOKENS), 32),
    "BEiT": (named("beit_base_patch16_224", **TOKENS), 32),
    "EVA with SwiGLU": (named("eva02_tiny_patch14_224", **TOKENS), 32),
    "CaiT": (named("cait_xxs24_224", **TOKENS), 32),
    "XCiT": (named("xcit_nano_12_p8_224", **TOKENS), 32),
    "Swin": (
        named("swin_tiny_patch4_window7_224", img_size=56, embed_dim=24, depths=(2, 1), num_heads=(2, 2)),
        56,
    ),
    "VOLO": (
        partial(
            VOLO,
            (1, 1, 1, 1),
            img_size=64,
            num_classes=3,
            embed_dims=(24, 48, 48, 48),
            num_heads=(2, 2, 2, 2),
            downsamples=(True, False, False, False),
            outlook_attention=(True, False, False, False),
        ),
        64,
    ),
    "PVT": (named("pvt_v2_b0", **FOUR), 64),
    "PoolFormer": (partial(MetaFormer, **FOUR, dims=(8, 16, 24, 32), token_mixers=Pooling, num_classes=3), 64),
    "CAFormer": (
        partial(
            MetaFormer,
            **FOUR,
            dims=(32, 32, 32, 32),
            token_mixers=(SepConv, SepConv, Attention, Attention),
            norm_layers=(LayerNorm2dNoBias, LayerNorm2dNoBias, LayerNormNoBias, LayerNormNoBias),
            num_classes=3,
        ),
        64,
    ),
    "MLP-Mixer": (partial(MlpMixer, **MIXED, num_classes=3), 32),
    "gMLP": (
        partial(MlpMixer, **MIXED, mlp_ratio=4, block_layer=SpatialGatingBlock, mlp_layer=GatedMlp),
        32,
    ),
    "ResMLP": (partial(MlpMixer, **MIXED, mlp_ratio=4, block_layer=ResBlock), 32),
    "ConvNeXt V2": (named("convnextv2_atto", **FOUR, dims=(8, 16, 24, 32)), 64),
    "DaViT": (named("davit_tiny", **FOUR, embed_dims=(24, 24, 24, 24), num_heads=(2, 2, 2, 2)), 64),
    "EdgeNeXt": (named("edgenext_xx_small", depths=(1, 2, 2, 2)), 64),
    "EfficientFormer": (named("efficientformer_l1", depths=(1, 1, 1, 2), embed_dims=(8, 16, 24, 32)), 224),
    "MobileViT V2": (named("mobilevitv2_050"), 64),
    # These have SE in their convolutional blocks.
    "CoAtNet": (named("coatnet_nano_rw_224", **FOUR, embed_dim=(64, 64, 64, 64), stem_width=8, img_size=64), 64),
    "MaxViT": (named("maxvit_tiny_rw_224", **FOUR, embed_dim=(32, 32, 32, 32), stem_width=8), 224),
}


def made(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_only_what_the_source_calls_se_is_found(name: str) -> None:
    build, side = NETWORKS[name]
    model = made(build)
    found = survey(model, (3, side, side))
    declared = {path for path, module in model.named_modules() if type(module).__name__ in SE_TYPES}
    assert {block.path for block in found.blocks.values()} == declared
    assert bool(declared) == (name in ("CoAtNet", "MaxViT"))
    assert not found.remarks()


class Tokens(nn.Module):
    """Tokens (batch, 16, 12) of an image, gated by a function of themselves and of a condition, then averaged."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.norm = nn.LayerNorm(12)
        self.gate = gate
        self.condition = nn.Embedding(5, 12)
        self.head = nn.Linear(12, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.patches(images).flatten(2).transpose(1, 2))
        return self.head(self.gate(x, self.condition.weight[: len(x)]).mean(1))


class Function(nn.Module):
    """A gate as a function of the module, tokens and condition."""

    def __init__(self, form: Callable[[Any, Tensor, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.form = form
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.form(self, x, condition)


def glu() -> nn.Module:
    return Function(lambda m, x, _: F.glu(m.both(x), -1), both=nn.Linear(12, 24))


def swiglu() -> nn.Module:
    return Function(
        lambda m, x, _: m.down(F.silu(m.gate(x)) * m.up(x)),
        gate=nn.Linear(12, 24),
        up=nn.Linear(12, 24),
        down=nn.Linear(24, 12),
    )


def token_gate() -> nn.Module:
    return Function(lambda m, x, _: x * m.score(x).sigmoid(), score=nn.Linear(12, 1))


def softmax_over_tokens() -> nn.Module:
    return Function(lambda m, x, _: x * m.score(x).softmax(1), score=nn.Linear(12, 12))


def gate_of_positions() -> nn.Module:
    """The spatial gating unit of gMLP."""
    return Function(lambda m, x, _: x * m.mix(x.transpose(1, 2)).transpose(1, 2), mix=nn.Linear(16, 16))


def adaptive_norm() -> nn.Module:
    """AdaLN of diffusion transformers: scale, shift and gate of a condition, which no image is in."""

    def form(m: Any, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift, gate = m.modulation(F.silu(condition)).chunk(3, -1)
        return x + gate[:, None] * m.mlp(F.layer_norm(x, (12,)) * (1 + scale[:, None]) + shift[:, None])

    return Function(form, modulation=nn.Linear(12, 36), mlp=nn.Linear(12, 12))


def layer_scale() -> nn.Module:
    return Function(lambda m, x, _: x + m.mlp(x) * m.norm.weight, mlp=nn.Linear(12, 12), norm=nn.LayerNorm(12))


def heads_gated() -> nn.Module:
    """Attention whose output is gated by a function of its input, as in gated attention."""

    def form(m: Any, x: Tensor, _: Tensor) -> Tensor:
        y, _ = m.attention(x, x, x, need_weights=False)
        return y * m.gate(x).sigmoid()

    return Function(form, attention=nn.MultiheadAttention(12, 2, batch_first=True), gate=nn.Linear(12, 12))


@pytest.mark.parametrize(
    "gate",
    [glu, swiglu, token_gate, softmax_over_tokens, gate_of_positions, adaptive_norm, layer_scale, heads_gated],
)
def test_gates_of_tokens_are_no_blocks(gate: Callable[[], nn.Module]) -> None:
    found = survey(made(lambda: Tokens(gate())), (3, 32, 32))
    assert found.blocks == {}
    assert not found.remarks()


class Series(nn.Module):
    """(batch, 6, steps), gated at each step, as WaveNet and convolutional GLUs are."""

    def __init__(self, form: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.filter, self.gate = nn.Conv1d(6, 8, 3, padding=1), nn.Conv1d(6, 8, 3, padding=1)
        self.form, self.head = form, nn.Conv1d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.form(self.filter(x), self.gate(x))).mean(2)


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: torch.tanh(a) * torch.sigmoid(b),
        lambda a, b: a * torch.sigmoid(b),
        lambda a, b: a * b.softmax(2),
        lambda a, b: a * torch.sigmoid(b.mean(1, keepdim=True)),
        lambda a, b: F.glu(torch.cat([a, b], 1), 1),
    ],
    ids=["WaveNet", "GLU", "softmax over steps", "gate of steps", "GLU of halves"],
)
def test_gates_of_steps_are_no_blocks(form: Callable[[Tensor, Tensor], Tensor]) -> None:
    found = survey(made(lambda: Series(form)), torch.zeros(2, 6, 32))
    assert found.blocks == {}
    assert not found.remarks()
