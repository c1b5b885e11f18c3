"""Observe the gates of SE blocks in a forward pass, and set them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seviz.errors import GatesNotSeenError, OptionError
from seviz.network.blocks import SEBlock, gate_values, refuse_compiled
from seviz.network.tracing import Product, channel_product, is_feature_map, map_tensors

Signal = Literal["excitation", "squeeze", "response"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)


class Gates(Mapping[str, Tensor]):
    """The gates of the last forward pass, (batch, channels) each, by the name of their block.

    `gates["SE_5_1"]` is the excitation; `gates.signal("squeeze")` maps the same names to another signal.
    """

    def __init__(self, names: Sequence[str], signals: Sequence[Signal], *, detach: bool = False) -> None:
        self._names = tuple(names)
        self._detach = detach
        self._values: dict[Signal, dict[str, Tensor]] = {signal: {} for signal in signals}

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
                f"{name} was not seen: no forward pass went through it inside `with capture_gates(...)`."
                " Call the model there, and call it as it was given (not a compiled or traced copy)."
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

    def _record(self, signal: Signal, name: str, value: Tensor) -> None:
        self._values[signal][name] = value.detach() if self._detach else value

    def _clear(self) -> None:
        for values in self._values.values():
            values.clear()


_AtGate = Callable[[SEBlock, Tensor], Tensor]
"""Told a block and its gate (batch, channels); gives the gate that the network goes on with."""
_AtProduct = Callable[[SEBlock, Product], None]
"""Told a block and its product."""


class _Watcher:
    """Finds the products of blocks in a forward pass: what hooks cannot see, or see too late."""

    def __init__(self, blocks: Sequence[SEBlock], at_gate: _AtGate, at_product: _AtProduct | None) -> None:
        self._blocks: dict[str, list[SEBlock]] = {}
        for block in blocks:
            self._blocks.setdefault(block.path, []).append(block)
        self._at_gate, self._at_product = at_gate, at_product
        self.inside: list[str] = []
        """Paths of the blocks that the pass is inside of now."""
        self._seen = Counter[str]()

    def reset(self) -> None:
        self.inside.clear()
        self._seen.clear()

    def watch(self, model: nn.Module, stack: ExitStack) -> None:
        for path in self._blocks:
            module = model.get_submodule(path)

            def enter(_: nn.Module, args: Any, path: str = path) -> None:
                self.inside.append(path)

            def leave(_: nn.Module, args: Any, output: Any) -> None:
                self.inside.pop()

            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)

    def at(self, product: Product) -> Product:
        """Note a product; gives the one that is to be computed."""
        for path in self.inside:
            for block in self._blocks[path]:
                if self._seen[path] % block.products == block.product:
                    if block.gate_path is None:
                        gate = self._at_gate(block, product.gate())
                        product = Product(product.u, _through(gate, product.factor))
                    if self._at_product is not None:
                        self._at_product(block, product)
            self._seen[path] += 1
        return product


class _Products(TorchFunctionMode):
    """Shows each product of a forward pass to watchers.

    Contexts on one model share it, so that they take their turns at a product as their hooks do at a module: who came
    first is first. Modes of their own would take turns the other way round.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._parameters = {p.data_ptr() for p in model.parameters()}
        self.watchers: list[_Watcher] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        watchers = [watcher for watcher in self.watchers if watcher.inside]
        if watchers and (product := channel_product(func, args, kwargs, self._parameters)) is not None:
            for watcher in watchers:
                changed = watcher.at(product)
                if changed is not product:
                    args, kwargs = map_tensors(partial(_exchange, product.factor, changed.factor), (args, kwargs))
                    product = changed
        return func(*args, **kwargs)


_shared: WeakKeyDictionary[nn.Module, _Products] = WeakKeyDictionary()
"""Of each model that is watched now."""


@contextmanager
def _products_of(model: nn.Module) -> Iterator[_Products]:
    if model in _shared:
        yield _shared[model]
        return
    with _Products(model) as products:
        _shared[model] = products
        try:
            yield products
        finally:
            del _shared[model]


