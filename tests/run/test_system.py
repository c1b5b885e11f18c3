"""Processes and names of files. What is done on Windows is tried with the calls of that system put in place."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from seviz.run import system

CHILD = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.01)


def started(tmp_path: Path, code: str) -> "tuple[subprocess.Popen[bytes], int]":
    """A process begun apart, and the number that it printed."""
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = system.start_apart([sys.executable, "-c", code], out=out, err=err, environment=os.environ)
    wait((tmp_path / "out").read_text)
    return process, int((tmp_path / "out").read_text())


def test_who_is_alive() -> None:
    me = os.getpid()
    began = system.began(me)
    assert time.time() - 86400 < began < time.time()
    assert system.alive(me)
    assert system.alive(me, began)
    assert system.alive(me, began + 2)  # the clock was set
    assert not system.alive(me, began + 60)
    assert not system.alive(me, began - 60)
    for nobody in (-1, 2**22 + 1, 10**30):
        assert not system.alive(nobody)
    with pytest.raises(psutil.Error):
        system.began(2**22 + 1)


def test_whoever_may_not_be_asked_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: psutil.Process) -> str:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "status", refuse)
    assert system.alive(os.getpid(), 0.0)


@pytest.mark.parametrize(("failure", "there"), [(PermissionError, True), (ProcessLookupError, False), (None, False)])
def test_whoever_is_hidden_is_alive(
    failure: type[OSError] | None, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On some shared machines /proc shows one's own processes only; a signal is refused where there is another."""

    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (2**22 + 1, 0)
        if failure is not None:
            raise failure

    monkeypatch.setattr("os.kill", kill)
    assert system.alive(2**22 + 1, 1.0) == there


