"""Where a tensor of a pass comes from, and what follows from that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seviz.network.positions import Layout

FORMING = {
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"),
    *("permute", "transpose", "movedim", "get"),
}
"""Functions whose result is their argument with other axes."""
COPIES = FORMING | {
    *("clone", "contiguous", "to", "type", "float", "half", "bfloat16", "double", "detach", "cpu", "cuda", "type_as"),
}
"""Functions whose result is their argument, whether or not torch had to copy it."""
EXPANSIONS = {"expand", "expand_as", "broadcast_to"}
BY_SHAPE = {
    *("ones_like", "zeros_like", "full_like", "empty_like", "rand_like", "randn_like", "expand_as"),
    *("new_ones", "new_zeros", "new_full", "new_empty", "new_tensor"),
}
"""Functions that use no more than the shape and type of a tensor; of `expand_as`, of the second."""
BY_FORM_OF_OTHERS = {"expand_as", "view_as", "reshape_as", "type_as"}
"""Functions that use no more than that of what follows their first argument."""
PIECES = {"chunk", "split", "tensor_split", "narrow", "getitem", "select", "unbind", "slice", "split_with_sizes"}
MULTIPLYING = {
    *("mul", "div", "addcmul", "addcdiv", "lerp", "einsum", "matmul", "baddbmm", "addbmm", "bilinear"),
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
}
"""Functions that may multiply a feature map by a gate."""
ELEMENTWISE = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu", "mish"),
    *("hardswish", "hardsigmoid", "hardtanh", "sigmoid", "logsigmoid", "tanh", "softplus", "softsign", "threshold"),
    *("add", "sub", "mul", "div", "addcmul", "addcdiv", "pow", "sqrt", "rsqrt", "reciprocal", "abs", "neg", "exp"),
    *("log", "sin", "cos", "erf", "sign", "round", "floor", "clamp", "clip", "clamp_min", "clamp_max", "maximum"),
    *("minimum", "lerp", "where", "masked_fill", "nan_to_num", "positive", "batch_norm", "dropout", "dropout2d"),
    *("feature_dropout", "alpha_dropout", "feature_alpha_dropout", "fused_moving_avg_obs_fake_quant"),
    *("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine", "quantize_per_tensor", "dequantize"),
}
"""Functions that treat every number, or every channel, for itself."""
CHANNELS_FIRST = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution"),
    *("batch_norm", "instance_norm", "group_norm"),
}
"""Functions that take and give channels behind the batch."""
CHANNELS_LAST = {"linear", "layer_norm", "rms_norm", "embedding"}
"""Functions that take and give channels at the end."""
NUMBER_BY_NUMBER = ELEMENTWISE | COPIES | EXPANSIONS

UNREGISTERED = "<unregistered>"
"""Stands for the name of parameters of modules that are not registered in the network."""


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a tensor comes from.

    Attributes
    ----------
    serial
        Origins are numbered in the order of the pass.
    name
        Of the function that made it.
    inputs
        The origins of the function's arguments.
    data
        Whether it depends on what the network was given.
    learned
        Of what does not: the names of the parameters and buffers, of two axes or more, that it comes of.
    applied
        The names of those by whose matrices this function multiplied.
    computed
        Whether what is learned was computed with before it was used, as a weight with a norm of its own is.
    maps
        The feature maps that it is (or is a view, a copy, or a product by numbers of).
    kin
        A bit for each of them, and for each that it is made of number by number, a piece of, or joined of.
    sources
        A bit for each feature map that it depends on in any way.
    squeezed, pending
        The feature maps that it was computed from through a squeeze; those that it may become a squeeze of, being
        computed from them and no smaller yet.
    numbers
        How many numbers an image.
    value
        A copy, since the squeeze.
    call
        The function with its arguments, an origin in place of each tensor that has one.
    module
        The innermost module that gave it as output, and which call of it.
    followed
        Whether every function on the way was seen.
    layout
        Where its channels stand, as the functions that it went through have them; None where that is not known.
    axes
        Of the input and what is a view or a copy of it: where the axes 1 and -1 of the input are now.
    """

    serial: int
    name: str = ""
    inputs: tuple["Origin", ...] = ()
    data: bool = False
    learned: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    computed: bool = False
    maps: frozenset[int] = frozenset()
    kin: int = 0
    sources: int = 0
    squeezed: frozenset[int] = frozenset()
    pending: frozenset[int] = frozenset()
    numbers: int = 0
    value: Tensor | None = None
    call: tuple[Callable[..., Any], Any, Any] | None = None
    module: tuple[str, int] | None = None
    followed: bool = True
    layout: Layout | None = None
    axes: tuple[int | None, int | None] | None = None

    @property
    def is_descriptor(self) -> bool:
        """Whether it is computed from a feature map through a squeeze, and none itself."""
        return bool(self.squeezed) and (not self.maps or self.value is not None)

    def has_value_of(self, other: "Origin") -> bool:
        """Whether both are known to hold the same numbers, in whatever shape."""
        if self.value is None or other.value is None:
            return False
        return torch.equal(self.value.flatten(), other.value.flatten())

    def computed_from(self, other: "Origin") -> bool:
        """Whether it was computed from another by learned matrices."""
        seen, waiting, found, applied = {self.serial}, [self], False, False
        while waiting:
            origin = waiting.pop()
            found |= origin.serial == other.serial
            if origin.serial <= other.serial:
                continue
            applied |= bool(origin.applied)
            for each in origin.inputs:
                if each.data and each.serial not in seen:
                    seen.add(each.serial)
                    waiting.append(each)
        return found and applied

    def since_squeeze(self) -> list["Origin"]:
        """What it was computed from since the squeeze, itself included, in order."""
        seen: dict[int, Origin] = {}
        waiting = [self]
        while waiting:
            origin = waiting.pop()
            if origin.serial not in seen and origin.is_descriptor:
                seen[origin.serial] = origin
                waiting += origin.inputs
        return [seen[serial] for serial in sorted(seen)]

    def matrices_from(self, kin: int) -> tuple[str, ...]:
        """The learned matrices on the way to it from the feature maps `kin` points at."""
        seen: dict[int, Origin] = {}
        waiting = [self]
        while waiting:
            origin = waiting.pop()
            if origin.serial not in seen and origin.sources & kin and not (origin.maps and origin.kin & kin):
                seen[origin.serial] = origin
                waiting += origin.inputs
        return tuple(dict.fromkeys(name for serial in sorted(seen) for name in seen[serial].applied))
