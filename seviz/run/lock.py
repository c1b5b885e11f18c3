"""One launch holds a run: its processes share the lock, another launch is refused."""

import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from seviz.errors import RunLockedError, WriteError
from seviz.run.files import alive

_PATIENCE = 2.0  # seconds in which another process of the launch finishes taking the lock
_MOURNING = 30.0  # seconds in which the workers of a killed capture notice, and end too


@contextmanager
def lock(directory: Path, launch: str | None = None) -> Iterator[None]:
    """Hold a run, so that no other launch writes to it.

    Each host has a file of its own in `directory`, which its processes hold open and locked; the system lets go
    when a process ends, however it ends. A file of another host that still names an owner was left by a launch that
    runs there, or by one that was killed there: from here the two cannot be told apart.

    Parameters
    ----------
    directory
        Where the files are.
    launch
        What the processes of one launch have in common; None for a process by itself.

    Raises
    ------
    RunLockedError
        If another launch holds the run, or may hold it on another host.
    """
    host = socket.gethostname()
    launch = launch or f"{host}:{os.getpid()}:{uuid.uuid4()}"
    mine = directory / f"{host}.json"
    with _opened(mine) as file:
        _take(file, mine, launch)
        try:
            _refuse_others(directory, mine, launch)
            yield
        finally:
            _leave(file)


def _opened(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise WriteError(f"{path} could not be written ({error.strerror}). Make the place writable.") from error


def _take(file: IO[str], path: Path, launch: str) -> None:
    owner = {"launch": launch, "pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    start = time.monotonic()
    while True:
        if _locked(file, fcntl.LOCK_EX):  # nobody else on this host: whoever is named in the file is dead
            _write(file, json.dumps(owner))
            fcntl.flock(file, fcntl.LOCK_SH)
            return
        there = _read(file)
        if there.get("launch") == launch and _locked(file, fcntl.LOCK_SH):
            return
        pid = there.get("pid")
        if time.monotonic() - start > (_PATIENCE if isinstance(pid, int) and alive(pid) else _MOURNING):
            raise RunLockedError(
                f"{str(path.parent.parent)!r} is being written by another capture on this host (process"
                f" {pid or 'unknown'}, since {there.get('since', 'unknown')}). Wait for it, or end it and"
                " run the same command again."
            )
        time.sleep(0.05)


def _refuse_others(directory: Path, mine: Path, launch: str) -> None:
    for path in sorted(directory.glob("*.json")):
        if path == mine:
            continue
        with path.open() as file:
            there = _read(file)
        if there and there.get("launch") != launch:
            raise RunLockedError(
                f"{str(directory.parent)!r} is held by a capture on the host {path.stem!r} (process"
                f" {there.get('pid', 'unknown')}, since {there.get('since', 'unknown')}). If that one has ended, as"
                f" after a crash, delete {str(path)!r} and run the same command again."
            )


def _leave(file: IO[str]) -> None:
    if _locked(file, fcntl.LOCK_EX):  # the last of the launch on this host
        _write(file, "")


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def _read(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        there = json.loads(file.read() or "{}")
    except ValueError:  # half written, by one that is taking the lock or was killed in between
        return {"launch": "unknown"}
    return there if isinstance(there, dict) else {"launch": "unknown"}
