"""Where the images of a capture come from, chunk by chunk: files that worker processes decode, or batches in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seviz.capture.datasets import Dataset, printable
from seviz.capture.inputs import Taking, check_inputs
from seviz.capture.keeping import kept
from seviz.capture.workers import KILLED, read_in_order
from seviz.errors import EmptyDataError, OptionError, RunExistsError
from seviz.network.models import Network
from seviz.run.chunks import Chunk
from seviz.run.manifest import Manifest
from seviz.run.store import Run

_Read = tuple[Tensor | None, str, str]  # pixels as the network takes them, status, reason


@dataclass(frozen=True)
class Batch:
    """Images of a forward pass: pixels of those that could be read, a status of each.

    Attributes
    ----------
    images
        (channels, height, width) each, of those that did not fail.
    statuses, reasons
        Of each image one of "ok", "coerced", "failed", and what there is to say.
    """

    images: Sequence[Tensor]
    statuses: Sequence[str]
    reasons: Sequence[str]


@dataclass(frozen=True)
class Part:
    """A chunk that is to be done.

    Attributes
    ----------
    index
        Its number.
    paths, labels, kept
        As in `seviz.run.chunks.Samples`.
    batches
        Read when they are asked for.
    """

    index: int
    paths: tuple[str, ...]
    labels: NDArray[Any]
    kept: NDArray[np.bool_]
    batches: Iterator[Batch]


class Source(Protocol):
    """The images of a run."""

    def parts(self, wanted: Callable[[int], bool]) -> Iterator[Part]:
        """The chunks whose number is wanted, in order."""


@dataclass(frozen=True)
class Files:
    """Image files, decoded and preprocessed by worker processes.

    Attributes
    ----------
    data, network
        What is read, and for which network.
    manifest
        Of the run: it says how the images are cut into chunks and batches.
    workers
        How many processes; 0 for this one.
    """

    data: Dataset
    network: Network
    manifest: Manifest
    workers: int

    @cached_property
    def _kept(self) -> NDArray[np.bool_]:
        return kept(self.data, self.manifest.keep_gates)

    def parts(self, wanted: Callable[[int], bool]) -> Iterator[Part]:
        """The chunks whose number is wanted, in order; the workers read ahead across chunks."""
        size, batch_size = self.manifest.chunk_size, self.manifest.engine.batch_size
        chunks = {
            index: range(start, min(start + size, len(self.data)))
            for index, start in enumerate(range(0, len(self.data), size))
            if wanted(index)
        }
        cut = [list(rows[k : k + batch_size]) for rows in chunks.values() for k in range(0, len(rows), batch_size)]
        if not cut:
            return
        rotate = self.manifest.engine.rotate
        batches = read_batches(self.data, self.network, cut, rotate=rotate, workers=self.workers)
        for index, rows in chunks.items():
            yield Part(
                index,
                tuple(printable(path) for path in self.data.paths[rows.start : rows.stop]),
                self.data.labels[rows.start : rows.stop],
                self._kept[rows.start : rows.stop],
                (next(batches) for _ in range(0, len(rows), batch_size)),
            )


def read_batches(
    data: Dataset, network: Network, cut: Sequence[Sequence[int]], *, rotate: bool, workers: int
) -> Iterator[Batch]:
    """Read images of a data set for a network, batch by batch; workers read ahead.

    Parameters
    ----------
    data, network
        What is read, and for which network.
    cut
        Indices of the images of each batch.
    rotate
        Turn images as their EXIF orientation says.
    workers
        How many processes; 0 for this one.
    """
    reader = _Reader(data, network, rotate=rotate)
    lost: _Read = (None, "failed", KILLED)
    return read_in_order(reader.read, cut, workers=min(workers, len(cut)), lost=lost, together=_batch)


class _Reader:
    """Reads images of a data set for a network."""

    def __init__(self, data: Dataset, network: Network, *, rotate: bool) -> None:
        check_inputs(data, network)
        self._data, self._rotate, self._channels = data, rotate, network.input_size[0]
        self._taken = Taking.of(network, data.preprocess)

    def read(self, index: int) -> _Read:
        """Pixels as the network takes them or None, status, reason."""
        decoded = self._data.read(index, rotate=self._rotate, channels=self._channels)
        if decoded.image is None:
            return None, decoded.status, decoded.reason
        if reason := self._taken.refusal(decoded.image):
            return None, "failed", reason
        try:
            return self._taken(decoded.image), decoded.status, decoded.reason
        except (RuntimeError, ValueError, ArithmeticError) as error:  # such as a side that would be resized to 0
            return None, "failed", f"cannot be preprocessed: {error}"


def _batch(read: Sequence[_Read]) -> Batch:
    """A batch of what was read; in one tensor where the images have one size, since that travels fast."""
    images = [image for image, _, _ in read if image is not None]
    same = len({image.shape for image in images}) == 1
    return Batch(
        torch.stack(images) if same else images,  # type: ignore[arg-type]
        [status for _, status, _ in read],
        [reason for _, _, reason in read],
    )


@dataclass(frozen=True)
class Memory:
    """Batches in memory, of any size, cut anew into those of the run.

    Attributes
    ----------
    data
        Images as the network takes them with their labels.
    run
        Whose chunks they are; of those that are there the labels are compared.
    """

    data: Iterable[tuple[Tensor, Any]]
    run: Run

    def parts(self, wanted: Callable[[int], bool]) -> Iterator[Part]:
        """The chunks whose number is wanted, in order; of the others the labels are looked at."""
        size = self.run.manifest.chunk_size
        images, labels = list[Tensor](), list[int]()
        index = 0
        for x, y in self._checked():
            images += x.unbind()
            labels += y.tolist()
            while len(labels) >= size:
                yield from self._part(index, images[:size], labels[:size], wanted)
                del images[:size], labels[:size]
                index += 1
        if labels:
            yield from self._part(index, images, labels, wanted)
        elif index == 0:
            raise EmptyDataError("the batches held no image")

    def _part(
        self, index: int, images: list[Tensor], labels: list[int], wanted: Callable[[int], bool]
    ) -> Iterator[Part]:
        manifest, path = self.run.manifest, self.run.chunk_path(index)
        if wanted(index):
            first, n, step = index * manifest.chunk_size, len(labels), manifest.engine.batch_size
            cut = (images[k : k + step] for k in range(0, n, step))
            yield Part(
                index,
                tuple(str(first + k) for k in range(n)),
                np.array(labels, np.int64),
                np.full(n, manifest.keep_gates == "all"),
                (Batch(some, ["ok"] * len(some), [""] * len(some)) for some in cut),
            )
        elif path.exists() and Chunk.read(path).samples.labels.tolist() != labels:
            raise RunExistsError(
                f"{str(self.run.path)!r} holds other images: the labels in its chunk {index} are others. Hand over"
                " the images it was begun with, or give another directory."
            )

    def _checked(self) -> Iterator[tuple[Tensor, Tensor]]:
        classes = len(self.run.classes)
        for number, (x, y) in enumerate(self.data):
            x, y = torch.as_tensor(x), torch.as_tensor(y)
            if x.ndim != 4 or y.shape != x.shape[:1] or y.is_floating_point():
                raise OptionError(
                    f"batch {number} is {tuple(x.shape)} with labels {tuple(y.shape)} of {y.dtype}, expected images"
                    " (batch, channels, height, width) and whole numbers (batch)"
                )
            if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
                raise OptionError(
                    f"batch {number} has labels {int(y.min())} to {int(y.max())}, expected 0 to {classes - 1}"
                )
            yield x, y
