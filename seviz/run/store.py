"""A run on disk: create it, open it, look at it through xarray and pandas."""

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from seviz.classes import Classes
from seviz.errors import (
    MissingSignalError,
    RunExistsError,
    RunIncompleteError,
)
from seviz.moments import Moments
from seviz.network.bounds import UNBOUNDED, Bounds
from seviz.network.specs import MEMORY
from seviz.run.chunks import FIRST, Chunk, decode_gates, in_16_bits
from seviz.run.files import damaged, header_of, read_some, write_atomically
from seviz.run.forms import form_of_chunk
from seviz.run.lock import lock
from seviz.run.manifest import BlockRecord, Manifest, read_manifest
from seviz.run.merged import moments_facts, read_moments
from seviz.run.sample import Sample
from seviz.run.samples import read_samples
from seviz.showing import blocks_as_html

Made = TypeVar("Made")
_verifying = Lock()


@dataclass(frozen=True)
class Accuracy:
    """How well the network told the classes apart during the capture.

    Attributes
    ----------
    top1
        Share of images whose class was the first prediction, in [0, 1].
    top5
        Share of images whose class was among the first five predictions, in [0, 1]; None where there are no more than
        five classes.
    images
        Number of images counted: all that did not fail.
    """

    top1: float
    top5: float | None
    images: int

    def __str__(self) -> str:
        top5 = "" if self.top5 is None else f", top-{FIRST} {self.top5:.1%}"
        return f"top-1 {self.top1:.1%}{top5} of {self.images:,} images"


