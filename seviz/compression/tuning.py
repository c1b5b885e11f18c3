"""Train a changed network a little further, so that it recovers what the change cost.

Optimiser and schedule are timm's. Augmentation is a random crop with reflected padding and a flip, on images that are
preprocessed already: it serves data sets and batches in memory alike, and the network sees the scale and crop that it
is evaluated with.

References
----------
Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
"""

import copy
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import timm.optim
import timm.scheduler
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seviz.capture.collect import usable_device
from seviz.capture.datasets import Dataset, open_dataset
from seviz.capture.engines import home_of
from seviz.errors import EmptyDataError, OptionError, WeightsError
from seviz.experiments.evaluation import Images, Labelled, labelled_batches, logits_of
from seviz.network.networks import Network
from seviz.network.positions import Layout, channels_first, spread_over
from seviz.network.wrappers import refuse_compiled
from seviz.options import Reading
from seviz.run.files import write_atomically

Optimizer = Literal["sgd", "adamw"]

_VERSION = 1  # of checkpoints


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained further.

    Attributes
    ----------
    epochs
        At least 1.
    learning_rate
        At its highest, above 0; from there it falls along a cosine to zero.
    weight_decay
        Of weights of two and more dimensions, at least 0. SE layers, biases and normalisations have none: decay would
        draw gates to a constant.
    batch_size
        At least 2.
    optimizer
        "sgd", with Nesterov momentum 0.9, or "adamw".
    warmup_epochs
        In which the learning rate rises from near zero, from 0 to below `epochs`.
    label_smoothing
        In [0, 1).
    padding
        By how many positions at most the random crop moves along each axis, at least 0; 0 for no crop.
    flip
        Whether half of the images are mirrored, along the last axis of positions. What has a single axis never is.
    distillation
        The share of the loss that is the divergence from the teacher, in [0, 1]; used where there is a teacher.
    temperature
        Of both softmaxes in it, above 0.
    seed
        Of the order, the augmentation and dropout.
    """

    epochs: int = 10
    learning_rate: float = 0.01
    weight_decay: float = 5e-4
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    warmup_epochs: int = 0
    label_smoothing: float = 0.0
    padding: int = 4
    flip: bool = True
    distillation: float = 0.5
    temperature: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, expected in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("learning_rate", 0 < self.learning_rate < math.inf, "a number above 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "at least 0"),
            ("batch_size", self.batch_size >= 2, "at least 2"),
            ("optimizer", self.optimizer in get_args(Optimizer), f"one of {', '.join(get_args(Optimizer))}"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, f"from 0 to below the {self.epochs} epochs"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "a share from 0 to below 1"),
            ("padding", self.padding >= 0, "at least 0"),
            ("distillation", 0 <= self.distillation <= 1, "a share from 0 to 1"),
            ("temperature", 0 < self.temperature < math.inf, "a number above 0"),
        ):
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)!r}, expected {expected}")


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training came to.

    Attributes
    ----------
    number, epochs
        Which one, from 1, of how many.
    loss
        Its mean over images.
    accuracy
        On the augmented training images, in training mode.
    learning_rate
        At its end.
    """

    number: int
    epochs: int
    loss: float
    accuracy: float
    learning_rate: float


