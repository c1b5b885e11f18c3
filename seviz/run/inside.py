"""Names that stand in files, joined with a directory: they never leave it.

What a run says is text that anyone may have written. A name is followed only down from its directory: one that is
absolute, has a drive letter, or goes up is refused before any file is looked at, on every platform by the rules of all.
Links that lie in the directory are followed: data sets are made of such, and only who can write there can lay them.
"""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes

from seviz.errors import DataNotFoundError
from seviz.texts import path_of

OUTSIDE = "path outside the data"
"""What is said of a name that is not followed."""


def inside(root: Path, name: str) -> Path:
    """A name joined with a directory.

    Parameters
    ----------
    root
        Of the data.
    name
        A relative path in it.

    Raises
    ------
    DataNotFoundError
        If the name is empty, leads out of the directory, or no file can be called so.
    """
    if _leaves(name):
        raise DataNotFoundError(
            f"{OUTSIDE}: {name[:300]!r} does not lie below {str(root)!r}, and is not followed; expected a"
            " relative path without '..'"
        )
    return root / name


def image_path(root: Path, path: str) -> Path:
    """Where an image of a run lies.

    Parameters
    ----------
    root
        Of the data.
    path
        As the run tells it: percent-encoded where the file's name is no UTF-8.

    Raises
    ------
    DataNotFoundError
        If the path leads, or would when it is decoded, out of the root.
    """
    inside(root, os.fsdecode(unquote_to_bytes(path)))
    texts = dict.fromkeys((path_of(path), path))  # the second as older versions wrote it
    files = [inside(root, text) for text in texts]
    return next((file for file in files if os.path.exists(file)), files[0])  # `Path.exists` raises if it is too long


def _leaves(name: str) -> bool:
    if not name or "\0" in name:
        return True
    if ".." not in name and ":" not in name and name[0] not in "/\\":
        return False  # quickly, since a data set has a million
    return any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))
