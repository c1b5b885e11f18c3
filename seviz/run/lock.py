"""One launch holds a run: its processes share the lock, another launch is refused.

Each host has a file of its own in the run's `locks/`, which names the launch and each of its processes. It is read and
written only by whoever has the mutex beside it, a lock of the operating system that is held for no longer than that.
A process is known by its number and the time when it began, so that whoever was killed holds nothing, whatever became
of its number. Of a file of another host, or of another container of this one, it cannot be told from here whether its
owner still runs: then the lock is respected, and the message says how to clear it.
"""

import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from seviz.errors import RunLockedError, WriteError
from seviz.run import system
from seviz.run.files import write_atomically

_PATIENCE: Final = 2.0
"""Seconds that another launch has to let go."""
_LARGEST: Final = 1 << 20
"""Bytes a file of ours may have: room for more processes than a host runs."""
_NO_LOCKS: Final = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@dataclass(frozen=True)
class _Process:
    """A process that holds a run.

    Attributes
    ----------
    pid, began, space
        What tells it from others: its number, when it began, and where its number counts; see `seviz.run.system`.
    since
        When it took the lock, in ISO 8601.
    token
        Of this one hold: a process may hold a run twice, for one launch.
    """

    pid: int
    began: float | None = None
    space: str | None = None
    since: str = "unknown"
    token: str = ""

    def living(self) -> bool:
        """Whether it may still run."""
        return self.elsewhere or system.alive(self.pid, self.began)

    @property
    def elsewhere(self) -> bool:
        """Whether its number counts in another container."""
        return self.space is not None and self.space != system.process_space()

    def __str__(self) -> str:
        return f"process {self.pid}, since {self.since}"


@dataclass(frozen=True)
class _Owner:
    """The launch that holds a run, with its processes on one host; nobody if there are none."""

    launch: str = ""
    processes: tuple[_Process, ...] = ()


@contextmanager
def lock(directory: Path, launch: str | None = None) -> Iterator[None]:
    """Hold a run, so that no other launch writes to it.

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
    WriteError
        If the directory cannot be written to, or is on a disk without file locks.
    """
    token = str(uuid.uuid4())
    since = datetime.now(UTC).isoformat(timespec="seconds")
    me = _Process(os.getpid(), system.began(os.getpid()), system.process_space(), since, token)
    mine = directory / f"{socket.gethostname()}.json"
    launch = launch or token
    _take(mine, launch, me)
    try:
        _refuse_others(directory, mine, launch)
        yield
    finally:
        _leave(mine, me)


def _take(path: Path, launch: str, me: _Process) -> None:
    start = time.monotonic()
    while True:
        with _alone(path):
            there = _read(path)
            others = tuple(process for process in there.processes if process.living())
            if not others or there.launch == launch:
                _write(path, _Owner(launch, (*others, me)))
                return
        if time.monotonic() - start > _PATIENCE:
            raise _held(path, others)
        time.sleep(0.05)


def _held(path: Path, others: tuple[_Process, ...]) -> RunLockedError:
    run = str(path.parent.parent)
    if all(process.elsewhere for process in others):
        return _cannot_tell(path, "in another container on this host", others[0])
    here = next(process for process in others if not process.elsewhere)
    return RunLockedError(
        f"{run!r} is being written by another capture on this host ({here}). Wait for it, or end it and run the same"
        " command again."
    )


def _cannot_tell(path: Path, where: str, process: _Process) -> RunLockedError:
    return RunLockedError(
        f"{str(path.parent.parent)!r} is held by a capture {where} ({process}). If that one has ended, as after a"
        f" crash, delete {str(path)!r} and run the same command again."
    )


def _refuse_others(directory: Path, mine: Path, launch: str) -> None:
    for path in sorted(directory.glob("*.json")):
        if path != mine and (there := _read(path)).processes and there.launch != launch:
            raise _cannot_tell(path, f"on the host {path.stem!r}", there.processes[0])


def _leave(path: Path, me: _Process) -> None:
    # What cannot be taken back, as where the run was deleted meanwhile, counts no longer once this process has ended.
    with suppress(WriteError, RunLockedError, OSError), _alone(path):
        there = _read(path)
        others = tuple(process for process in there.processes if process.token != me.token)
        if others:
            _write(path, replace(there, processes=others))
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only process of this host that reads and writes a file of ours."""
    mutex = FileLock(path.with_suffix(".lock"), timeout=_PATIENCE, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mutex.acquire()
    except Timeout as error:
        raise RunLockedError(
            f"{str(path.parent.parent)!r} is being locked by another process, which does not let go of"
            f" {mutex.lock_file!r}. Run the same command again; if that does not help, end the process that hangs."
        ) from error
    except (NotImplementedError, OSError) as error:
        if isinstance(error, NotImplementedError) or error.errno in _NO_LOCKS:
            raise WriteError(
                f"{str(path.parent)!r} is on a disk without file locks ({error}), by which captures keep out of each"
                " other's way. Give a directory on another disk."
            ) from error
        raise WriteError(
            f"{path} could not be written ({error.strerror or error}). Make the place writable."
        ) from error
    try:
        yield
    finally:
        mutex.release()


def _write(path: Path, owner: _Owner) -> None:
    write_atomically(path, json.dumps(asdict(owner), indent=1).encode())


def _read(path: Path) -> _Owner:
    """Who is named in a file; nobody if it is not there, or empty."""
    try:
        if not path.exists():
            return _Owner()
        if not path.is_file():
            raise ValueError("it is no file")
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError("it is too large")
        if not content.strip():
            return _Owner()
        there = json.loads(content)
        named = there.get("processes", [there])  # before there were several, the only one stood for all
        return _Owner(str(there["launch"]), tuple(map(_process, named)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RunLockedError(
            f"{str(path.parent.parent)!r} is held by a capture on the host {path.stem!r}, or was: {str(path)!r}, which"
            " names its processes, cannot be read. If none of them runs, delete that file and run the same command"
            " again."
        ) from error


def _process(named: dict[str, object]) -> _Process:
    pid, start, space = named["pid"], named.get("began"), named.get("space")
    if not isinstance(pid, int) or not isinstance(start, float | int | None) or not isinstance(space, str | None):
        raise TypeError(f"no process: {named}")
    try:
        since = datetime.fromisoformat(str(named.get("since"))).isoformat(timespec="seconds")
    except ValueError:
        since = "unknown"
    return _Process(pid, start, space, since, str(named.get("token", "")))
