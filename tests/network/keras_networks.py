"""Keras 3 networks on torch: small ones of Keras' own applications, and the ways in which people write their own."""

import os

os.environ["KERAS_BACKEND"] = "torch"  # read once, when Keras is imported

from typing import Any

import keras
import torch
from keras.src.applications.efficientnet import EfficientNet
from keras.src.applications.mobilenet_v3 import MobileNetV3, _inverted_res_block
from torch import Tensor

from tests.network.declared import HARD_SIGMOID, IDENTITY, Activation

SIDE = 32


def _stack(x: Any, kernel: int, activation: Any, ratio: float) -> Any:
    x = _inverted_res_block(x, 1, 8, 3, 2, ratio, keras.layers.ReLU(), 0)
    return _inverted_res_block(x, 4, 16, kernel, 2, ratio, activation, 1)


def mobilenet_v3(layout: str) -> keras.Model:
    """Two blocks of MobileNetV3-Small, both with SE."""
    keras.config.set_image_data_format(layout)
    shape = (3, SIDE, SIDE) if layout == "channels_first" else (SIDE, SIDE, 3)
    return MobileNetV3(_stack, 24, shape, 1.0, "small", classes=3, weights=None, dropout_rate=0.0)


def efficientnet(layout: str, *, top: bool = True) -> keras.Model:
    """Two stages of EfficientNet, three blocks in all."""
    keras.config.set_image_data_format(layout)
    shape = (3, SIDE, SIDE) if layout == "channels_first" else (SIDE, SIDE, 3)
    stage = {"expand_ratio": 1, "id_skip": True, "strides": 1, "se_ratio": 0.25, "kernel_size": 3}
    stages = [
        stage | {"repeats": 1, "filters_in": 32, "filters_out": 16},
        stage | {"repeats": 2, "filters_in": 16, "filters_out": 24, "strides": 2, "expand_ratio": 2},
    ]
    return EfficientNet(
        0.5, 1.0, SIDE, name="small", blocks_args=stages, weights=None, include_top=top, input_shape=shape, classes=3
    )


def transferred(layout: str) -> keras.Model:
    """An EfficientNet as one layer of another model, as transfer learning has it."""
    keras.config.set_image_data_format(layout)
    inputs = keras.Input((3, SIDE, SIDE) if layout == "channels_first" else (SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(efficientnet(layout, top=False)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


class SqueezeExcite(keras.layers.Layer):
    """An SE block as people write it in Keras."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(**options)
        self.reduce = keras.layers.Dense(channels // 2, activation="relu")
        self.expand = keras.layers.Dense(channels, activation="sigmoid", name="expand")

    def call(self, u: Tensor) -> Tensor:
        axes = list(range(1, u.ndim - 1))
        return u * self.expand(self.reduce(keras.ops.mean(u, axis=axes, keepdims=True)))


class Subclassed(keras.Model):
    """Layers in attributes and in a list, and a forward pass in code."""

    def __init__(self, rank: int, *, se_name: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        conv = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank]
        keras.config.set_image_data_format("channels_last")
        self.stem = conv(8, 3, strides=2, padding="same", activation="relu")
        self.stages = [
            layer
            for width in (8, 16)
            for layer in (
                conv(width, 3, strides=2, padding="same", activation="relu"),
                SqueezeExcite(width, name=se_name),
            )
        ]
        self.head = keras.layers.Dense(3)

    def call(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.stages:
            x = layer(x)
        return self.head(keras.ops.mean(x, axis=list(range(1, x.ndim - 1))))


def sequential() -> keras.Model:
    """Layers in a row."""
    keras.config.set_image_data_format("channels_last")
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            SqueezeExcite(8, name="first"),
            keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            SqueezeExcite(8, name="second"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


IMAGE = (SIDE, SIDE, 3)
IMAGE_FIRST = (3, SIDE, SIDE)

NETWORKS: dict[str, tuple[Any, tuple[int, ...], list[str], str, Activation]] = {
    # name: how it is built; shape; blocks; what the names of gates' layers end with, and what they lack
    "MobileNetV3": (
        lambda: mobilenet_v3("channels_last"),
        *(IMAGE, ["SE_2_1", "SE_3_1"], "squeeze_excite_conv_1", HARD_SIGMOID),
    ),
    "MobileNetV3, channels first": (
        lambda: mobilenet_v3("channels_first"),
        *(IMAGE_FIRST, ["SE_2_1", "SE_3_1"], "squeeze_excite_conv_1", HARD_SIGMOID),
    ),
    "EfficientNet": (
        lambda: efficientnet("channels_last"),
        *(IMAGE, ["SE_2_1", "SE_3_1", "SE_3_2"], "se_expand", IDENTITY),
    ),
    "EfficientNet, channels first": (
        lambda: efficientnet("channels_first"),
        *(IMAGE_FIRST, ["SE_2_1", "SE_3_1", "SE_3_2"], "se_expand", IDENTITY),
    ),
    "EfficientNet as a layer": (
        lambda: transferred("channels_last"),
        *(IMAGE, ["SE_2_1", "SE_3_1", "SE_3_2"], "se_expand", IDENTITY),
    ),
    "subclassed, 1-D": (lambda: Subclassed(1), (SIDE, 3), ["SE_2_1", "SE_3_1"], "expand", IDENTITY),
    "subclassed, 2-D": (lambda: Subclassed(2), IMAGE, ["SE_2_1", "SE_3_1"], "expand", IDENTITY),
    "subclassed, 3-D": (lambda: Subclassed(3), (16, 16, 16, 2), ["SE_2_1", "SE_3_1"], "expand", IDENTITY),
    "sequential": (sequential, IMAGE, ["SE_2_1", "SE_3_1"], "expand", IDENTITY),
}


def made(name: str) -> keras.Model:
    """The network of a name, the same at each call, as if trained."""
    build, shape, *_ = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        keras.utils.set_random_seed(0)
        before = keras.config.image_data_format()
        try:
            model = build()
            model(torch.zeros(1, *shape))
        finally:
            keras.config.set_image_data_format(before)
        for variable in model.variables:
            if variable.path.endswith(("kernel", "moving_mean")):  # as drawn by Keras, deep features vanish
                variable.assign(variable.value + 0.3 * torch.randn(variable.shape))
    return model
