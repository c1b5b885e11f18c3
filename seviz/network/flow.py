"""What is computed from what in a forward pass, and which layers make, and use, the feature maps of SE blocks.

Channels are followed through what treats each of them for itself: normalisations, activations, pooling, and
concatenations, which set them side by side. Where they are mixed, at a convolution or a linear layer, the way ends.
With each value goes the axis that its channels are on: convolutions, pooling and BatchNorm have them on axis 1, linear
layers on the last axis, and permutations and reshapes carry them from one to the other.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from seviz.network.blocks import SEBlock
from seviz.network.modes import buffers_kept, undisturbed
from seviz.network.positions import CONVOLUTIONS
from seviz.network.products import function_name, map_tensors, operands, tensors_in
from seviz.network.wrappers import bare

# Functions that tell of a tensor's form, and use none of its values.
FORM = {
    *("__get__", "dim", "ndimension", "size", "numel", "stride", "element_size", "__len__"),
    *("is_contiguous", "is_floating_point", "is_complex", "get_device"),
}

_AXES = range(1, 1 + len(CONVOLUTIONS))  # of positions
_CONVOLUTIONS = {f"conv{d}d": d for d in _AXES}
_AVERAGES = {f"{kind}_pool{d}d": d for d in _AXES for kind in ("avg", "adaptive_avg")}
_MAXIMA = {f"{kind}{d}d": d for d in _AXES for kind in ("max_pool", "adaptive_max_pool")}
_MAXIMA |= {f"max_pool{d}d_with_indices": d for d in _AXES}
_WINDOWED = _CONVOLUTIONS | _AVERAGES | _MAXIMA
"""Functions that take (batch, channels, positions...), with their number of axes of positions."""
_DROPOUTS = {"dropout", *(f"dropout{d}d" for d in _AXES), "alpha_dropout", "feature_dropout", "feature_alpha_dropout"}
_RESHAPES = {"flatten", "unflatten", "view", "reshape", "squeeze", "unsqueeze"}
_TURNS = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis"}
_LINEAR = {"contiguous", "clone", "to", "float", "detach", "interpolate", "__getitem__", *_DROPOUTS, *_AVERAGES}
_RECTIFIED = {"relu", "relu_", "leaky_relu", "leaky_relu_", *_MAXIMA}
_ACTIVATIONS = {
    *("relu6", "silu", "silu_", "hardswish", "hardswish_", "gelu", "mish", "elu", "elu_", "celu", "selu", "prelu"),
    *("hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "hardsigmoid", "tanh", "softplus", "clamp", "clamp_"),
}
_BY_NUMBERS = {"mul", "add", "sub", "div", "add_", "sub_", "div_", "__add__", "__iadd__", "__sub__", "__truediv__"}
SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_CONCATENATIONS = {"cat", "concat", "concatenate"}


class Value(int):
    """The number of a tensor's value in a forward pass; stands for the tensor in the arguments of a call."""


