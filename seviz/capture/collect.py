"""The one collecting loop: images in, gates out, chunk by chunk, resumable to the bit."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seviz.capture.choice import choose_engine
from seviz.capture.class_names import ClassNames, listed_names
from seviz.capture.datasets import Dataset, open_dataset
from seviz.capture.engines import Forward, Pending, check_precision, running
from seviz.capture.indexed import Preprocess
from seviz.capture.inputs import check_inputs
from seviz.capture.keeping import (
    BY_DEFAULT_PER_CLASS,
    LIMIT,
    bytes_per_image,
    check_keep_gates,
    kept,
)
from seviz.capture.launch import Launch, this_launch
from seviz.capture.memory import Handed
from seviz.capture.records import block_record, data_record, model_record
from seviz.capture.sources import Batch, Files, Memory, Part, Source
from seviz.capture.workers import refuse_while_importing
from seviz.classes import Classes
from seviz.errors import EngineError, OptionError, RunExistsError, TooManyFailuresError
from seviz.network.gates import SIGNALS, Signal
from seviz.network.libraries import input_size_of
from seviz.network.networks import Network, classes_named, example_of_size, logits_of_example
from seviz.network.wrapping import NoPreprocess, wrap
from seviz.progress import Progress, step_of
from seviz.run.chunks import FIRST, Chunk, Samples
from seviz.run.files import sweep
from seviz.run.manifest import LARGEST_CHUNK, SCHEMA, EngineRecord, Manifest, ModelRecord
from seviz.run.merging import merge_chunks
from seviz.run.places import check_room, size
from seviz.run.store import Run, in_memory

CHUNK_SIZE = 1024
Compile = Literal["auto", "on", "off"]
PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def collect(
    network: Network | nn.Module,
    data: Dataset | str | Path | Iterable[Any],
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    split: str | None = None,
    root: str | Path | None = None,
    preprocess: Preprocess | None = None,
    label_separator: str | None = None,
    class_names: ClassNames | None = None,
    signals: Sequence[Signal] = ("excitation",),
    keep_gates: str = "auto",
    rotate: bool = False,
    batch_size: int = 64,
    device: str = "auto",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    compile: Compile = "auto",
    workers: int | None = None,
    resume: bool = True,
    max_failures: float = 0.01,
    chunk_size: int = CHUNK_SIZE,
    progress: bool | Progress = True,
    tell: Callable[[str], None] | None = None,
) -> Run:
    """Record the gates of every image of a data set.

    The images are worked off in chunks of fixed content; each is on the disk, whole, before the next begins.
    Called again after an interruption with the same arguments, it continues, and ends with the same bits. Started by
    torchrun, each process takes every so many-th chunk, and the one that finds all chunks done merges them.

    Parameters
    ----------
    network
        From `seviz.load` or `seviz.wrap`; or a module, of which the first batch is the example (see `seviz.wrap`).
        Comes back as it was given.
    data
        A data set, as `seviz.capture.datasets.open_dataset` opens it or by its spec ("path/to/folder",
        "imagenet:ROOT", "coco:ROOT", ...). Or what is in memory: a DataLoader, a map-style data set, or any iterable,
        once through, of (inputs, labels) or of dicts with "labels", batches or single images. Inputs are as the model
        takes them, on any device: a tensor (batch, channels, positions...), a tuple of positional or a dict of
        keyword arguments; or PIL images, which go through `network.preprocess`. Labels are indices or names of the
        network's classes.
    out
        The run's directory.
    class_names
        What classes are called. Of batches in memory the network's, in the order of its logits; of a data set its own,
        as `open_dataset` takes them.
    classes, per_class, seed, split, root, preprocess, label_separator
        Which images of a data set, where they lie and how they are read: see `seviz.capture.datasets.open_dataset`.
    signals
        "excitation" always; "squeeze" and "response" on demand.
    keep_gates
        Of which images the gates are kept one by one: "all", "none" (moments of classes only), "per-class:N", N of
        each class drawn at random; "auto" is all, or per-class:50 where all would take more than 8 GB.
    rotate
        Rotate images as their EXIF orientation says; off, as in timm and torchvision.
    batch_size
        Images a forward pass.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.
    precision
        "fp32": as the network computes by itself, which may be in another dtype; "bf16" and "fp16" run all but the SE
        blocks of a network in float32 under autocast.
    compile
        "on"; "off"; "auto" compiles where the images repay it.
    workers
        Processes that decode images; 0 for none but this one; None chooses.
    resume
        Continue a run that is there; if False, that is an error.
    max_failures
        Share of images that may fail, in [0, 1]. Unless it is 0, one may fail however few there are; unless it is 1,
        not all.
    chunk_size
        Images a chunk.
    progress
        Whether a bar on stderr shows how far the work is; or a function to call after each batch with the number of
        images done, those of an interrupted run included, and of how many, None if that is not known.
    tell
        Called with what a person may want to know before the work begins, a sentence each.

    Returns
    -------
    Run
        Complete; with several processes, the last of them merges, and the run of the others may not be complete yet.

    Raises
    ------
    DataError
        If there is no image, or more than `max_failures` failed (the run is kept).
    RunError
        If another run, or another capture, is in the way, or the disk is full.
    ModelError
        If the network has no SE block (NoSEBlocksError), cannot be compiled, or its dtype cannot be run on the
        device.
    OptionError
        If an option is outside its range, or data in memory is of another form.

    Warns
    -----
    UserWarning
        For each of `run.remarks`, such as an accuracy near chance.

    Examples
    --------
    >>> run = seviz.collect(network, "bundled", "runs/few", per_class=2, workers=0, progress=False)
    >>> len(run), len(run.samples)
    (16, 20)
    >>> run.gates("SE_5_1").shape  # (image, channel)
    (20, 512)
    """
    refuse_while_importing()
    out, tell = Path(out), tell or (lambda _: None)
    _check(batch_size=batch_size, chunk_size=chunk_size, max_failures=max_failures, signals=signals)
    check_keep_gates(keep_gates)
    if precision not in PRECISIONS:
        raise OptionError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if not resume and (out / "manifest.json").exists():
        raise RunExistsError(f"{str(out)!r} holds a run and resume is off. Give another directory, or delete that one.")
    selection: dict[str, Any] = {}
    handed = None if isinstance(data, Dataset | str | Path) else Handed(data)
    network = _network(network, handed, class_names)
    chosen = {"split": split, "root": root, "preprocess": preprocess, "label_separator": label_separator}
    if isinstance(data, str | Path):
        options: dict[str, Any] = {**chosen, "class_names": class_names}
        data = open_dataset(data, classes=classes, per_class=per_class, seed=seed, **options)
    elif any(each is not None for each in (classes, per_class, *chosen.values())) or (
        handed is None and class_names is not None
    ):
        raise OptionError(
            "classes, per_class, split, root, preprocess, label_separator and class_names choose from a data set by its"
            " spec; none was given"
        )
    if isinstance(data, Dataset):
        if isinstance(network.preprocess, NoPreprocess) and data.preprocess == "model":
            raise OptionError(
                f"data is a data set of files, and {network.spec} was wrapped without preprocessing; give seviz.wrap"
                " preprocess, or mean and std"
            )
        check_inputs(data, network)
        selection = dict(data.selection)
        selection |= {} if data.split is None else {"split": data.split}
        selection |= {"preprocess": data.preprocess} if data.arrays else {}
        for note in data.notes:
            tell(note)

    launch = this_launch()
    blocks = tuple(block_record(network.model, block) for block in network.require_blocks().values())
    signals = tuple(signal for signal in SIGNALS if signal in signals or signal == "excitation")
    images = len(data) if isinstance(data, Dataset) else None
    per_image = bytes_per_image(blocks, signals)
    if keep_gates == "auto":
        keep_gates = "all" if per_image * (images or 0) <= LIMIT else f"per-class:{BY_DEFAULT_PER_CLASS}"
    if images is None and keep_gates not in ("all", "none"):
        raise OptionError(f"keep_gates is {keep_gates!r}; of batches in memory expected all or none")
    if images is None and launch.world > 1:
        raise OptionError("batches in memory are collected by one process; give files to several")
    manifest = Manifest(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={name: metadata.version(name) for name in ("seviz", "torch", "timm", "torchvision")},
        model=_as_read(model_record(network), data),
        blocks=blocks,
        data=data_record(data, network, selection),
        engine=_engine(
            network,
            images,
            out,
            compile=compile,
            batch_size=batch_size,
            device=device,
            precision=precision,
            rotate=rotate,
        ),
        signals=signals,
        keep_gates=keep_gates,
        chunk_size=chunk_size,
        chunks=None if images is None else -(-images // chunk_size),
    )
    if not (out / "manifest.json").exists() and isinstance(data, Dataset):
        count = int(kept(data, keep_gates).sum())
        instead = ", or keep the gates of fewer images with keep_gates per-class:N or none"
        check_room(out, per_image * count, "the run", instead)
        tell(f"gates of {count:,} of {images:,} images: {size(per_image * count)}")
    if handed is not None:
        handed.check(network, Classes(manifest.data.class_ids, manifest.data.class_names))
    run = Run.create(out, manifest)
    if run.complete and not isinstance(data, Dataset):
        raise RunExistsError(
            f"{str(out)!r} holds a finished run, and whether these batches are its images cannot be told. It was left"
            " untouched: open it with seviz.open_run, or give another directory."
        )
    if not run.complete:
        tell(f"engine: {run.manifest.engine.name} ({run.manifest.engine.reason})")
        source: Source
        if isinstance(data, Dataset):
            source = Files(data, network, run.manifest, worker_count(workers))
        else:
            assert handed is not None  # as data is no data set
            source = Memory(handed, network, run)
        with run.lock(launch.name):
            sweep(run.path)
            with step_of(progress, network.spec) as step:
                _work(run, network, source, launch, step)
            if run.captured:
                merge_chunks(run)
    if run.complete:
        _judge(run, max_failures)
    return run


def _network(network: Network | nn.Module, handed: Handed | None, class_names: ClassNames | None) -> Network:
    """The network of a capture: one that was given, or a module with the first batch as its example."""
    names = None if class_names is None or handed is None else listed_names(class_names)
    if isinstance(network, Network):
        if names is None:
            return network
        return replace(network, classes=classes_named(names, logits_of_example(network), network.spec))
    if handed is not None:
        return wrap(network, handed.example(network), class_names=names)
    if not hasattr(network, "pretrained_cfg"):
        raise OptionError(
            f"data is a data set of files, and how images become tensors is not known of a {type(network).__name__};"
            " hand over seviz.wrap(module, example, preprocess=...) in its place"
        )
    size = input_size_of(type(network).__name__, network)
    return wrap(network, example_of_size(network, size))


def _check(*, batch_size: int, chunk_size: int, max_failures: float, signals: Sequence[str]) -> None:
    for name, value in (("batch_size", batch_size), ("chunk_size", chunk_size)):
        if value < 1:
            raise OptionError(f"{name} is {value}, expected at least 1")
    if chunk_size > LARGEST_CHUNK:
        raise OptionError(f"chunk_size is {chunk_size}, expected at most {LARGEST_CHUNK}")
    if not 0 <= max_failures <= 1:
        raise OptionError(f"max_failures is {max_failures}, expected a share in [0, 1]")
    for signal in signals:
        if signal not in SIGNALS:
            raise OptionError(f"signals has {signal!r}, expected some of {', '.join(SIGNALS)}")


def _as_read(record: ModelRecord, data: object) -> ModelRecord:
    """The record of a network; where arrays are taken as they are, nothing of its preprocessing was done."""
    if not isinstance(data, Dataset) or data.preprocess == "model":
        return record
    return replace(record, preprocessing={"none": "arrays are taken as they are"})


def _engine(
    network: Network,
    images: int | None,
    out: Path,
    *,
    compile: Compile,
    batch_size: int,
    device: str,
    precision: str,
    rotate: bool,
) -> EngineRecord:
    """How the network is to be run; of a run that is there, how it is run."""
    if (out / "manifest.json").is_file():
        return Run(out).manifest.engine
    check_precision(network.model, PRECISIONS[precision])
    device = usable_device(device)
    if network.takes_images:
        name, reason = choose_engine(
            network.model,
            compile=compile,
            images=images,
            device=device,
            batch_size=batch_size,
            input_size=network.input_size if network.fixed_size else None,
        )
    elif compile == "on":
        raise EngineError(f"{network.spec} takes several inputs, and cannot be compiled; leave compile out")
    else:
        name, reason = "eager", "the network takes several inputs"
    return EngineRecord(
        name=name,
        reason=reason,
        device=device,
        precision=PRECISIONS[precision],
        batch_size=batch_size,
        threads=torch.get_num_threads(),
        rotate=rotate,
    )


def usable_device(device: str) -> str:
    """What torch calls a device; "auto" is CUDA, else MPS, else the CPU. Raises OptionError if it cannot be used."""
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


def _here(engine: EngineRecord, launch: Launch) -> EngineRecord:
    """The engine on this process's own GPU, where there are several."""
    if engine.device != "cuda" or launch.world == 1:
        return engine
    return replace(engine, device=f"cuda:{launch.local_rank % torch.cuda.device_count()}")


