"""The gate of an SE block becomes a constant, and the constant goes into the weights.

What is left is the network without the block: no parameters, no pooling, no pass over the feature map.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from seviz.compression.belonging import check_run
from seviz.compression.places import Place, Scaled, places
from seviz.errors import FoldingError, OptionError
from seviz.network.blocks import SEBlock
from seviz.network.complexity import complexity
from seviz.network.gates import force_gates
from seviz.network.layers import channels_in, groups_of
from seviz.network.modes import undisturbed
from seviz.network.networks import Network
from seviz.network.products import tensors_in
from seviz.run.parts import Part, mean_over_images
from seviz.run.store import Run

_EXACT = 1e-4  # of the largest output


def foldable(network: Network) -> pd.DataFrame:
    """Which SE blocks can be folded into the weights, and why others cannot.

    Columns: block, stage, channels; parameters of the block; side ("before", "after", or "" if it can go nowhere) and
    layers, the paths of those that would take the gate, with commas; positive, whether a gate must be at least 0;
    removable, whether the block can at least be taken out; reason, why it cannot be folded.

    Raises
    ------
    NoSEBlocksError
        If the network has none.
    FoldingError
        If the network takes several inputs.

    Examples
    --------
    >>> seviz.foldable(network).columns.tolist()
    ['block', 'stage', 'channels', 'parameters', 'side', 'layers', 'positive', 'removable', 'reason']
    """
    known = _places(network, network.require_blocks())
    shares = complexity(network).blocks
    return pd.DataFrame(
        {
            "block": name,
            "stage": block.stage,
            "channels": block.channels,
            "parameters": shares[name].parameters,
            "side": known[name].side or "",
            "layers": ", ".join(layer.path for layer in known[name].layers),
            "positive": known[name].positive,
            "removable": known[name].removable,
            "reason": known[name].reason,
        }
        for name, block in network.blocks.items()
    )


def fold(
    network: Network, run: Run | Part, blocks: Sequence[str] | None = None, *, classes: Sequence[str] | None = None
) -> Network:
    """Replace gates by their means over the images of a run, and fold them into the weights.

    Parameters
    ----------
    network
        Stays as it is.
    run
        Of this network; complete.
    blocks
        Names; None for all that can be folded, see `foldable`.
    classes
        Take the mean over images of these classes only, by id or name; None for all images.

    Returns
    -------
    Network
        Without these blocks; the others keep their names. Its output is that of the given network with gates forced to
        these means, to rounding.

    Raises
    ------
    FoldingError
        If a block that was named cannot be folded, or none can; the message says why.
    OptionError
        If the run is of another network, or there is no such block.
    UnknownClassError
        If there is no such class.
    NoSEBlocksError
        If the network has no SE block.

    Examples
    --------
    >>> folded = seviz.fold(network, run, ["SE_2_1"])
    >>> len(network.blocks), len(folded.blocks)
    (16, 15)
    """
    return fold_to(network, constant_gates(network, run, blocks, classes=classes))


def constant_gates(
    network: Network, run: Run | Part, blocks: Sequence[str] | None = None, *, classes: Sequence[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The mean gates of blocks that can be folded, (channels) each, in the order of the network.

    Parameters
    ----------
    network, run, blocks, classes
        As in `fold`.

    Raises
    ------
    FoldingError, OptionError, UnknownClassError, NoSEBlocksError
        As in `fold`.
    """
    check_run(network, run)
    known = _places(
        network, {name: network.blocks[name] for name in _named(network, network.blocks if blocks is None else blocks)}
    )
    chosen = [name for name, place in known.items() if place.side is not None]
    for name, place in known.items():
        if place.side is None and blocks is not None:
            raise FoldingError(f"{name} of {network.spec} cannot be folded: {place.reason}")
    if not chosen:
        name, place = next(iter(known.items()))
        raise FoldingError(
            f"none of the {len(known)} SE blocks of {network.spec} can be folded; as for {name}, {place.reason}"
        )
    return {name: mean_gate(run, name, classes=classes) for name in chosen}


def mean_gate(run: Run | Part, block: str, *, classes: Sequence[str] | None = None) -> NDArray[np.float64]:
    """The mean gate of a block over the images of a run, or of some of its classes, (channels).

    Raises
    ------
    UnknownClassError
        If there is no such class.
    OptionError
        If they have no image.
    EmptyDataError
        If all images of the run failed.
    """
    if classes is None:
        return mean_over_images(run, block)
    known = [run.classes.index(name, f"the run {str(run.path)!r}") for name in classes]
    moments = run.moments(block).take(np.array(known, np.int64))
    if not moments.count.sum():
        raise OptionError(f"classes is {', '.join(classes)}, and the run has no image of these")
    return np.asarray(np.average(moments.mean, axis=0, weights=moments.count), np.float64)


