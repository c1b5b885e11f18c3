"""A run on disk: create it, append chunks, merge them, open it, look at it through xarray and pandas."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from seviz.classes import Classes
from seviz.errors import (
    DamagedRunError,
    MissingSignalError,
    RunExistsError,
    RunIncompleteError,
    RunLockedError,
    RunNotFoundError,
)
from seviz.run.chunks import Chunk, decode_gates
from seviz.run.files import read_arrays, write_arrays, write_atomically
from seviz.run.manifest import BlockRecord, Manifest
from seviz.run.moments import Moments


@dataclass(frozen=True)
class Accuracy:
    """How well the network told the classes apart during the capture.

    Attributes
    ----------
    top1, top5
        Share of images whose class was the first, or among the first five, predictions, in [0, 1].
    images
        Number of images counted: all that did not fail.
    """

    top1: float
    top5: float
    images: int


class Run:
    """What one network did on one data set.

    `run["SE_5_1"]` is an xarray Dataset of the block's gates by class and channel, `run.gates("SE_5_1")` holds
    them image by image, `run.samples` tells the images.

    Parameters
    ----------
    path
        The run's directory.

    Raises
    ------
    RunNotFoundError
        If there is no run.
    DamagedRunError
        If its manifest cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        manifest = self.path / "manifest.json"
        if not manifest.is_file():
            raise RunNotFoundError(
                f"no run in {str(self.path)!r}: it has no manifest.json; `seviz capture MODEL DATA -o {self.path}`"
                " makes one"
            )
        self.manifest = Manifest.from_json(manifest.read_text(encoding="utf-8"), manifest)
        self._verified: dict[Path, dict[str, NDArray[Any]]] = {}

    @classmethod
    def create(cls, path: str | Path, manifest: Manifest) -> "Run":
        """Create a run, or continue the one that is there.

        Raises
        ------
        RunExistsError
            If the directory holds a run of something else, or other files. Nothing in it is changed.
        """
        path = Path(path)
        if (path / "manifest.json").is_file():
            run = cls(path)
            differences = run.manifest.differences(manifest)
            if differences:
                raise RunExistsError(
                    f"{str(path)!r} holds another run ({'; '.join(differences)}). It was left untouched: give"
                    " another directory, or delete that one."
                )
            return run
        if path.exists() and (not path.is_dir() or _foreign(path)):
            raise RunExistsError(
                f"{str(path)!r} is in the way: it is there and holds no run. Give a new or an empty directory."
            )
        write_atomically(path / "manifest.json", manifest.to_json().encode())
        return cls(path)

    def __repr__(self) -> str:
        data, model = self.manifest.data, self.manifest.model
        state = f"{len(self.samples)} images" if self.complete else "not finished"
        return f"<Run {str(self.path)!r}: {model.spec} on {data.spec}, {len(self.blocks)} SE blocks, {state}>"

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the SE blocks, in order of depth."""
        return tuple(block.name for block in self.manifest.blocks)

    @property
    def classes(self) -> Classes:
        """The classes of the data, in the order of the labels."""
        return Classes(self.manifest.data.class_ids, self.manifest.data.class_names)

    @property
    def complete(self) -> bool:
        """Whether the capture has finished."""
        return (self.path / "samples.parquet").is_file()

    def block(self, name: str) -> BlockRecord:
        """What the manifest says of a block; raises MissingSignalError if there is none of that name."""
        for block in self.manifest.blocks:
            if block.name == name:
                return block
        raise MissingSignalError(f"no block {name!r} in {str(self.path)!r}; it has {', '.join(self.blocks)}")

    def class_index(self, name: str) -> int:
        """The label of a class given by id or by name, whatever its case; raises UnknownClassError."""
        return self.classes.index(name, f"the run {str(self.path)!r}")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row an image, in the order of the data set.

        Columns: path; class and label (its number); status ("ok", "coerced", "failed") and reason; predicted,
        the class the network took it for (its number where it has no names); correct and in_top5, missing
        where the classes of data and network do not correspond or the image failed.
        """
        self._require_complete()
        return pd.read_parquet(self.path / "samples.parquet")

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """Top-1 and top-5 accuracy; None where the data's classes are not the network's, or no image is left."""
        known = self.samples[self.samples["correct"].notna()]
        if known.empty:
            return None
        return Accuracy(float(known["correct"].mean()), float(known["in_top5"].mean()), len(known))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of this run should know before believing it, a sentence each."""
        model, accuracy, remarks = self.manifest.model, self.accuracy, []
        if not model.trained:
            remarks.append("The weights of the SE blocks are untrained: the gates say nothing of learned features.")
        if self.manifest.data.model_classes is None:
            remarks.append(
                f"The classes of the data are not those of the network ({_few(self.classes.names)} against"
                f" {_few(model.class_names or ())}): gates were captured, accuracy was left out."
            )
        elif model.trained and accuracy is not None and accuracy.images and model.class_ids:
            chance = 1 / len(model.class_ids)
            if accuracy.top1 <= chance + 3 * (chance * (1 - chance) / accuracy.images) ** 0.5:
                remarks.append(
                    f"Top-1 accuracy is {accuracy.top1:.1%}, near chance ({chance:.1%}), on trained weights: the"
                    " order of the classes or the preprocessing may be another than the network was trained with."
                )
        failed = int((self.samples["status"] == "failed").sum())
        if failed:
            remarks.append(f"{failed} of {len(self.samples)} images failed; `samples` says which and why.")
        return tuple(remarks)

    def moments(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block, per class and channel.

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal.
        """
        return self._moments(block, signal, "moments")

    def total(self, block: str, signal: str = "excitation") -> Moments:
        """Moments of one block over all images together, as a single class."""
        return self._moments(block, signal, "totals")

    def __getitem__(self, block: str) -> xr.Dataset:
        """The excitation of one block as a Dataset.

        Variables: count (class); mean, std (of a sample, n - 1 in the denominator), min, max (class, channel).
        Coordinates: class, class_name, channel. What no image speaks for is NaN.
        """
        record, moments = self.block(block), self.moments(block)
        seen = moments.count[:, None] > 0
        dims = ("class", "channel")
        return xr.Dataset(
            {
                "count": ("class", moments.count),
                "mean": (dims, np.where(seen, moments.mean, np.nan)),
                "std": (dims, np.sqrt(moments.variance())),
                "min": (dims, np.where(seen, moments.min, np.nan)),
                "max": (dims, np.where(seen, moments.max, np.nan)),
            },
            coords={
                "class": list(self.classes.ids),
                "class_name": ("class", list(self.classes.names)),
                "channel": np.arange(record.channels),
            },
            attrs={"block": record.name, "stage": record.stage, "path": record.path, "gate": record.gate},
        )

    def gates(self, block: str, signal: str = "excitation") -> NDArray[np.float32]:
        """One signal of one block, image by image, in the order of `samples`.

        Returns
        -------
        numpy.ndarray
            (image, channel) float32, exact to 8e-6; NaN for images that failed.
        """
        self._require_signal(block, signal)
        self._require_complete()
        stored = np.concatenate([self._arrays(path)[f"gates/{signal}/{block}"] for path in self.chunk_paths()])
        gates = decode_gates(stored) if stored.dtype == np.uint16 else stored.astype(np.float32)
        gates[(self.samples["status"] == "failed").to_numpy()] = np.nan
        return gates

    def to_frame(self) -> pd.DataFrame:
        """The excitations as a tidy table: block, stage, class, class_name, channel, mean, std, count."""
        frames = []
        for name in self.blocks:
            frame = self[name][["mean", "std", "count"]].to_dataframe().reset_index()
            frames.append(frame.assign(block=name, stage=self.block(name).stage))
        columns = ["block", "stage", "class", "class_name", "channel", "mean", "std", "count"]
        return pd.concat(frames, ignore_index=True)[columns]

    def chunk_path(self, index: int) -> Path:
        """Where a chunk lies, or will."""
        return self.path / "chunks" / f"{index:06d}.safetensors"

    def chunk_paths(self) -> list[Path]:
        """The chunks that are there, in the order of their number."""
        return sorted((self.path / "chunks").glob("[0-9]*.safetensors"))

    def merge(self) -> None:
        """Merge all chunks, in the order of their number, into moments/ and samples.parquet."""
        moments: dict[str, dict[tuple[str, str], Moments]] = {"moments": {}, "totals": {}}
        frames = []
        classes = len(self.classes)
        for path in self.chunk_paths():
            chunk = Chunk.read(path)
            frames.append(self._samples_of(chunk))
            for key, some in chunk.moments.items():
                spread = _spread(some, chunk.classes, classes)
                before = moments["moments"].get(key)
                moments["moments"][key] = spread if before is None else before.merge(spread)
            for key, total in chunk.totals.items():
                before = moments["totals"].get(key)
                moments["totals"][key] = total if before is None else before.merge(total)
        for block in self.blocks:
            arrays: dict[str, NDArray[Any]] = {}
            for kind, table in moments.items():
                for signal in self.manifest.signals:
                    arrays[f"{kind}/{signal}"] = table[signal, block].to_array()
                    arrays[f"{kind}/{signal}/count"] = table[signal, block].count
            write_arrays(self._moments_path(block), arrays, {"block": block})
        buffer = BytesIO()
        pd.concat(frames, ignore_index=True).to_parquet(buffer)
        write_atomically(self.path / "samples.parquet", buffer.getvalue())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run, so that no other capture writes to it; the system lets go when the process ends.

        Raises
        ------
        RunLockedError
            If another process holds it.
        """
        path = self.path / "lock"
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.read().strip() or "unknown"
                raise RunLockedError(
                    f"{str(self.path)!r} is being written by another capture ({owner}). Wait for it, or end it"
                    " and run the same command again."
                ) from error
            file.truncate(0)
            file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
            file.flush()
            yield

    def _require_complete(self) -> None:
        if not self.complete:
            raise RunIncompleteError(
                f"the capture in {str(self.path)!r} has not finished ({len(self.chunk_paths())} chunks are there);"
                " run the same capture command again to continue it"
            )

    def _require_signal(self, block: str, signal: str) -> None:
        self.block(block)
        if signal not in self.manifest.signals:
            raise MissingSignalError(
                f"{str(self.path)!r} holds no {signal!r}; it holds {', '.join(self.manifest.signals)}. Capture again"
                f" with --signals {','.join((*self.manifest.signals, signal))}."
            )

    def _moments_path(self, block: str) -> Path:
        return self.path / "moments" / f"{block}.safetensors"

    def _moments(self, block: str, signal: str, kind: str) -> Moments:
        self._require_signal(block, signal)
        self._require_complete()
        arrays = self._arrays(self._moments_path(block))
        return Moments.from_array(arrays[f"{kind}/{signal}/count"], arrays[f"{kind}/{signal}"])

    def _arrays(self, path: Path) -> dict[str, NDArray[Any]]:
        if path not in self._verified:
            if not path.is_file():
                raise DamagedRunError(f"{path} is missing; run the same capture again to redo it")
            self._verified[path], _ = read_arrays(path)
        return self._verified[path]

    def _samples_of(self, chunk: Chunk) -> pd.DataFrame:
        samples, model, targets = chunk.samples, self.manifest.model, self.manifest.data.model_classes
        good = samples.good
        names = np.array([*(model.class_ids or ()), ""], dtype=object)
        first = samples.predictions[:, 0]
        predicted = names[first] if model.class_ids else first.astype(str).astype(object)
        if targets is None:
            correct = in_top5 = pd.array([pd.NA] * len(good), dtype="boolean")
        else:
            target = np.asarray(targets)[samples.labels]
            correct = pd.array(first == target, dtype="boolean")
            in_top5 = pd.array((samples.predictions == target[:, None]).any(1), dtype="boolean")
        frame = pd.DataFrame(
            {
                "path": list(samples.paths),
                "class": [self.manifest.data.class_ids[label] for label in samples.labels],
                "label": samples.labels,
                "status": list(samples.statuses),
                "reason": list(samples.reasons),
                "predicted": predicted,
                "correct": correct,
                "in_top5": in_top5,
            }
        )
        frame.loc[~good, ["predicted", "correct", "in_top5"]] = pd.NA
        return frame


def open_run(path: str | Path) -> Run:
    """Open a run.

    Parameters
    ----------
    path
        Its directory.

    Raises
    ------
    RunNotFoundError
        If there is no run.
    RunIncompleteError
        If its capture has not finished.
    DamagedRunError
        If a file of it cannot be read.
    """
    run = Run(path)
    run._require_complete()
    return run


def _foreign(path: Path) -> bool:
    """Whether a directory holds anything but what an interrupted creation leaves."""
    return any(not entry.name.startswith(".manifest.json.") for entry in path.iterdir())


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "unknown"


def _spread(moments: Moments, labels: NDArray[np.int64], classes: int) -> Moments:
    """Moments of some classes as moments of all, the others empty."""
    full = Moments.empty(classes, moments.mean.shape[1])
    array, count = full.to_array(), full.count.copy()
    array[:, labels] = moments.to_array()
    count[labels] = moments.count
    return Moments.from_array(count, array)
