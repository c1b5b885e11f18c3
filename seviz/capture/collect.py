"""The one collecting loop: images in, gates out, chunk by chunk, resumable to the bit."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.capture.datasets import ImageFolder, Sample, open_dataset, printable
from seviz.capture.images import decode
from seviz.capture.records import block_record, data_record, model_record
from seviz.errors import EmptyDataError, OptionError, RunExistsError, TooManyFailuresError
from seviz.network.blocks import undisturbed
from seviz.network.gates import SIGNALS, Gates, Signal, capture_gates
from seviz.network.models import Network
from seviz.run.chunks import BOUNDED_GATES, Chunk, Samples
from seviz.run.manifest import SCHEMA, EngineRecord, Manifest
from seviz.run.store import Run

CHUNK_SIZE = 1024
Progress = Callable[[int, int | None], None]
"""Told after each batch: images done (those of an interrupted run included), and of how many, if known."""


@dataclass(frozen=True)
class _Batch:
    """Some images of a chunk: rows for all of them, pixels for those that could be read."""

    images: list[Tensor]  # (channels, height, width) each, of those that did not fail
    paths: list[str]
    labels: list[int]
    statuses: list[str]
    reasons: list[str]


def collect(
    network: Network,
    data: ImageFolder | str | Path | Iterable[tuple[Tensor, Any]],
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    signals: Sequence[Signal] = ("excitation",),
    batch_size: int = 64,
    device: str = "auto",
    resume: bool = True,
    max_failures: float = 0.01,
    chunk_size: int = CHUNK_SIZE,
    progress: Progress | None = None,
) -> Run:
    """Record the gates of every image of a data set.

    The images are worked off in chunks of fixed content; each is on the disk, whole, before the next begins.
    Called again after an interruption with the same arguments, it continues, and ends with the same bits.

    Parameters
    ----------
    network
        From `seviz.load`. Comes back as it was given.
    data
        A folder with one folder per class, "bundled", or an iterable of (images, labels): images as the model
        takes them, (batch, channels, height, width); labels as indices of the network's classes, (batch).
    out
        The run's directory.
    classes, per_class, seed
        Which images of a folder: see `seviz.capture.datasets.open_dataset`.
    signals
        "excitation" always; "squeeze" and "response" on demand, image by image.
    batch_size
        Images a forward pass.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.
    resume
        Continue a run that is there; if False, that is an error.
    max_failures
        Share of images that may fail, in [0, 1].
    chunk_size
        Images a chunk.
    progress
        Called after each batch.

    Returns
    -------
    Run
        Complete.

    Raises
    ------
    DataError
        If there is no image, or more than `max_failures` failed (the run is kept).
    RunError
        If another run, or another capture, is in the way.
    ModelError
        If the network has no SE blocks.

    Warns
    -----
    UserWarning
        For each of `run.remarks`, such as an accuracy near chance.
    """
    _check(batch_size=batch_size, chunk_size=chunk_size, max_failures=max_failures, signals=signals)
    if isinstance(data, str | Path):
        data = open_dataset(data, classes=classes, per_class=per_class, seed=seed)
    elif classes is not None or per_class is not None:
        raise OptionError("classes and per_class choose from a folder; of batches in memory, hand over those wanted")
    engine = EngineRecord(
        name="eager",
        device=_device(device),
        precision="float32",
        batch_size=batch_size,
        threads=torch.get_num_threads(),
    )
    manifest = Manifest(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={name: metadata.version(name) for name in ("seviz", "torch", "timm", "torchvision")},
        model=model_record(network),
        blocks=tuple(block_record(network.model, block) for block in network.blocks.values()),
        data=data_record(data, network),
        engine=engine,
        signals=tuple(signal for signal in SIGNALS if signal in signals or signal == "excitation"),
        chunk_size=chunk_size,
    )
    if not resume and (Path(out) / "manifest.json").exists():
        raise RunExistsError(f"{str(out)!r} holds a run and resume is off. Give another directory, or delete that one.")
    run = Run.create(out, manifest)
    if run.complete and not isinstance(data, ImageFolder):
        raise RunExistsError(
            f"{str(out)!r} holds a finished run, and whether these batches are its images cannot be told. It was left"
            " untouched: open it with seviz.open_run, or give another directory."
        )
    if not run.complete:
        with run.lock():
            _work(run, network, data, progress)
            run.merge()
    failed = int((run.samples["status"] == "failed").sum())
    if failed > max_failures * len(run.samples):
        first = run.samples[run.samples["status"] == "failed"].iloc[0]
        raise TooManyFailuresError(
            f"{failed} of {len(run.samples)} images failed, more than the {max_failures:.1%} allowed; the first:"
            f" {first['path']} ({first['reason']}). The run is kept in {str(out)!r}; allow more with max_failures."
        )
    for remark in run.remarks:
        warnings.warn(remark, stacklevel=2)
    return run


def _check(*, batch_size: int, chunk_size: int, max_failures: float, signals: Sequence[str]) -> None:
    for name, value in (("batch_size", batch_size), ("chunk_size", chunk_size)):
        if value < 1:
            raise OptionError(f"{name} is {value}, expected at least 1")
    if not 0 <= max_failures <= 1:
        raise OptionError(f"max_failures is {max_failures}, expected a share in [0, 1]")
    for signal in signals:
        if signal not in SIGNALS:
            raise OptionError(f"signals has {signal!r}, expected some of {', '.join(SIGNALS)}")


def _device(device: str) -> str:
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise OptionError(f"device {device!r} cannot be used ({reason}); give cpu, or auto") from error
    return device


def _work(run: Run, network: Network, data: ImageFolder | Iterable[Any], progress: Progress | None) -> None:
    """Do the chunks that are not there yet."""
    manifest = run.manifest
    if isinstance(data, ImageFolder):
        chunks = _chunks_of_files(data, network, manifest)
    else:
        chunks = _chunks_in_memory(data, manifest)
    total, done = manifest.data.images, 0
    signals = [signal for signal in SIGNALS if signal in manifest.signals]
    with (
        _running(network.model, manifest.engine),
        capture_gates(network.model, network.blocks, signals=signals, detach=True) as gates,
    ):
        for index, (labels, batches) in enumerate(chunks):
            if run.chunk_path(index).exists():
                if Chunk.read(run.chunk_path(index)).samples.labels.tolist() != labels:
                    raise RunExistsError(
                        f"{str(run.path)!r} holds other images: the labels in its chunk {index} are others. Hand over"
                        " the images it was begun with, or give another directory."
                    )
                done += len(labels)
                if progress:
                    progress(done, total)
                continue
            results = []
            for batch in batches:
                results.append((batch, _forward(network.model, gates, batch, manifest)))
                done += len(batch.paths)
                if progress:
                    progress(done, total)
            _chunk(index, results, manifest).write(run.chunk_path(index))
    if done == 0:
        raise EmptyDataError("the batches held no image")


@contextmanager
def _running(model: nn.Module, engine: EngineRecord) -> Iterator[None]:
    """The model in evaluation mode on the engine's device and threads; all as it was afterwards."""
    home = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    threads = torch.get_num_threads()
    with undisturbed(model):
        try:
            model.to(engine.device)
            torch.set_num_threads(engine.threads)
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(threads)
            model.to(home)