def fine_tune(
    network: Network,
    data: Images,
    *,
    epochs: int = 10,
    learning_rate: float = 0.01,
    weight_decay: float = 5e-4,
    batch_size: int = 128,
    optimizer: Optimizer = "sgd",
    warmup_epochs: int = 0,
    label_smoothing: float = 0.0,
    padding: int = 4,
    flip: bool = True,
    teacher: Network | None = None,
    distillation: float = 0.5,
    temperature: float = 4.0,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Network:
    """Train a network further.

    Order, augmentation and dropout of an epoch are drawn from the seed and the epoch's number alone, so that training
    that was interrupted ends with the same bits on the CPU.

    Parameters
    ----------
    network
        Stays as it is.
    data
        Images of one class each, as in `evaluate`; disjoint from those that tell how good the result is. Batches in
        memory are kept there and mixed anew in every epoch.
    epochs, learning_rate, weight_decay, batch_size, optimizer, warmup_epochs, label_smoothing, padding, flip, seed
        See `Recipe`. A last batch of one image is left out.
    teacher
        A network of the same classes, such as that before pruning, whose logits this one is to match too.
    distillation, temperature
        See `Recipe`.
    device, workers
        As in `evaluate`.
    checkpoint
        A file that is written after each epoch; where it is there, training goes on from it.
    progress
        Told after each epoch.

    Returns
    -------
    Network
        With a new model, in evaluation mode.

    Raises
    ------
    OptionError
        If an option is out of range, the loss is no number any more, or the checkpoint is of another training.
    WeightsError
        If the checkpoint cannot be read.
    EmptyDataError
        If there are not two images.

    Examples
    --------
    >>> tuned = seviz.fine_tune(network, [(images, torch.tensor([3, 5]))], epochs=1, batch_size=2)
    >>> tuned.spec
    'seviz/seresnet50-cifar10'
    """
    recipe = Recipe(
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        optimizer=optimizer,
        warmup_epochs=warmup_epochs,
        label_smoothing=label_smoothing,
        padding=padding,
        flip=flip,
        distillation=distillation if teacher else 0.0,
        temperature=temperature,
        seed=seed,
    )
    refuse_compiled(network.model)
    place = torch.device(usable_device(device))
    model = copy.deepcopy(network.model).to(place)
    guide = copy.deepcopy(teacher.model).eval().to(place) if teacher else None
    opened = open_dataset(data) if isinstance(data, str | Path) else data
    source = opened if isinstance(opened, Dataset) else _in_memory(network, opened)
    count = len(source)
    if count < 2:
        raise EmptyDataError(f"there is {count} image to train on, expected two at least")
    training = _Training(network, model, teacher, guide, recipe, math.ceil(count / batch_size))
    identity = _identity(network, teacher, recipe, count)
    first = training.resume(checkpoint, identity) if checkpoint and checkpoint.exists() else 0
    for number in range(first, epochs):
        with _drawing(seed, number, place):
            result = training.epoch(number, _batches(network, source, recipe, number, workers), place)
        if checkpoint:
            training.save(checkpoint, identity, number + 1)
        if progress:
            progress(result)
    return network.changed(model.to(home_of(network.model)).eval(), trained=True, modules=False)


class _Training:
    """A model with its optimiser and schedule."""

    def __init__(
        self,
        network: Network,
        model: nn.Module,
        teacher: Network | None,
        guide: nn.Module | None,
        recipe: Recipe,
        steps: int,
    ) -> None:
        self.model, self._guide, self._recipe, self._steps = model, guide, recipe, steps
        self._network, self._teacher, self._layout = network, teacher, network.input_layout
        options: dict[str, Any] = {"momentum": 0.9} if recipe.optimizer == "sgd" else {}
        self._optimizer = timm.optim.create_optimizer_v2(
            _parameter_groups(network, model, recipe.weight_decay),
            opt=recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            **options,
        )
        self._schedule, _ = timm.scheduler.create_scheduler_v2(
            self._optimizer,
            sched="cosine",
            num_epochs=recipe.epochs,
            warmup_epochs=recipe.warmup_epochs,
            warmup_lr=recipe.learning_rate / 100,
            step_on_epochs=False,
            updates_per_epoch=steps,
        )

    def epoch(self, number: int, batches: Iterator[Labelled], place: torch.device) -> Epoch:
        """Train on all images once."""
        self.model.train()
        images = right = 0
        total = 0.0
        for step, batch in enumerate(batches):
            if len(batch) < 2:
                continue
            x = _augmented(batch.images.to(place), self._recipe, self._layout)
            target = torch.as_tensor(batch.labels, device=place)
            logits = logits_of(self._network, x, batch.labels, model=self.model)
            loss = self._loss(logits, target, x)
            value = loss.item()
            if not math.isfinite(value):
                raise OptionError(
                    f"the loss is {value} in step {step + 1} of epoch {number + 1}: learning_rate is"
                    f" {self._recipe.learning_rate}, expected a smaller one, or warmup_epochs"
                )
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step_update(number * self._steps + step + 1)
            images, total = images + len(batch), total + value * len(batch)
            right += int((logits.argmax(1) == target).sum())
        if not images:
            raise EmptyDataError("no batch has two images that can be read, expected two at least")
        rate = self._optimizer.param_groups[0]["lr"]
        return Epoch(number + 1, self._recipe.epochs, total / images, right / images, rate)

    def _loss(self, logits: Tensor, target: Tensor, images: Tensor) -> Tensor:
        recipe = self._recipe
        loss = F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
        if self._guide is None or self._teacher is None:
            return loss
        with torch.no_grad():
            wanted = logits_of(self._teacher, images, model=self._guide)
        if wanted.shape != logits.shape:
            raise OptionError(
                f"the teacher gives logits of {wanted.shape[-1]} classes, the network of {logits.shape[1]}; expected"
                " the same classes"
            )
        divergence = F.kl_div(
            F.log_softmax(logits / recipe.temperature, 1),
            F.log_softmax(wanted / recipe.temperature, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - recipe.distillation) * loss + recipe.distillation * recipe.temperature**2 * divergence

    def save(self, path: Path, identity: str, epochs: int) -> None:
        """Write the state after so many epochs, as tensors and plain values."""
        state = {
            "identity": identity,
            "epochs": epochs,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(path, buffer.getvalue())

    def resume(self, path: Path, identity: str) -> int:
        """Read the state; how many epochs are done."""
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            found = state["identity"]
        except Exception as error:
            raise WeightsError(
                f"{path} is no checkpoint that can be read ({error}); delete it to begin anew"
            ) from error
        if found != identity:
            raise OptionError(
                f"checkpoint {str(path)!r} is of another training: {_difference(found, identity)}. Give the same"
                " options to go on with it, or delete it to begin anew"
            )
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        return int(state["epochs"])


def _identity(network: Network, teacher: Network | None, recipe: Recipe, images: int) -> str:
    """What a checkpoint belongs to."""
    facts = {
        "version": _VERSION,
        "network": network.weights_sha256,
        "teacher": teacher.weights_sha256 if teacher else None,
        "images": images,
        **asdict(recipe),
    }
    return json.dumps(facts, sort_keys=True)


def _difference(found: str, expected: str) -> str:
    there, here = json.loads(found), json.loads(expected)
    name = next(name for name in sorted({*there, *here}) if there.get(name) != here.get(name))
    return f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"


def _parameter_groups(network: Network, model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What is decayed, and what is not: SE layers, biases and normalisations."""
    gates = {name for block in network.blocks.values() for name in block.weights}
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (free if parameter.ndim < 2 or name in gates else decayed).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise OptionError(f"no parameter of {network.spec} takes a gradient, so there is nothing to train")
    return groups


def _in_memory(network: Network, data: Any) -> Labelled:
    """All batches as one."""
    batches = list(labelled_batches(network, data))
    sizes = {tuple(batch.images.shape[1:]) for batch in batches}
    if len(sizes) > 1:
        raise OptionError(f"the batches hold images of {sorted(sizes)}, expected one size")
    return Labelled(
        torch.cat([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
        tuple(path for batch in batches for path in batch.paths),
    )


def _batches(
    network: Network, source: Dataset | Labelled, recipe: Recipe, epoch: int, workers: int | None
) -> Iterator[Labelled]:
    """All images in the random order of an epoch."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(source))
    if isinstance(source, Dataset):
        yield from labelled_batches(network, source.take(order), Reading(batch_size=recipe.batch_size, workers=workers))
        return
    for start in range(0, len(order), recipe.batch_size):
        rows = order[start : start + recipe.batch_size]
        yield Labelled(source.images[rows.tolist()], source.labels[rows], tuple(source.paths[row] for row in rows))


@contextmanager
def _drawing(seed: int, epoch: int, place: torch.device) -> Iterator[None]:
    """Random numbers of torch that depend on seed and epoch alone; the caller's go on undisturbed."""
    devices = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1))
        yield


def _augmented(images: Tensor, recipe: Recipe, layout: Layout) -> Tensor:
    """Images moved and mirrored at random, in the layout that they have."""
    x = channels_first(images, layout)
    sides = x.shape[2:]
    reach = min(recipe.padding, min(sides) - 1)
    if reach > 0:
        padded = F.pad(x, (reach,) * (2 * len(sides)), mode="reflect")
        corners = torch.randint(2 * reach + 1, (len(x), len(sides))).tolist()
        crops = [[slice(at, at + side) for at, side in zip(corner, sides, strict=True)] for corner in corners]
        x = torch.stack([image[(slice(None), *crop)] for image, crop in zip(padded, crops, strict=True)])
    if recipe.flip and len(sides) > 1:
        mirrored = torch.rand(len(x)) < 0.5
        x = torch.where(spread_over(mirrored.to(x.device)[:, None], x), x.flip(-1), x)
    return x if layout == "first" else x.movedim(1, -1)
