"""Whether results can be written where they are to go: asked before the work, of which otherwise nothing would be left.

What is asked may be other when the work is done; then writing tells.
"""

import os
import shutil
import tempfile
from pathlib import Path

from seviz.errors import WriteError


def check_directory(path: str | Path) -> None:
    """Raise WriteError unless files can be written into a directory. It need not be there yet, and is not made.

    Raises
    ------
    WriteError
        If a file is in the way, or the directory, or the nearest above it that is there, takes no file.
    """
    path = Path(path)
    there = next(each for each in (path.absolute(), *path.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise WriteError(f"nothing can be written into {str(path)!r}: {str(there)!r} is a file. Give another place.")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise WriteError(
            f"nothing can be written into {str(path)!r} ({error.strerror or error}). Give another place, or make"
            f" {str(there)!r} writable."
        ) from error


def check_file(path: str | Path) -> None:
    """Raise WriteError unless a file can be written, in the place of one that may be there.

    Raises
    ------
    WriteError
        If a directory is in the way, the file must not be written to, or as of `check_directory`.
    """
    path = Path(path)
    if path.is_dir():
        raise WriteError(f"{str(path)!r} cannot be written: it is a directory. Give the name of a file.")
    check_directory(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise WriteError(f"{str(path)!r} cannot be written: it is read-only. Give another name, or delete it.")


def check_room(path: str | Path, wanted: int, what: str, instead: str = "") -> None:
    """Raise WriteError if the disk of a directory, which need not be there yet, has no room for so many bytes.

    Parameters
    ----------
    path
        The directory.
    wanted
        Bytes.
    what
        That takes them, as the beginning of a sentence.
    instead
        What takes less, to stand after "give a place with more room".
    """
    path = Path(path).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if wanted > free:
        raise WriteError(
            f"{what} takes up to {size(wanted)}, and {there} has {size(free)} free. Nothing was written: give a place"
            f" with more room{instead}."
        )


def size(count: float) -> str:
    """A number of bytes for a person: "1.5 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