def _chunks_of_files(
    data: ImageFolder, network: Network, manifest: Manifest
) -> Iterator[tuple[list[int], Iterator[_Batch]]]:
    """Of each chunk the labels, and the batches, which are read only when asked for."""
    size, batch_size = manifest.chunk_size, manifest.engine.batch_size
    for start in range(0, len(data.samples), size):
        samples = data.samples[start : start + size]
        yield (
            [sample.label for sample in samples],
            (_read(data, samples[k : k + batch_size], network) for k in range(0, len(samples), batch_size)),
        )


def _read(data: ImageFolder, samples: Sequence[Sample], network: Network) -> _Batch:
    decoded = [decode(data.root / sample.path) for sample in samples]
    return _Batch(
        images=[network.preprocess(d.image) for d in decoded if d.image is not None],
        paths=[printable(sample.path) for sample in samples],
        labels=[sample.label for sample in samples],
        statuses=[d.status for d in decoded],
        reasons=[d.reason for d in decoded],
    )


def _chunks_in_memory(
    data: Iterable[tuple[Tensor, Any]], manifest: Manifest
) -> Iterator[tuple[list[int], Iterator[_Batch]]]:
    """Batches of any size, cut anew into chunks and batches of the run's."""
    size, batch_size = manifest.chunk_size, manifest.engine.batch_size
    classes = len(manifest.data.class_ids)
    images: list[Tensor] = []
    labels: list[int] = []
    first = 0

    def batches() -> Iterator[_Batch]:
        for k in range(0, len(labels[:size]), batch_size):
            some = labels[k : min(k + batch_size, size)]
            yield _Batch(
                images=images[k : k + len(some)],
                paths=[str(first + k + j) for j in range(len(some))],
                labels=some,
                statuses=["ok"] * len(some),
                reasons=[""] * len(some),
            )

    for number, (x, y) in enumerate(data):
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
        images += list(x)
        labels += y.tolist()
        while len(labels) >= size:
            yield labels[:size], batches()
            del images[:size], labels[:size]
            first += size
    if labels:
        yield labels, batches()


