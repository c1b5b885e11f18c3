"""How much each gated channel is worth, by many criteria: from the gates of a run, and the usual ones to compare with.

A channel is one channel of the product y = s · u of an SE block, with u the feature map and s the gate. A higher score
means that the channel is worth more, by every criterion. Scores of different criteria, and of different blocks, have no
common unit: `seviz.compression.masking.lowest` divides them by the mean of their block before it compares blocks. That
gates tell what a channel is worth is a hypothesis, to be compared with `random`.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710 (l1).
Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network Slimming",
arXiv:1708.06519 (bn_gamma).
Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource Efficient Inference",
arXiv:1611.06440 (taylor).
Hu, Peng, Tai, Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures",
arXiv:1607.03250 (apoz).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.compression.belonging import check_run
from seviz.compression.scored import of_kind, require_kind
from seviz.errors import OptionError
from seviz.experiments.attribution import Method, attribute
from seviz.experiments.evaluation import Images, Labelled, Progress, labelled_batches, logits_of, on_device
from seviz.network.blocks import SEBlock
from seviz.network.dtype import as_taken
from seviz.network.flow import Producer, producers
from seviz.network.gates import capture_gates
from seviz.network.networks import Network
from seviz.network.products import Product
from seviz.network.reading import recorded_products
from seviz.run.parts import Part, mean_over_images
from seviz.run.store import Run
from seviz.stats.variance import split_variance

Scores = dict[str, NDArray[np.float64]]
"""By the name of a block, (channel)."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A way to tell what channels are worth.

    Attributes
    ----------
    name
        What it is asked for by, with `argument` behind a colon.
    description
        The score, in a line.
    needs
        What it is made from: a run, images, or only the network.
    signals
        Of the run.
    argument
        What stands behind the colon, in words; empty where nothing does.
    """

    name: str
    description: str
    needs: Literal["run", "data", "nothing"] = "nothing"
    signals: tuple[str, ...] = ()
    argument: str = ""


_EXCITATION = ("excitation",)

CRITERIA: dict[str, Criterion] = {
    each.name: each
    for each in (
        Criterion(name="gate_mean", needs="run", signals=_EXCITATION, description="mean gate over images"),
        Criterion(
            name="gate_effective",
            needs="run",
            signals=("response",),
            description="mean of |s·u| over positions and images",
        ),
        Criterion(name="gate_variance", needs="run", signals=_EXCITATION, description="variance of the gate"),
        Criterion(
            name="gate_class",
            needs="run",
            signals=_EXCITATION,
            argument="NAME[,NAME]",
            description="mean gate over the images of some classes",
        ),
        Criterion(
            name="gate_between",
            needs="run",
            signals=_EXCITATION,
            description="variance of the gate between classes, bias-corrected",
        ),
        Criterion(name="random", argument="SEED", description="a random number"),
        Criterion(name="l1", description="sum of absolute weights of the filter that makes the channel"),
        Criterion(name="l2", description="Euclidean norm of the filter that makes the channel"),
        Criterion(name="bn_gamma", description="absolute scale of the BatchNorm behind that filter"),
        Criterion(
            name="taylor",
            needs="data",
            description="|s · dL/ds| with the cross-entropy L of an image, mean over images",
        ),
        Criterion(name="activation_mean", needs="data", description="mean of |u| over positions and images"),
        Criterion(name="apoz", needs="data", description="share of s·u above 0 over positions and images"),
        Criterion(
            name="conductance",
            needs="data",
            description="absolute conductance of the gate on the logit of the image's class, mean over images",
        ),
        Criterion(
            name="integrated_gradients",
            needs="data",
            description="absolute integrated gradient of the gate from 0, on the logit of the class, mean over images",
        ),
    )
}
"""The criteria by name. Those made from a run are of gates, the others are what they are compared with."""


def importance(
    network: Network,
    run: Run | Part | None,
    criterion: str,
    *,
    data: Images | None = None,
    per_class: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score the channels of the SE blocks of a network by one criterion.

    Parameters
    ----------
    network
        Comes back as it was given.
    run
        Of this network, or a part of one; None where the criterion needs none.
    criterion
        One of `CRITERIA`, such as "gate_mean", with its argument where it takes one: "random:3" (seed; "random" is
        "random:0"), "gate_class:cat,dog" (ids or names). An image counts as often as it is of one of these classes.
    data
        Images of one class each, for the criteria that need some. They are rotated by EXIF as those of the run were.
        Give few for conductance and integrated_gradients, which take 32 passes for each block and image.
    per_class, batch_size, device, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    pandas.DataFrame
        A row for each gated channel, in order of depth. Columns: block; layer, the module path of the convolution whose
        output the channel is, of the block where no convolution alone makes it; channel; score, finite. A higher score
        is worth more. `attrs["criterion"]` is the criterion, `attrs["kind"]` "gated".

    Raises
    ------
    OptionError
        If there is no such criterion, it needs a run or images and has none, the run is of another network, no layer
        makes the channels of a block where the criterion is one of layers, or as in `labelled_batches`.
    MissingSignalError
        If the run does not hold what the criterion is made from.
    UnknownClassError
        If there is no such class.
    EmptyDataError
        If there is no image that can be read.
    MissingPackageError
        If conductance or integrated_gradients is asked for, and captum is not installed.
    NoSEBlocksError
        If the network has no SE block.
    """
    chosen, argument = _criterion(criterion)
    if run is not None:
        check_run(network, run)
    made_by = producers(network.model, example_of(network), network.require_blocks())
    if chosen.needs == "run":
        scores = _of_run(_given(run, criterion, "a run of this network"), chosen.name, argument)
    elif chosen.needs == "data":
        rotate = run is not None and run.manifest.engine.rotate
        options = {"per_class": per_class, "batch_size": batch_size, "rotate": rotate, "workers": workers}
        images = _given(data, criterion, "images, as data")
        scores = _of_images(network, images, chosen.name, device, {**options, "progress": progress})
    elif chosen.name == "random":
        random = np.random.default_rng(int(argument or 0))
        scores = {name: random.random(block.channels) for name, block in network.blocks.items()}
    else:
        scores = {name: _of_layers(network.model, name, pieces, criterion) for name, pieces in made_by.items()}
    wrong = [name for name, score in scores.items() if not np.isfinite(score).all()]
    if wrong:
        raise OptionError(
            f"criterion {criterion!r} has no finite score for channels of {wrong[0]}: there are too few images, or the"
            " network gives no finite numbers. Take another criterion, or a run of more images."
        )
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "block": name,
                    "layer": _layers(block, made_by[name]),
                    "channel": np.arange(block.channels),
                    "score": np.asarray(scores[name], np.float64),
                }
            )
            for name, block in network.blocks.items()
        ],
        ignore_index=True,
    )
    table.attrs["criterion"] = criterion
    return of_kind(table, "gated")


