"""Residual branches that add to some channels of the stream only.

The last convolution of the branch, its BatchNorm and the SE block lose channels; what is left is added into the
stream by index.
"""

import copy
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.compression.coupling import Coupled, Graph, Layer
from seviz.errors import PruningError
from seviz.network.blocks import SEBlock
from seviz.network.flow import Producer
from seviz.network.modes import undisturbed
from seviz.network.spread import Spread


def block_shapes(model: nn.Module, images: Tensor, blocks: Mapping[str, SEBlock]) -> dict[str, tuple[int, ...]]:
    """The shape of what goes into and comes out of the module of each SE block, (1, channels, height, width).

    Modules that take or give something else, such as whole residual units, are left out.
    """
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(output, Tensor):
            shape = tuple(given[0].shape)
            if len(shape) == 4 and shape == tuple(output.shape) and shape[1] == blocks[name].channels:
                seen[name] = shape

    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        for name, block in blocks.items():
            module = model.get_submodule(block.path)
            stack.callback(module.register_forward_hook(partial(note, name)).remove)
        model(images)
    return seen


def branch(model: nn.Module, block: SEBlock, shape: tuple[int, ...] | None, pieces: tuple[Producer, ...]) -> Coupled:
    """What goes with the channels of one SE block alone, when its branch is narrowed.

    Parameters
    ----------
    model
        The network.
    block
        One of its SE blocks.
    shape
        As in `block_shapes`; None where it is not there.
    pieces
        The layers that make what the block scales.

    Raises
    ------
    PruningError
        If the branch cannot be narrowed; says why.
    """
    if shape is None or block.products > 1:
        raise PruningError(f"{block.name} is no module of its own, from feature map to feature map")
    if len(pieces) != 1:
        raise PruningError(f"not one convolution alone makes what {block.name} scales")
    convolution = model.get_submodule(pieces[0].convolution)
    if (
        not isinstance(convolution, nn.Conv2d)
        or convolution.out_channels != block.channels
        or convolution.groups == convolution.out_channels
    ):
        raise PruningError(f"{pieces[0].convolution!r} cannot lose outputs for {block.name} alone")
    every = np.arange(block.channels)
    layers: dict[Layer, NDArray[np.int64]] = {(pieces[0].convolution, "out"): np.array([every, every])}
    if pieces[0].norm is not None:
        layers[pieces[0].norm, "out"] = np.array([every, every])
    layers |= _layers_within(model, block, shape)
    return Coupled(
        root=pieces[0].convolution,
        rows=block.channels,
        layers=layers,
        groups={(pieces[0].convolution, "out"): convolution.groups} if convolution.groups > 1 else {},
        widths=dict.fromkeys(layers, block.channels),
        summed=True,
    )


def _layers_within(model: nn.Module, block: SEBlock, shape: tuple[int, ...]) -> dict[Layer, NDArray[np.int64]]:
    """The layers of the SE block that have a channel for each of its own."""
    like = next(model.parameters())
    closed = nn.Sequential(
        nn.Conv2d(1, shape[1], 1), copy.deepcopy(model.get_submodule(block.path)), nn.Conv2d(shape[1], 1, 1)
    ).to(like)
    coupled = Graph(closed, torch.zeros(1, 1, *shape[2:]).to(like)).coupled("0")
    return {
        (f"{block.path}{path.removeprefix('1')}", side): pairs
        for (path, side), pairs in coupled.layers.items()
        if path not in ("0", "2")
    }


def narrow(model: nn.Module, block: SEBlock, kept: NDArray[np.int64]) -> None:
    """Let an SE block that lost channels add into the stream by index, in place.

    Parameters
    ----------
    model
        A network whose layers were cut already.
    block
        As it was before.
    kept
        The channels of the block that are left, ascending.
    """
    parent_path, _, name = block.path.rpartition(".")
    parent = model.get_submodule(parent_path)
    device = next(model.parameters()).device
    if name == "block" and isinstance(spread := getattr(parent, "spread", None), Spread):
        setattr(parent, "spread", Spread(spread.kept[kept.tolist()].tolist(), spread.channels).to(device))  # noqa: B010
        return
    parts = OrderedDict(block=parent.get_submodule(name), spread=Spread(kept.tolist(), block.channels).to(device))
    setattr(parent, name, nn.Sequential(parts).train(parent.training))
