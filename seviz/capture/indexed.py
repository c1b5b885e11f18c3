"""An indexed data set: which images there are, in a fixed order, of what classes, and how one is read."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import Decoded, decode
from seviz.classes import Classes
from seviz.texts import path_text


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
        How many files were found under the root that are no images of a class.
    """

    spec: str
    root: Path | None
    classes: Classes
    paths: tuple[str, ...]
    labels: NDArray[Any]
    remarks: Mapping[int, str] = field(default_factory=dict)
    ignored: int = 0

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

    def read(self, index: int, *, rotate: bool = False) -> Decoded:
        """Decode an image; never raises. The reason also tells what is remarked on the file, if it did not fail.

        Parameters
        ----------
        index
            Which one.
        rotate
            Turn it as its EXIF orientation says.
        """
        decoded = decode(Path(self._file(index)), rotate=rotate)
        if decoded.image is None or index not in self.remarks:
            return decoded
        return replace(decoded, reason="; ".join(filter(None, (decoded.reason, self.remarks[index]))))

    def fingerprint(self) -> str:
        """SHA-256 over relative path, size and label(s) of each file."""
        digest = hashlib.sha256()
        for index, path in enumerate(self.paths):
            try:
                size = os.stat(self._file(index)).st_size
            except (OSError, ValueError):
                size = -1
            digest.update(f"{path_text(path)}\0{size}\0{self._label(index)}\n".encode())
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