def test_on_windows_no_process_is_asked_by_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, signal 0 is Ctrl-C, and any other ends it."""
    monkeypatch.setattr(system, "os", SimpleNamespace(name="nt"))  # without `kill`
    assert not system.alive(2**22 + 1)


def test_numbers_of_processes_count_where_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "linux":
        assert system.process_space() == os.readlink(f"/proc/{os.getpid()}/ns/pid")

    def none(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("os.readlink", none)
    assert system.process_space() == ""


@pytest.mark.parametrize(
    ("platform", "forks", "method"),
    [("linux", True, "fork"), ("linux", False, "spawn"), ("darwin", True, "spawn"), ("win32", False, "spawn")],
)
def test_how_workers_are_started(platform: str, forks: bool, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", platform)
    if not forks:
        monkeypatch.delattr("os.fork")
    assert system.worker_context().get_start_method() == method
    assert (system.c_library() is None) == (platform != "linux")


def test_a_worker_that_imports_its_script_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not system.importing_main()
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    assert system.importing_main()


def test_interrupts_are_ignored_and_breaks_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: dict[int, object] = {}
    monkeypatch.setattr("signal.signal", set_to.__setitem__)
    system.heed_breaks()
    assert set_to == {}
    system.ignore_interrupts()
    assert set_to == {signal.SIGINT: signal.SIG_IGN}
    monkeypatch.setattr("signal.SIGBREAK", 21, raising=False)
    system.ignore_interrupts()
    assert set_to == {signal.SIGINT: signal.SIG_IGN, 21: signal.SIG_IGN}
    system.heed_breaks()
    assert set_to[21] is signal.default_int_handler


@pytest.mark.parametrize("groups", [True, False])
def test_a_process_and_what_it_started_are_ended(groups: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not groups:
        monkeypatch.delattr("os.killpg")
    process, child = started(tmp_path, CHILD)
    assert (os.getsid(process.pid) == process.pid) == groups  # a session of its own
    system.end(process, 5.0 if groups else 0.1)
    assert process.returncode in (-signal.SIGINT, 1) if groups else -signal.SIGKILL
    wait(lambda: not system.alive(child))
    system.end(process, 0.1)  # again does nothing


def test_whoever_ignores_the_request_is_ended_by_force(tmp_path: Path) -> None:
    code = "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(os.getpid(), flush=True)"
    process, number = started(tmp_path, f"{code}; time.sleep(600)")
    system.end(process, 0.1)
    assert (number, process.returncode) == (process.pid, -signal.SIGKILL)


def test_on_windows_a_break_is_what_asks_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process group is made by a flag, and Ctrl-Break is sent to it; SIGTERM stands in for that."""
    monkeypatch.delattr("os.killpg")
    monkeypatch.setattr("signal.CTRL_BREAK_EVENT", signal.SIGTERM, raising=False)
    monkeypatch.setattr("subprocess.CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    flags: list[object] = []
    popen = subprocess.Popen

    def noted(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        flags.append(options.pop("creationflags", None))
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("subprocess.Popen", noted)
    process, _ = started(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    system.end(process, 60.0)
    assert flags == [0x200]
    assert process.returncode == -signal.SIGTERM


def test_a_command_takes_the_place_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    monkeypatch.setattr("os.execv", lambda program, command: ran.append((program, command)))
    system.become(("a", "b"))
    assert ran == [("a", ["a", "b"])]


def test_on_windows_a_command_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "ignore_interrupts", lambda: None)
    monkeypatch.setattr(system, "os", SimpleNamespace(name="nt"))
    with pytest.raises(SystemExit) as ended:
        system.become([sys.executable, "-c", "raise SystemExit(7)"])
    assert ended.value.code == 7


def test_a_file_that_is_being_read_is_replaced_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where the error for that has a number of its own."""
    failures = [5, 32, 33]
    put = os.replace

    def replace(beside: Path, path: Path) -> None:
        if failures:
            error = PermissionError(errno.EACCES, "Access is denied", str(path))
            error.winerror = failures.pop()
            raise error
        put(beside, path)

    monkeypatch.setattr("os.replace", replace)
    (tmp_path / "new").write_text("new")
    (tmp_path / "old").write_text("old")
    system.replace(tmp_path / "new", tmp_path / "old")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "new")]


@pytest.mark.parametrize(("number", "waits"), [(None, False), (3, False), (32, True)])
def test_other_failures_to_replace_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None, waits: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def replace(*_: object) -> None:
        error = PermissionError(errno.EACCES, "Access is denied")
        if number is not None:
            error.winerror = number
        raise error

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(PermissionError, match="Access is denied"):
        system.replace(tmp_path / "a", tmp_path / "b")
    assert (now[0] > 10) == waits


def test_on_windows_a_name_is_given_by_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(beside: Path, path: Path) -> None:  # which replaces nothing there
        if path.exists():
            raise FileExistsError(errno.EEXIST, "there", str(path))
        beside.rename(path)

    monkeypatch.setattr(system, "os", SimpleNamespace(name="nt", rename=rename))
    for content in ("first", "second"):
        (tmp_path / "beside").write_text(content)
        if content == "first":
            system.name_first(tmp_path / "beside", tmp_path / "f")
        else:
            with pytest.raises(FileExistsError):
                system.name_first(tmp_path / "beside", tmp_path / "f")
    assert (tmp_path / "f").read_text() == "first"


def test_a_link_that_fails_otherwise_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        system.name_first(tmp_path / "nothing", tmp_path / "f")


def test_directories_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system.sync_directory(tmp_path)
    raised = [errno.EINVAL, errno.ENOTSUP, errno.EIO]

    def sync(_: int) -> None:
        number = raised.pop(0)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", sync)
    system.sync_directory(tmp_path)  # a network disk
    system.sync_directory(tmp_path)
    with pytest.raises(OSError, match="Input/output error"):
        system.sync_directory(tmp_path)
    monkeypatch.delattr("os.O_DIRECTORY")  # Windows
    system.sync_directory(tmp_path / "is not even looked at")
