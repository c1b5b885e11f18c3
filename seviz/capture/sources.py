"""Where the images of a capture come from, chunk by chunk: files that worker processes decode, or batches in memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seviz.capture.content import content_of_file, content_of_numbers
from seviz.capture.datasets import Dataset
from seviz.capture.inputs import Taking, check_inputs
from seviz.capture.keeping import kept
from seviz.capture.memory import Handed
from seviz.capture.workers import KILLED, read_in_order
from seviz.errors import EmptyDataError, RunExistsError
from seviz.network.networks import Network
from seviz.network.outputs import Inputs
from seviz.network.products import tensors_in
from seviz.run.chunks import Chunk, Samples
from seviz.run.manifest import Manifest
from seviz.run.store import Run
from seviz.texts import path_text

_Read = tuple[Tensor | None, str, str, str | None]  # pixels as the network takes them, status, reason, content


@dataclass(frozen=True)
class Batch:
    """Images of a forward pass: pixels of those that could be read, a status of each.

    Attributes
    ----------
    images
        (channels, height, width) each, or the inputs of one image as tuples or dicts, of those that did not fail.
    statuses, reasons
        Of each image one of "ok", "coerced", "failed", and what there is to say.
    contents
        Of each image, a hash of what it was made from; None where it could not be read.
    """

    images: Sequence[Any]
    statuses: Sequence[str]
    reasons: Sequence[str]
    contents: Sequence[str | None]


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
                tuple(path_text(path) for path in self.data.paths[rows.start : rows.stop]),
                self.data.labels[rows.start : rows.stop],
                self._kept[rows.start : rows.stop],
                (next(batches) for _ in range(0, len(rows), batch_size)),
            )


def content_of(image: Inputs) -> str:
    """The hash of an image in memory, or of its inputs, wherever they lie; see `seviz.capture.content`."""
    if not isinstance(image, Tensor):
        return content_of_file("\n".join(map(content_of, tensors_in(image))).encode())
    numbers = image.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return content_of_numbers(numbers, str(image.dtype).removeprefix("torch."), image.shape)


def _contents(images: Sequence[Inputs]) -> list[str]:
    with ThreadPoolExecutor() as pool:  # SHA-256 lets go of the interpreter
        return list(pool.map(content_of, images))


def _differing(there: Samples, images: Sequence[Inputs], labels: Sequence[int]) -> str:
    """What of images in memory is other than in a chunk; empty if nothing is, as far as is known."""
    if there.labels.tolist() != labels:
        return "labels"
    other = there.contents is not None and _contents(images) != list(there.contents)
    return "pixels" if other else ""


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
    lost: _Read = (None, "failed", KILLED, None)
    return read_in_order(reader.read, cut, workers=min(workers, len(cut)), lost=lost, together=_batch)


class _Reader:
    """Reads images of a data set for a network."""

    def __init__(self, data: Dataset, network: Network, *, rotate: bool) -> None:
        check_inputs(data, network)
        self._data, self._rotate, self._channels = data, rotate, network.input_size[0]
        self._taken = Taking.of(network, data.preprocess)

    def read(self, index: int) -> _Read:
        """Pixels as the network takes them or None, status, reason, hash of the content or None."""
        decoded = self._data.read(index, rotate=self._rotate, channels=self._channels)
        if decoded.image is None:
            return None, decoded.status, decoded.reason, decoded.content
        if reason := self._taken.refusal(decoded.image):
            return None, "failed", reason, decoded.content
        try:
            return self._taken(decoded.image), decoded.status, decoded.reason, decoded.content
        except (RuntimeError, ValueError, ArithmeticError) as error:  # such as a side that would be resized to 0
            return None, "failed", f"cannot be preprocessed: {error}", decoded.content


def _batch(read: Sequence[_Read]) -> Batch:
    """A batch of what was read; in one tensor where the images have one size, since that travels fast."""
    images = [image for image, _, _, _ in read if image is not None]
    same = len({image.shape for image in images}) == 1
    return Batch(
        torch.stack(images) if same else images,  # type: ignore[arg-type]
        [status for _, status, _, _ in read],
        [reason for _, _, reason, _ in read],
        [content for _, _, _, content in read],
    )


@dataclass(frozen=True)
class Memory:
    """Batches in memory, of any size, cut anew into those of the run.

    Attributes
    ----------
    data
        What was handed over.
    network
        What it is for.
    run
        Whose chunks they are; of those that are there labels and contents are compared.
    """

    data: Handed
    network: Network
    run: Run

    def parts(self, wanted: Callable[[int], bool]) -> Iterator[Part]:
        """The chunks whose number is wanted, in order; the others are compared with those that are there."""
        size = self.run.manifest.chunk_size
        images, labels = list[Inputs](), list[int]()
        index = 0
        for image, label in self.data.images(self.network, self.run.classes):
            images.append(image)
            labels.append(label)
            if len(labels) == size:
                yield from self._part(index, images, labels, wanted)
                images, labels = [], []
                index += 1
        if labels:
            yield from self._part(index, images, labels, wanted)
        elif index == 0:
            raise EmptyDataError("the batches held no image")

    def _part(
        self, index: int, images: list[Inputs], labels: list[int], wanted: Callable[[int], bool]
    ) -> Iterator[Part]:
        manifest, path = self.run.manifest, self.run.chunk_path(index)
        if wanted(index):
            first, n, step = index * manifest.chunk_size, len(labels), manifest.engine.batch_size
            contents = _contents(images)
            cut = ((images[k : k + step], contents[k : k + step]) for k in range(0, n, step))
            yield Part(
                index,
                tuple(str(first + k) for k in range(n)),
                np.array(labels, np.int64),
                np.full(n, manifest.keep_gates == "all"),
                (Batch(some, ["ok"] * len(some), [""] * len(some), hashes) for some, hashes in cut),
            )
        elif path.exists() and (what := _differing(Chunk.read(path, manifest).samples, images, labels)):
            raise RunExistsError(
                f"{str(self.run.path)!r} holds other images: the {what} in its chunk {index} are others. Hand over"
                " the images it was begun with, or give another directory."
            )