def worker_count(workers: int | None) -> int:
    """How many processes decode images; None chooses. Raises OptionError if it is less than 0."""
    if workers is None:
        return min(8, max(1, (os.cpu_count() or 1) // 2))
    if workers < 0:
        raise OptionError(f"workers is {workers}, expected 0 or more")
    return workers


def _work(run: Run, network: Network, source: Source, launch: Launch, progress: Progress) -> None:
    """Do the chunks of this process that are not there yet."""
    manifest = run.manifest
    done = sum(len(Chunk.read(path, manifest).samples.paths) for path in run.chunk_paths())
    there = {path.name for path in run.chunk_paths()}
    if done:
        progress(done, manifest.data.images)

    def wanted(index: int) -> bool:
        return index % launch.world == launch.rank and run.chunk_path(index).name not in there

    with running(
        network.model,
        network.blocks,
        _here(manifest.engine, launch),
        signals=[signal for signal in SIGNALS if signal in manifest.signals],
        input_size=network.input_size if network.takes_images else None,
        outputs=network.outputs,
    ) as forward:
        for part in source.parts(wanted):
            collected = _Collected(part, manifest)
            for batch in part.batches:
                collected.add(batch, forward)
                done += len(batch.statuses)
                progress(done, manifest.data.images)
            collected.chunk().write(run.chunk_path(part.index))


class _Collected:
    """What the batches of a chunk gave so far. A batch is fetched from the device when the next is under way."""

    def __init__(self, part: Part, manifest: Manifest) -> None:
        count = len(part.paths)
        self._part, self._manifest = part, manifest
        self._statuses, self._reasons = list[str](), list[str]()
        self._contents = list[str | None]()
        self._predictions = np.full((count, FIRST), -1, np.int32)
        self._values = {
            (signal, block.name): np.zeros((count, block.channels), np.float32)
            for signal in manifest.signals
            for block in manifest.blocks
        }
        self._without_logits = list[int]()  # images of which a logit is not finite
        self._pending: tuple[NDArray[np.intp], Pending] | None = None

    def add(self, batch: Batch, forward: Forward) -> None:
        first = len(self._statuses)
        self._statuses += batch.statuses
        self._reasons += batch.reasons
        self._contents += batch.contents
        rows = first + np.flatnonzero([status != "failed" for status in batch.statuses])
        before = self._pending
        self._pending = (rows, forward(batch.images)) if len(rows) else None
        self._fetch(before)

    def _fetch(self, pending: tuple[NDArray[np.intp], Pending] | None) -> None:
        if pending is None:
            return
        rows, outputs = pending
        predictions, values = outputs.numpy()
        self._predictions[rows[:, None], np.arange(predictions.shape[1])] = predictions
        self._without_logits += rows[(predictions < 0).any(1)].tolist()
        for key, value in values.items():
            self._values[key][rows] = value  # (image, channel)

    def chunk(self) -> Chunk:
        """The chunk. An image whose gates or logits are not finite has failed."""
        self._fetch(self._pending)
        if len(self._statuses) != len(self._part.paths):
            raise AssertionError(f"{len(self._statuses)} images read for {len(self._part.paths)}")  # never written
        for k in self._without_logits:
            self._statuses[k], self._reasons[k] = "failed", "the network's logits are not finite"
        finite = np.all([np.isfinite(value).all(1) for value in self._values.values()], axis=0)
        for k in np.flatnonzero(~finite).tolist():
            self._statuses[k], self._reasons[k] = "failed", "the network's gates are not finite"
        failed = np.array([status == "failed" for status in self._statuses])
        self._predictions[failed] = -1
        samples = Samples(
            paths=self._part.paths,
            labels=self._part.labels,
            statuses=tuple(self._statuses),
            reasons=tuple(self._reasons),
            predictions=self._predictions,
            kept=self._part.kept,
            contents=tuple(self._contents),
        )
        bounds = {block.name: block.bounds for block in self._manifest.blocks}
        return Chunk.of(self._part.index, samples, self._values, bounds)


def _judge(run: Run, max_failures: float) -> None:
    """Raise for too many failures, warn of what is to be known."""
    samples = run.samples
    failed = samples[samples["status"] == "failed"]
    allowed = max_failures * len(samples)
    if 0 < max_failures < 1:  # one damaged file among few is no reason to stop, but none is left
        allowed = min(max(1, allowed), len(samples) - 1)
    if len(failed) > allowed:
        raise TooManyFailuresError(
            f"{len(failed)} of {len(samples)} images failed, more than the {max_failures:.1%} allowed; the first:"
            f" {failed['path'].iloc[0]} ({failed['reason'].iloc[0]}). The run is kept in {str(run.path)!r}; allow more"
            " with max_failures."
        )
    for remark in run.remarks:
        if remark == in_memory(run.manifest.model.spec):  # who handed it over knows
            continue
        warnings.warn(remark, stacklevel=3)
