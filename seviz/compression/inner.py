"""What the inner channels of a bottleneck are worth, by the gates behind them and otherwise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.compression.belonging import check_run
from seviz.compression.coupling import Graph
from seviz.compression.folding import mean_gate
from seviz.compression.sites import blank_image, producers_of
from seviz.errors import OptionError, PruningError
from seviz.experiments.evaluation import Images, labelled_batches, logits_of, on_device
from seviz.network.flow import Producer, input_producers
from seviz.network.gates import layer_inputs
from seviz.network.layers import LAYERS, Layer, channels_in, groups_of
from seviz.network.networks import Network
from seviz.network.positions import Layout, channels_first
from seviz.run.parts import Part
from seviz.run.store import Run

INNER_CRITERIA = {
    "gate_mean": "what the mean gates behind let through of the channel, from a run",
    "gate_class": "the same by the mean gates of some classes; gate_class:NAME[,NAME]",
    "weights": "the same with gates of 1",
    "l1": "sum of absolute weights of the filter that makes the channel",
    "l2": "Euclidean norm of the filter that makes the channel",
    "bn_gamma": "absolute scale of the BatchNorm behind that filter",
    "taylor": "|sum over positions of a · dL/da| of the channel a, mean over images",
    "random": "a random number; random:SEED",
}
"""The criteria for inner channels, by name."""


def inner_scores(
    network: Network,
    run: Run | Part | None = None,
    criterion: str = "gate_mean",
    *,
    data: Images | None = None,
    device: str = "auto",
    **reading: Any,
) -> pd.DataFrame:
    """Score the inputs of the layer before each SE block: a convolution, or with channels last a linear layer.

    By "gate_mean" the score of input j is the sum over outputs c of mean gate_c · |gamma_c / sigma_c| · ||W[c, j]||,
    with W the layer that makes what the block scales, and gamma and sigma the scale and standard deviation (with
    eps) of the BatchNorm behind it, 1 where there is none.

    Parameters
    ----------
    network
        Whose inner channels are made by convolutions or linear layers; comes back as it was given.
    run
        Of the same network, or a part of one; for "gate_mean" and "gate_class".
    criterion
        One of `INNER_CRITERIA`; "random:3" for another draw, "gate_class:cat,dog" for these classes.
    data
        Images of one class each, for "taylor".
    device, reading
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    pandas.DataFrame
        Columns block, layer, channel, score; `layer` is the one whose outputs the channels are. Blocks before which
        the inputs are channels that are summed with others, as those of a residual stream, are left out.

    Raises
    ------
    OptionError
        If there is no such criterion, the run is of another network, or a run or images are missing.
    PruningError
        If there is no inner channel.
    EmptyDataError
        If there is no image that can be read.
    MissingPackageError
        If Torch-Pruning is not installed.
    UnknownClassError
        If the run has no such class.
    """
    name, _, argument = criterion.partition(":")
    fits = {"random": not argument or argument.isdigit(), "gate_class": bool(argument)}
    if name not in INNER_CRITERIA or not fits.get(name, not argument):
        raise OptionError(
            f"criterion is {criterion!r}, expected one of those of inner channels: {', '.join(INNER_CRITERIA)}"
        )
    if name.startswith("gate_") and run is None:
        raise OptionError(f"criterion {criterion!r} needs a run of this network")
    if name == "taylor" and data is None:
        raise OptionError("criterion 'taylor' needs images, as data")
    if run is not None:
        check_run(network, run)
    places = _places(network)
    if name == "taylor":
        by_layer = _taylor(network, {piece.convolution for _, piece, _ in places}, data, device, reading)
    else:
        by_layer = {}
    random = np.random.default_rng(int(argument or 0))
    behind = input_producers(network.model, blank_image(network), {piece.convolution for _, piece, _ in places})
    found: dict[tuple[str, str], NDArray[np.float64]] = {}
    for block, piece, layer in places:
        if name in ("gate_mean", "gate_class", "weights"):
            gates = np.ones(network.blocks[block].channels)
            if name != "weights" and run is not None:
                gates = mean_gate(run, block, classes=argument.split(",") if argument else None)
            score = _scores(network.model, piece, gates[piece.start : piece.stop])
        elif name == "taylor":
            score = by_layer[piece.convolution]
        elif name == "random":
            score = random.random(channels_in(_layer(network.model, piece.convolution)))
        elif name == "bn_gamma":
            score = _gamma(network.model, behind[piece.convolution], piece.convolution)
        else:
            filters = network.model.get_parameter(f"{layer}.weight").detach().cpu().double().flatten(1)
            score = filters.norm(p=int(name[1]), dim=1).cpu().numpy()
        found[block, layer] = found.get((block, layer), np.zeros(len(score))) + score
    return pd.concat(
        [
            pd.DataFrame({"block": block, "layer": layer, "channel": np.arange(len(score)), "score": score})
            for (block, layer), score in found.items()
        ],
        ignore_index=True,
    )


def _places(network: Network) -> list[tuple[str, Producer, str]]:
    """Of each block, the layers that make what it scales, each with the one that makes its inputs."""
    graph = Graph(network.model, blank_image(network))
    places = [
        (block, piece, layer)
        for block, pieces in producers_of(network).items()
        for piece in pieces
        if (layer := graph.maker(piece.convolution)) is not None
    ]
    if not places:
        raise PruningError(f"no SE block of {network.spec} has inner channels before it: they are summed with others")
    return places


def _layer(model: nn.Module, path: str) -> Layer:
    layer = model.get_submodule(path)
    assert isinstance(layer, LAYERS)  # as `producers` promises
    return layer


def _gamma(model: nn.Module, pieces: tuple[Producer, ...], path: str) -> NDArray[np.float64]:
    """|gamma| of the BatchNorm before a layer, (inputs)."""
    if len(pieces) != 1 or pieces[0].norm is None:
        raise OptionError(
            f"criterion 'bn_gamma' needs one BatchNorm with a scale before {path!r}, and there is none; take l1 or l2"
        )
    return np.asarray(model.get_parameter(f"{pieces[0].norm}.weight").detach().double().abs().cpu().numpy(), np.float64)


def _taylor(
    network: Network, paths: set[str], data: Images | None, device: str, reading: Mapping[str, Any]
) -> dict[str, NDArray[np.float64]]:
    """|sum over positions of a · dL/da|, mean over images, of the inputs a of layers, (inputs) by path."""
    assert data is not None  # as is checked
    total: dict[str, Tensor] = {}
    images = 0
    with on_device(network.model, device) as place:
        for batch in labelled_batches(network, data, **reading):
            if not len(batch):
                continue
            x = batch.images.to(place).detach().requires_grad_()  # so that there is a graph, whatever is frozen
            with torch.enable_grad(), layer_inputs(network.model, paths) as given:
                logits = logits_of(network, x, batch.labels)
                target = torch.as_tensor(batch.labels, device=place)
                loss = nn.functional.cross_entropy(logits, target, reduction="sum")
                slopes = torch.autograd.grad(loss, list(given.values()))
            for (path, a), slope in zip(given.items(), slopes, strict=True):
                layout: Layout = "last" if isinstance(_layer(network.model, path), nn.Linear) else "first"
                effect = channels_first(a.detach() * slope, layout)
                score = effect.reshape(*effect.shape[:2], -1).sum(2).abs().cpu().double().sum(0)
                total[path] = total.get(path, torch.zeros_like(score)) + score
            images += len(batch)
    return {path: (score / images).numpy() for path, score in total.items()}


def _scores(model: nn.Module, piece: Producer, gates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The score of each input of a layer, (inputs)."""
    layer = _layer(model, piece.convolution)
    reach = gates * _scale(model, piece)  # (outputs)
    weight = layer.weight.detach().cpu().double()
    sizes = weight.reshape(*weight.shape[:2], -1).norm(dim=2).numpy()  # (outputs, inputs of a group)
    by_group = (reach[:, None] * sizes).reshape(groups_of(layer), -1, sizes.shape[1]).sum(1)
    return np.asarray(by_group.reshape(-1), np.float64)  # (groups, inputs of a group) to (inputs)


def _scale(model: nn.Module, piece: Producer) -> NDArray[np.float64]:
    """|gamma / sigma| of the BatchNorm behind a layer, (outputs); 1 where there is none."""
    channels = piece.stop - piece.start
    if piece.norm is None:
        return np.ones(channels)
    module = model.get_submodule(piece.norm)
    variance, eps = getattr(module, "running_var", None), float(getattr(module, "eps", 0.0))
    gamma = getattr(module, "weight", None)
    if not isinstance(variance, Tensor):
        return np.ones(channels)
    scale = (variance.detach().cpu().double() + eps).rsqrt()
    if isinstance(gamma, Tensor):
        scale = scale * gamma.detach().cpu().double().abs()
    return np.asarray(scale[piece.norm_first : piece.norm_first + channels].numpy(), np.float64)
