"""Images in folders: the class of an image is the folder it lies in."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import EXTENSIONS
from seviz.capture.indexed import Dataset
from seviz.classes import Classes
from seviz.errors import DataNotFoundError, EmptyDataError
from seviz.texts import path_text

_SYNSET = re.compile(r"n\d{8}")
_64_BITS = 2**64 - 1  # some file systems of Windows number files in 128


def open_folder(spec: str, root: Path) -> Dataset:
    """Images in one folder per class, at any depth.

    The class of an image is the path of its folder. What all these paths end in ("n01443537/images") says nothing and
    is left out. Links to folders are followed, though never in a circle; hidden folders are passed over. A folder
    called like an image is taken for one, which will not decode, so that nothing found goes missing.

    Parameters
    ----------
    spec
        As the data set was given.
    root
        An existing directory.

    Raises
    ------
    EmptyDataError
        If there is no class folder, or no image in any.
    DataNotFoundError
        If a directory cannot be read.
    """
    folders, ignored = _walk(spec, root)
    if not folders:
        raise EmptyDataError(f"data {spec!r} has no class folders; expected {root}/CLASS/IMAGE")
    ids = _without_common_end([folder.path for folder in folders])
    order = sorted(range(len(folders)), key=lambda k: os.fsencode(ids[k]))
    folders, ids = [folders[k] for k in order], [ids[k] for k in order]
    paths = tuple(f"{folder.path}/{name}" for folder in folders for name in folder.names)
    if not paths:
        raise EmptyDataError(
            f"data {spec!r} has {len(folders)} class folders but no image in them; images are files called"
            f" {', '.join(sorted(EXTENSIONS))}"
        )
    return Dataset(
        spec=spec,
        root=root,
        classes=Classes(tuple(path_text(class_id) for class_id in ids), _names(ids)),
        paths=paths,
        labels=np.repeat(np.arange(len(folders), dtype=np.int64), [len(folder.names) for folder in folders]),
        remarks=_repeats(
            paths,
            np.concatenate([folder.files for folder in folders]),
            np.concatenate([folder.linked for folder in folders]),
        ),
        ignored=ignored,
    )


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def are_synsets(names: Sequence[str]) -> bool:
    """Whether all of these are WordNet synsets, as ImageNet's classes are."""
    return all(_SYNSET.fullmatch(name) for name in names)


@dataclass(frozen=True)
class _Folder:
    """A directory that is a class.

    Attributes
    ----------
    path
        Below the root.
    names
        Of the images in it, by their bytes.
    files
        What tells files apart, whatever they are called: (image, 2) uint64, device and inode.
    linked
        Which are reached through a link: (image).
    """

    path: str
    names: tuple[str, ...]
    files: NDArray[np.uint64]
    linked: NDArray[np.bool_]


def _walk(spec: str, root: Path) -> tuple[list[_Folder], int]:
    """The class folders, in no order, and how many files belong to no class or are no images."""
    folders, ignored = [], 0
    waiting: list[tuple[str, bool, tuple[tuple[int, int], ...]]] = [("", False, (_identity(root),))]
    while waiting:
        path, linked, chain = waiting.pop()  # the chain is the directory itself, last, and those it lies in
        images: list[tuple[bytes, tuple[int, int], bool]] = []
        below = 0
        try:
            with os.scandir(os.path.join(root, path)) as entries:
                for entry in entries:
                    if path and is_image(entry.name):
                        images.append((os.fsencode(entry.name), _file(entry, chain[-1][0]), entry.is_symlink()))
                    elif (directory := _directory(entry)) is None:
                        ignored += 1
                    elif not entry.name.startswith(".") and directory not in chain:
                        inner = f"{path}/{entry.name}" if path else entry.name
                        waiting.append((inner, linked or entry.is_symlink(), (*chain, directory)))
                        below += 1
        except OSError as error:
            raise DataNotFoundError(
                f"data {spec!r}: {path_text(error.filename or path)!r} cannot be read ({error.strerror}). Make it"
                " readable, or move it out of the data."
            ) from error
        if path and (images or not below):
            images.sort()
            folders.append(
                _Folder(
                    path,
                    tuple(os.fsdecode(name) for name, _, _ in images),
                    np.array([file for _, file, _ in images], np.uint64).reshape(-1, 2),
                    np.array([linked or through for _, _, through in images], bool),
                )
            )
    return folders, ignored


def _directory(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Device and inode of a directory, or of one linked to; None of anything else."""
    try:
        if not entry.is_dir():
            return None
        return _identity(entry.path)
    except OSError:  # a link to itself, or to where one may not look
        return None


def _file(entry: os.DirEntry[str], device: int) -> tuple[int, int]:
    """Device and inode of a file, or of what it links to; asks the file system only about links."""
    if entry.is_symlink():
        try:
            return _identity(entry.path)
        except OSError:  # broken: it is itself
            pass
    return device, entry.inode() & _64_BITS


def _identity(path: str | Path) -> tuple[int, int]:
    """Device and inode. An entry of a listing has none on Windows, so the file system is asked."""
    status = os.stat(path)
    return status.st_dev, status.st_ino & _64_BITS


def _repeats(paths: Sequence[str], files: NDArray[np.uint64], linked: NDArray[np.bool_]) -> dict[int, str]:
    """A remark for each image that a link makes the same file as another."""
    if not linked.any():
        return {}
    device, inode = files.T
    order = np.lexsort((linked, inode, device))  # of the names of one file, first what is no link
    new = np.ones(len(order), bool)
    new[1:] = (files[order[1:]] != files[order[:-1]]).any(axis=1)
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return {
        index: f"the same file as {path_text(paths[original])}, through a link"
        for index, original in sorted(zip(order.tolist(), first.tolist(), strict=True))
        if index != original and linked[index]
    }


def _without_common_end(paths: Sequence[str]) -> list[str]:
    parts = [path.split("/") for path in paths]
    while len(parts) > 1 and all(len(part) > 1 for part in parts) and len({part[-1] for part in parts}) == 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) for part in parts]


def _names(ids: Sequence[str]) -> tuple[str, ...]:
    if not are_synsets(ids):
        return tuple(path_text(class_id) for class_id in ids)
    from seviz.network.imagenet import imagenet_names  # here, since torch takes seconds to import

    return imagenet_names(ids)
