"""From a data set to indexed samples with labels, in an order that does not depend on the file system."""

import hashlib
import os
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from seviz.capture.images import EXTENSIONS
from seviz.classes import Classes
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError
from seviz.network.models import imagenet_names

BUNDLED = "bundled"
_SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Sample:
    """An image file and its class.

    Attributes
    ----------
    path
        Relative to the root of the data set.
    label
        Index of its class.
    """

    path: str
    label: int


@dataclass(frozen=True)
class ImageFolder:
    """Images in one folder per class.

    Attributes
    ----------
    spec
        As it was given.
    root
        Where the class folders lie.
    classes
        In the order of the labels: the names of the folders, and what a person calls them.
    samples
        By class, and in a class by path.
    """

    spec: str
    root: Path
    classes: Classes
    samples: tuple[Sample, ...]

    def fingerprint(self) -> str:
        """SHA-256 over relative path, size and label of each file."""
        digest = hashlib.sha256()
        for sample in self.samples:
            try:
                size = (self.root / sample.path).stat().st_size
            except OSError:
                size = -1
            digest.update(f"{printable(sample.path)}\0{size}\0{sample.label}\n".encode())
        return digest.hexdigest()


def open_dataset(
    spec: str | Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> ImageFolder:
    """Open a data set.

    Parameters
    ----------
    spec
        A folder that holds one folder per class, or "bundled": the 1,000 test images of CIFAR-10 that ship with
        seviz.
    classes
        Only these, by folder name or (for WordNet synsets) by English name. Labels keep their meaning: the
        others stay as classes without images.
    per_class
        Only so many images of each class, drawn at random.
    seed
        Of that draw.

    Raises
    ------
    DataNotFoundError
        If there is no such folder.
    EmptyDataError
        If it holds no class folder, or no image.
    UnknownClassError
        If a class is asked for that is not there.
    OptionError
        If `per_class` is less than 1.
    """
    if per_class is not None and per_class < 1:
        raise OptionError(f"per_class is {per_class}, expected at least 1")
    name = str(spec)
    if name == BUNDLED:
        with resources.as_file(resources.files("seviz.capture") / BUNDLED) as path:
            root = Path(path)
    else:
        root = Path(name)
    if not root.is_dir():
        what = "is no directory" if root.exists() else "does not exist"
        raise DataNotFoundError(f"data {name!r} {what}; expected a folder with one folder per class, or {BUNDLED!r}")
    folders = sorted((entry.name for entry in root.iterdir() if entry.is_dir()), key=os.fsencode)
    folders = [folder for folder in folders if not folder.startswith(".")]
    if not folders:
        raise EmptyDataError(f"data {name!r} has no class folders; expected {name}/CLASS/IMAGE")
    known = Classes(tuple(printable(f) for f in folders), _names(folders))
    wanted = set(range(len(folders))) if classes is None else {known.index(c, f"data {name!r}") for c in classes}
    random = np.random.default_rng(seed)
    samples: list[Sample] = []
    for label, folder in enumerate(folders):
        paths = _images(root, folder)
        if per_class is not None and per_class < len(paths):
            chosen = np.sort(random.choice(len(paths), per_class, replace=False))
            paths = [paths[k] for k in chosen]
        if label in wanted:
            samples += [Sample(path, label) for path in paths]
    if not samples:
        raise EmptyDataError(
            f"data {name!r} has {len(folders)} class folders but no image in them; images are files called"
            f" {', '.join(sorted(EXTENSIONS))}"
        )
    return ImageFolder(name, root, known, tuple(samples))


def printable(path: str) -> str:
    """A path as text: itself, or percent-encoded where it is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return urllib.parse.quote_from_bytes(os.fsencode(path))
    return path


def _names(folders: Sequence[str]) -> tuple[str, ...]:
    if all(_SYNSET.fullmatch(folder) for folder in folders):
        return imagenet_names(folders)
    return tuple(printable(folder) for folder in folders)


def _images(root: Path, folder: str) -> list[str]:
    found = []
    for directory, _, files in os.walk(root / folder):
        for file in files:
            if os.path.splitext(file)[1].lower() in EXTENSIONS:
                found.append(os.path.relpath(os.path.join(directory, file), root))
    return sorted(found, key=os.fsencode)