@dataclass(frozen=True)
class Call:
    """One call of a torch function.

    Attributes
    ----------
    name
        Of the function, such as "conv2d".
    args, kwargs
        With a `Value` in place of each tensor that was computed, and the name of each parameter or buffer.
    inputs, outputs
        The values in the arguments and in the result.
    operands
        Of a call that may scale channels (see `products`), its two operands; else None.
    scaled
        Of the product of a block, as `Flow.product` gives it: the feature map, and the operand that holds the gate.
    inside
        The paths of the modules that the pass was in, outermost first.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    inside: tuple[str, ...]
    operands: tuple[Value, Value] | None = None
    scaled: tuple[Value, Value] | None = None

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by its position or its name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)


@dataclass(frozen=True)
class Visit:
    """One call of a module: the values that it was given, and that it gave."""

    given: tuple[Value, ...]
    gave: tuple[Value, ...]


class Flow(TorchFunctionMode):
    """The calls of one forward pass. Use through `flow_of`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.visits: dict[str, list[Visit]] = {}
        """Of each module, by its path."""
        self.shapes: list[tuple[int, ...]] = []
        """Of each value."""
        self.makers: dict[Value, Call] = {}
        self.users: dict[Value, list[Call]] = {}
        self.given_back: set[Value] = set()
        """The values that the model returns."""
        own = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
        self.owners = Counter(id(tensor) for _, tensor in own)
        """How many modules hold each parameter, by its id."""
        self._names = {id(tensor): name for name, tensor in own}
        self.uses = Counter[str]()
        """How many calls use each parameter, by its name."""
        self._numbers = WeakTensorKeyDictionary()
        self._inside: list[tuple[str, tuple[Value, ...]]] = []

    def value(self, tensor: Tensor) -> Value:
        """The number of a tensor as it is now."""
        known = self._numbers.get(tensor)
        return self._new(tensor) if known is None else known

    def _new(self, tensor: Tensor) -> Value:
        number = Value(len(self.shapes))
        self.shapes.append(tuple(tensor.shape))
        self._numbers[tensor] = number
        return number

    def enter(self, path: str, arguments: Any) -> None:
        """A module is called."""
        self._inside.append((path, tuple(map(self.value, tensors_in(arguments)))))

    def leave(self, path: str, output: Any) -> None:
        """A module returns."""
        _, given = self._inside.pop()
        self.visits.setdefault(path, []).append(Visit(given, tuple(map(self.value, tensors_in(output)))))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        used = list(tensors_in((args, kwargs)))
        said, named = map_tensors(self._described, (args, kwargs))
        pair = operands(func, args, kwargs)
        multiplied = (self.value(pair[0]), self.value(pair[1])) if pair is not None else None
        versions = [x._version for x in used]
        output = func(*args, **kwargs)
        results = list(tensors_in(output))
        name = getattr(func, "__name__", "")
        if name in FORM and not results:
            return output
        inputs = tuple(self.value(x) for x in used if id(x) not in self._names)
        for x, version in zip(used, versions, strict=True):
            if x._version != version:  # changed in place: another value from now on
                self._numbers.pop(x, None)
        outputs = tuple(self.value(x) for x in results)
        if outputs and set(outputs) <= set(inputs):
            return output  # handed through
        inside = tuple(path for path, _ in self._inside)
        kind = "mul" if function_name(func) == "mul" else name
        call = Call(kind, said, named, inputs, outputs, inside, multiplied)
        self.calls.append(call)
        self.uses.update({self._names[id(x)] for x in used if id(x) in self._names})
        for value in outputs:
            self.makers[value] = call
        for value in set(inputs):
            self.users.setdefault(value, []).append(call)
        return output

    def _described(self, tensor: Tensor) -> Any:
        return self._names.get(id(tensor)) or self.value(tensor)

    def product(self, block: SEBlock) -> Call | None:
        """The call that scales the feature map of a block; None if no pass went through it."""
        inside = [call for call in self.calls if call.operands is not None and block.path in call.inside]
        if block.product >= len(inside):
            return None
        call = inside[block.product]
        assert call.operands is not None
        return replace(call, scaled=(call.operands[1 - block.operand], call.operands[block.operand]))

    def channels_of(self, block: SEBlock, value: Value) -> int:
        """The axis of a block's channels in the feature map that it scales."""
        return 1 if block.layout == "first" else len(self.shapes[value]) - 1

    def passes(self, call: Call) -> Literal["any", "positive", "no"]:
        """Which factors of its input's channels a call hands on to its result: any, those from 0, or none.

        That is so only where the call keeps the channels apart: see `onward`.
        """
        if call.name in _LINEAR or call.name in _RESHAPES or call.name in _TURNS:
            return "any"
        if call.name == "pad" and (call.argument(2, "mode", "constant") != "constant" or not call.argument(3, "value")):
            return "any"
        return "positive" if call.name in _RECTIFIED else "no"

    def onward(self, call: Call, axis: int) -> int | None:
        """The axis of a call's result that holds the channels on an axis of its first input; None if they are mixed.

        Only of calls that treat each channel for itself: see `passes` and `channelwise`.
        """
        given, gave = (self.shapes[values[0]] for values in (call.inputs, call.outputs))
        if call.name in _TURNS:
            return _turned(call, len(given), axis)
        if call.name in _RESHAPES:
            return _kept(given, gave, axis)
        if call.name in _WINDOWED and len(given) != _WINDOWED[call.name] + 2:
            return None  # without an axis of the batch
        if call.name in {*_WINDOWED, "interpolate", "batch_norm"} and axis != 1:
            return None
        if call.name == "pad" and axis >= len(given) - len(call.argument(1, "pad")) // 2:
            return None
        if call.name == "__getitem__" and not _is_slices(call.args[1]):
            return None
        return axis if len(given) == len(gave) and given[axis] == gave[axis] else None

    def back(self, call: Call, axis: int) -> int | None:
        """The axis of a call's first input that holds the channels on an axis of its result: undoes `onward`."""
        axes = range(len(self.shapes[call.inputs[0]]))
        return next((before for before in axes if self.onward(call, before) == axis), None)

    def side_by_side(self, call: Call, axis: int) -> tuple[Value, ...]:
        """The feature maps whose channels, on an axis, a call sets side by side; empty if it does not."""
        if call.name in _CONCATENATIONS and self._is_axis(call, call.argument(1, "dim", 0), axis):
            return call.inputs
        return ()

    def splits(self, call: Call, axis: int) -> bool:
        """Whether a call parts a feature map into some of its channels each, in their order, all of them."""
        if call.name not in ("split", "chunk", "tensor_split"):
            return False
        if not self._is_axis(call, call.argument(2, "dim", 0), axis):
            return False
        return self.shapes[call.inputs[0]][axis] == sum(self.shapes[value][axis] for value in call.outputs)

    def _is_axis(self, call: Call, dim: Any, axis: int) -> bool:
        return isinstance(dim, int) and dim % len(self.shapes[call.inputs[0]]) == axis

    def channelwise(self, call: Call) -> bool:
        """Whether each channel of the result is made of the same channel of the one feature map that goes in.

        That is so only where the call keeps the channels apart: see `onward`.
        """
        if self.passes(call) != "no" or call.name in _ACTIVATIONS or call.name == "batch_norm":
            return True
        return call.name in _BY_NUMBERS and len(call.inputs) == 1

    def makes(self, call: Call, axis: int) -> bool:
        """Whether a call makes the channels on an axis of its result anew, as the outputs of a layer."""
        return self._mixes(call, axis, self.shapes[call.outputs[0]])

    def takes(self, call: Call, value: Value, axis: int) -> bool:
        """Whether a call takes the channels on an axis of a value as the inputs of a layer."""
        return call.inputs[:1] == (value,) and self._mixes(call, axis, self.shapes[value])

    def _mixes(self, call: Call, axis: int, shape: Sequence[int]) -> bool:
        if call.name == "linear":
            return axis == len(shape) - 1
        return axis == 1 and len(shape) == _CONVOLUTIONS.get(call.name, -1) + 2


