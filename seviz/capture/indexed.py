"""An indexed data set: which images there are, in a fixed order, of what classes, and how one is read."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import Decoded, decode
from seviz.classes import Classes
from seviz.texts import path_text

_LONGEST_KIND = 16  # characters
_KINDS_TOLD = 8

Preprocess = Literal["model", "none"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and their classes, in an order that does not depend on the file system.

    Attributes
    ----------
    spec
        As it was given.
    root
        What the paths are relative to; None only where there are no files.
    classes
        In the order of the labels.
    paths
        Of each image; as the operating system gives them, so with surrogates where they are no UTF-8.
    labels
        (image) int64 where an image has one class, else (image, class) bool.
    remarks
        What to know of single files, by index.
    ignored
        Files under the root that are no images of a class: how many of each kind, as `kind_of` tells it.
    split
        Which part of the data set this is, where it comes in several.
    notes
        What a person is to know before the work, a sentence each: the split that was taken by default, classes without
        images, which columns hold images and labels.
    selection
        What was asked for when it was opened, by the names of the options; a run keeps it.
    preprocess
        What becomes of what is read: "model" prepares it as the network does; "none" takes arrays as they are.
    """

    spec: str
    root: Path | None
    classes: Classes
    paths: tuple[str, ...]
    labels: NDArray[Any]
    remarks: Mapping[int, str] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    split: str | None = None
    notes: tuple[str, ...] = ()
    preprocess: Preprocess = "model"
    selection: Mapping[str, Any] = field(default_factory=dict)
    arrays: ClassVar[bool] = False
    """Whether its files hold arrays, not pictures."""

    def __post_init__(self) -> None:
        expected = {(len(self.paths),), (len(self.paths), len(self.classes))}
        if self.labels.shape not in expected:
            raise ValueError(
                f"labels of shape {self.labels.shape} for {len(self.paths)} images of {len(self.classes)} classes;"
                " expected (image) or (image, class)"
            )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def multi(self) -> bool:
        """Whether an image can have several classes, or none."""
        return self.labels.ndim == 2

    def read(self, index: int, *, rotate: bool = False, channels: int = 3) -> Decoded:
        """Decode an image; never raises. The reason also tells what is remarked on the file, if it did not fail.

        Parameters
        ----------
        index
            Which one.
        rotate
            Turn it as its EXIF orientation says.
        channels
            In how many channels, as `seviz.capture.images.decode` tells; arrays have those that they have.
        """
        decoded = self._decoded(index, rotate=rotate, channels=channels)
        if decoded.image is None or index not in self.remarks:
            return decoded
        return replace(decoded, reason="; ".join(filter(None, (decoded.reason, self.remarks[index]))))

    def fingerprint(self) -> str:
        """SHA-256 over relative path, size and label(s) of each file."""
        digest = hashlib.sha256()
        for index, path in enumerate(self.paths):
            digest.update(f"{path_text(path)}\0{self._size(index)}\0{self._label(index)}\n".encode())
        return digest.hexdigest()

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Only the images of these indices, which ascend; classes keep theirs."""
        kept = ((new, self.remarks.get(old)) for new, old in enumerate(indices.tolist())) if self.remarks else ()
        return replace(
            self,
            paths=tuple(self.paths[k] for k in indices.tolist()),
            labels=self.labels[indices],
            remarks={new: remark for new, remark in kept if remark is not None},
        )

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        return decode(Path(self._file(index)), rotate=rotate, channels=channels)

    def _size(self, index: int) -> int:
        """Of a file, in bytes; -1 if it is not there."""
        try:
            return os.stat(self._file(index)).st_size
        except (OSError, ValueError):
            return -1

    def _file(self, index: int) -> str:
        return os.path.join(self.root or "", self.paths[index])

    def _label(self, index: int) -> str:
        if self.multi:
            return ",".join(str(label) for label in np.flatnonzero(self.labels[index]))
        return str(self.labels[index])


def in_order(paths: Sequence[str], labels: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Paths and labels in the order of a data set: by class where an image has one, and by the bytes of the path.

    Parameters
    ----------
    paths, labels
        In any order, as in `Dataset`.
    """
    order = np.array(sorted(range(len(paths)), key=lambda k: os.fsencode(paths[k])), np.int64)
    if labels.ndim == 1:
        order = order[np.argsort(labels[order], kind="stable")]
    return tuple(paths[k] for k in order.tolist()), labels[order]


def kind_of(name: str) -> str:
    """The kind of a file by its name: what it ends in, in lower case; a hidden file's whole name."""
    stem, extension = os.path.splitext(name)
    kind = extension.lower() or (stem if stem.startswith(".") else "")
    if not kind:
        return "no extension"
    return kind if kind.isprintable() and len(kind) <= _LONGEST_KIND else "other"


def kinds_in_words(ignored: Mapping[str, int]) -> str:
    """Kinds of files and how many there are of each, the most frequent first: ".txt 12, .DS_Store 3"."""
    ordered = sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
    more = len(ordered) - _KINDS_TOLD
    listed = [f"{kind} {count:,}" for kind, count in ordered[:_KINDS_TOLD]]
    return ", ".join([*listed, *([f"and {more} more kinds"] if more > 0 else [])])
