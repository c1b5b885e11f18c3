"""How well a network tells classes apart: accuracy, in all and by class, of any network on any images."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.capture.collect import usable_device, worker_count
from seviz.capture.datasets import Dataset, open_dataset
from seviz.capture.engines import home_of
from seviz.capture.keeping import kept
from seviz.capture.sources import read_batches
from seviz.classes import Classes
from seviz.errors import EmptyDataError, OptionError, SevizWarning
from seviz.experiments.images import Images as Images
from seviz.experiments.images import images_of
from seviz.experiments.shares import share_interval
from seviz.network.axes import axes_in_words
from seviz.network.dtype import as_taken
from seviz.network.modes import undisturbed
from seviz.network.networks import Network
from seviz.network.outputs import logits_in
from seviz.options import Reading
from seviz.progress import Progress
from seviz.run.chunks import FIRST
from seviz.run.store import Run
from seviz.showing import brief
from seviz.texts import path_text

AS_THEY_COME = Reading()


@dataclass(frozen=True)
class Labelled:
    """A batch of images whose classes are the network's.

    Attributes
    ----------
    images
        (batch, channels, height, width), on the CPU; without those that could not be read.
    labels
        Index of the class among the network's, (batch).
    paths
        Of each image; of batches in memory the number of the image, as in a run.
    failed
        How many images could not be read.
    """

    images: Tensor
    labels: NDArray[np.int64]
    paths: tuple[str, ...]
    failed: int = 0

    def __len__(self) -> int:
        return len(self.labels)


def labelled_batches(
    network: Network,
    data: Images,
    reading: Reading = AS_THEY_COME,
) -> Iterator[Labelled]:
    """Read images for a network, each once.

    Parameters
    ----------
    network
        Tells the preprocessing and the classes.
    data
        Images of one class each.
    reading
        Which images, and how they are read; all of them, not rotated, by default.

    Raises
    ------
    OptionError
        If the classes are not the network's, an image has several, batches in memory have other shapes or labels than
        expected, or an option is out of its range.
    EmptyDataError
        If there is no image that can be read, when the last batch was asked for.
    """
    if network.task != "classification":
        raise OptionError(f"the network is the backbone of one for {network.task}: it predicts no class")
    per_class = reading.per_class
    if isinstance(data, str | Path):
        data = open_dataset(data)
    if isinstance(data, Dataset):
        if per_class is not None and not data.multi:
            data = data.take(np.flatnonzero(kept(data, f"per-class:{per_class}")))
        batches, total = _of_dataset(network, data, reading), len(data)
    elif per_class is not None:
        raise OptionError("per_class chooses from a data set; batches in memory were given")
    else:
        batches, total = _of_memory(network, data), None
    done = read = 0
    for batch in batches:
        yield batch
        read += len(batch)
        done += len(batch) + batch.failed
        if reading.progress:
            reading.progress(done, total)
    if not done:
        raise EmptyDataError("there is no image")
    if isinstance(data, Dataset) and not read:
        raise EmptyDataError(f"none of the {done} images of data {data.spec!r} can be read; `seviz scan` says why")


def _of_dataset(network: Network, data: Dataset, reading: Reading) -> Iterator[Labelled]:
    targets = data.classes.match(network.classes) if network.classes else None
    if targets is None:
        raise OptionError(
            f"the classes of data {data.spec!r} ({', '.join(data.classes.names[:3])}, ...) are not those of"
            f" {network.spec}, so whether it is right cannot be told. Give images of its classes, as other data."
        )
    if data.multi:
        raise OptionError(
            f"images of data {data.spec!r} have several classes, expected one of each. Give such images, as other data."
        )
    labels = np.array(targets, np.int64)[data.labels]
    size, workers = reading.batch_size, worker_count(reading.workers)
    cut = [range(k, min(k + size, len(data))) for k in range(0, len(data), size)]
    read = read_batches(data, network, cut, rotate=bool(reading.rotate), workers=workers)
    for rows, batch in zip(cut, read, strict=True):
        good = [row for row, status in zip(rows, batch.statuses, strict=True) if status != "failed"]
        paths = tuple(path_text(data.paths[row]) for row in good)
        images = _together(batch.images, paths) if good else torch.empty(0, *network.input_size)
        yield Labelled(images, labels[good], paths, len(rows) - len(good))


def _together(inputs: Sequence[Tensor], paths: Sequence[str]) -> Tensor:
    """Inputs as one batch; raises OptionError, naming two of their files, where they differ in shape."""
    for path, each in zip(paths, inputs, strict=True):
        if each.shape != inputs[0].shape:
            raise OptionError(
                f"{paths[0]!r} gives an input of shape {tuple(inputs[0].shape)} and {path!r} one of"
                f" {tuple(each.shape)}, expected one shape in a batch; give batch_size 1, or files of one size"
            )
    return torch.stack(tuple(inputs))


def _of_memory(network: Network, data: Iterable[tuple[Tensor, Any]]) -> Iterator[Labelled]:
    done = 0
    for number, (x, y) in enumerate(data):
        images, labels = torch.as_tensor(x), torch.as_tensor(y)
        if images.ndim != len(network.input_size) + 1 or labels.shape != images.shape[:1] or labels.is_floating_point():
            raise OptionError(
                f"batch {number} is {tuple(images.shape)} with labels {tuple(labels.shape)} of {labels.dtype}, expected"
                f" inputs {axes_in_words(network.input_size, batch=True)} and whole numbers (batch)"
            )
        if len(labels) and int(labels.min()) < 0:
            raise OptionError(f"batch {number} has the label {int(labels.min())}, expected 0 or more")
        paths = tuple(str(done + k) for k in range(len(labels)))
        yield Labelled(images, labels.numpy().astype(np.int64), paths)
        done += len(labels)


@contextmanager
def on_device(model: nn.Module, device: str = "auto") -> Iterator[torch.device]:
    """A model in evaluation mode without gradients on a device; as it was afterwards.

    Parameters
    ----------
    model
        Any module.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.
    """
    chosen, home = torch.device(usable_device(device)), home_of(model)
    with undisturbed(model):
        try:
            model.to(chosen)
            yield chosen
        finally:
            model.to(home)


def logits_of(
    network: Network, images: Tensor, labels: NDArray[np.int64] | None = None, *, model: nn.Module | None = None
) -> Tensor:
    """The logits of a batch, (batch, classes) float32.

    The model gets the images in its own floating dtype.

    Parameters
    ----------
    network
        Tells where the logits are in what its model returns.
    images
        (batch, channels, height, width), on the model's device.
    labels
        (batch); there must be a logit for each.
    model
        A copy of the network's model, to be run in its place.

    Raises
    ------
    OptionError
        If the model gives something else, or no logit for a label.
    """
    model = network.model if model is None else model
    output = model(as_taken(images, model))
    logits = logits_in(output, network.outputs)
    most = -1 if labels is None else int(labels.max(initial=-1))
    if logits is None or most >= logits.shape[1]:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise OptionError(
            f"{type(model).__name__} gives {shape} for {len(images)} images with labels up to {most}, expected logits"
            " (batch, classes)"
        )
    return logits.float()


def outcome_of(
    logits: Tensor, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]:
    """What images are taken for, whether their class is among the first five, and their loss, (batch) each.

    An image with a logit that is not finite is taken for nothing: -1, not among the first five, a loss of NaN.

    Parameters
    ----------
    logits
        (batch, classes).
    labels
        (batch).
    """
    target = torch.as_tensor(labels, device=logits.device)
    finite = logits.isfinite().all(1)
    best = logits.topk(min(FIRST, logits.shape[1]), dim=1).indices.where(finite[:, None], -1)
    loss = nn.functional.cross_entropy(logits, target, reduction="none").where(finite, torch.nan)
    in_top5 = (best == target[:, None]).any(1)
    return best[:, 0].cpu().numpy(), in_top5.cpu().numpy(), loss.cpu().numpy().astype(np.float64)


@dataclass(frozen=True)
class Evaluation:
    """What a network took images for.

    Attributes
    ----------
    labels, predicted
        The class and the one that the network took the image for, indices of its classes, (image).
    in_top5
        Whether the class was among the first five, (image).
    loss
        Cross-entropy in nats, (image).
    classes
        Of the network.
    failed
        How many images could not be read, or had a logit that is not finite.
    """

    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_top5: NDArray[np.bool_]
    loss: NDArray[np.float64]
    classes: Classes
    failed: int

    __repr__ = brief

    @property
    def accuracy(self) -> float:
        """Share of images that were told right, in [0, 1]; NaN of no image."""
        return float((self.labels == self.predicted).mean()) if len(self.labels) else float("nan")

    @property
    def top5(self) -> float:
        """Share of images whose class was among the first five, in [0, 1]; NaN of no image."""
        return float(top5_share(self.in_top5, len(self.classes)))

    def by_class(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """Accuracy by class.

        Columns: class, class_name; images; accuracy, its interval low to high (Wilson's); loss, the mean
        cross-entropy. Only classes that have images.
        """
        seen, images = np.unique(self.labels, return_counts=True)
        right = np.array([(self.predicted[self.labels == label] == label).sum() for label in seen], np.int64)
        low, high = share_interval(right, images, confidence=confidence)
        return pd.DataFrame(
            {
                "class": [self.classes.ids[label] for label in seen],
                "class_name": [self.classes.names[label] for label in seen],
                "images": images,
                "accuracy": right / images,
                "low": low,
                "high": high,
                "loss": [self.loss[self.labels == label].mean() for label in seen],
            }
        )


def evaluate(
    network: Network,
    run: Run | None = None,
    *,
    data: Images | None = None,
    root: str | Path | None = None,
    per_class: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    rotate: bool | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a network on images and compare what it says with their classes.

    Parameters
    ----------
    network
        Any network of classes; `dataclasses.replace(network, model=...)` gives one with another model. Comes back as
        it was given.
    run
        Whose images are opened again; it may be of another network with the same classes.
    data
        Other images.
    root
        Where the images are, if they were moved.
    per_class, batch_size, device, rotate, workers, progress
        As in `seviz.options.Reading`. Without a run, images are not rotated by default.

    Raises
    ------
    OptionError, EmptyDataError
        As in `labelled_batches`, and if the network gives no logits, or there is neither a run nor images.
    DataNotFoundError
        If the images of the run are not there.

    Warns
    -----
    UserWarning
        If an image has a logit that is not finite. Like one that could not be read, it is left out and counted as
        failed.

    Examples
    --------
    >>> seviz.evaluate(network, run, workers=0).accuracy > 0.5
    True
    >>> seviz.evaluate(network, data="bundled", per_class=2, workers=0).by_class().columns.tolist()
    ['class', 'class_name', 'images', 'accuracy', 'low', 'high', 'loss']
    """
    reading = Reading(
        per_class=per_class,
        batch_size=batch_size,
        device=device,
        rotate=rotate,
        workers=workers,
        progress=progress,
    )
    data, reading = images_of(run, data, reading, root=root)
    labels, predicted, in_top5, loss, failed, odd, width = [], [], [], [], 0, 0, 0
    with on_device(network.model, device) as place:
        for batch in labelled_batches(network, data, reading):
            failed += batch.failed
            if not len(batch):
                continue
            logits = logits_of(network, batch.images.to(place), batch.labels)
            taken_for, first_five, losses = outcome_of(logits, batch.labels)
            known = taken_for >= 0
            odd += int((~known).sum())
            labels.append(batch.labels[known])
            predicted.append(taken_for[known])
            in_top5.append(first_five[known])
            loss.append(losses[known])
            width = logits.shape[1]
    if odd:
        warnings.warn(not_finite(network.spec, odd), SevizWarning, stacklevel=2)
    return Evaluation(
        labels=_joined(labels, np.int64),
        predicted=_joined(predicted, np.int64),
        in_top5=_joined(in_top5, np.bool_),
        loss=_joined(loss, np.float64),
        classes=classes_of(network, width),
        failed=failed + odd,
    )


def top5_share(hits: NDArray[np.bool_], classes: int, axis: int = -1) -> Any:
    """Share of images whose class is among the first five; NaN of no image, and of five classes or fewer.

    Parameters
    ----------
    hits
        Whether it is, images along the axis.
    classes
        Of the network.
    axis
        Of the images.
    """
    if classes <= FIRST or not hits.shape[axis]:
        return np.full(np.delete(hits.shape, axis), np.nan)
    return hits.mean(axis)


def not_finite(name: str, images: int) -> str:
    """What is to be said of images whose logits, given by a network of a name, are not finite."""
    return f"logits of {name} are not finite for {images} images, which are left out and counted as failed"


def classes_of(network: Network, count: int) -> Classes:
    """The classes of a network; where they are not known, their numbers."""
    numbers = tuple(str(k) for k in range(count))
    return network.classes or Classes(numbers, numbers)


def _joined(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
