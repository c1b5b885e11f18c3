"""Watch one forward pass: which feature maps are scaled per channel, by what, and inside which module.

Module hooks tell where the pass is, a `TorchFunctionMode` sees every torch function and follows what is
computed from what. Values are followed by the tensors themselves, so views, in-place operations and
modules that return what they were given keep their place in the story.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

MULTIPLICATIONS = {
    torch.mul,
    torch.multiply,
    torch.addcmul,
    Tensor.mul,
    Tensor.mul_,
    Tensor.multiply,
    Tensor.multiply_,
    Tensor.__mul__,
    Tensor.__rmul__,
    Tensor.__imul__,
    Tensor.addcmul,
    Tensor.addcmul_,
}

# Functions whose result is their argument, whether or not torch had to copy it.
_COPIES = {
    *("clone", "contiguous", "to", "type", "float", "half", "bfloat16", "double", "detach", "cpu", "cuda"),
    *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze"),
    *("permute", "transpose", "movedim", "type_as"),
}
_EXPANSIONS = {"expand", "expand_as", "broadcast_to"}


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same nested lists, tuples and dicts with `function` applied to every tensor."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [map_tensors(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def is_feature_map(tensor: Tensor) -> bool:
    """Whether this is (batch, channels, height, width) with more than one position."""
    return tensor.ndim == 4 and tensor.shape[2] * tensor.shape[3] > 1


def is_constant_over_positions(tensor: Tensor) -> bool:
    """Whether (batch, channels, height, width) stores one value per image and channel, expanded or not."""
    sides = zip(tensor.shape[2:], tensor.stride()[2:], strict=True)
    return all(size == 1 or stride == 0 for size, stride in sides)


@dataclass(frozen=True)
class Product:
    """A feature map times a per-image, per-channel factor."""

    u: Tensor  # (batch, channels, height, width)
    factor: Tensor  # (batch, channels, 1 or height, 1 or width)

    def gate(self) -> Tensor:
        """The factor, (batch, channels)."""
        return self.factor[:, :, 0, 0]


def channel_product(func: Callable[..., Any], args: Any, kwargs: Any, parameters: Container[int]) -> Product | None:
    """The product in a call of a torch function, if it scales each channel of each image by one number.

    Parameters
    ----------
    func, args, kwargs
        The call, as a `TorchFunctionMode` sees it.
    parameters
        Addresses of the data of the network's parameters: scaling by one of them is no gate.
    """
    operands = factors(func, args, kwargs)
    for u, factor in (operands, operands[::-1]) if operands else ():
        if (
            is_feature_map(u)
            and factor.ndim == 4
            and factor.shape[:2] == u.shape[:2]
            and factor.shape[2:] in ((1, 1), u.shape[2:])
            and factor.data_ptr() not in parameters
            and is_constant_over_positions(factor)
        ):
            return Product(u, factor)
    return None


def factors(func: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Tensor, Tensor] | None:
    """The two tensors that a call of a torch function multiplies, or None if it multiplies none."""
    if func not in MULTIPLICATIONS:
        return None
    operands = [*args, *(kwargs[k] for k in ("other", "tensor1", "tensor2") if k in kwargs)]
    operands = operands[1:3] if "addcmul" in func.__name__ else operands[-2:]
    if len(operands) != 2 or not all(isinstance(x, Tensor) for x in operands):
        return None
    return operands[0], operands[1]


@dataclass(frozen=True)
class Origin:
    """What is known of where a tensor comes from."""

    maps: frozenset[int] = frozenset()
    """The feature maps that it is (or is a view or a copy of)."""
    squeezed: frozenset[int] = frozenset()
    """The feature maps that it was computed from through a squeeze."""
    width: int | None = None
    """The narrowest it has been since the squeeze, in values per image."""
    weights: tuple[str, ...] = ()
    """The matrices that were applied since the squeeze, in order."""
    trail: tuple[Tensor, ...] = ()
    """What it was computed from since the squeeze, in order."""
    module: tuple[str, int] | None = None
    """The innermost module that gave it as output, and which call of it."""


@dataclass(frozen=True)
class Find:
    """A channel product whose factor is computed from the feature map it scales."""

    path: str
    """The innermost module around the product."""
    product: int
    """Which of the channel products made inside that module it is."""
    gate: tuple[str, int] | None
    """The module whose output the factor is, and which call of it; none for a plain function call."""
    u: Tensor  # (batch, channels, height, width)
    factor: Tensor  # (batch, channels)
    origin: Origin
    """Of the factor."""
    inputs: tuple[Any, Any]
    """What the module was called with: positional arguments and keywords."""


class Scaling(StrEnum):
    """How a feature map is scaled where it is not by an SE block."""

    LEARNED = "by numbers that are the same for every image (layer scale)"
    IMAGE = "by one number an image (stochastic depth)"
    SPATIAL = "by a factor that differs between positions (spatial gate)"
    DIRECTIONAL = "by a factor that differs along one side (coordinate attention)"
    NORMALISED = "per channel and image, by no learned matrix (response or instance normalisation)"
    FOREIGN = "per channel and image, by what is not computed from that feature map"
    SEVERAL = "several feature maps at once (split or selective-kernel attention)"
    LAST = "along the last axis (channels-last gate or normalisation)"


@dataclass
class Trace(TorchFunctionMode):
    """The search in one forward pass. Use through `trace`."""

    names: dict[int, str]
    """Names of parameters by the address of their data."""
    finds: list[Find] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    """How often each module was called."""
    products: Counter[str] = field(default_factory=Counter)
    """How many channel products were made inside each module."""
    scalings: dict[tuple[str, Scaling], None] = field(default_factory=dict)
    """Where feature maps are scaled otherwise, innermost module and kind, in order."""

    def __post_init__(self) -> None:
        super().__init__()
        self._stack: list[tuple[str, int, tuple[Any, Any]]] = []
        self._origins = WeakTensorKeyDictionary()
        self._sizes: list[int] = []  # numbers in each feature map seen

    def origin(self, tensor: Tensor) -> Origin:
        """What is known of a tensor; a feature map seen for the first time becomes known."""
        known = self._origins.get(tensor)
        if known is None:
            is_map = is_feature_map(tensor) and tensor.data_ptr() not in self.names
            known = Origin(maps=self._new_map(tensor)) if is_map else Origin()
            self._origins[tensor] = known
        return known  # type: ignore[no-any-return]

    def _new_map(self, tensor: Tensor) -> frozenset[int]:
        self._sizes.append(tensor.numel())
        return frozenset({len(self._sizes) - 1})

    def enter(self, path: str, args: Any, kwargs: Any) -> None:
        """A module is called."""
        self._stack.append((path, self.calls[path], (args, kwargs)))
        self.calls[path] += 1

    def leave(self, path: str, output: Any) -> None:
        """A module returns: its outputs bear its name, unless a module inside it gave them already."""
        _, call, _ = self._stack.pop()
        for tensor in tensors_in(output):
            origin = self.origin(tensor)
            if origin.module is None:
                self._origins[tensor] = replace(origin, module=(path, call))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        product = channel_product(func, args, kwargs, self.names)
        if product is not None:
            self._consider(product)
        elif (operands := factors(func, args, kwargs)) is not None:
            self._note(*sorted(operands, key=Tensor.numel))
        inputs = list(tensors_in((args, kwargs)))
        versions = [x._version for x in inputs]
        output = func(*args, **kwargs)
        for tensor in tensors_in(output):
            if tensor.is_floating_point():
                self._origins[tensor] = self._derive(func, inputs, versions, tensor)
        return output

    def _consider(self, product: Product) -> None:
        """Note a channel product: a find, or another scaling."""
        factor, u = self.origin(product.factor), self.origin(product.u)
        path, _, inputs = self._stack[-1]
        if factor.squeezed and not factor.weights:
            self.scalings[path, Scaling.NORMALISED] = None
        elif not factor.squeezed & u.maps:
            self.scalings[path, Scaling.FOREIGN] = None
        else:
            values = product.gate().clone()
            self.finds.append(Find(path, self.products[path], factor.module, product.u.clone(), values, factor, inputs))
        self.products.update({path for path, _, _ in self._stack})

    def _note(self, factor: Tensor, u: Tensor) -> None:
        """Note a scaling that is no channel product, if it scales a feature map by something smaller than it."""
        kind = _kind(factor, u) if u.ndim >= 4 and 1 < factor.numel() < u.numel() else None
        if kind is not None and self._stack:
            self.scalings[self._stack[-1][0], kind] = None

    def _derive(self, func: Any, inputs: list[Tensor], versions: list[int], output: Tensor) -> Origin:
        """What is known of an output, from what is known of the inputs."""
        name = getattr(func, "__name__", "")
        origins = [self.origin(x) for x in inputs]
        changed = any(output is x and x._version != v for x, v in zip(inputs, versions, strict=True))
        # The input that the output is, and not merely is computed from.
        same = next(
            (
                origin
                for x, origin in zip(inputs, origins, strict=True)
                if (output is x or name in _COPIES or _share_storage(output, x))
                and (output.numel() == x.numel() or name in _EXPANSIONS)
            ),
            None,
        )
        if same is not None and any(output is x for x in inputs) and not changed:
            return same
        # A descriptor that is permuted for a normalisation over its last axis is no feature map.
        descriptor = any(o.squeezed for o in origins) and not any(o.maps for o in origins)
        is_map = is_feature_map(output) and not (descriptor and output.numel() <= max(x.numel() for x in inputs))
        maps = same.maps if same is not None else frozenset[int]()
        if is_map and not changed:
            maps |= self._new_map(output)
        if is_map and not is_constant_over_positions(output):
            # Reduced over one side only, it is a squeeze half done.
            half = 1 in output.shape[2:] and any(is_feature_map(x) for x in inputs)
            return Origin(maps, _union(o.maps for o in origins) if half else frozenset())
        if maps and not is_map and same is not None and not same.squeezed:
            return Origin(maps)  # a feature map with its positions in a row

        squeezed = _union(o.squeezed for o in origins)
        if not is_map:
            maps = frozenset()
            # What is no smaller than the feature map, such as tokens, has not squeezed it.
            squeezed |= _union(o.maps for o in origins)
            squeezed = frozenset(k for k in squeezed if output.numel() < self._sizes[k])
        if not squeezed:
            return Origin(maps)
        weights = [w for o in origins for w in o.weights]
        if func not in MULTIPLICATIONS:
            weights += [self.names[x.data_ptr()] for x in inputs if x.ndim > 1 and x.data_ptr() in self.names]
        widths = [o.width for o in origins if o.width is not None]
        trail = [t for o in origins for t in o.trail]
        if not is_map:
            widths.append(output.numel() // len(output) if output.ndim and len(output) else 1)
            trail.append(output.clone())
        return Origin(
            maps=maps,
            squeezed=squeezed,
            width=min(widths, default=None),
            weights=tuple(dict.fromkeys(weights)),
            trail=tuple({id(t): t for t in trail}.values()),
            module=same.module if same is not None and not changed else None,
        )


def _kind(factor: Tensor, u: Tensor) -> Scaling | None:
    shape = (*(1,) * (u.ndim - factor.ndim), *factor.shape)
    if shape[0] != u.shape[0]:
        # Windows and heads share the first axis with the batch: then it is anybody's guess.
        return Scaling.LEARNED if shape[0] == 1 and any(n > 1 for n in shape[1:]) else None
    if u.ndim > 4:
        return Scaling.SEVERAL
    if all(n == 1 for n in shape[1:]):
        return Scaling.IMAGE
    if shape[1:3] == (1, 1):
        return Scaling.LAST
    if 1 in shape[2:] and u.shape[2] > 1 and u.shape[3] > 1:
        return Scaling.DIRECTIONAL
    return Scaling.SPATIAL if shape[1] == 1 else None


def _union(sets: Iterator[frozenset[int]]) -> frozenset[int]:
    return frozenset[int]().union(*sets)


def _share_storage(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


@contextmanager
def trace(model: nn.Module, weights: Mapping[str, Tensor] = MappingProxyType({})) -> Iterator[Trace]:
    """Watch the forward passes of a model; nothing of it stays when the context ends.

    Parameters
    ----------
    model
        Any module.
    weights
        What stands in for some of its parameters in these forward passes, by name.

    Yields
    ------
    Trace
        Holds the finds after `model(...)` was called.
    """
    parameters = dict(model.named_parameters()) | dict(weights)
    state = Trace({p.data_ptr(): name for name, p in parameters.items()})
    with ExitStack() as stack:
        for path, module in model.named_modules():

            def enter(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                state.enter(path, args, kwargs)

            def leave(_: nn.Module, args: Any, output: Any, path: str = path) -> None:
                state.leave(path, output)

            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(state)
        yield state
