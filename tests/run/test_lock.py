import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from seviz.errors import RunLockedError, WriteError
from seviz.run.lock import lock

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
            there = json.loads((tmp_path / f"{socket.gethostname()}.json").read_text())
            assert (there["launch"], there["pid"]) == ("two", os.getpid())
            assert clock.now == pytest.approx(1000.1)


def test_whoever_waits_shares_the_lock_when_it_bears_the_name_of_the_launch(tmp_path: Path, clock: Clock) -> None:
    """Between taking the lock and writing the name into the file, a process of the launch is nobody."""
    file = tmp_path / f"{socket.gethostname()}.json"
    with lock(tmp_path, "one"):
        named = file.read_text()
        file.write_text("")
        clock.while_asleep = [lambda: file.write_text(named)]
        with lock(tmp_path, "one"):
            assert clock.now == pytest.approx(1000.05)


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
        assert 1030 < clock.now < 1031  # whoever is named is dead, and its workers have time to notice
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
        assert json.loads((tmp_path / f"{socket.gethostname()}.json").read_text())["pid"]
    assert [path.read_text() for path in tmp_path.iterdir()] == [""]
    with pytest.raises(ZeroDivisionError), lock(tmp_path):
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == [""]


def test_a_half_written_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"launch": "o')
    with pytest.raises(RunLockedError, match="host 'elsewhere'"), lock(tmp_path):
        pytest.fail("perhaps two writers at once")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="could not be written"), lock(tmp_path / "file" / "locks"):
        pytest.fail("no lock")
