"""Images in folders: the class of an image is the folder it lies in."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import EXTENSIONS
from seviz.capture.indexed import Dataset, kind_of
from seviz.capture.splits import BY_DEFAULT, choose_split, default_split, said
from seviz.classes import Classes
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError
from seviz.texts import path_text

_SYNSET = re.compile(r"n\d{8}")
_64_BITS = 2**64 - 1  # some file systems of Windows number files in 128


def open_folder(
    spec: str, root: Path, *, split: str | None = None, extensions: Collection[str] = EXTENSIONS, items: str = "image"
) -> Dataset:
    """Images in one folder per class, at any depth, or in such folders in a folder for each split.

    It comes in splits only where every folder at the top is called like one (train, val, valid, validation, test, in
    any case) and holds folders; so a class may be called "train" too. The classes are those of all splits together,
    so that labels mean the same in each.

    Parameters
    ----------
    spec
        As the data set was given.
    root
        An existing directory.
    split
        Which part; None for the first that is there of val, valid, validation, test, train.
    extensions, items
        What files of the data set end in, in lower case, and what they are called in messages.

    Raises
    ------
    OptionError
        If a split is given, but the data set does not come in splits.
    EmptyDataError
        If there is no class folder, or no image in any.
    DataNotFoundError
        If a directory cannot be read, or there is no such split.
    """
    tops = _splits(spec, root)
    if not tops:
        if split is not None:
            raise OptionError(f"split is {split!r}, but data {spec!r} does not come in splits; leave it out")
        return open_classes(spec, root, extensions=extensions, items=items)
    chosen = choose_split(spec, tops.get((split or "").casefold(), split), default_split(tops.values()), tops.values())
    walked = {name: _class_folders(spec, root, name, extensions) for name in tops.values()}
    ids = sorted({class_id for folders, _ in walked.values() for class_id in folders}, key=os.fsencode)
    found, ignored = walked[chosen]
    data = _dataset(spec, root, ids, found, ignored, extensions=extensions, items=items, where=f" in split {chosen!r}")
    empty = [class_id for class_id in ids if class_id not in found]
    notes = [said(chosen, list(tops.values())) if split is None else ""]
    if empty:
        some = ", ".join(path_text(class_id) for class_id in empty[:3]) + (", ..." if len(empty) > 3 else "")
        notes.append(f"{len(empty)} of {len(ids)} classes have no {items} in split {chosen!r}: {some}")
    return replace(data, split=chosen, notes=tuple(filter(None, notes)))


def open_classes(spec: str, root: Path, *, extensions: Collection[str] = EXTENSIONS, items: str = "image") -> Dataset:
    """Images in one folder per class, at any depth.

    The class of an image is the path of its folder. What all these paths end in ("n01443537/images") says nothing and
    is left out. Links to folders are followed, though never in a circle; hidden folders are passed over. A folder
    called like an image is taken for one, which will not decode, so that nothing found goes missing.

    Parameters
    ----------
    spec, root, extensions, items
        As in `open_folder`.

    Raises
    ------
    EmptyDataError
        If there is no class folder, or no image in any.
    DataNotFoundError
        If a directory cannot be read.
    """
    folders, ignored = _class_folders(spec, root, "", extensions)
    ids = sorted(folders, key=os.fsencode)
    return _dataset(spec, root, ids, folders, ignored, extensions=extensions, items=items)


def _dataset(
    spec: str,
    root: Path,
    ids: Sequence[str],
    found: Mapping[str, "_Folder"],
    ignored: Mapping[str, int],
    *,
    extensions: Collection[str],
    items: str,
    where: str = "",
) -> Dataset:
    """A data set of these classes, of which folders were found."""
    if not found:
        raise EmptyDataError(f"data {spec!r} has no class folders{where}; expected {root}/CLASS/{items.upper()}")
    labels = [label for label, class_id in enumerate(ids) if class_id in found]
    folders = [found[ids[label]] for label in labels]
    paths = tuple(f"{folder.path}/{name}" for folder in folders for name in folder.names)
    if not paths:
        raise EmptyDataError(
            f"data {spec!r} has {len(folders)} class folders{where} but no {items} in them; {items}s are files called"
            f" {', '.join(sorted(extensions))}"
        )
    return Dataset(
        spec=spec,
        root=root,
        classes=Classes(tuple(path_text(class_id) for class_id in ids), _names(ids)),
        paths=paths,
        labels=np.repeat(np.array(labels, np.int64), [len(folder.names) for folder in folders]),
        remarks=_repeats(
            paths,
            np.concatenate([folder.files for folder in folders]),
            np.concatenate([folder.linked for folder in folders]),
        ),
        ignored=ignored,
    )


def _splits(spec: str, root: Path) -> dict[str, str]:
    """The folders of splits by their name in lower case; empty where the data set does not come in splits."""
    splits: dict[str, str] = {}
    try:
        with os.scandir(root) as entries:
            tops = [entry.name for entry in entries if not entry.name.startswith(".") and _directory(entry)]
        for name in sorted(tops, key=os.fsencode):
            plain = name.casefold()
            if plain not in BY_DEFAULT or plain in splits:
                return {}
            with os.scandir(root / name) as entries:
                if not any(not entry.name.startswith(".") and _directory(entry) for entry in entries):
                    return {}
            splits[plain] = name
    except OSError as error:
        raise _unreadable(spec, error, "") from error
    return splits


def _class_folders(
    spec: str, root: Path, top: str, extensions: Collection[str]
) -> tuple[dict[str, "_Folder"], Counter[str]]:
    """The class folders below a folder of the root, by class, and the kinds of files that belong to none."""
    folders, ignored = _walk(spec, root, top, extensions)
    below = [folder.path.removeprefix(f"{top}/") if top else folder.path for folder in folders]
    return dict(zip(_without_common_end(below), folders, strict=True)), ignored


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


def _walk(spec: str, root: Path, top: str, extensions: Collection[str]) -> tuple[list[_Folder], Counter[str]]:
    """The class folders below a folder of the root, in no order, and the kinds of files that belong to none."""
    folders, ignored = [], Counter[str]()
    waiting: list[tuple[str, bool, tuple[tuple[int, int], ...]]] = [(top, False, (_identity(root / top),))]
    while waiting:
        path, linked, chain = waiting.pop()  # the chain is the directory itself, last, and those it lies in
        images: list[tuple[bytes, tuple[int, int], bool]] = []
        below = 0
        try:
            with os.scandir(os.path.join(root, path)) as entries:
                for entry in entries:
                    if path != top and os.path.splitext(entry.name)[1].lower() in extensions:
                        images.append((os.fsencode(entry.name), _file(entry, chain[-1][0]), entry.is_symlink()))
                    elif (directory := _directory(entry)) is None:
                        ignored[kind_of(entry.name)] += 1
                    elif not entry.name.startswith(".") and directory not in chain:
                        inner = f"{path}/{entry.name}" if path else entry.name
                        waiting.append((inner, linked or entry.is_symlink(), (*chain, directory)))
                        below += 1
        except OSError as error:
            raise _unreadable(spec, error, path) from error
        if path != top and (images or not below):
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


def _unreadable(spec: str, error: OSError, path: str) -> DataNotFoundError:
    return DataNotFoundError(
        f"data {spec!r}: {path_text(str(error.filename or path))!r} cannot be read ({error.strerror}). Make it"
        " readable, or move it out of the data."
    )


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
