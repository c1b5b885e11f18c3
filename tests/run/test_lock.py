import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from filelock import FileLock, Timeout

from seviz.errors import RunLockedError, WriteError
from seviz.run.lock import lock
from seviz.run.system import process_space

HELD = """
import sys
from pathlib import Path
from seviz.run.lock import lock
with lock(Path(sys.argv[1]), sys.argv[2] or None):
    print("held", flush=True)
    input()
"""


@contextmanager
def held(directory: Path, launch: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run."""
    command = [sys.executable, "-c", HELD, str(directory), launch]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 1000.0
    while_asleep: list[Callable[[], object]] = field(default_factory=list)
    """What happens in the naps to come, one in each."""

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.while_asleep:
            self.while_asleep.pop(0)()


def own_file(directory: Path) -> Path:
    """The file of this host."""
    return directory / f"{socket.gethostname()}.json"


def name(path: Path, launch: str = "one", **process: object) -> None:
    """Write a file that names one process of a launch."""
    path.write_text(json.dumps({"launch": launch, "processes": [process]}))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


def test_one_launch_at_a_time(tmp_path: Path, clock: Clock) -> None:
    with held(tmp_path / "run" / "locks") as owner:
        message = rf"/run' is being written by another capture on this host \(process {owner.pid}, since 20\d\d-.*Wait"
        with pytest.raises(RunLockedError, match=message), lock(tmp_path / "run" / "locks"):
            pytest.fail("two writers at once")
        assert 1002 < clock.now < 1003  # it may be of the same launch, and about to say so
        owner.kill()  # the system lets go of the lock
        owner.wait()
        with lock(tmp_path / "run" / "locks"):
            pass
    assert clock.now < 1003


def test_whoever_waits_has_the_lock_when_it_is_let_go(tmp_path: Path, clock: Clock) -> None:
    with ExitStack() as first:
        first.enter_context(lock(tmp_path, "one"))
        clock.while_asleep = [lambda: None, first.close]
        with lock(tmp_path, "two"):
            there = json.loads(own_file(tmp_path).read_text())
            assert (there["launch"], [each["pid"] for each in there["processes"]]) == ("two", [os.getpid()])
            assert clock.now == pytest.approx(1000.1)


def test_a_launch_is_joined_at_once_and_left_one_by_one(tmp_path: Path, clock: Clock) -> None:
    with lock(tmp_path, "one"):
        with lock(tmp_path, "one"):
            assert len(json.loads(own_file(tmp_path).read_text())["processes"]) == 2
        assert len(json.loads(own_file(tmp_path).read_text())["processes"]) == 1
        with pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path, "two"):
            pytest.fail("two launches at once")
        clock.now = 1000
    assert clock.now == 1000
    assert not own_file(tmp_path).exists()


def test_of_many_launches_at_the_same_moment_one_gets_the_run(tmp_path: Path) -> None:
    begin, refused, inside = threading.Barrier(8), threading.Semaphore(0), list[int]()

    def attempt(number: int) -> bool:
        begin.wait()
        try:
            with lock(tmp_path):
                inside.append(number)
                for _ in range(7):  # while it is held, each of the others is refused
                    assert refused.acquire(timeout=60)
        except RunLockedError:
            refused.release()
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = [number for number, got in enumerate(threads.map(attempt, range(8))) if got]
    assert won == inside
    assert len(won) == 1


def test_not_twice_in_one_process(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path):
        pytest.fail("two writers at once")


def test_the_processes_of_a_launch_share_it(tmp_path: Path, clock: Clock) -> None:
    with held(tmp_path, "one") as first, held(tmp_path, "one"):
        with pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path, "two"):
            pytest.fail("two launches at once")
        first.kill()
        first.wait()
        clock.now = 1000
        with pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path, "two"):
            pytest.fail("one process of the launch is still at work")
        assert 1002 < clock.now < 1003
    with lock(tmp_path, "two"):
        pass


def test_a_lock_of_another_host_is_named_with_the_way_to_clear_it(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.json"
    other.write_text(json.dumps({"launch": "one", "pid": 77, "since": "2026-01-01T00:00:00+00:00"}))
    message = rf"held by a capture on the host 'elsewhere' \(process 77, since 2026-01-01.* delete '{other}' and run"
    with pytest.raises(RunLockedError, match=message), lock(tmp_path, "two"):
        pytest.fail("two launches at once")
    with lock(tmp_path, "one"):  # the same launch, on several hosts
        pass
    other.unlink()
    with lock(tmp_path, "two"):
        pass


def test_whoever_ends_leaves_no_name(tmp_path: Path) -> None:
    with lock(tmp_path):
        assert json.loads(own_file(tmp_path).read_text())["processes"]
    assert [path.read_text() for path in tmp_path.iterdir()] == [""]
    with pytest.raises(ZeroDivisionError), lock(tmp_path):
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == [""]


def test_a_half_written_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"launch": "o')
    with pytest.raises(RunLockedError, match="host 'elsewhere'"), lock(tmp_path):
        pytest.fail("perhaps two writers at once")


@pytest.mark.parametrize(("earlier", "free"), [(0, False), (5, False), (3600, True), (-3600, True)])
def test_a_number_that_was_given_to_another_process_holds_nothing(tmp_path: Path, earlier: int, free: bool) -> None:
    """The process that started this one runs; whoever had its number an hour before does not."""
    began = psutil.Process(os.getppid()).create_time()
    name(own_file(tmp_path), pid=os.getppid(), began=began - earlier)
    if free:
        with lock(tmp_path, "two"):
            assert json.loads(own_file(tmp_path).read_text())["launch"] == "two"
    else:
        message = rf"is being written by another capture on this host \(process {os.getppid()}, since unknown\)"
        with pytest.raises(RunLockedError, match=message), lock(tmp_path, "two"):
            pytest.fail("two launches at once")


def test_whoever_has_ended_and_was_not_collected_holds_nothing(tmp_path: Path) -> None:
    with held(tmp_path) as owner:
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
        with lock(tmp_path):
            pass


@pytest.mark.skipif(not process_space(), reason="no containers here")
def test_a_lock_of_another_container_of_this_host_is_respected(tmp_path: Path) -> None:
    """Its numbers are not ours: that there is no such process here says nothing."""
    name(own_file(tmp_path), pid=2**22 + 1, began=0.0, space="pid:[1]", since="2026-01-01T00:00:00+00:00")
    message = rf"in another container on this host \(process 4194305, since 2026-01-01.* delete '{own_file(tmp_path)}'"
    with pytest.raises(RunLockedError, match=message), lock(tmp_path):
        pytest.fail("perhaps two writers at once")
    with lock(tmp_path, "one"):
        pass


@pytest.mark.parametrize("content", ["", " \n"])
def test_a_file_without_content_names_nobody(tmp_path: Path, content: str, clock: Clock) -> None:
    for path in (own_file(tmp_path), tmp_path / "elsewhere.json"):
        path.write_text(content)
    with lock(tmp_path):
        assert clock.now == 1000


HOSTILE = {
    "cut short": '{"launch": "o',
    "a list": "[]",
    "a number": "7",
    "nobody named": '{"launch": "one"}',
    "words for numbers": '{"launch": "one", "processes": [{"pid": "1"}]}',
    "an odd beginning": '{"launch": "one", "processes": [{"pid": 1, "began": "now"}]}',
    "processes of no kind": '{"launch": "one", "processes": [7]}',
    "no list of processes": '{"launch": "one", "processes": 7}',
    "deep": "[" * 100_000,
    "no text": "\udcff",
    "large": " " * (1 << 20) + '{"launch": "one", "processes": []}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_cannot_be_read_is_respected(tmp_path: Path, content: str) -> None:
    for path in (own_file(tmp_path), tmp_path / "elsewhere.json"):
        path.write_bytes(content.encode(errors="surrogateescape"))
        message = rf"'{path}', which names its processes, cannot be read\. If none .* delete that file"
        with pytest.raises(RunLockedError, match=message), lock(tmp_path):
            pytest.fail("perhaps two writers at once")
        path.unlink()


@pytest.mark.parametrize("pid", [-1, 0, 10**30, 2**22 + 1])
def test_a_number_that_no_process_has(tmp_path: Path, pid: int) -> None:
    name(own_file(tmp_path), pid=pid, since="\x1b[31m")
    with lock(tmp_path):
        pass
    other = tmp_path / "elsewhere.json"
    name(other, pid=pid, since="\x1b[31m")  # is not printed
    with pytest.raises(RunLockedError, match=rf"process {pid}, since unknown\)"), lock(tmp_path):
        pytest.fail("perhaps two writers at once")


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file_is_respected(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "elsewhere.json"
    other.mkdir() if kind == "directory" else os.mkfifo(other)
    with pytest.raises(RunLockedError, match=r"host 'elsewhere', or was: .* cannot be read"), lock(tmp_path):
        pytest.fail("perhaps two writers at once")


FAILURES = {
    "no locks": (NotImplementedError("FileSystem does not support flock"), WriteError, r"without file locks \(FileS"),
    "a network disk": (
        OSError(errno.ENOLCK, "No locks available"),
        WriteError,
        "without .* Give a directory on anothe",
    ),
    "read-only": (
        OSError(errno.EROFS, "Read-only file system"),
        WriteError,
        r"written \(Read-only file system\)\. Make",
    ),
    "a link": (OSError(errno.ELOOP, "Too many levels"), WriteError, r"could not be written \(Too many levels\)"),
    "a process that hangs": (
        Timeout("x.lock"),
        RunLockedError,
        "does not let go of .*lock'. Run the same command agai",
    ),
}


@pytest.mark.parametrize(("failure", "error", "message"), FAILURES.values(), ids=FAILURES)
def test_where_files_cannot_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, error: type[Exception], message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(FileLock, "acquire", fail)
    with pytest.raises(error, match=message), lock(tmp_path):
        pytest.fail("no lock")


def test_a_run_that_was_deleted_meanwhile_is_let_go(tmp_path: Path) -> None:
    with lock(tmp_path / "run" / "locks"):
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").touch()  # not even a directory can be made


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="could not be written"), lock(tmp_path / "file" / "locks"):
        pytest.fail("no lock")
