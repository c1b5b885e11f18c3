"""What is computed from what in a forward pass, and which layers make, and use, the feature maps of SE blocks.

Channels are followed through what treats each of them for itself: normalisations, activations, pooling, and
concatenations, which set them side by side. Where they are mixed, at a convolution, the way ends.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from seviz.network.blocks import SEBlock
from seviz.network.modes import buffers_kept, undisturbed
from seviz.network.products import function_name, map_tensors, operands, tensors_in
from seviz.network.wrappers import bare

# Functions that tell of a tensor's form, and use none of its values.
FORM = {
    *("__get__", "dim", "ndimension", "size", "numel", "stride", "element_size", "__len__"),
    *("is_contiguous", "is_floating_point", "is_complex", "get_device"),
}

_LINEAR = {
    *("contiguous", "clone", "dropout", "dropout2d", "alpha_dropout", "feature_dropout", "to", "float", "detach"),
    *("avg_pool2d", "adaptive_avg_pool2d", "interpolate"),
}
_RECTIFIED = {
    *("relu", "relu_", "leaky_relu", "leaky_relu_", "max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d"),
}
_ACTIVATIONS = {
    *("relu6", "silu", "silu_", "hardswish", "hardswish_", "gelu", "mish", "elu", "elu_", "celu", "selu", "prelu"),
    *("hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "hardsigmoid", "tanh", "softplus", "clamp", "clamp_"),
}
_BY_NUMBERS = {"mul", "add", "sub", "div", "add_", "sub_", "div_", "__add__", "__iadd__", "__sub__", "__truediv__"}
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

    def passes(self, call: Call) -> Literal["any", "positive", "no"]:
        """Which factors of its input's channels a call hands on to its result: any, those from 0, or none."""
        if call.name in _LINEAR or self._unchanged(call):
            return "any"
        if call.name == "flatten" and self.shapes[call.inputs[0]][1:2] == self.shapes[call.outputs[0]][1:]:
            return "any"  # one position
        if call.name == "pad" and (call.argument(2, "mode", "constant") != "constant" or not call.argument(3, "value")):
            return "any"
        return "positive" if call.name in _RECTIFIED else "no"

    def side_by_side(self, call: Call) -> tuple[Value, ...]:
        """The feature maps whose channels a call sets side by side; empty if it does not."""
        if call.name in _CONCATENATIONS and call.argument(1, "dim", 0) in (1, -3):
            return call.inputs
        return ()

    def splits(self, call: Call) -> bool:
        """Whether a call parts a feature map into some of its channels each, in their order, all of them."""
        if call.name not in ("split", "chunk", "tensor_split") or call.argument(2, "dim", 0) not in (1, -3):
            return False
        return self.shapes[call.inputs[0]][1] == sum(self.shapes[value][1] for value in call.outputs)

    def channelwise(self, call: Call) -> bool:
        """Whether each channel of the result is made of the same channel of the one feature map that goes in."""
        if self.passes(call) != "no" or call.name in _ACTIVATIONS or call.name == "batch_norm":
            return True
        return call.name in _BY_NUMBERS and len(call.inputs) == 1

    def _unchanged(self, call: Call) -> bool:
        """Whether a call takes all of a tensor, such as the first so many channels of so many."""
        if call.name != "__getitem__" or len(call.inputs) != 1 or len(call.outputs) != 1:
            return False
        return self.shapes[call.inputs[0]] == self.shapes[call.outputs[0]]


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
        The path of the convolution that makes them. They are all its outputs, in their order.
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
        where a channel is not made by one convolution alone, as behind a sum with a shortcut.
    """
    flow = flow_of(model, images)
    found = {}
    for name, block in blocks.items():
        product = flow.product(block)
        pieces = _pieces(flow, product.scaled[0], 0) if product is not None and product.scaled is not None else None
        found[name] = tuple(pieces or ())
    return found


def input_producers(model: nn.Module, images: Tensor, convolutions: Collection[str]) -> dict[str, tuple[Producer, ...]]:
    """The layers that make the inputs of convolutions, as `producers` does for SE blocks.

    Parameters
    ----------
    model
        Comes back as it was given.
    images
        What it takes; only shape, dtype and device count.
    convolutions
        Their paths.
    """
    flow = flow_of(model, images)
    found: dict[str, tuple[Producer, ...]] = dict.fromkeys(convolutions, ())
    for call in flow.calls:
        weight = call.argument(1, "weight") if call.name == "conv2d" else None
        path = weight.rpartition(".")[0] if isinstance(weight, str) else ""
        if path in found and call.inputs:
            found[path] = tuple(_pieces(flow, call.inputs[0], 0) or ())
    return found


def _pieces(flow: Flow, value: Value, start: int) -> list[Producer] | None:
    """What makes a value, whose channels begin at `start` of the whole; None if a part of it is made otherwise."""
    call = flow.makers.get(value)
    if call is None:
        return None
    if call.name == "conv2d":
        weight = call.argument(1, "weight")
        if not isinstance(weight, str):
            return None
        stop = start + flow.shapes[value][1]
        return [Producer(start=start, stop=stop, convolution=weight.rpartition(".")[0], norm=None)]
    if inputs := flow.side_by_side(call):
        pieces: list[Producer] = []
        for each in inputs:
            made = _pieces(flow, each, start)
            if made is None:
                return None
            pieces += made
            start += flow.shapes[each][1]
        return pieces
    if not flow.channelwise(call) or len(call.inputs) != 1:
        return None
    made = _pieces(flow, call.inputs[0], start)
    scale = call.argument(3, "weight") if call.name == "batch_norm" else None
    if made is None or not isinstance(scale, str):
        return made
    first = made[0].start
    norm = scale.rpartition(".")[0]
    return [
        piece if piece.norm is not None else replace(piece, norm=norm, norm_first=piece.start - first) for piece in made
    ]
