"""Files that are whole or not there: written beside, synced, renamed; read back with their checksum verified."""

import hashlib
import json
import os
import socket
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from seviz.errors import DamagedRunError, WriteError
from seviz.foreign import line
from seviz.run import system
from seviz.run.forms import Form, Header, header_text, read_header

Arrays = Mapping[str, NDArray[Any]]


def write_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile.

    Parameters
    ----------
    path
        Where; its directory is made if need be.
    content
        What.
    replace
        Take the place of a file that is there; if False, that is a FileExistsError, and the file stays.

    Raises
    ------
    WriteError
        If the disk is full, read-only, or fails; what was there before stays.
    FileExistsError
        If `replace` is False and the file is there.
    """
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise WriteError(
            f"{path} could not be written: {error.filename} is, or is in, a file. Give another place."
        ) from error
    except OSError as error:
        raise _not_written(path, error) from error
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            system.replace(beside, path)
        else:
            system.name_first(beside, path)
        system.sync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> WriteError:
    return WriteError(
        f"{path} could not be written ({error.strerror or error}). What was done before is kept: make room, or make the"
        " place writable, and run the same command again."
    )


def sweep(directory: Path) -> None:
    """Delete what processes of this host have left half written when they were killed."""
    for path in directory.rglob(f".*.{socket.gethostname()}.*.tmp"):
        pid = path.name.split(".")[-2]
        if pid.isdigit() and not system.alive(int(pid)):
            path.unlink(missing_ok=True)


def checksum(arrays: Arrays, facts: Mapping[str, Any]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the arrays, and over the facts."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_arrays(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write arrays and facts as a safetensors file with a checksum in its header: same content, same bytes."""
    header = header_text(facts, checksum(arrays, facts))
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # One key only: the library writes several in no fixed order.
    write_atomically(path, safetensors.numpy.save(contiguous, metadata={"seviz": header}))


def read_arrays(
    path: Path, *, within: Path | None = None, form: Form | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read arrays and facts, and verify the checksum.

    Parameters
    ----------
    path
        Of the file.
    within
        The directory that it must lie in; by default the one that it is in.
    form
        What arrays it must have, which is looked at before they are read.

    Raises
    ------
    DamagedRunError
        If the file is not what was written, or not there.
    """
    header = header_of(path, within=within)
    try:
        if form is not None:
            form.check(header.arrays)
        with safetensors.safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except UNREADABLE as error:
        raise damaged(path, f"it cannot be read: {line(error)}") from error
    if checksum(arrays, header.facts) != header.sha256:
        raise damaged(path, "its checksum does not match its content")
    return arrays, header.facts


def read_some(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Read some arrays of a file that was verified before."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in names}


def header_of(path: Path, *, within: Path | None = None) -> Header:
    """Read the header of a file without its arrays, so that its checksum is not verified; raises DamagedRunError."""
    try:
        return read_header(path, within=within or path.parent)
    except UNREADABLE as error:
        raise damaged(path, f"it cannot be read: {line(error)}") from error


UNREADABLE = (OSError, ValueError, KeyError, TypeError, MemoryError, safetensors.SafetensorError)
"""What reading a file may raise that is not what was written."""


def damaged(path: Path, why: str) -> DamagedRunError:
    """What is to be raised for a file of a run that is not what was written."""
    return DamagedRunError(f"{path} is damaged: {why}. Delete that file and run the same capture again to redo it.")
