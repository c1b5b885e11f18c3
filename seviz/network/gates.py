"""Observe the gates of SE blocks in a forward pass, and set them.

How it works. The search (`blocks.py`) tells, for each block, the module around its product, which call there that may
scale channels is the product, and which operand of it holds the gate. While a context is open, hooks on those modules
tell where the pass is, and a `TorchFunctionMode` sees every call of a torch function: at the product of a block it
reads the operand, copies it, and, where gates are forced, gives the function another in its place. So what is reported
is what the product used, whatever was done to it on the way, and what is forced is what the product uses.

Only passes of the model itself count, from its call to its return: what activation checkpointing computes again in
backward is not seen. At the end of each pass it is counted whether every block was met as often as it was found; a
batch that the network runs in parts is put together in order; anything else is an error.
"""

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seviz.errors import CheckpointedError, GatesNotSeenError, OptionError
from seviz.network.blocks import SEBlock
from seviz.network.products import Product, is_constant_over_positions, map_tensors, operands, tensors_in
from seviz.network.tracing import is_feature_map
from seviz.network.wrappers import bare, refuse_compiled

Signal = Literal["excitation", "squeeze", "response"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)


class Gates(Mapping[str, Tensor]):
    """The gates of the last forward pass, (batch, channels) each, by the name of their block.

    `gates["SE_5_1"]` is the excitation; `gates.signal("squeeze")` maps the same names to another signal.
    """

    def __init__(self, names: Sequence[str], values: Mapping[Signal, dict[str, Tensor]]) -> None:
        self._names = tuple(names)
        self._values = values

    def __getitem__(self, name: str) -> Tensor:
        """The excitation of one block, (batch, channels).

        Raises
        ------
        GatesNotSeenError
            If the block is not captured, or no forward pass went through it.
        """
        if name not in self._names:
            raise GatesNotSeenError(f"no block {name!r} is captured; captured are {', '.join(self._names)}")
        if name not in self._values["excitation"]:
            raise GatesNotSeenError(
                f"{name} was not seen: no forward pass of the model went through it inside `with capture_gates(...)`."
                " Call the model there as a whole, not a part, a compiled or a traced copy of it."
            )
        return self._values["excitation"][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def signal(self, signal: Signal) -> dict[str, Tensor]:
        """One signal of every block that was seen, (batch, channels) each.

        Raises
        ------
        OptionError
            If that signal is not captured.
        """
        if signal not in self._values:
            raise OptionError(f"signal {signal!r} is not captured; captured are {', '.join(self._values)}")
        return dict(self._values[signal])


@dataclass(frozen=True)
class Place:
    """What a product of a pass is of a block: some of its channels, for some images of the batch.

    Attributes
    ----------
    channels
        Which of the block's channels.
    first, batch
        The first image, and how many images the pass has in all; 0 if that is not known.
    """

    channels: slice
    first: int
    batch: int


AtProduct = Callable[[SEBlock, Product, Place], Tensor | None]
"""Called at a product of a block; returns the gate to use, (images, channels), or None to leave it."""


class _Watcher:
    """Finds the products of blocks in the passes of one model, and counts them."""

    def __init__(self, model: nn.Module, blocks: Sequence[SEBlock], at_product: AtProduct, traced: bool) -> None:
        self._model, self._blocks, self._at_product, self._traced = model, blocks, at_product, traced
        self._numbers: dict[str, dict[int, tuple[SEBlock, int]]] = {}
        """By path and number of the product there: the block and its first channel."""
        for block in blocks:
            numbers = self._numbers.setdefault(block.path, {})
            numbers[block.product] = block, 0
            numbers.update({number: (block, first) for number, first in block.pieces})
        self._products = {block.path: block.products for block in blocks}
        self._sharing = Counter(block.path for block in blocks)
        self.inside: list[str] = []
        """Paths of the blocks that the pass is inside of now; empty outside of passes."""
        self.passes = 0
        self._depth = 0
        self._batch = 0
        self._before: BaseException | None = None
        self._seen = Counter[str]()
        self._rows = Counter[tuple[str, int]]()

    def begin(self, args: Any, kwargs: Any) -> bool:
        """The model is called; tells whether this is a pass of its own, and not one inside of another."""
        self._depth += 1
        if self._depth > 1:
            return False
        self.inside.clear()
        self._seen.clear()
        self._rows.clear()
        self._batch = next((len(x) for x in tensors_in((args, kwargs)) if x.ndim), 0)
        self._before = sys.exception()
        return True

    def end(self) -> bool:
        """The model returns; tells whether it was a pass of its own that went well, after counting."""
        self._depth -= 1
        if self._depth or sys.exception() is not self._before:
            return False
        self.inside.clear()
        self.passes += 1
        for block in self._blocks:
            self._check(block)
        return True

    def _check(self, block: SEBlock) -> None:
        """Raise GatesNotSeenError unless a block was met once, or once for each part of the batch."""
        seen, expected = self._seen[block.path], block.products
        parts = seen // expected
        if seen == expected:
            return
        where = f"the module {block.path!r}" if block.path else "the network's own forward"
        if seen and seen % expected == 0 and self._sharing[block.path] == 1:
            rows = self._rows[block.path, block.product]
            if rows == self._batch:
                return
            why = (
                f"{parts} times, for {rows} images in all, and the batch has {self._batch}: expected once, or once for"
                " each part of the batch. The network may run a block again that ran once when blocks were found"
            )
        else:
            why = (
                f"{seen / expected:g} times, expected 1: {seen} calls in {where} may scale channels, and {expected} did"
                " when blocks were found. The network may skip or repeat blocks (as stochastic depth does in training),"
                " run parts of the batch by turns through a shared module, or be another than the blocks were found in"
            )
        raise GatesNotSeenError(f"{block.name} was met {why}. Find the blocks in this network, or run it in eval mode.")

    def watch(
        self, stack: ExitStack, products: "_Products", begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Register the hooks that tell where a pass is."""

        # A copy of the model that is made meanwhile has these hooks too; it is not the model.
        def start(model: nn.Module, args: Any, kwargs: Any) -> None:
            if model is self._model and self.begin(args, kwargs):
                begin()

        def stop(model: nn.Module, args: Any, output: Any) -> None:
            if model is self._model and self.end():
                end()

        stack.callback(self._model.register_forward_pre_hook(start, prepend=True, with_kwargs=True).remove)
        for path in self._numbers:
            try:
                module = self._model.get_submodule(path)
            except AttributeError as error:
                raise GatesNotSeenError(
                    f"{type(self._model).__name__} has no module {path!r}, in which a block was found; give the blocks"
                    " that find_se_blocks finds in this network"
                ) from error

            def enter(called: nn.Module, args: Any, path: str = path, module: nn.Module = module) -> None:
                if self._depth and called is module:
                    self.inside.append(path)
                    products.enter()

            def leave(called: nn.Module, args: Any, output: Any, path: str = path, module: nn.Module = module) -> None:
                if called is module and self.inside and self.inside[-1] == path:
                    self.inside.pop()
                    products.leave()

            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.callback(self._model.register_forward_hook(stop, always_call=True).remove)

    def at(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        """Note a call that may scale channels; gives the operand to exchange and what comes in its place, if any."""
        exchange = None
        for path in dict.fromkeys(self.inside):
            found = self._numbers[path].get(self._seen[path] % self._products[path])
            self._seen[path] += 1
            if found is not None:
                exchange = self._at(path, *found, pair) or exchange
        return exchange

    def _at(self, path: str, block: SEBlock, first: int, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        factor, u = pair[block.operand], pair[1 - block.operand]
        product = Product(u, factor, block.form)
        if u.ndim < 3 or first + u.shape[1] > block.channels or (not block.pieces and u.shape[1] != block.channels):
            raise GatesNotSeenError(
                f"{block.name} has {block.channels} channels, and its product scales something of shape"
                f" {tuple(u.shape)}; give the blocks that find_se_blocks finds in this network"
            )
        if not self._traced and block.form != "diagonal" and not is_constant_over_positions(_over_positions(factor, u)):
            raise GatesNotSeenError(f"what {block.name} multiplies by differs between positions in this pass")
        if product.gate().shape != u.shape[:2]:
            raise GatesNotSeenError(
                f"the product of {block.name} has an operand of shape {tuple(factor.shape)} in this pass, which is not"
                f" one number for each of {len(u)} images and {u.shape[1]} channels; the network may do something else"
                " in its place than when blocks were found"
            )
        key = path, block.product if first == 0 else first
        place = Place(slice(first, first + u.shape[1]), self._rows[key], self._batch)
        gate = self._at_product(block, product, place)
        self._rows[key] += len(u)
        if gate is None:
            return None
        return factor, product.with_gate(gate).factor


def _over_positions(factor: Tensor, u: Tensor) -> Tensor:
    """The factor with its positions behind the channels; with none where it has other axes."""
    return factor if factor.ndim == u.ndim else factor.reshape(*u.shape[:2], -1)


class _Products(TorchFunctionMode):
    """Shows each product of a forward pass to watchers.

    Contexts on one model share it, so that they take their turns at a product in the order they were entered. Modes of
    their own would take turns the other way round. It is on only while the pass is in the module of a block, since it
    costs some microseconds a function.
    """

    def __init__(self) -> None:
        super().__init__()
        self.watchers: list[_Watcher] = []
        self._depth = 0

    def enter(self) -> None:
        """A pass comes to the module of a block: look at functions from here on."""
        if not self._depth:
            self.__enter__()  # type: ignore[no-untyped-call]
        self._depth += 1

    def leave(self) -> None:
        """A pass leaves the module of a block."""
        self._depth -= 1
        if not self._depth:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Look at nothing any more, also where a pass was interrupted in the middle of a block."""
        if self._depth:
            self._depth = 1
            self.leave()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        watchers = [watcher for watcher in self.watchers if watcher.inside]
        if watchers and (pair := operands(func, args, kwargs)) is not None:
            given = args
            for watcher in watchers:
                exchange = watcher.at(pair)
                if exchange is not None:
                    out = {key: kwargs[key] for key in kwargs if key == "out"}
                    args, kwargs = map_tensors(partial(_exchange, *exchange), (args, kwargs))
                    kwargs |= out
                    pair = map_tensors(partial(_exchange, *exchange), pair)
            if args is not given and args[0] is not given[0] and _in_place(func):
                return given[0].copy_(func(args[0].clone(), *args[1:], **kwargs))  # the gate itself is written to
        return func(*args, **kwargs)


def _exchange(old: Tensor, new: Tensor, tensor: Tensor) -> Tensor:
    return new if tensor is old else tensor


def _in_place(func: Callable[..., Any]) -> bool:
    name = func.__name__
    return name.startswith("__i") if name.startswith("__") else name.partition(".")[0].endswith("_")


_shared: WeakKeyDictionary[nn.Module, _Products] = WeakKeyDictionary()
"""Of each model that is watched now."""


@contextmanager
def _products_of(model: nn.Module, watcher: _Watcher) -> Iterator[_Products]:
    """The model's products, with one more watcher."""
    products = _shared.setdefault(model, _Products())
    products.watchers.append(watcher)
    try:
        yield products
    finally:
        products.watchers.remove(watcher)
        if not products.watchers:
            products.end()
            del _shared[model]


def _nothing() -> None:
    pass


@contextmanager
def visit_products(
    model: nn.Module,
    blocks: Sequence[SEBlock],
    at_product: AtProduct,
    *,
    begin: Callable[[], None] = _nothing,
    end: Callable[[], None] = _nothing,
    traced: bool = False,
) -> Iterator[_Watcher]:
    """Have a function called at the product of each block, in each pass of the model.

    Parameters
    ----------
    model
        The network that the blocks were found in, or a parallel wrapper around it.
    at_product
        Called with the block, its product and the place of that among channels and images; returns the gate to use, or
        None.
    begin, end
        Called when a pass begins, and when it ends well and every block was met.
    traced
        Whether the pass is traced, and shows no values: then nothing is checked by value, and what comes of the trace
        must be compared with a pass that was.

    Raises
    ------
    GatesNotSeenError
        At the end of a pass, if a block was not met as often as it was found.
    """
    model = bare(model)
    watcher = _Watcher(model, blocks, at_product, traced)
    with ExitStack() as stack:
        products = stack.enter_context(_products_of(model, watcher))
        watcher.watch(stack, products, begin, end)
        yield watcher


Measure = Callable[[Product, Tensor], Tensor]
"""From a product and the record of its gate to (images, channels)."""


@contextmanager
def recorded_products(
    model: nn.Module,
    blocks: Mapping[str, SEBlock],
    measures: Mapping[Any, Measure],
    *,
    detach: bool,
    traced: bool = False,
) -> Iterator[dict[Any, dict[str, Tensor]]]:
    """Record measures of the products of blocks in each pass.

    Parameters
    ----------
    model, blocks
        As in `capture_gates`.
    measures
        By a name.
    detach
        Whether to cut what is recorded off the graph. If not, the network goes on with the recorded gates, so that
        gradients flow through them.
    traced
        As in `visit_products`.

    Yields
    ------
    dict of dict of str to Tensor
        By name and block, (batch, channels); renewed by each pass.
    """
    values: dict[Any, dict[str, Tensor]] = {name: {} for name in measures}
    pieces: dict[tuple[Any, str], dict[int, list[Tensor]]] = {}

    def at_product(block: SEBlock, product: Product, place: Place) -> Tensor | None:
        gate = product.gate()
        record = gate.detach().clone() if detach else gate.clone()
        for name, measure in measures.items():
            value = measure(product, record)
            parts = pieces.setdefault((name, block.name), {}).setdefault(place.channels.start, [])
            parts.append(value.detach() if detach else value)
        return record if record.requires_grad else None

    def begin() -> None:
        pieces.clear()
        for each in values.values():
            each.clear()

    def end() -> None:
        for (name, block), by_channel in pieces.items():
            columns = [_one(by_channel[first], 0) for first in sorted(by_channel)]
            values[name][block] = _one(columns, 1)
        pieces.clear()

    with visit_products(model, list(blocks.values()), at_product, begin=begin, end=end, traced=traced):
        yield values


def _one(tensors: list[Tensor], axis: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, axis)


def _over(u: Tensor) -> tuple[int, ...]:
    """The axes of the positions."""
    return tuple(range(2, u.ndim))


_MEASURES: dict[Signal, Measure] = {
    "excitation": lambda product, gate: gate,
    "squeeze": lambda product, gate: product.u.mean(_over(product.u)),
    "response": lambda product, gate: product.u.abs().mean(_over(product.u)) * gate.abs(),
}


@contextmanager
def capture_gates(
    model: nn.Module,
    blocks: Mapping[str, SEBlock],
    *,
    signals: Sequence[Signal] = ("excitation",),
    detach: bool = False,
) -> Iterator[Gates]:
    """Record the gates of each forward pass inside the context.

    Parameters
    ----------
    model
        The network that `blocks` were found in, or a parallel wrapper around it. Only its own passes count, from its
        call to its return.
    blocks
        What `find_se_blocks` gave, or some of it.
    signals
        "excitation" is always recorded; "squeeze" is the mean of u over positions, "response" the mean of
        |s·u| over positions.
    detach
        Cut the gates off the graph. By default they keep it, so that gradients flow to and through them.

    Yields
    ------
    Gates
        A mapping of block names to (batch, channels), renewed by each forward pass, kept after the context. They are
        copies of the factors that the products used.

    Raises
    ------
    CompiledModelError
        If the model was compiled: compiled code ignores hooks that are registered later.
    GatesNotSeenError
        At the end of a pass, if a block was not met as often as it was found (see the module's docstring).
    OptionError
        If a signal is unknown.

    Examples
    --------
    >>> with seviz.capture_gates(model, blocks) as gates:
    ...     model(images)
    >>> gates["SE_5_1"].shape
    torch.Size([32, 512])
    """
    refuse_compiled(bare(model))
    with recorded_gates(model, blocks, signals=signals, detach=detach) as gates:
        yield gates


@contextmanager
def recorded_gates(
    model: nn.Module,
    blocks: Mapping[str, SEBlock],
    *,
    signals: Sequence[Signal],
    detach: bool,
    traced: bool = False,
) -> Iterator[Gates]:
    """Like `capture_gates`, without the compiled-model check; for per-batch use."""
    unknown = [signal for signal in signals if signal not in SIGNALS]
    if unknown:
        raise OptionError(f"signals has {unknown[0]!r}, expected some of {', '.join(SIGNALS)}")
    measures = {s: _MEASURES[s] for s in SIGNALS if s in signals or s == "excitation"}
    with recorded_products(model, blocks, measures, detach=detach, traced=traced) as values:
        yield Gates(list(blocks), values)


@contextmanager
def module_outputs(model: nn.Module, blocks: Mapping[str, SEBlock], *, strict: bool) -> Iterator[dict[str, Tensor]]:
    """Record what the modules of gates return, which costs less than to look at products.

    It is the gate only where that was found so: compare it with `recorded_gates` in a pass of the same shape and mode.

    Parameters
    ----------
    model, blocks
        As in `capture_gates`; every block with a module of its gate.
    strict
        Whether a module that was called more or less often than when blocks were found, or not for the whole batch, is
        an error; if not, its block is left out.

    Yields
    ------
    dict of str to Tensor
        By block, (batch, channels) copies off the graph; renewed by each pass.

    Raises
    ------
    GatesNotSeenError
        At the end of a pass, as `strict` says.
    """
    model = bare(model)
    calls: dict[str, list[Tensor]] = {str(block.gate_path): [] for block in blocks.values()}
    values: dict[str, Tensor] = {}
    batch = 0

    def start(called: nn.Module, args: Any, kwargs: Any) -> None:
        nonlocal batch
        for outputs in calls.values():
            outputs.clear()
        values.clear()
        batch = next((len(x) for x in tensors_in((args, kwargs)) if x.ndim), 0)

    def stop(called: nn.Module, args: Any, output: Any) -> None:
        for name, block in blocks.items():
            outputs = calls[str(block.gate_path)]
            seen = [_row_by_row(each, block.channels) for each in outputs[block.call :: block.calls]]
            rows = sum(map(len, seen))
            if len(outputs) != block.calls and (not seen or block.calls > 1 or rows != batch):
                if not strict:
                    continue
                raise GatesNotSeenError(
                    f"the gate of {name} was computed {len(outputs)} times, for {rows} images in all, expected"
                    f" {block.calls} and {batch}: the network may skip blocks, or run them again"
                )
            values[name] = _one(seen, 0)

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(start, prepend=True, with_kwargs=True).remove)
        for path, outputs in calls.items():

            def note(_: nn.Module, args: Any, output: Any, outputs: list[Tensor] = outputs) -> None:
                outputs.append(output.detach().clone())

            stack.callback(model.get_submodule(path).register_forward_hook(note).remove)
        stack.callback(model.register_forward_hook(stop).remove)
        yield values


def _row_by_row(output: Tensor, channels: int) -> Tensor:
    """What a gate's module returned, (batch, channels)."""
    if is_feature_map(output):  # expanded over positions already
        output = output[:, :, 0, 0]
    return output.reshape(-1, channels)


@contextmanager
def layer_inputs(model: nn.Module, paths: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """Record what some layers of a network are given in each forward pass inside the context.

    Parameters
    ----------
    model
        Comes back as it was given.
    paths
        Of the layers.

    Yields
    ------
    dict of str to Tensor
        By path, a copy of the first argument, which keeps its graph; renewed by each forward pass of the model, of
        which the last call counts.

    Raises
    ------
    CompiledModelError
        If the model was compiled: compiled code ignores hooks that are registered later.
    """
    model = bare(model)
    refuse_compiled(model)
    given: dict[str, Tensor] = {}
    running: list[None] = []

    def start(called: nn.Module, args: Any) -> None:
        if called is model:
            running.append(None)

    def stop(called: nn.Module, args: Any, output: Any) -> None:
        if called is model:
            running.clear()

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(start, prepend=True).remove)
        for path in paths:
            module = model.get_submodule(path)

            def note(called: nn.Module, args: Any, path: str = path, module: nn.Module = module) -> Any:
                if not running or called is not module:
                    return None
                given[path] = args[0].clone()
                return (given[path].view_as(given[path]), *args[1:])  # so that gradients flow through what is recorded

            stack.callback(module.register_forward_pre_hook(note).remove)
        stack.callback(model.register_forward_hook(stop, always_call=True).remove)
        yield given


Forced = float | Tensor | NDArray[Any] | Mapping[int, float] | Callable[[Tensor], Any]
"""What a gate becomes; see `force_gates`."""


@contextmanager
def force_gates(model: nn.Module, blocks: Mapping[str, SEBlock], forced: Mapping[str, Forced]) -> Iterator[None]:
    """Set the gates of blocks in each forward pass inside the context.

    Contexts take turns in the order in which they are entered. So `capture_gates` inside this one sees the gates that
    were forced, around it those that the network computed; and of two of this kind the inner one decides.

    Parameters
    ----------
    model
        The network that `blocks` were found in, or a parallel wrapper around it.
    blocks
        What `find_se_blocks` gave.
    forced
        By the name of a block, what its gate becomes:

        - a number for all images and channels: 1 switches the block off, 0 its feature map
        - a tensor or array (channels), such as a mean over images, or (batch, channels), such as the gates of other
          images
        - numbers by channel, {channel: number}; the other channels stay
        - a function that is given the gate (batch, channels) and returns any of the first two

        Gradients flow through tensors, and through what a function makes of the gate.

    Raises
    ------
    CompiledModelError
        If the model was compiled: compiled code ignores hooks that are registered later.
    GatesNotSeenError
        At the end of a pass, if a block was not met as often as it was found; and at the end of the context, if no
        pass of the model was run in it.
    CheckpointedError
        In a pass with gradients, if a block lies under `torch.utils.checkpoint`: backward would compute it again with
        the gate of the network.
    OptionError
        If there is no such block or channel; and in the forward pass, if a shape does not fit.

    Examples
    --------
    >>> with seviz.force_gates(model, blocks, {"SE_4_6": 1.0, "SE_5_1": {7: 0.0, 12: 0.0}}):
    ...     logits = model(images)
    """
    model = bare(model)
    refuse_compiled(model)
    values: dict[str, Any] = {}
    for name, value in forced.items():
        if name not in blocks:
            raise OptionError(f"forced has {name!r}, expected some of the blocks {', '.join(blocks)}")
        if callable(value) and blocks[name].pieces:
            raise OptionError(
                f"forced[{name!r}] is a function, and {name} scales its channels by several products, at none of which"
                " its whole gate is known; give a number, numbers by channel, or a tensor"
            )
        values[name] = value if callable(value) else _plain(blocks[name], value)

    learning = False

    def begin() -> None:
        nonlocal learning
        learning = torch.is_grad_enabled()

    def at_product(block: SEBlock, product: Product, place: Place) -> Tensor:
        if learning and _checkpointed():
            raise CheckpointedError(
                f"{block.name} is computed under torch.utils.checkpoint, which computes it again in backward, where its"
                " gate would not be forced. Switch activation checkpointing off, or run the model under"
                " torch.no_grad()."
            )
        gate, value = product.gate(), values[block.name]
        return _instead(block, value(gate) if callable(value) else value, gate, place)

    with visit_products(model, [blocks[name] for name in values], at_product, begin=begin) as watcher:
        yield
    if values and not watcher.passes:
        raise GatesNotSeenError(
            f"the gates of {', '.join(values)} were not forced: no pass of this {type(model).__name__} was run inside"
            " `with force_gates(...)`. Call the model itself there, as a whole, not a part or a copy of it."
        )


def _checkpointed() -> bool:
    """Whether a function under activation checkpointing is running."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return True
    return False


def _plain(block: SEBlock, value: float | Tensor | NDArray[Any] | Mapping[int, float]) -> Tensor | Mapping[int, float]:
    """What a gate becomes as a tensor, or by channel; raises OptionError if it is not of this block."""
    if isinstance(value, Mapping):
        unknown = [channel for channel in value if channel not in range(block.channels)]
        if unknown:
            raise OptionError(
                f"forced[{block.name!r}] has channel {unknown[0]!r}, expected whole numbers from 0 to"
                f" {block.channels - 1}"
            )
        return value
    tensor = value if isinstance(value, Tensor) else torch.tensor(value)
    if tensor.ndim > 2 or (tensor.ndim and tensor.shape[-1] != block.channels):
        raise OptionError(
            f"forced[{block.name!r}] has shape {tuple(tensor.shape)}, expected a number, ({block.channels}) or (batch,"
            f" {block.channels})"
        )
    return tensor


def _instead(block: SEBlock, value: Any, gate: Tensor, place: Place) -> Tensor:
    """What a gate becomes, (images, channels), of the gate's type and on its device."""
    if isinstance(value, Mapping):
        changed = gate.clone()
        for channel, number in value.items():
            if channel in range(place.channels.start, place.channels.stop):
                changed[:, channel - place.channels.start] = number
        return changed
    tensor = value if isinstance(value, Tensor) else torch.tensor(value)
    if tensor.ndim and block.pieces:
        tensor = tensor[..., place.channels]
    if tensor.ndim == 2 and len(tensor) == place.batch > len(gate):
        tensor = tensor[place.first : place.first + len(gate)]
    if tensor.shape not in (torch.Size(), gate.shape[1:], gate.shape):
        raise OptionError(
            f"what {block.name} is forced to has shape {tuple(tensor.shape)}, expected a number,"
            f" {tuple(gate.shape[1:])} or {tuple(gate.shape)}"
        )
    return tensor.to(gate).expand_as(gate).clone()  # cloned, since the network may go on in place