def _turned(call: Call, axes: int, axis: int) -> int | None:
    """Where a permutation puts an axis."""
    sizes = range(1, axes + 1)  # all different, so that each can be told
    try:
        turned = getattr(torch.empty(*sizes, device="meta"), call.name)(*call.args[1:], **call.kwargs)
    except (TypeError, RuntimeError, IndexError):  # as where the tensor is given by keyword
        return None
    return list(turned.shape).index(sizes[axis])


def _kept(given: Sequence[int], gave: Sequence[int], axis: int) -> int | None:
    """Where a reshape puts an axis; None if it is merged with others, or parted."""
    before = math.prod(given[:axis])
    return next((k for k, n in enumerate(gave) if n == given[axis] and math.prod(gave[:k]) == before), None)


def _is_slices(index: Any) -> bool:
    """Whether what is taken out of a tensor is said by slices alone."""
    return all(isinstance(each, slice) or each is ... for each in (index if isinstance(index, tuple) else (index,)))


def flow_of(model: nn.Module, images: Tensor) -> Flow:
    """Run a model in evaluation mode, and tell what was computed from what.

    Parameters
    ----------
    model
        Any module; comes back as it was given.
    images
        What it takes; only shape, dtype and device count.
    """
    model = bare(model)
    flow = Flow(model)
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        stack.enter_context(buffers_kept(model))
        images = images.clone()  # which is no inference tensor
        for path, module in model.named_modules():

            def enter(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                flow.enter(path, (args, kwargs))

            def leave(_: nn.Module, args: Any, output: Any, path: str = path) -> None:
                flow.leave(path, output)

            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(flow)
        output = model(images)
    flow.given_back = set(map(flow.value, tensors_in(output)))
    return flow


@dataclass(frozen=True, kw_only=True)
class Producer:
    """The layers that make some channels of a feature map.

    Attributes
    ----------
    start, stop
        Which channels of the feature map.
    convolution
        The path of the convolution, or linear layer, that makes them. They are all its outputs, in their order.
    norm
        The path of the BatchNorm behind it; None if there is none with scale and shift.
    norm_first
        Which channel of the BatchNorm the channel `start` is; not 0 where it normalises several of them at once.
    """

    start: int
    stop: int
    convolution: str
    norm: str | None
    norm_first: int = 0


def producers(model: nn.Module, images: Tensor, blocks: Mapping[str, SEBlock]) -> dict[str, tuple[Producer, ...]]:
    """The layers that make the feature maps which SE blocks scale.

    Parameters
    ----------
    model
        The network that the blocks were found in.
    images
        What it takes; only shape, dtype and device count.
    blocks
        By name.

    Returns
    -------
    dict of str to tuple of Producer
        By the name of the block, in the order of the channels; several where feature maps are concatenated. Empty
        where a channel is not made by one layer alone, as behind a sum with a shortcut.
    """
    flow = flow_of(model, images)
    found: dict[str, tuple[Producer, ...]] = dict.fromkeys(blocks, ())
    for name, block in blocks.items():
        product = flow.product(block)
        if product is not None and product.scaled is not None:
            u = product.scaled[0]
            found[name] = tuple(made_of(flow, u, flow.channels_of(block, u)) or ())
    return found


def input_producers(model: nn.Module, images: Tensor, layers: Collection[str]) -> dict[str, tuple[Producer, ...]]:
    """The layers that make the inputs of convolutions and linear layers, as `producers` does for SE blocks.

    Parameters
    ----------
    model
        Comes back as it was given.
    images
        What it takes; only shape, dtype and device count.
    layers
        Their paths.
    """
    flow = flow_of(model, images)
    found: dict[str, tuple[Producer, ...]] = dict.fromkeys(layers, ())
    for call in flow.calls:
        path = _layer(call)
        if path in found and call.inputs:
            axis = len(flow.shapes[call.inputs[0]]) - 1 if call.name == "linear" else 1
            found[path] = tuple(made_of(flow, call.inputs[0], axis) or ())
    return found


def _layer(call: Call) -> str | None:
    """The path of the layer that a convolution or a linear map is; None for another call, or other weights."""
    weight = call.argument(1, "weight") if call.name == "linear" or call.name in _CONVOLUTIONS else None
    return weight.rpartition(".")[0] if isinstance(weight, str) else None


def is_convolution(call: Call) -> bool:
    """Whether a call convolves, over any number of axes of positions."""
    return call.name in _CONVOLUTIONS


def made_of(flow: Flow, value: Value, axis: int, start: int = 0) -> list[Producer] | None:
    """What makes the channels on an axis of a value, from `start` on; None if some of them are made otherwise."""
    call = flow.makers.get(value)
    if call is None:
        return None
    if flow.makes(call, axis):
        path, stop = _layer(call), start + flow.shapes[value][axis]
        return None if path is None else [Producer(start=start, stop=stop, convolution=path, norm=None)]
    if inputs := flow.side_by_side(call, axis):
        pieces: list[Producer] = []
        for each in inputs:
            made = made_of(flow, each, axis, start)
            if made is None:
                return None
            pieces += made
            start += flow.shapes[each][axis]
        return pieces
    if not flow.channelwise(call) or len(call.inputs) != 1 or (before := flow.back(call, axis)) is None:
        return None
    made = made_of(flow, call.inputs[0], before, start)
    scale = call.argument(3, "weight") if call.name == "batch_norm" else None
    if made is None or not isinstance(scale, str):
        return made
    first = made[0].start
    norm = scale.rpartition(".")[0]
    return [
        piece if piece.norm is not None else replace(piece, norm=norm, norm_first=piece.start - first) for piece in made
    ]
