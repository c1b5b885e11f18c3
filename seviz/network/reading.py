"""Read and set what the products of SE blocks use, in each forward pass of a network.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seviz.errors import GatesNotSeenError
from seviz.network.blocks import SEBlock
from seviz.network.products import Product, batch_of, gate_of_output, map_tensors, operands
from seviz.network.wrappers import bare


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
        self._batch = batch_of((args, kwargs))
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
        product = Product.seen(u, factor, block.form, block.layout)
        rows, channels = product.u.shape[:2]
        if u.ndim < 3 or first + channels > block.channels or (not block.pieces and channels != block.channels):
            raise GatesNotSeenError(
                f"{block.name} has {block.channels} channels, and its product scales something of shape"
                f" {tuple(u.shape)}; give the blocks that find_se_blocks finds in this network"
            )
        if not product.is_whole:
            raise GatesNotSeenError(
                f"the product of {block.name} has an operand of shape {tuple(factor.shape)} in this pass, which is not"
                f" one number for each of {rows} images and {channels} channels; the network may do something else"
                " in its place than when blocks were found"
            )
        if not self._traced and not product.is_constant:
            raise GatesNotSeenError(f"what {block.name} multiplies by differs between positions in this pass")
        key = path, block.product if first == 0 else first
        place = Place(slice(first, first + channels), self._rows[key], self._batch)
        gate = self._at_product(block, product, place)
        self._rows[key] += rows
        if gate is None:
            return None
        return factor, product.with_gate(gate).factor


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
        batch = batch_of((args, kwargs))

    def stop(called: nn.Module, args: Any, output: Any) -> None:
        for name, block in blocks.items():
            outputs = calls[str(block.gate_path)]
            seen = [gate_of_output(each, block.channels, block.layout) for each in outputs[block.call :: block.calls]]
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