def _forward(
    model: nn.Module, gates: Gates, batch: _Batch, manifest: Manifest
) -> tuple[NDArray[np.int32], dict[tuple[str, str], NDArray[np.float32]]]:
    """Predictions (image, 5) and the values of each signal and block (image, channel), of the images read."""
    names = [block.name for block in manifest.blocks]
    if not batch.images:
        empty = {
            (signal, block.name): np.empty((0, block.channels), np.float32)
            for signal in manifest.signals
            for block in manifest.blocks
        }
        return np.empty((0, 0), np.int32), empty
    logits = model(torch.stack(batch.images).to(manifest.engine.device))
    predictions = logits.topk(min(5, logits.shape[1]), dim=1).indices
    values: dict[tuple[str, str], NDArray[np.float32]] = {
        (signal, name): gates.signal(signal)[name].float().cpu().numpy()  # (image, channel)
        for signal in SIGNALS
        if signal in manifest.signals
        for name in names
    }
    return predictions.cpu().numpy().astype(np.int32), values


def _chunk(
    index: int,
    results: Sequence[tuple[_Batch, tuple[NDArray[np.int32], dict[tuple[str, str], NDArray[np.float32]]]]],
    manifest: Manifest,
) -> Chunk:
    """Put the batches of a chunk together. An image whose gates are not finite has failed."""
    statuses = [status for batch, _ in results for status in batch.statuses]
    reasons = [reason for batch, _ in results for reason in batch.reasons]
    read = np.array([status != "failed" for status in statuses])
    width = max(predictions.shape[1] for _, (predictions, _) in results)
    all_predictions = np.full((len(statuses), width), -1, np.int32)
    if read.any():
        all_predictions[read] = np.concatenate([p for _, (p, _) in results if len(p)])
    values = {}
    for key in results[0][1][1]:
        some = np.concatenate([v[key] for _, (_, v) in results])
        values[key] = np.zeros((len(statuses), some.shape[1]), np.float32)
        values[key][read] = some
    finite = np.all([np.isfinite(value).all(1) for value in values.values()], axis=0)
    for k in np.flatnonzero(~finite):
        statuses[k], reasons[k] = "failed", "the network's gates are not finite"
        all_predictions[k] = -1
    samples = Samples(
        paths=tuple(path for batch, _ in results for path in batch.paths),
        labels=np.array([label for batch, _ in results for label in batch.labels], np.int64),
        statuses=tuple(statuses),
        reasons=tuple(reasons),
        predictions=all_predictions if width else np.full((len(statuses), 1), -1, np.int32),
    )
    bounded = {block.name: block.gate in BOUNDED_GATES for block in manifest.blocks}
    return Chunk.of(index, samples, values, bounded)
