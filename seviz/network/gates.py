"""Observe the gates of SE blocks in a forward pass."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, get_args

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


class _ProductReader(TorchFunctionMode):
    """Reads signals at the product of each block: what hooks cannot see, or see too late."""

    def __init__(self, model: nn.Module, blocks: Sequence[SEBlock], gates: Gates, signals: Sequence[Signal]):
        super().__init__()
        self._parameters = {p.data_ptr() for p in model.parameters()}
        self._blocks: dict[str, list[SEBlock]] = {}
        for block in blocks:
            self._blocks.setdefault(block.path, []).append(block)
        self._gates, self._signals = gates, signals
        self._inside: list[str] = []
        self._seen = Counter[str]()

    def reset(self) -> None:
        self._inside.clear()
        self._seen.clear()

    def watch(self, model: nn.Module, stack: ExitStack) -> None:
        for path in self._blocks:
            module = model.get_submodule(path)

            def enter(_: nn.Module, args: Any, path: str = path) -> None:
                self._inside.append(path)

            def leave(_: nn.Module, args: Any, output: Any) -> None:
                self._inside.pop()

            stack.callback(module.register_forward_pre_hook(enter).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._inside and (product := channel_product(func, args, kwargs, self._parameters)) is not None:
            for path in self._inside:
                for block in self._blocks[path]:
                    if self._seen[path] % block.products == block.product:
                        s = product.gate()
                        self._read(block, s, product)
                        if block.gate_path is None:
                            factor = _through(s, product.factor)
                            args, kwargs = map_tensors(partial(_exchange, product.factor, factor), (args, kwargs))
                self._seen[path] += 1
        return func(*args, **kwargs)

    def _read(self, block: SEBlock, s: Tensor, product: Product) -> None:
        u = product.u
        if block.gate_path is None:
            self._gates._record("excitation", block.name, s)
        if "squeeze" in self._signals:
            self._gates._record("squeeze", block.name, u.mean((2, 3)))
        if "response" in self._signals:
            self._gates._record("response", block.name, u.abs().mean((2, 3)) * s.abs())


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
    calls = Counter[str]()
    by_gate: dict[str, list[SEBlock]] = {}
    for block in blocks.values():
        if block.gate_path is not None:
            by_gate.setdefault(block.gate_path, []).append(block)
    functional = any(block.gate_path is None for block in blocks.values())
    reader = None
    if len(signals) > 1 or functional:
        reader = _ProductReader(model, list(blocks.values()), gates, signals)

    def start(*_: Any) -> None:
        gates._clear()
        calls.clear()
        if reader:
            reader.reset()

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(start, prepend=True).remove)
        for path, owners in by_gate.items():

            def read(
                _: nn.Module, args: Any, output: Tensor, path: str = path, owners: list[SEBlock] = owners
            ) -> Tensor:
                for block in owners:
                    if calls[path] % block.calls == block.call:
                        gate = gate_values(output, block.channels)
                        gates._record("excitation", block.name, gate)
                        output = _through(gate, output)
                calls[path] += 1
                return output

            stack.callback(model.get_submodule(path).register_forward_hook(read).remove)
        if reader:
            reader.watch(model, stack)
            stack.enter_context(reader)
        yield gates
