"""What differs between Linux, macOS and Windows: processes and signals, and how files get and lose their names.

No other module asks which system it runs on, or calls what one of them lacks; a test sees to that. Each function does
what is asked wherever it can be done, and says in its docstring where it cannot.
"""

import ctypes
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import IO, Any, Final

import psutil

_SAME_START: Final = 10.0
"""Seconds by which two readings of a process's start may differ, as the clock of the host is set meanwhile."""
_IN_USE: Final = (5, 32, 33)
"""Windows errors for a file that another process has open: access denied, sharing violation, lock violation."""
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors for a hard link where the disk has none."""
_READERS: Final = 10.0
"""Seconds that readers of a file have to close it, on Windows, before it cannot be replaced."""


# Processes


def began(pid: int) -> float:
    """When a process of this host began, in seconds since the epoch; raises psutil.Error if it cannot be told."""
    return float(psutil.Process(pid).create_time())


def alive(pid: int, start: float | None = None) -> bool:
    """Whether a process runs on this host. One that has ended and was not collected by its parent does not.

    Parameters
    ----------
    pid
        Its number; any integer.
    start
        When it began, as `began` gave it: a process of that number that began at another time is another process.
        None if that is not known.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return start is None or abs(process.create_time() - start) <= _SAME_START
    except psutil.AccessDenied:  # another user's
        return True
    except psutil.NoSuchProcess:
        return _hidden(pid)
    except (ValueError, OverflowError):
        return False


def _hidden(pid: int) -> bool:
    """Whether it is a process of another user that this one is not shown, as where /proc is mounted with hidepid."""
    if os.name == "nt":  # where the call below would end it
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def process_space() -> str:
    """Where the process numbers of this process count: containers that share a host name have numbers of their own.

    Empty on systems without such namespaces.
    """
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def c_library() -> ctypes.CDLL | None:
    """The C library of this process on Linux, where it may be glibc; elsewhere None."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def worker_context() -> BaseContext:
    """How worker processes are started: forked on Linux, which is fast and pickles nothing, elsewhere spawned."""
    forks = sys.platform == "linux" and hasattr(os, "fork")
    return multiprocessing.get_context("fork" if forks else "spawn")


def importing_main() -> bool:
    """Whether this is a spawned process that only just imports the script it was started from.

    The script is imported under another `__name__`; what stands in it outside of `if __name__ == "__main__":` runs
    again in each worker.
    """
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


def ignore_interrupts() -> None:
    """Leave Ctrl-C, and Ctrl-Break on Windows, to the process that waits for this one."""
    for name in ("SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def heed_breaks() -> None:
    """Take Ctrl-Break on Windows for Ctrl-C: it is what `end` can send to a process there."""
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, signal.default_int_handler)


def start_apart(
    command: Sequence[str], *, out: IO[bytes], err: IO[bytes], environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a command in a process group of its own, which Ctrl-C in this terminal does not reach; see `end`."""
    group: dict[str, Any] = {"start_new_session": True}
    if not hasattr(os, "killpg"):
        group = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment), **group)


def end(process: "subprocess.Popen[bytes]", patience: float) -> None:
    """End a process from `start_apart` and what it started; returns when it has ended.

    Parameters
    ----------
    process
        May have ended already.
    patience
        Seconds from the request to end, which is that of Ctrl-C, to the end by force.
    """
    if process.poll() is not None:  # its number may be another's by now
        return
    family = [] if hasattr(os, "killpg") else _family(process.pid)
    with suppress(OSError):  # it ended meanwhile, or has no console to be sent a break
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGINT)
        elif hasattr(signal, "CTRL_BREAK_EVENT"):
            process.send_signal(signal.CTRL_BREAK_EVENT)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
    for each in family:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(family, timeout=patience)


def _family(pid: int) -> list[psutil.Process]:
    """What a process started, and what that started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def become(command: Sequence[str]) -> None:
    """Run a command in place of this process, so that what ends this ends it; does not return.

    Windows has no such call: there this process waits for the command and ends with its exit code.
    """
    if os.name == "nt":
        ignore_interrupts()
        sys.exit(subprocess.call(command))
    os.execv(command[0], list(command))


# Files


def replace(beside: Path, path: Path) -> None:
    """Give a file its name, in place of a file of that name that may be there.

    On Windows this fails as long as a reader has that file open; then it is tried again for some seconds.
    """
    patience = time.monotonic() + _READERS
    while True:
        try:
            os.replace(beside, path)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in _IN_USE or time.monotonic() > patience:
                raise
        time.sleep(0.05)


def name_first(beside: Path, path: Path) -> None:
    """Give a file its name unless there is a file of that name, which is a FileExistsError.

    Where the disk has no hard links, two processes that do this at the same moment may both succeed.
    """
    if os.name == "nt":
        os.rename(beside, path)  # there it replaces nothing
        return
    try:
        os.link(beside, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        os.replace(beside, path)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk. Windows opens no directories, and some network disks sync none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(directory)
