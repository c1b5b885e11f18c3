"""Which calls of torch functions may scale a feature map channel by channel, and how the factor is read and set.

Whether a call is counted depends on its function and on the ranks and channels of its operands, never on their values
or on the size of images. So the number of a call within a module, as the search finds it, points at the same call in
every later pass, and reading it costs no look at values.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from seviz.network.positions import Layout, channels_first, is_feature_map, spread_over

Form = Literal["factor", "divisor", "diagonal"]
"""What the operand that holds the gate is: the factor itself, its inverse, or a diagonal matrix of it."""

_SYNONYMS = {
    **dict.fromkeys(("rmul", "imul", "multiply"), "mul"),
    **dict.fromkeys(("truediv", "itruediv", "rtruediv", "rdiv", "idiv", "divide", "true_divide"), "div"),
    **dict.fromkeys(("bmm", "mm", "rmatmul", "imatmul"), "matmul"),
    **dict.fromkeys(("iadd", "radd"), "add"),
    **dict.fromkeys(("isub", "rsub", "subtract"), "sub"),
    **dict.fromkeys(("ipow", "rpow", "square"), "pow"),
    **dict.fromkeys(("concat", "concatenate"), "cat"),
    **dict.fromkeys(("swapaxes", "swapdims"), "transpose"),
    "moveaxis": "movedim",
}

_FIRST, _SECOND = ("input", "self"), ("other", "mat2", "tensor1", "tensor2")  # keywords of operands
ELEMENTWISE_PRODUCTS = frozenset({"mul", "addcmul"})
CONTRACTIONS = frozenset({"einsum", "matmul"})
_FAMILY = ELEMENTWISE_PRODUCTS | CONTRACTIONS | {"div"}
_SEQUENCES = (list, tuple)


@lru_cache(maxsize=4096)
def function_name(func: Callable[..., Any]) -> str:
    """The plain name of a torch function: "mul" for `torch.mul`, `Tensor.__imul__`, `torch.ops.aten.mul.Tensor`."""
    name = str(getattr(func, "__name__", "")).partition(".")[0].strip("_")
    return _SYNONYMS.get(name, name)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts, in order."""
    found: list[Tensor] = []
    _gather(value, found)
    return iter(found)