@contextmanager
def visit_gates(
    model: nn.Module,
    blocks: Sequence[SEBlock],
    at_gate: _AtGate,
    *,
    at_product: _AtProduct | None = None,
    begin: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Have the gates of blocks pass through a function, wherever they are made.

    Parameters
    ----------
    at_gate, at_product
        Called in each forward pass at the gate, and if there is one, at the product of each block.
    begin
        Called when a forward pass begins.
    """
    calls = Counter[str]()
    by_gate: dict[str, list[SEBlock]] = {}
    for block in blocks:
        if block.gate_path is not None:
            by_gate.setdefault(block.gate_path, []).append(block)
    watched = [block for block in blocks if at_product is not None or block.gate_path is None]
    watcher = _Watcher(watched, at_gate, at_product) if watched else None

    def start(*_: Any) -> None:
        calls.clear()
        if begin is not None:
            begin()
        if watcher is not None:
            watcher.reset()

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(start, prepend=True).remove)
        for path, owners in by_gate.items():

            def visit(
                _: nn.Module, args: Any, output: Tensor, path: str = path, owners: list[SEBlock] = owners
            ) -> Tensor:
                for block in owners:
                    if calls[path] % block.calls == block.call:
                        output = _through(at_gate(block, gate_values(output, block.channels)), output)
                calls[path] += 1
                return output

            stack.callback(model.get_submodule(path).register_forward_hook(visit).remove)
        if watcher is not None:
            watcher.watch(model, stack)
            products = stack.enter_context(_products_of(model))
            products.watchers.append(watcher)
            stack.callback(products.watchers.remove, watcher)
        yield


def _through(gate: Tensor, output: Tensor) -> Tensor:
    """What a gate's module returned, computed from the captured gate, so that gradients flow through that."""
    if is_feature_map(output):
        return gate[:, :, None, None].expand_as(output)
    return gate.reshape(output.shape)


def _exchange(old: Tensor, new: Tensor, tensor: Tensor) -> Tensor:
    return new if tensor is old else tensor


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
        The network that `blocks` were found in.
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
        A mapping of block names to (batch, channels), renewed by each forward pass, kept after the context.

    Raises
    ------
    CompiledModelError
        If the model was compiled: compiled code ignores hooks that are registered later.
    OptionError
        If a signal is unknown.

    Examples
    --------
    >>> with seviz.capture_gates(model, blocks) as gates:
    ...     model(images)
    >>> gates["SE_5_1"].shape
    torch.Size([32, 512])
    """
    refuse_compiled(model)
    with recorded_gates(model, blocks, signals=signals, detach=detach) as gates:
        yield gates


@contextmanager
def recorded_gates(
    model: nn.Module, blocks: Mapping[str, SEBlock], *, signals: Sequence[Signal], detach: bool
) -> Iterator[Gates]:
    """As `capture_gates`, of a model that is known not to be compiled; for who enters it at every batch."""
    unknown = [signal for signal in signals if signal not in SIGNALS]
    if unknown:
        raise OptionError(f"signals has {unknown[0]!r}, expected some of {', '.join(SIGNALS)}")
    signals = tuple(signal for signal in SIGNALS if signal in signals or signal == "excitation")
    gates = Gates(list(blocks), signals, detach=detach)

    def at_gate(block: SEBlock, gate: Tensor) -> Tensor:
        gates._record("excitation", block.name, gate)
        return gate

    def at_product(block: SEBlock, product: Product) -> None:
        if "squeeze" in signals:
            gates._record("squeeze", block.name, product.u.mean((2, 3)))
        if "response" in signals:
            gates._record("response", block.name, product.u.abs().mean((2, 3)) * gates[block.name].abs())

    more = at_product if len(signals) > 1 else None
    with visit_gates(model, list(blocks.values()), at_gate, at_product=more, begin=gates._clear):
        yield gates


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
        By path, the first argument, which keeps its graph; renewed by each forward pass.

    Raises
    ------
    CompiledModelError
        If the model was compiled: compiled code ignores hooks that are registered later.
    """
    refuse_compiled(model)
    given: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for path in paths:

            def note(_: nn.Module, args: Any, path: str = path) -> None:
                given[path] = args[0]

            stack.callback(model.get_submodule(path).register_forward_pre_hook(note).remove)
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
        The network that `blocks` were found in.
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
    OptionError
        If there is no such block or channel; and in the forward pass, if a shape does not fit.

    Examples
    --------
    >>> with seviz.force_gates(model, blocks, {"SE_4_6": 1.0, "SE_5_1": {7: 0.0, 12: 0.0}}):
    ...     logits = model(images)
    """
    refuse_compiled(model)
    values: dict[str, Any] = {}
    for name, value in forced.items():
        if name not in blocks:
            raise OptionError(f"forced has {name!r}, expected some of the blocks {', '.join(blocks)}")
        values[name] = value if callable(value) else _plain(blocks[name], value)

    def at_gate(block: SEBlock, gate: Tensor) -> Tensor:
        value = values[block.name]
        if callable(value):
            value = value(gate)
        return _instead(block, value, gate)

    with visit_gates(model, [blocks[name] for name in values], at_gate):
        yield


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


def _instead(block: SEBlock, value: Any, gate: Tensor) -> Tensor:
    """What a gate becomes, (batch, channels), of the gate's type and on its device."""
    if isinstance(value, Mapping):
        changed = gate.clone()
        for channel, number in value.items():
            changed[:, channel] = number
        return changed
    tensor = value if isinstance(value, Tensor) else torch.tensor(value)
    if tensor.shape not in (torch.Size(), gate.shape[1:], gate.shape):
        raise OptionError(
            f"what {block.name} is forced to has shape {tuple(tensor.shape)}, expected a number,"
            f" {tuple(gate.shape[1:])} or {tuple(gate.shape)}"
        )
    return tensor.to(gate).expand_as(gate).clone()  # cloned, since the network may go on in place