def _criterion(text: str) -> tuple[Criterion, str]:
    """A criterion and its argument."""
    name, colon, argument = text.partition(":")
    if name not in CRITERIA:
        known = ", ".join(f"{each.name}:{each.argument}" if each.argument else each.name for each in CRITERIA.values())
        raise OptionError(f"no criterion {text!r}; expected one of {known}")
    if colon and not CRITERIA[name].argument:
        raise OptionError(f"criterion {text!r} has something behind the colon, expected {name} alone")
    if name == "gate_class" and not all(part.strip() for part in argument.split(",")):
        raise OptionError(f"criterion {text!r} lacks a class; expected gate_class:NAME[,NAME], such as gate_class:cat")
    if name == "random" and (colon or argument) and not (argument.isascii() and argument.isdigit()):
        raise OptionError(f"criterion {text!r} has the seed {argument!r}, expected a whole number, such as random:0")
    return CRITERIA[name], argument


def _given(value: Any, criterion: str, what: str) -> Any:
    if value is None:
        raise OptionError(f"criterion {criterion!r} needs {what}, and none was given")
    return value


def example_of(network: Network) -> Tensor:
    """What the model takes, of zeros."""
    like = next(network.model.parameters())
    return torch.zeros(2, *network.example_size, device=like.device, dtype=like.dtype)


def _layers(block: SEBlock, pieces: tuple[Producer, ...]) -> list[str]:
    """The module path of the layer that makes each channel of u."""
    return [piece.convolution for piece in pieces for _ in range(piece.start, piece.stop)] or (
        [block.path] * block.channels
    )


def _of_run(run: Run | Part, name: str, argument: str) -> Scores:
    if name == "gate_mean":
        return {
            block: np.abs(mean_over_images(run, block)) for block in run.blocks
        }  # of a gate that has signs, its size
    if name == "gate_effective":
        return {block: mean_over_images(run, block, "response") for block in run.blocks}
    if name == "gate_variance":
        return {block: run.total(block).variance()[0] for block in run.blocks}
    if name == "gate_between":
        if run.labels.ndim != 1:
            raise OptionError("gate_between needs images of one class each, and those of the run have several")
        return {block: split_variance(run.moments(block)).variance_between for block in run.blocks}
    labels = np.unique([run.class_index(each.strip()) for each in argument.split(",")])
    scores = {}
    for block in run.blocks:
        moments = run.moments(block).take(labels)
        if not moments.count.all():
            empty = run.classes.names[labels[moments.count == 0][0]]
            raise OptionError(f"class {empty!r} has no image in {run!r}, so no mean gates")
        scores[block] = np.abs(moments.count @ moments.mean / moments.count.sum())
    return scores


