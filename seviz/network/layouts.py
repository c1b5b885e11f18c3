"""Where the channels of a tensor of a pass stand, as the functions that it goes through have them.

A convolution has its channels behind the batch, a linear layer at the end; views and copies move them. So a gate of
channels is told from one of positions where shapes alone do not tell: (batch, n, m) times (batch, 1, m) scales channels
that are last, or positions of channels that are first.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seviz.network.origins import CHANNELS_FIRST, CHANNELS_LAST, FORMING, Origin
from seviz.network.positions import RANKS, Layout
from seviz.network.products import map_tensors

Axes = tuple[int | None, int | None]
"""Where the axes 1 and -1 of the input are now."""


def taken_as(name: str, args: Sequence[Any], learned: Callable[[Tensor], bool]) -> Layout | None:
    """How a function takes the channels of its first argument and gives those of its result; None if any way."""
    if name in CHANNELS_FIRST:
        return "first"
    by_matrix = name == "matmul" and len(args) == 2 and isinstance(args[1], Tensor) and args[1].ndim == 2
    return "last" if name in CHANNELS_LAST or (by_matrix and learned(args[1])) else None


def place(layout: Layout, ndim: int) -> int:
    """The axis of the channels."""
    return 1 if layout == "first" else ndim - 1


def where(
    func: Callable[..., Any], name: str, call: tuple[Any, Any], inputs: Sequence[tuple[Tensor, Origin]], output: Tensor
) -> tuple[Layout | None, Axes | None]:
    """Layout and axes of what a function gives that takes channels in any way.

    Parameters
    ----------
    func, name
        The function.
    call
        Its arguments and keywords.
    inputs
        Tensors among them that depend on what the network is given.
    output
        What it gave.
    """
    if output.ndim < 2:
        return None, None
    given, origin = next((pair for pair in inputs if pair[0].ndim == output.ndim), inputs[0])
    if name in FORMING:
        move = partial(_moved, func, call, given)
        axes = None if origin.axes is None else (move(origin.axes[0]), move(origin.axes[1]))
        at = None if origin.layout is None else move(place(origin.layout, given.ndim))
        if at is None:
            return None, axes
        return ("first" if at == 1 else "last" if at == output.ndim - 1 else None), axes
    layout, axes = origin.layout, origin.axes
    if layout is not None and output.shape[place(layout, output.ndim)] != given.shape[place(layout, given.ndim)]:
        layout = layout if output.ndim == given.ndim else None
    return layout, axes if output.ndim == given.ndim else None


def _moved(func: Callable[..., Any], call: tuple[Any, Any], given: Tensor, axis: int | None) -> int | None:
    """Where an axis of a tensor is in a view or a copy of it; None if it was split, joined, or has a length of 1."""
    if axis is None or given.shape[axis] == 1 or given.ndim not in RANKS:
        return None
    probe = torch.empty(given.shape, device="meta")  # contiguous: its strides tell its axes apart
    try:
        args, kwargs = map_tensors(lambda tensor: probe if tensor is given else tensor, call)
        output = func(*args, **kwargs)
    except (RuntimeError, TypeError, NotImplementedError):
        return None
    looked_for = given.shape[axis], probe.stride(axis)
    found = [k for k, each in enumerate(zip(output.shape, output.stride(), strict=True)) if each == looked_for]
    return found[0] if len(found) == 1 else None