def _gather(value: Any, found: list[Tensor]) -> None:  # a list is filled sooner than generators within generators
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, _SEQUENCES):
        for item in value:
            _gather(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _gather(item, found)


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """The same nested lists, tuples and dicts with `function` applied to every tensor."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, _SEQUENCES):
        items = [map_tensors(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def batch_of(value: Any) -> int:
    """Images of a batch: the first axis of the first tensor that has one; 0 without such a tensor."""
    return next((len(tensor) for tensor in tensors_in(value) if tensor.ndim), 0)


def operands(func: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Tensor, Tensor] | None:
    """The two tensors that a call multiplies, if it may scale a feature map channel by channel; else None.

    Counted are products and quotients of a tensor of at least three axes and one that has its channels, be they first
    or last, for each image or for all, and contractions of two tensors of at least two axes.
    """
    name = function_name(func)
    if name not in _FAMILY:
        return None
    tensors = [*(kwargs[key] for key in _FIRST if key in kwargs), *tensors_in(args)]
    tensors += [kwargs[key] for key in _SECOND if key in kwargs]
    if name == "addcmul":
        tensors = tensors[1:]
    if len(tensors) != 2 or not all(isinstance(x, Tensor) for x in tensors):
        return None
    a, b = tensors
    if name in CONTRACTIONS:
        return (a, b) if min(a.ndim, b.ndim) >= 2 and max(a.ndim, b.ndim) >= 3 else None
    agree = _channels_agree(a, b) or _channels_agree(b, a) or _last_agree(a, b) or _last_agree(b, a)
    return (a, b) if agree else None


def _channels_agree(u: Tensor, factor: Tensor) -> bool:
    if u.ndim < 3 or not 0 <= u.ndim - factor.ndim <= 1:
        return False
    shape = (1,) * (u.ndim - factor.ndim) + tuple(factor.shape)
    return shape[1] == u.shape[1] and all(n in (1, m) for n, m in zip(shape, u.shape, strict=True))


def _last_agree(u: Tensor, factor: Tensor) -> bool:
    """Not of factors that differ between positions, since those would be counted in images of some sizes only."""
    if u.ndim < 3 or u.ndim != factor.ndim or len(factor) not in (1, len(u)):
        return False
    return factor.shape[-1] == u.shape[-1] > 1 == factor.shape[1:-1].numel()


def is_constant_over_positions(tensor: Tensor) -> bool:
    """Whether (batch, channels, positions...) holds one value per image and channel, expanded, copied or single."""
    sides = zip(tensor.shape[2:], tensor.stride()[2:], strict=True)
    if all(size == 1 or stride == 0 for size, stride in sides):
        return True
    rows = tensor.flatten(2)
    first = rows[:, :, :1]
    return _equal(rows[:, :, -1:], first) and _equal(rows, first)  # the ends first, which nearly always is enough


def _equal(some: Tensor, first: Tensor) -> bool:
    """Whether numbers are equal but for rounding, as interpolation rounds."""
    if not some.is_floating_point():
        return bool((some == first).all())
    return bool(((some - first).abs() <= 8 * torch.finfo(some.dtype).eps * first.abs()).all())


def gate_of(operand: Tensor, form: Form, channels: int, layout: Layout = "first") -> Tensor:
    """The number by which each channel is multiplied, (batch, channels); a view where it can be."""
    if form == "diagonal":
        return operand.diagonal(dim1=-2, dim2=-1)
    operand = channels_first(operand, layout)
    if operand.ndim > 1 and operand.shape[1] == channels:
        gate = operand if operand.ndim == 2 else operand.flatten(2)[:, :, 0]
    else:
        gate = operand.reshape(-1, channels)
    return gate.reciprocal() if form == "divisor" else gate


def gate_of_output(output: Tensor, channels: int, layout: Layout = "first") -> Tensor:
    """What the module of a gate returned, (batch, channels), whether or not it expanded it over positions."""
    if is_feature_map(output):
        output = channels_first(output, layout).flatten(2)[:, :, 0]
    return output.reshape(-1, channels)


@dataclass(frozen=True)
class Product:
    """A feature map times one number per image and channel, as a pass makes it.

    Attributes
    ----------
    u
        The feature map, (batch, channels, positions...), in whatever layout the network keeps it.
    factor
        The operand that holds the gate, as it was given.
    form
        What that operand is.
    layout
        Of the network's own feature map and factor.
    """

    u: Tensor
    factor: Tensor
    form: Form = "factor"
    layout: Layout = "first"

    @classmethod
    def seen(cls, u: Tensor, factor: Tensor, form: Form, layout: Layout) -> "Product":
        """Of operands as the network gives them."""
        return cls(channels_first(u, layout), factor, form, layout)

    @property
    def channels(self) -> int:
        """Of the feature map."""
        return self.u.shape[1]

    @property
    def is_whole(self) -> bool:
        """Whether the operand has, by its shape, one number for each image and channel of the feature map."""
        rows = self.u.shape[:2]
        if self.form == "diagonal":
            return self.factor.shape == (*rows, self.channels)
        factor = channels_first(self.factor, self.layout)
        return factor.shape[:2] == rows if factor.shape[1:2] == rows[1:] else factor.numel() == rows.numel()

    @property
    def is_constant(self) -> bool:
        """Whether the operand holds, by its values, one number per image and channel."""
        if self.form == "diagonal":
            return True
        factor = channels_first(self.factor, self.layout)
        return is_constant_over_positions(
            factor if factor.ndim == self.u.ndim else factor.reshape(*self.u.shape[:2], -1)
        )

    def gate(self) -> Tensor:
        """The number by which each channel is multiplied, (batch, channels); a view where it can be."""
        return gate_of(self.factor, self.form, self.channels, self.layout)

    def with_gate(self, gate: Tensor) -> "Product":
        """The same product with another gate, (batch, channels), in the form and type of its operand."""
        like = self.factor
        gate = gate.to(like.dtype)
        if self.form == "diagonal":
            return replace(self, factor=torch.diag_embed(gate))
        if self.form == "divisor":
            gate = gate.reciprocal()
        seen = channels_first(like, self.layout)
        if seen.ndim > 2 and seen.shape[1] == self.channels:
            gate = spread_over(gate, seen).expand_as(seen)
            return replace(self, factor=gate if self.layout == "first" else gate.movedim(1, -1))
        return replace(self, factor=gate.reshape(like.shape))