def _of_layers(model: nn.Module, block: str, pieces: tuple[Producer, ...], criterion: str) -> NDArray[np.float64]:
    """By the weights of the layers that make the channels of u, (channel)."""
    if not pieces:
        raise OptionError(
            f"criterion {criterion!r} needs a convolution that makes each channel of {block}, and there is none (they"
            " are a sum, as behind a shortcut); take a criterion that needs none, such as random or taylor"
        )
    scores = []
    for piece in pieces:
        if criterion == "bn_gamma":
            if piece.norm is None:
                raise OptionError(
                    f"criterion 'bn_gamma' needs a BatchNorm with a scale behind {piece.convolution!r}, which makes"
                    f" channels of {block}, and there is none; take l1 or l2"
                )
            gamma = model.get_parameter(f"{piece.norm}.weight").detach().cpu().double()
            scores.append(gamma[piece.norm_first : piece.norm_first + piece.stop - piece.start].abs())
        else:
            filters = model.get_parameter(f"{piece.convolution}.weight").detach().cpu().double().flatten(1)
            scores.append(filters.norm(p=int(criterion[1]), dim=1))
    return torch.cat(scores).numpy()


def _of_images(network: Network, data: Images, name: str, device: str, options: dict[str, Any]) -> Scores:
    if name in ("conductance", "integrated_gradients"):
        method: Method = "conductance" if name == "conductance" else "integrated_gradients"
        table = attribute(network, data=data, method=method, device=device, **options).by_channel()
        return {
            str(block): rows.sort_values("channel")["absolute"].to_numpy(np.float64)
            for block, rows in table.groupby("block", sort=False)
        }
    of_batch: Callable[[Network, Labelled, torch.device], dict[str, Tensor]] = _taylor
    if name != "taylor":
        of_batch = partial(_at_products, _size if name == "activation_mean" else _on)
    sums = {block.name: np.zeros(block.channels) for block in network.blocks.values()}
    images = 0
    with on_device(network.model, device) as place:
        for batch in _readable(labelled_batches(network, data, **options)):
            for block, values in of_batch(network, batch, place).items():
                sums[block] += values.cpu().double().sum(0).numpy()
            images += len(batch)
    return {block: total / images for block, total in sums.items()}


def _readable(batches: Iterator[Labelled]) -> Iterator[Labelled]:
    return (batch for batch in batches if len(batch))


def _taylor(network: Network, batch: Labelled, place: torch.device) -> dict[str, Tensor]:
    """|s · dL/ds|, (image, channel). By the chain rule s · dL/ds is the sum of y · dL/dy over positions."""
    images = batch.images.to(place).detach().requires_grad_()  # so that gates have a graph, whatever is frozen
    with torch.enable_grad(), capture_gates(network.model, network.blocks) as gates:
        logits = logits_of(network, images, batch.labels)
        target = torch.as_tensor(batch.labels, device=place)
        loss = nn.functional.cross_entropy(logits, target, reduction="sum")
        seen = list(gates.values())
        gradients = torch.autograd.grad(loss, seen, allow_unused=True)
    return {
        block: torch.zeros_like(gate) if gradient is None else (gate * gradient).abs().detach()
        for block, gate, gradient in zip(gates, seen, gradients, strict=True)
    }


def _at_products(
    of: Callable[[Product, Tensor], Tensor], network: Network, batch: Labelled, place: torch.device
) -> dict[str, Tensor]:
    """What is seen where a block scales its feature map, (image, channel)."""
    with recorded_products(network.model, network.blocks, {"seen": of}, detach=True) as values:
        network.model(as_taken(batch.images.to(place), network.model))
    return values["seen"]


def _size(product: Product, _: Tensor) -> Tensor:
    return product.u.abs().flatten(2).mean(2)


def _on(product: Product, gate: Tensor) -> Tensor:
    on = product.u.flatten(2) * gate[:, :, None] > 0  # (image, channel, position)
    return on.sum(2).cpu().double() / on.shape[2]


def scores_by_block(scores: pd.DataFrame) -> dict[str, pd.Series]:
    """The scores of a table from `importance`, by block, with the channel as index.

    Parameters
    ----------
    scores
        Columns: block, channel, score. Blocks and channels may be some only.

    Raises
    ------
    OptionError
        If the table is of another kind of channels, a column is missing, it is empty, a channel stands there twice,
        or a score is not finite.
    """
    require_kind(scores, "gated")
    missing = [column for column in ("block", "channel", "score") if column not in scores]
    if missing:
        raise OptionError(f"scores has no column {missing[0]!r}; expected a table from importance")
    if scores.empty:
        raise OptionError("scores has no rows, expected one for each channel")
    if scores.duplicated(["block", "channel"]).any():
        block, channel = scores.loc[scores.duplicated(["block", "channel"]), ["block", "channel"]].iloc[0]
        raise OptionError(f"scores has channel {channel} of {block} twice; expected a table of one criterion")
    bad = scores[~np.isfinite(scores["score"].to_numpy(np.float64))]
    if len(bad):
        raise OptionError(
            f"scores has {bad['score'].iloc[0]} for channel {bad['channel'].iloc[0]} of {bad['block'].iloc[0]},"
            " expected finite numbers"
        )
    return {
        str(block): rows.set_index("channel")["score"].sort_index()
        for block, rows in scores.groupby("block", sort=False)
    }


def over_mean(score: pd.Series) -> pd.Series:
    """Scores of a block over the mean of their absolute values, so that blocks can be compared; 0 where all are 0."""
    size = float(score.abs().mean())
    return score / size if size > 0 else score * 0.0
