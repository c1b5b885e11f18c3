"""Residual branches that add to some channels of the stream only.

The last layer of the branch, its BatchNorm and the SE block lose channels; what is left is added into the
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
from seviz.network.layers import LAYERS, channels_out, groups_of, is_depthwise
from seviz.network.modes import undisturbed
from seviz.network.positions import CONVOLUTIONS, RANKS, position_sizes
from seviz.network.spread import Spread


def block_shapes(model: nn.Module, images: Tensor, blocks: Mapping[str, SEBlock]) -> dict[str, tuple[int, ...]]:
    """The shape of what goes into and comes out of the module of each SE block, as the network has it.

    Modules that take or give something else, such as whole residual units, are left out.
    """
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(output, Tensor):
            shape = tuple(given[0].shape)
            block = blocks[name]
            if len(shape) in RANKS and shape == tuple(output.shape) and shape[_axis(block)] == block.channels:
                seen[name] = shape

    with ExitStack() as stack:
        stack.enter_context(undisturbed(model))
        for name, block in blocks.items():
            module = model.get_submodule(block.path)
            stack.callback(module.register_forward_hook(partial(note, name)).remove)
        model(images)
    return seen


def _axis(block: SEBlock) -> int:
    return 1 if block.layout == "first" else -1


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
        raise PruningError(f"not one layer alone makes what {block.name} scales")
    layer = model.get_submodule(pieces[0].convolution)
    if not isinstance(layer, LAYERS) or channels_out(layer) != block.channels or is_depthwise(layer):
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
        groups={(pieces[0].convolution, "out"): groups_of(layer)} if groups_of(layer) > 1 else {},
        widths=dict.fromkeys(layers, block.channels),
        summed=True,
    )


def _layers_within(model: nn.Module, block: SEBlock, shape: tuple[int, ...]) -> dict[Layer, NDArray[np.int64]]:
    """The layers of the SE block that have a channel for each of its own."""
    sides = position_sizes(shape, block.layout)
    layer: Any = nn.Linear if block.layout == "last" else partial(CONVOLUTIONS[len(sides) - 1], kernel_size=1)
    images = torch.zeros(1, *sides, 2) if block.layout == "last" else torch.zeros(1, 2, *sides)
    within = copy.deepcopy(model.get_submodule(block.path))
    closed = nn.Sequential(layer(2, block.channels), within, layer(block.channels, 2))
    like = next(model.parameters())
    coupled = Graph(closed.to(like), images.to(like)).coupled("0")
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
        fewer = Spread(spread.kept[kept.tolist()].tolist(), spread.channels, layout=spread.layout)
        setattr(parent, "spread", fewer.to(device))  # noqa: B010
        return
    spread = Spread(kept.tolist(), block.channels, layout=block.layout)
    parts = OrderedDict(block=parent.get_submodule(name), spread=spread.to(device))
    setattr(parent, name, nn.Sequential(parts).train(parent.training))