def in_memory(spec: str) -> str:
    """What is to be known of a run whose network was a module in memory."""
    name = spec.removeprefix(MEMORY)
    return (
        f"The network was a module in memory ({name}): to run it again takes seviz.wrap(module, example), not a spec."
    )


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
    OldRunError
        If an older seviz made it.
    DamagedRunError
        If its manifest cannot be read, or says what cannot be.
    """

    def __init__(self, path: str | Path) -> None:
        manifest = Path(path) / "manifest.json"
        self._begin(Path(path), Manifest.from_json(read_manifest(Path(path)), manifest))

    def _begin(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._verified: set[Path] = set()
        self._shared: dict[Hashable, Any] = {}

    @classmethod
    def under(cls, path: Path, manifest: Manifest) -> "Run":
        """The run in a directory as another manifest has it, whatever lies there."""
        run = cls.__new__(cls)
        run._begin(path, manifest)
        return run

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
        in_the_way = path.exists() and (not path.is_dir() or _foreign(path))
        if in_the_way and not (path / "manifest.json").is_file():  # which another process may just have written
            raise RunExistsError(
                f"{str(path)!r} is in the way: it is there and holds no run. Give a new or an empty directory."
            )
        text = manifest.to_json()
        Manifest.from_json(text, path / "manifest.json")  # nothing is written that could not be read
        try:
            write_atomically(path / "manifest.json", text.encode(), replace=False)
        except FileExistsError:  # another process of the same launch was faster
            return cls.create(path, manifest)
        return cls(path)

    def __repr__(self) -> str:
        data, model = self.manifest.data, self.manifest.model
        state = f"{len(self.samples)} images" if self.complete else "not finished"
        return f"<Run {str(self.path)!r}: {model.spec} on {data.spec}, {len(self.blocks)} SE blocks, {state}>"

    def _repr_html_(self) -> str:
        return blocks_as_html(repr(self)[1:-1], self.manifest.blocks)

    def __len__(self) -> int:
        """Number of SE blocks."""
        return len(self.manifest.blocks)

    def __iter__(self) -> Iterator[str]:
        """Names of the SE blocks, in order of depth."""
        return iter(self.blocks)

    def __contains__(self, name: object) -> bool:
        """Whether there is an SE block of a name."""
        return name in self.blocks

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
        """Whether the capture has finished: all chunks are there, and merged."""
        merged = [self.samples_path, *(self.moments_path(block) for block in self.blocks)]
        return self.captured and all(map(os.path.lexists, merged))  # what is no file is told when it is read

    @property
    def captured(self) -> bool:
        """Whether all chunks are there."""
        there = [path.name for path in self.chunk_paths()]
        count = len(there) if self.manifest.chunks is None else self.manifest.chunks
        return 0 < count == len(there) and there == [self.chunk_path(index).name for index in range(count)]

    def sample(self, block: str, signal: str = "excitation") -> Sample:
        """One signal of one block, with the moments, the kept gates and their labels that tables are made of.

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal.
        """
        return Sample(self, block, signal)

    def select(
        self, *, correct: bool | None = None, classes: Sequence[str] | None = None, rows: ArrayLike | None = None
    ) -> "Run":
        """A part of the run, which every table and figure takes as a run of its own.

        Its moments are those of its images, computed from the gates that the run keeps one by one; classes that are
        there with all their images have the run's.

        Parameters
        ----------
        correct
            Whether the first prediction is right; by default either. Images that failed are neither.
        classes
            Classes by id or name, which are all that the part has; by default all.
        rows
            Rows of `samples`: numbers, or for each image whether it is one, (image) bool.

        Raises
        ------
        UnknownClassError, OptionError
            If there is no such class or row, or no image is left.
        MissingSignalError
            If `correct` is given and the run does not say which predictions are right.
        """
        from seviz.run.parts import select  # a part is a run itself

        return select(self, correct=correct, classes=classes, rows=rows)

    def shared(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives, kept as long as the run is: the same for each who asks, so that none may change it."""
        if key not in self._shared:
            self._shared[key] = make()
        result: Made = self._shared[key]
        return result

    @property
    def identity(self) -> str:
        """Text that only runs of the same images, network and settings share."""
        return self.manifest.to_json()

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
        where the classes of data and network do not correspond or the image failed; kept, whether `gates` has it;
        content, a hash of what the image was made from, as `seviz.run.chunks.Samples` has it, missing where it is not
        known.
        Where an image has several classes, class joins them by "|" and label is their numbers.
        """
        self._require_complete()
        images = self.manifest.data.images
        return read_samples(self.samples_path, self.manifest, sum(self.images_of_chunks) if images is None else images)

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The class of each image, (image) int64; where images have several, (image, class) bool."""
        column = self.samples["label"]
        if self.manifest.data.labels == "single":
            return column.to_numpy(np.int64)
        members = np.zeros((len(column), len(self.classes)), dtype=bool)
        for row, labels in zip(members, column, strict=True):
            row[labels] = True
        return members

    @cached_property
    def kept(self) -> pd.DataFrame:
        """Rows of `samples` of images that did not fail and whose gates are kept.

        The index is that of `samples`; a column `row` is added, the image's row in `gates`.
        """
        kept = self.samples["kept"].to_numpy(bool)
        rows = self.samples.assign(row=np.cumsum(kept) - 1)
        return rows[kept & (rows["status"] != "failed").to_numpy()]

    @property
    def right(self) -> pd.Series:
        """Whether the first prediction is right, by row of `samples`, missing for images that failed.

        Raises
        ------
        MissingSignalError
            If that is known of no image.
        """
        right = self.samples["correct"]
        if not right.notna().any():
            raise MissingSignalError(
                f"{str(self.path)!r} does not say which predictions are right: the classes of data and network do not"
                " correspond, or all images failed; capture a data set with the network's classes"
            )
        return right

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """Top-1 and top-5 accuracy; None where the data's classes are not the network's, or it predicts none."""
        known = self.samples[self.samples["correct"].notna()]
        if known.empty:
            return None
        several = len(self.manifest.model.class_ids or self.classes.ids) > FIRST
        top5 = float(known["in_top5"].mean()) if several else None
        return Accuracy(float(known["correct"].mean()), top5, len(known))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of this run should know before believing it, a sentence each."""
        model, accuracy, remarks = self.manifest.model, self.accuracy, []
        if not model.trained:
            remarks.append("The weights of the SE blocks are untrained: the gates say nothing of learned features.")
        if model.spec.startswith(MEMORY):
            remarks.append(in_memory(model.spec))
        remarks += model.search
        remarks += [f"Assumed: {sentence}." for sentence in model.assumed]
        targets = self.manifest.data.model_classes
        if model.task != "classification":
            remarks.append(f"The network is the backbone of one for {model.task}: it gives no predictions.")
        elif targets is None:
            remarks.append(
                f"The classes of the data are not those of the network ({_few(self.classes.names)} against"
                f" {_few(model.class_names or ())}): gates were captured, accuracy was left out."
            )
        elif accuracy is None and (self.samples["status"] != "failed").any():
            remarks.append("The network gives no logits (batch, classes) that were found: accuracy was left out.")
        elif model.trained and accuracy is not None and accuracy.images and model.class_ids:
            chance = 1 / len(model.class_ids)
            if accuracy.top1 <= chance + 3 * (chance * (1 - chance) / accuracy.images) ** 0.5:
                remarks.append(
                    f"Top-1 accuracy is {accuracy.top1:.1%}, near chance ({chance:.1%}), on trained weights: the"
                    " order of the classes or the preprocessing may be another than the network was trained with."
                )
        if targets is not None and list(targets) != sorted(targets):
            remarks.append(
                "The classes of the data stand in another order than the network's; they were matched by id and name."
            )
        noted = self.samples[(self.samples["status"] == "ok") & (self.samples["reason"] != "")]
        if len(noted):
            remarks.append(f"There is something to know of {len(noted)} images, such as: {noted['reason'].iloc[0]}.")
        left = [block for block in self.blocks if self._outside[block]]
        if left:
            gates = dict.fromkeys(self.block(block).gate for block in left)
            remarks.append(
                f"Gates of {_few(tuple(left))} lie outside of the bounds of their function ({', '.join(gates)}), which"
                " is another than it seemed: they are stored as they are, and tables take them as unbounded."
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

    def bounds(self, block: str, signal: str = "excitation") -> Bounds:
        """Between which numbers the gates of a block lie.

        Parameters
        ----------
        block, signal
            Which.

        Returns
        -------
        tuple of float
            Infimum and supremum of the block's gate function, as the search found them, unless a gate of the run lies
            outside: then the function is another than it seemed, and nothing is known of its ends. -inf and inf where
            there are none or none are known, as of all signals but "excitation".

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal.
        """
        total = self.total(block, signal)
        known = self.block(block).bounds if signal == "excitation" else UNBOUNDED
        return known if total.within(known) else UNBOUNDED

    def stored_in_16_bits(self, block: str) -> bool:
        """Whether gates of a block are stored in 16 bits, in some of the chunks or in all."""
        self._require_complete()
        return in_16_bits(self.block(block).bounds) and len(self._outside[block]) < len(self.chunk_paths())

    @cached_property
    def _outside(self) -> dict[str, list[int]]:
        """By block, the chunks in which its gates lie outside of its bounds, as far as that was looked at."""
        return {name: list(moments_facts(self.moments_path(name), name).outside) for name in self.blocks}

    @cached_property
    def _rows_of_chunks(self) -> list[int]:
        """Of how many images each chunk keeps the gates."""
        return [kept for _, kept in self._sizes]

    @cached_property
    def images_of_chunks(self) -> list[int]:
        """How many images each chunk has."""
        return [images for images, _ in self._sizes]

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """By chunk, its images and those whose gates it keeps, by its header, which must fit the manifest."""
        form, sizes = form_of_chunk(self.manifest), []
        names = "samples/kept", f"gates/excitation/{self.blocks[0]}"
        for path in self.chunk_paths():
            header = header_of(path, within=self.path)
            try:
                form.check(header.arrays)
            except ValueError as error:
                raise damaged(path, str(error)) from error
            (_, (images,)), (_, (kept, _)) = (header.arrays[name] for name in names)
            sizes.append((images, kept))
        return sizes

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
                "min": (dims, np.where(seen, moments.min, np.float32(np.nan))),
                "max": (dims, np.where(seen, moments.max, np.float32(np.nan))),
            },
            coords={
                "class": list(self.classes.ids),
                "class_name": ("class", list(self.classes.names)),
                "channel": np.arange(record.channels),
            },
            attrs={"block": record.name, "stage": record.stage, "path": record.path, "gate": record.gate},
        )

    def gates(
        self, block: str, signal: str = "excitation", rows: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """One signal of one block, image by image, of the images whose gates the run keeps.

        Parameters
        ----------
        block, signal
            Which.
        rows
            Only some of the images, ascending, by their place among those that are kept; by default all.

        Returns
        -------
        numpy.ndarray
            (image, channel) float32, in the order of `samples[samples["kept"]]`; NaN for images that failed. Exact
            to 8e-6 where they are stored in 16 bits, which they are only where all of a chunk lie in [0, 1].

        Raises
        ------
        MissingSignalError
            If the run holds no such block or signal, or keeps no gates of images.
        """
        self._require_signal(block, signal)
        self._require_complete()
        kept = self.samples[self.samples["kept"]]
        if kept.empty:
            raise MissingSignalError(
                f"{str(self.path)!r} keeps the gates of no image, only moments of classes; capture again with"
                " --keep-gates all, or per-class:N"
            )
        wanted = np.arange(len(kept)) if rows is None else rows
        if sum(self._rows_of_chunks) != len(kept):
            raise damaged(
                self.samples_path,
                f"column kept says that gates of {len(kept):,} images are kept, and the chunks have"
                f" {sum(self._rows_of_chunks):,}",
            )
        gates = np.empty((len(wanted), self.block(block).channels), np.float32)
        ends = np.cumsum(self._rows_of_chunks)  # of each chunk, in the images that are kept
        parts = [
            (path, inside - begin)
            for path, begin, inside in zip(
                self.chunk_paths(),
                ends - self._rows_of_chunks,
                np.split(wanted, np.searchsorted(wanted, ends))[:-1],
                strict=True,
            )
            if len(inside)
        ]
        self._verify([path for path, _ in parts])
        name, done = f"gates/{signal}/{block}", 0
        for path, inside in parts:
            stored = read_some(path, [name])[name]  # decoded one by one: what is at work stays small
            if rows is not None:
                stored = stored[inside]
            decode_gates(stored, out=gates[done : done + len(stored)])
            done += len(stored)
        gates[(kept["status"] == "failed").to_numpy()[wanted]] = np.nan
        return gates

    def to_frame(self) -> pd.DataFrame:
        """The excitations as a tidy table: block, stage, class, class_name, channel, mean, std, count."""
        frames = []
        for name in self.blocks:
            frame = self[name][["mean", "std", "count"]].to_dataframe().reset_index()
            frames.append(frame.assign(block=name, stage=self.block(name).stage))
        columns = ["block", "stage", "class", "class_name", "channel", "mean", "std", "count"]
        return pd.concat(frames, ignore_index=True)[columns]

    @property
    def samples_path(self) -> Path:
        """Where the table of images lies, or will."""
        return self.path / "samples.parquet"

    def moments_path(self, block: str) -> Path:
        """Where the moments of a block lie, or will."""
        return self.path / "moments" / f"{block}.safetensors"

    def chunk_path(self, index: int) -> Path:
        """Where a chunk lies, or will."""
        return self.path / "chunks" / f"{index:06d}.safetensors"

    def chunk_paths(self) -> list[Path]:
        """The chunks that are there, in the order of their number."""
        return sorted((self.path / "chunks").glob("[0-9]*.safetensors"))

    def lock(self, launch: str | None = None) -> AbstractContextManager[None]:
        """Hold the run, so that no other launch writes to it; see `seviz.run.lock.lock`."""
        return lock(self.path / "locks", launch)

    def _require_complete(self) -> None:
        if not self.complete:
            raise RunIncompleteError(
                f"the capture in {str(self.path)!r} has not finished ({len(self.chunk_paths())} of"
                f" {self.manifest.chunks or 'an unknown number of'} chunks are there); run the same capture command"
                " again to continue it"
            )

    def _require_signal(self, block: str, signal: str) -> None:
        self.block(block)
        if signal not in self.manifest.signals:
            raise MissingSignalError(
                f"{str(self.path)!r} holds no {signal!r}; it holds {', '.join(self.manifest.signals)}. Capture again"
                f" with --signals {','.join((*self.manifest.signals, signal))}."
            )

    def _moments(self, block: str, signal: str, kind: str) -> Moments:
        self._require_signal(block, signal)
        self._require_complete()
        path, prefix = self.moments_path(block), f"{kind}/{signal}/"
        if path in self._verified:
            return Moments.from_arrays(read_some(path, Moments.names(prefix)), prefix)
        arrays = read_moments(path, self.manifest, block)
        self._verified.add(path)
        return Moments.from_arrays(arrays, prefix)

    def _verify(self, paths: Sequence[Path]) -> None:
        """Verify the chunks that were not yet: two at a time, and each once, however many threads ask for it."""

        def verify(path: Path) -> None:
            Chunk.read(path, self.manifest)
            self._verified.add(path)

        with _verifying, ThreadPoolExecutor(2) as executor:
            list(executor.map(verify, [path for path in paths if path not in self._verified]))


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

    Examples
    --------
    >>> seviz.open_run(run.path).blocks[:3]
    ('SE_2_1', 'SE_2_2', 'SE_2_3')
    """
    run = Run(path)
    run._require_complete()
    return run


def _foreign(path: Path) -> bool:
    """Whether a directory holds anything but what an interrupted creation leaves."""
    return any(not entry.name.startswith(".manifest.json.") for entry in path.iterdir())


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "unknown"
