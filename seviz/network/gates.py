"""Observe the gates of SE blocks in a forward pass, and set them. How it works stands in `reading`."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.errors import CheckpointedError, GatesNotSeenError, OptionError
from seviz.network.blocks import SEBlock
from seviz.network.positions import over_positions
from seviz.network.products import Product
from seviz.network.reading import Measure, Place, recorded_products, visit_products
from seviz.network.wrappers import bare, refuse_compiled
from seviz.showing import html_table

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

    def __repr__(self) -> str:
        return f"<Gates: {', '.join(self._values)} of {len(self)} SE blocks, {len(self._values['excitation'])} seen>"

    def _repr_html_(self) -> str:
        seen = self._values["excitation"]
        rows = [
            (name, tuple(seen[name].shape), f"{seen[name].float().mean().item():.3f}")
            if name in seen
            else (name, "not seen", "")
            for name in self
        ]
        return html_table("Gates of the last forward pass", ("block", "shape", "mean"), rows)

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


_MEASURES: dict[Signal, Measure] = {
    "excitation": lambda product, gate: gate,
    "squeeze": lambda product, gate: over_positions(product.u),
    "response": lambda product, gate: over_positions(product.u.abs()) * gate.abs(),
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
        At the end of a pass, if a block was not met as often as it was found (see `seviz.network.reading`).
    OptionError
        If a signal is unknown.

    Examples
    --------
    >>> with seviz.capture_gates(model, blocks) as gates:
    ...     logits = model(images)
    >>> gates["SE_5_1"].shape
    torch.Size([2, 512])
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
