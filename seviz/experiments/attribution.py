"""How much the gates of each block add to the logit of a class, channel by channel, image by image.

With s for the gate of a channel and b for its baseline, it is

- gradient_x_activation: (s - b) times the gradient of the logit with respect to the gate;
- integrated_gradients: the same with the mean of the gradient on the way from b to s, all gates of the block together.
  Over the channels it adds up to the logit less what it is with the block's gates at b;
- conductance: the change of the gate times the gradient, added up on the way from an image of zeros to the image: the
  part of the change of the logit that comes by way of the gate, not by way of the feature map that it scales.

A baseline of 0 asks what a channel adds at all, the mean gate of a run what it adds by differing from the mean.

References
----------
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365.
Dhamdhere, Sundararajan, Yan, "How Important Is a Neuron?", arXiv:1805.12233.
Kokhlikyan et al., "Captum: A unified and generic model interpretability library for PyTorch", arXiv:2009.07896.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from seviz.classes import Classes
from seviz.errors import OptionError
from seviz.experiments.belonging import check_blocks
from seviz.experiments.causal import chosen_blocks
from seviz.experiments.evaluation import (
    classes_of,
    labelled_batches,
    logits_of,
    on_device,
)
from seviz.experiments.images import Images, images_of
from seviz.extras import needing
from seviz.network.blocks import SEBlock
from seviz.network.dtype import as_taken
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from seviz.network.positions import channels_first
from seviz.options import Reading
from seviz.progress import Progress
from seviz.run.parts import mean_over_images
from seviz.run.store import Run
from seviz.showing import brief

Method = Literal["gradient_x_activation", "integrated_gradients", "conductance"]
METHODS: tuple[Method, ...] = get_args(Method)

Baseline = float | str | Mapping[str, NDArray[Any]]
"""A number; "zero", "identity" (1) or "mean" (over the images of the run); or by block an array (channels)."""
_NUMBERS = {"zero": 0.0, "identity": 1.0}


@dataclass(frozen=True)
class Attributions:
    """What the gates of images add to a logit.

    Attributes
    ----------
    method
        One of `METHODS`.
    values
        By the name of the block, (image, channel).
    stages
        Of each block.
    classes
        Of the network.
    labels, targets
        The class of each image, and the class whose logit it is, (image).
    paths
        Of each image.
    remarks
        What there is to say of the network, a sentence each; the tables have them.
    """

    method: str
    values: dict[str, NDArray[np.float32]]
    stages: dict[str, int]
    classes: Classes
    labels: NDArray[np.int64]
    targets: NDArray[np.int64]
    paths: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    __repr__ = brief

    def by_block(self) -> pd.DataFrame:
        """What the gates of each block add.

        Columns: block, stage, channels; images; attribution, the sum over channels, mean over images; absolute, the
        sum of absolute values, mean over images; share, of the absolute of all blocks here, in [0, 1]; half, how many
        channels hold half of the block's absolute attribution.
        """
        absolute = {block: np.abs(values).mean(0, dtype=float) for block, values in self.values.items()}
        everything = sum(float(each.sum()) for each in absolute.values())
        rows = (
            {
                "block": block,
                "stage": self.stages[block],
                "channels": values.shape[1],
                "images": len(values),
                "attribution": values.sum(1, dtype=float).mean(),
                "absolute": absolute[block].sum(),
                "share": absolute[block].sum() / everything if everything else np.nan,
                "half": _half(absolute[block]),
            }
            for block, values in self.values.items()
        )
        return self._remarked(pd.DataFrame(rows))

    def by_channel(self) -> pd.DataFrame:
        """What each channel adds, the most first in each block.

        Columns: block, stage, channel; attribution, mean over images; absolute, mean over images of the absolute
        value; share, of the absolute of the block, in [0, 1].
        """
        frames = []
        for block, values in self.values.items():
            absolute = np.abs(values).mean(0, dtype=float)
            frame = pd.DataFrame(
                {
                    "block": block,
                    "stage": self.stages[block],
                    "channel": np.arange(values.shape[1]),
                    "attribution": values.mean(0, dtype=float),
                    "absolute": absolute,
                    "share": absolute / absolute.sum() if absolute.any() else np.nan,
                }
            )
            frames.append(frame.sort_values("absolute", ascending=False, kind="stable"))
        return self._remarked(pd.concat(frames, ignore_index=True))

    def by_image(self) -> pd.DataFrame:
        """What the gates of each block add for each image.

        Columns: path; class, class_name; target, target_name, the class whose logit it is; block, stage;
        attribution, the sum over channels; absolute, the sum of absolute values; share, of the absolute of all blocks
        for this image, in [0, 1]; channel, the one that adds most, and its value.
        """
        absolute = {block: np.abs(values).sum(1, dtype=float) for block, values in self.values.items()}
        everything = np.sum(list(absolute.values()), axis=0)
        names, ids = np.array(self.classes.names, dtype=object), np.array(self.classes.ids, dtype=object)
        frames = []
        for block, values in self.values.items():
            most = np.abs(values).argmax(1)
            frames.append(
                pd.DataFrame(
                    {
                        "path": self.paths,
                        "class": ids[self.labels],
                        "class_name": names[self.labels],
                        "target": ids[self.targets],
                        "target_name": names[self.targets],
                        "block": block,
                        "stage": self.stages[block],
                        "attribution": values.sum(1, dtype=float),
                        "absolute": absolute[block],
                        "share": absolute[block] / np.where(everything > 0, everything, np.nan),
                        "channel": most,
                        "value": values[np.arange(len(values)), most].astype(float),
                        "image": np.arange(len(values)),
                    }
                )
            )
        table = pd.concat(frames, ignore_index=True)
        return self._remarked(table.sort_values("image", kind="stable", ignore_index=True).drop(columns="image"))

    def _remarked(self, table: pd.DataFrame) -> pd.DataFrame:
        table.attrs["remarks"] = list(self.remarks)
        return table


def _half(absolute: NDArray[np.float64]) -> int:
    """The fewest channels that hold half of the sum; 0 where it is 0."""
    held = np.cumsum(np.sort(absolute)[::-1])
    return int(np.searchsorted(held, held[-1] / 2) + 1) if held[-1] > 0 else 0


def attribute(
    network: Network,
    run: Run | None = None,
    *,
    data: Images | None = None,
    root: str | Path | None = None,
    method: Method = "gradient_x_activation",
    target: str | int = "label",
    blocks: Sequence[str] | None = None,
    baseline: Baseline = 0.0,
    steps: int = 32,
    per_class: int | None = None,
    batch_size: int = 16,
    device: str = "auto",
    rotate: bool | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Attributions:
    """Attribute the logit of a class to the gates of each block.

    Gradient times activation takes one pass forward and one back for all blocks; the others take `steps` of them for
    each block, and captum.

    Parameters
    ----------
    network
        Comes back as it was given.
    run
        Whose images are opened again unless `data` is given, and whose mean gates are the baseline "mean".
    data, root, per_class, device, rotate, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.
    method
        One of `METHODS`.
    target
        Whose logit: "label" for each image's own class, "predicted" for what it is taken for; or a class by id, name
        or number.
    blocks
        Names; None for all.
    baseline
        What the gates are counted from: a number, "zero", "identity", "mean", or by block an array (channels). Not
        for conductance, which counts from an image of zeros.
    steps
        Of the sum that stands for the integral.
    batch_size
        Images a batch, and of the steps as many as that at once.

    Raises
    ------
    OptionError
        If an option is none of these, the run is of another network and its means are asked for, or as in
        `evaluate`; of conductance, if a block's gate is no module of
        its own.
    UnknownClassError
        If there is no such class.
    MissingPackageError
        If captum is needed and not installed.
    EmptyDataError
        If there is no image that can be read.

    Examples
    --------
    >>> found = seviz.attribute(network, run, blocks=["SE_5_1"], workers=0)
    >>> found.values["SE_5_1"].shape  # (image, channel)
    (60, 512)
    """
    check_method(method)
    if steps < 1:
        raise OptionError(f"steps is {steps}, expected at least 1")
    check_baseline(baseline)
    chosen = {name: network.blocks[name] for name in chosen_blocks(network, blocks)}
    base = _baselines(chosen, _as_numbers(network, run, baseline), method)
    reading = Reading(
        per_class=per_class,
        batch_size=batch_size,
        device=device,
        rotate=rotate,
        workers=workers,
        progress=progress,
    )
    data, reading = images_of(run, data, reading, root=root)
    find = _finder(network, chosen, base, method, steps, batch_size)
    values: dict[str, list[NDArray[np.float32]]] = {name: [] for name in chosen}
    labels, targets, paths = list[NDArray[np.int64]](), list[NDArray[np.int64]](), list[str]()
    width = 0
    with on_device(network.model, device) as place:
        for batch in labelled_batches(network, data, reading):
            if not len(batch):
                continue
            images = as_taken(batch.images.to(place), network.model)
            logits = logits_of(network, images, batch.labels)
            width = logits.shape[1]
            wanted = _targets(network, target, batch.labels, logits)
            with torch.enable_grad():
                found = find(images, torch.as_tensor(wanted, device=place))
            for name, value in found.items():
                values[name].append(value.detach().float().cpu().numpy())
            labels.append(batch.labels)
            targets.append(wanted)
            paths += batch.paths
    return Attributions(
        method=method,
        values={name: np.concatenate(parts) for name, parts in values.items()},
        stages={name: block.stage for name, block in chosen.items()},
        classes=classes_of(network, width),
        labels=np.concatenate(labels),
        targets=np.concatenate(targets),
        paths=tuple(paths),
        remarks=network.remarks,
    )


def _targets(network: Network, target: str | int, labels: NDArray[np.int64], logits: Tensor) -> NDArray[np.int64]:
    if target == "label":
        return labels
    if target == "predicted":
        return logits.argmax(1).cpu().numpy()
    number = target
    if isinstance(number, str):
        number = classes_of(network, logits.shape[1]).index(number, f"the network {network.spec}")
    if not 0 <= number < logits.shape[1]:
        raise OptionError(f"target is {target}, expected a class from 0 to {logits.shape[1] - 1}")
    return np.full(len(labels), number, np.int64)


def _as_numbers(network: Network, run: Run | None, baseline: Baseline) -> float | Mapping[str, NDArray[Any]]:
    """A baseline without names."""
    if not isinstance(baseline, str):
        return baseline
    if baseline != "mean":
        return _NUMBERS[baseline]
    if run is None:
        raise OptionError("baseline is 'mean', which is over the images of a run, and no run was given")
    check_blocks(network, run)
    return {block: mean_over_images(run, block) for block in run.blocks}


def _baselines(
    blocks: Mapping[str, SEBlock], baseline: float | Mapping[str, NDArray[Any]], method: Method
) -> dict[str, Tensor]:
    """What the gates of each block are counted from, a number or (channels)."""
    if method == "conductance":
        if not isinstance(baseline, Mapping) and baseline == 0:
            return {}
        raise OptionError("conductance counts from an image of zeros and takes no baseline of gates; leave it out")
    if not isinstance(baseline, Mapping):
        return dict.fromkeys(blocks, torch.tensor(float(baseline)))
    base = {}
    for name, block in blocks.items():
        shape = np.shape(baseline[name]) if name in baseline else "none"
        if shape != (block.channels,):
            raise OptionError(f"baseline of {name} has shape {shape}, expected ({block.channels},)")
        base[name] = torch.tensor(np.asarray(baseline[name]), dtype=torch.float32)
    return base


def _finder(
    network: Network,
    blocks: Mapping[str, SEBlock],
    base: Mapping[str, Tensor],
    method: Method,
    steps: int,
    batch_size: int,
) -> Any:
    """From images and targets to the attributions (batch, channels) of each block."""
    if method == "gradient_x_activation":
        return partial(_gradient_x_activation, network, blocks, base)
    if method == "integrated_gradients":
        return partial(_integrated_gradients, network, blocks, base, steps, batch_size)
    for name, block in blocks.items():
        if block.gate_path is None or block.calls > 1:
            why = "a function call" if block.gate_path is None else "a module that is called several times"
            raise OptionError(
                f"conductance needs a module for each gate, and that of {name} is {why}; leave the block out, or take"
                " integrated_gradients"
            )
    return partial(_conductance, network, blocks, steps, batch_size)


def check_method(method: str) -> None:
    """Raise OptionError unless a method is one of `METHODS`, MissingPackageError unless what it needs is installed."""
    if method not in METHODS:
        raise OptionError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    if method != "gradient_x_activation":
        with needing("attribution", method, instead="gradient_x_activation does without"):
            import captum.attr  # noqa: F401


def check_baseline(baseline: Baseline) -> None:
    """Raise OptionError if a baseline is a name that none has."""
    if isinstance(baseline, str) and baseline not in (*_NUMBERS, "mean"):
        raise OptionError(f"baseline is {baseline!r}, expected zero, identity or mean")


def _gradient_x_activation(
    network: Network, blocks: Mapping[str, SEBlock], base: Mapping[str, Tensor], images: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    with capture_gates(network.model, blocks) as gates:
        logits = logits_of(network, images)
    wanted = logits.gather(1, targets[:, None]).sum()
    seen = [gates[name] for name in blocks]
    gradients = torch.autograd.grad(wanted, seen, allow_unused=True)
    return {
        name: torch.zeros_like(gate) if gradient is None else gradient * (gate - base[name].to(gate))
        for name, gate, gradient in zip(blocks, seen, gradients, strict=True)
    }


def _integrated_gradients(
    network: Network,
    blocks: Mapping[str, SEBlock],
    base: Mapping[str, Tensor],
    steps: int,
    batch_size: int,
    images: Tensor,
    targets: Tensor,
) -> dict[str, Tensor]:
    from captum.attr import IntegratedGradients

    with torch.no_grad(), capture_gates(network.model, blocks, detach=True) as gates:
        network.model(images)
    found = {}
    for name, gate in gates.items():

        def logits(gate: Tensor, images: Tensor, name: str = name) -> Any:
            with force_gates(network.model, blocks, {name: gate}):
                return logits_of(network, images)

        found[name] = IntegratedGradients(logits).attribute(
            gate,
            baselines=base[name].to(gate).expand_as(gate),
            target=targets,
            additional_forward_args=(images,),
            n_steps=steps,
            internal_batch_size=max(batch_size, len(images)),
        )
    return found


def _conductance(
    network: Network, blocks: Mapping[str, SEBlock], steps: int, batch_size: int, images: Tensor, targets: Tensor
) -> dict[str, Tensor]:
    from captum.attr import LayerConductance

    found = {}
    for name, block in blocks.items():
        conductance = LayerConductance(partial(logits_of, network), network.model.get_submodule(str(block.gate_path)))
        value = conductance.attribute(
            images,
            target=targets,
            n_steps=steps,
            internal_batch_size=2 * max(batch_size, len(images)),  # captum needs two steps of each image at once
        )
        if value.ndim > 2:  # of a gate expanded over positions, the sum
            value = channels_first(value, block.layout).flatten(2).sum(2)
        found[name] = value
    return found
