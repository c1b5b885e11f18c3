"""Files that are whole or not there: written beside, synced, renamed; read back with their checksum verified."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from seviz.errors import DamagedRunError

Arrays = Mapping[str, NDArray[Any]]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checksum(arrays: Arrays, facts: Mapping[str, Any]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the arrays, and over the facts."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_arrays(path: Path, arrays: Arrays, facts: Mapping[str, Any]) -> None:
    """Write arrays and facts as a safetensors file with a checksum in its header: same content, same bytes."""
    header = json.dumps({"facts": facts, "sha256": checksum(arrays, facts)}, sort_keys=True)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # One key only: the library writes several in no fixed order.
    write_atomically(path, safetensors.numpy.save(contiguous, metadata={"seviz": header}))


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read arrays and facts, and verify the checksum.

    Raises
    ------
    DamagedRunError
        If the file is not what was written.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()["seviz"])
            facts, expected = header["facts"], header["sha256"]
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error
    if checksum(arrays, facts) != expected:
        raise _damaged(path, "its checksum does not match its content")
    return arrays, facts


def _damaged(path: Path, why: str) -> DamagedRunError:
    return DamagedRunError(f"{path} is damaged: {why}. Delete that file and run the same capture again to redo it.")
