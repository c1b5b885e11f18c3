"""Count what a network costs, and how much of it its SE blocks cost.

Multiply-adds are half of the FLOPs of torch's own counter, which sees convolutions, linear layers, matrix products
and attention. Element-wise work, which that counter does not see, is counted beside it and never added to it.

What belongs to an SE block is followed through the computation: every call from the squeeze to the product, the
product included, with the parameters that these calls use. Where the modules stand that make these calls, in a
module of the block's own or loose in the residual unit, does not matter.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507, section 4. What the paper calls
FLOPs are multiply-adds.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from torch.utils.weak import WeakTensorKeyDictionary

from seviz.errors import ExampleError, NoSEBlocksError, OptionError, SevizError
from seviz.network.axes import is_input_size, sizes_in_words
from seviz.network.blocks import SEBlock, find_se_blocks
from seviz.network.modes import undisturbed
from seviz.network.networks import Network
from seviz.network.products import tensors_in
from seviz.network.tracing import Trace, trace
from seviz.network.wrappers import uncompiled
from seviz.renamed import renamed
from seviz.showing import brief

aten = torch.ops.aten

_WINDOWED = {
    **dict.fromkeys((aten.max_pool2d_with_indices, aten.avg_pool2d), 2),  # over one axis too
    **dict.fromkeys((aten.max_pool3d_with_indices, aten.avg_pool3d), 3),
}
"""Pooling over windows, by its number of axes."""
_REDUCTIONS = {
    *(aten.mean, aten.sum, aten.max, aten.amax, aten.std, aten.var, aten.var_mean, aten.linalg_vector_norm),
    *(aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d, aten._adaptive_avg_pool3d, aten.adaptive_max_pool3d),
}
_SCALINGS = {aten.mul, aten.mul_, aten.addcmul, aten.addcmul_}
# Pointwise in what they write, but not tagged so.
_UNTAGGED = {
    *(aten.native_batch_norm, aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training),
    *(aten.cudnn_batch_norm, aten.miopen_batch_norm, aten.native_layer_norm, aten.native_group_norm),
    *(aten.hardswish, aten.hardswish_, aten.threshold_, aten._prelu_kernel, aten._softmax),
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network or a part of it costs: numbers learned, and work for one image.

    Attributes
    ----------
    parameters
        Numbers in weights, biases and the scales and shifts of normalisations. Parameters that are used twice count
        once.
    multiply_adds
        Multiply-adds of convolutions, linear layers, matrix products and attention; a bias adds none.
    pooled
        Values read by pooling (its window, for each value written), and by means, sums and maxima.
    scaled
        Values written by multiplication, such as the channel scaling of an SE block.
    pointwise
        Values written by activations, sums, normalisations (one each) and other pointwise functions. Copies,
        padding and interpolation are not counted.
    """

    parameters: int = 0
    multiply_adds: int = 0
    pooled: int = 0
    scaled: int = 0
    pointwise: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    @property
    def elementwise(self) -> int:
        """All element-wise work: pooled, scaled and pointwise."""
        return self.pooled + self.scaled + self.pointwise


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """What a network costs with its SE blocks, without them, and what each block costs.

    Attributes
    ----------
    input_size
        Of the image, (channels, positions...).
    with_se
        The network as it is.
    blocks
        The share of each SE block by its name, in the order of the forward pass: its matrices, biases and
        normalisations, the squeeze, the activations between and the channel scaling. What two blocks share counts
        with the first.
    stages
        The same, added up by the number of the stage.
    """

    input_size: tuple[int, ...]
    with_se: Cost
    blocks: Mapping[str, Cost]
    stages: Mapping[int, Cost]

    __repr__ = brief

    @property
    def se(self) -> Cost:
        """The share of all SE blocks; zero where there is none."""
        return total(self.blocks.values())

    @property
    def without_se(self) -> Cost:
        """The network less its SE blocks."""
        return self.with_se - self.se


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; nothing costs nothing."""
    return sum(costs, start=Cost())


@renamed(positional="complexity(network, input_size=...); a module without a Network is counted by `complexity_of`")
def complexity(network: Network, *, input_size: tuple[int, ...] | None = None) -> Complexity:
    """Count parameters, multiply-adds and element-wise work of a network, and the share of its SE blocks.

    Parameters
    ----------
    network
        Comes back as it was given.
    input_size
        Of the image, (channels, positions...); that of the network by default.

    Returns
    -------
    Complexity
        For one image.

    Raises
    ------
    OptionError
        If `input_size` is no size of an image, or the network does not run on that size.
    CompiledModelError
        If the model was compiled.

    Examples
    --------
    >>> seviz.complexity(seviz.load("seviz/seresnet50-cifar10")).se.parameters
    162744
    """
    return complexity_of(network.model, network.input_size if input_size is None else input_size, blocks=network.blocks)


def complexity_of(
    model: nn.Module, input_size: tuple[int, ...], *, blocks: Mapping[str, SEBlock] | None = None
) -> Complexity:
    """Count what a module costs, and the share of its SE blocks.

    One image of zeros goes through the network in evaluation mode, where the network is. The network comes back as
    it was given, and no random number is drawn.

    Parameters
    ----------
    model
        Any module that takes one tensor, with SE blocks or without.
    input_size
        Of the image, without the batch: (channels, positions...), with one to three axes of positions, such as
        (80, 200), (3, 224, 224) or (3, 4, 32, 32); or the channels last, where the module takes them so.
    blocks
        Its SE blocks, where they are known already; they are searched for otherwise. Where only the whole network is
        of interest, none (`{}`), which is the quickest.

    Returns
    -------
    Complexity
        For one image.

    Raises
    ------
    OptionError
        If `input_size` is no size of an image, the network does not run on that size, or `blocks` are not its own.
    CompiledModelError
        If the model was compiled.

    Examples
    --------
    >>> counted = complexity_of(timm.create_model("seresnet50"), (3, 224, 224))
    >>> counted.se.parameters
    2530992
    """
    if not is_input_size(input_size):
        raise OptionError(f"input_size is {input_size!r}, expected {sizes_in_words()}")
    model = uncompiled(model)
    try:
        if blocks is None:
            blocks = _blocks(model, input_size)
        work, recorder = _record(model, input_size, attributed=bool(blocks))
    except ExampleError as error:
        raise _does_not_run(model, input_size, error.__cause__ or error) from error
    except SevizError:
        raise
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        raise _does_not_run(model, input_size, error) from error

    products = recorder.products if recorder else {}
    if unseen := [name for name, block in blocks.items() if (block.path, block.product) not in products]:
        raise OptionError(
            f"blocks has {unseen[0]!r}, which is not in this {type(model).__name__}; give blocks that find_se_blocks"
            " found in it, or none to search for them"
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shares = recorder.shares(blocks) if recorder else {}
    return Complexity(
        input_size=input_size,
        with_se=Cost(parameters=parameters) + work,
        blocks=shares,
        stages={
            stage: total(shares[name] for name, block in blocks.items() if block.stage == stage)
            for stage in sorted({block.stage for block in blocks.values()})
        },
    )


def _does_not_run(model: nn.Module, input_size: tuple[int, ...], error: BaseException) -> OptionError:
    return OptionError(
        f"{type(model).__name__} does not run on an image of input_size {input_size} ({type(error).__name__}: {error});"
        " give the size it was made for"
    )


def _blocks(model: nn.Module, input_size: tuple[int, ...]) -> dict[str, SEBlock]:
    try:
        return find_se_blocks(model, _image(model, input_size))
    except NoSEBlocksError:
        return {}


def _image(model: nn.Module, input_size: tuple[int, ...]) -> Tensor:
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.zeros(1, *input_size, device=like.device, dtype=like.dtype)


def _record(model: nn.Module, input_size: tuple[int, ...], *, attributed: bool) -> tuple[Cost, "_Recorder | None"]:
    """What the whole network costs, parameters aside, and, if asked for, what each call of it does."""
    image = _image(model, input_size)
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        state = stack.enter_context(trace(model)) if attributed else None
        # Without a formula for attention as the CPU computes it, the count would depend on the device.
        flops = FlopCounterMode(
            display=False, custom_mapping={aten._scaled_dot_product_flash_attention_for_cpu: _attention}
        )
        meter = _Meter(stack.enter_context(flops))
        stack.enter_context(meter)
        if state is None:
            model(image)
            return meter.read(), None
        recorder = _Recorder(model, state, meter)
        stack.enter_context(recorder)
        model(image)
    return total(step.cost for step in recorder.steps), recorder  # the search itself does some work beside these


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call, no-any-return]


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs up the cost of every operation of torch's own library, parameters aside."""

    def __init__(self, flops: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flops = flops
        self._pooled = self._scaled = self._pointwise = 0

    def read(self) -> Cost:
        """The cost of all operations so far."""
        return Cost(
            multiply_adds=self._flops.get_total_flops() // 2,
            pooled=self._pooled,
            scaled=self._scaled,
            pointwise=self._pointwise,
        )

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        operation = func.overloadpacket
        written = next((x.numel() for x in tensors_in(output)), 0)
        if operation in _WINDOWED:
            axes, kernel = _WINDOWED[operation], args[1]
            self._pooled += written * math.prod(kernel if len(kernel) == axes else kernel * axes)
        elif operation in _REDUCTIONS:
            self._pooled += args[0].numel()
        elif operation in _SCALINGS:
            self._scaled += written
        elif operation in _UNTAGGED or (torch.Tag.pointwise in func.tags and operation is not aten.clone):
            self._pointwise += written
        return output


@dataclass(frozen=True)
class _Step:
    """One call of a torch function."""

    cost: Cost
    parameters: frozenset[str]
    """Names of those that it uses."""
    sources: frozenset[int]
    """The steps that its inputs come from, back to the squeeze."""


class _Recorder(TorchFunctionMode):
    """Writes down what every call of a torch function costs and, after a squeeze, what it is computed from."""

    def __init__(self, model: nn.Module, state: Trace, meter: _Meter) -> None:
        super().__init__()
        self.steps: list[_Step] = []
        self._state, self._read = state, meter.read
        self._names = {p.data_ptr(): name for name, p in model.named_parameters()}
        self._sizes = {name: p.numel() for name, p in model.named_parameters()}
        self._makers = WeakTensorKeyDictionary()
        self.products: dict[tuple[str, int], int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = list(tensors_in((args, kwargs or {})))
        step = len(self.steps)
        sources = frozenset(self._makers[x] for x in inputs if x in self._makers)
        before, finds = self._read(), len(self._state.finds)
        output = func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():  # else the search looks at what is asked of tensors here
            parameters = frozenset(self._names[x.data_ptr()] for x in inputs if x.data_ptr() in self._names)
            after = self._read()
            cost = Cost() if after == before else after - before
            self.steps.append(_Step(cost, parameters, sources))
            for find in self._state.finds[finds:]:
                self.products[find.path, find.product] = step
            for tensor in tensors_in(output):
                if self._state.origin(tensor).squeezed:
                    self._makers[tensor] = step
                else:
                    self._makers.pop(tensor, None)
        return output

    def shares(self, blocks: Mapping[str, SEBlock]) -> dict[str, Cost]:
        """The cost of each block; what it shares with an earlier one counts with that."""
        shares: dict[str, Cost] = {}
        steps_seen, parameters_seen = set[int](), set[str]()
        for name, block in blocks.items():
            steps = self._back_to_squeeze(self.products[block.path, block.product]) - steps_seen
            parameters = frozenset[str]().union(*(self.steps[k].parameters for k in steps)) - parameters_seen
            steps_seen |= steps
            parameters_seen |= parameters
            shares[name] = total(self.steps[k].cost for k in steps) + Cost(
                parameters=sum(self._sizes[parameter] for parameter in parameters)
            )
        return shares

    def _back_to_squeeze(self, product: int) -> set[int]:
        """The steps that lead from the squeeze to a product, and the product."""
        steps, waiting = set[int](), [product]
        while waiting:
            step = waiting.pop()
            if step not in steps:
                steps.add(step)
                waiting += self.steps[step].sources
        return steps