def fold_to(network: Network, gates: Mapping[str, ArrayLike]) -> Network:
    """Fold constant gates into the weights.

    Parameters
    ----------
    network
        Stays as it is.
    gates
        By the name of a block, its gate, (channels) or a number.

    Returns
    -------
    Network
        Without these blocks; the others keep their names.

    Raises
    ------
    FoldingError
        If a block cannot be folded, or not with these gates; the message says why.
    OptionError
        If there is no such block, or a gate is not finite, or has another shape.
    NoSEBlocksError
        If the network has no SE block.
    """
    constants = {name: _constant(network.blocks[name], gates[name]) for name in _named(network, list(gates))}
    known = _places(network, {name: network.blocks[name] for name in constants})
    for name, place in known.items():
        if place.side is None:
            raise FoldingError(f"{name} of {network.spec} cannot be folded: {place.reason}")
        if place.positive and (constants[name] < 0).any():
            raise FoldingError(
                f"{name} of {network.spec} cannot be folded: its gate would have to pass a ReLU or a maximum, and is"
                f" {constants[name].min():.3g} for a channel"
            )
    model = copy.deepcopy(network.model)
    with torch.no_grad():
        for name, place in known.items():
            for layer in place.layers:
                _scale(model.get_submodule(layer.path), layer, constants[name])
            model.set_submodule(network.blocks[name].path, nn.Identity())
    _check(network, model, constants)
    return network.changed(model)


def remove(network: Network, blocks: Sequence[str] | None = None) -> Network:
    """Take SE blocks out, as if their gates were 1.

    Parameters
    ----------
    network
        Stays as it is.
    blocks
        Names; None for all.

    Raises
    ------
    FoldingError
        If there is no module that is the block and nothing else.
    OptionError
        If there is no such block.
    NoSEBlocksError
        If the network has no SE block.

    Examples
    --------
    >>> plain = seviz.remove(network)
    >>> len(plain.blocks)
    0
    """
    chosen = list(network.require_blocks()) if blocks is None else _named(network, blocks)
    known = _places(network, {name: network.blocks[name] for name in chosen})
    model = copy.deepcopy(network.model)
    for name, place in known.items():
        if not place.removable:
            raise FoldingError(f"{name} of {network.spec} cannot be taken out: {place.reason}")
        model.set_submodule(network.blocks[name].path, nn.Identity())
    _check(network, model, {name: np.ones(network.blocks[name].channels) for name in chosen})
    return network.changed(model)


def _named(network: Network, blocks: Collection[str]) -> list[str]:
    """The blocks of these names, in the order of the network."""
    if unknown := [name for name in blocks if name not in network.require_blocks()]:
        raise OptionError(f"blocks has {unknown[0]!r}, expected some of {', '.join(network.blocks)}")
    if not blocks:
        raise OptionError("blocks is empty, expected names of SE blocks")
    return [name for name in network.blocks if name in blocks]


def _places(network: Network, blocks: Mapping[str, SEBlock]) -> dict[str, Place]:
    if not network.takes_images:
        raise FoldingError(
            f"{network.spec} takes several inputs: gates can be folded into, and taken out of, networks that take one"
            " tensor. Wrap it in a module that gives it the others."
        )
    return places(network.model, _images(network, 1), blocks)


def _images(network: Network, batch: int) -> Tensor:
    like = next(p for p in network.model.parameters() if p.is_floating_point())
    images = torch.randn(batch, *network.input_size, generator=torch.Generator().manual_seed(0))
    return images.to(like)


def _constant(block: SEBlock, gate: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(gate.detach().cpu() if isinstance(gate, Tensor) else gate, np.float64)
    if values.shape not in ((), (block.channels,)) or not np.isfinite(values).all():
        raise OptionError(
            f"the gate of {block.name} has shape {values.shape}, expected a number or ({block.channels}), all finite"
        )
    return np.broadcast_to(values, (block.channels,))


def _scale(module: Any, layer: Scaled, gate: NDArray[np.float64]) -> None:
    """Multiply some channels of a layer or normalisation by gates, computed in float64."""
    width = len(module.weight) if layer.axis == "outputs" else channels_in(module)
    factor = torch.ones(width, dtype=torch.float64)
    factor[layer.first : layer.first + layer.stop - layer.start] = torch.from_numpy(
        gate[layer.start : layer.stop].copy()
    )
    weight: Tensor = module.weight
    if layer.axis == "inputs":
        groups, (outputs, inputs) = groups_of(module), weight.shape[:2]
        # (outputs, inputs of the output's group, 1...)
        factor = factor.reshape(groups, 1, inputs).expand(groups, outputs // groups, inputs)
        _multiply(weight, factor.reshape(outputs, inputs, *(1,) * (weight.ndim - 2)))
        return
    _multiply(weight, factor.reshape(-1, *(1,) * (weight.ndim - 1)))
    if module.bias is not None:
        _multiply(module.bias, factor)


def _multiply(tensor: Tensor, factor: Tensor) -> None:
    tensor.copy_(tensor.detach().cpu().double() * factor)


def _check(network: Network, model: nn.Module, gates: Mapping[str, NDArray[np.float64]]) -> None:
    """Raise FoldingError unless a changed model does what the network does with constant gates."""
    images = _images(network, 2)
    with (
        undisturbed(network.model),
        force_gates(network.model, network.blocks, {k: v.copy() for k, v in gates.items()}),
    ):
        expected = network.model(images)
    with undisturbed(model):
        output = model(images)
    for given, other in zip(tensors_in(expected), tensors_in(output), strict=True):
        apart = float((other - given).abs().max() / given.abs().max().clamp_min(1e-30))
        if not apart <= _EXACT:
            raise FoldingError(
                f"{network.spec} without {', '.join(gates)} gives other outputs than with their gates held constant, by"
                f" {apart:.1g} of the largest: something in it is not seen in a forward pass"
            )
