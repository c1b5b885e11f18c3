import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


def test_one_launch_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "run" / "locks") as owner:
        message = rf"/run' is being written by another capture on this host \(process {owner.pid}, since 20\d\d-.*Wait"
        with pytest.raises(RunLockedError, match=message), lock(tmp_path / "run" / "locks"):
            pytest.fail("two writers at once")
        owner.kill()  # the system lets go of the lock
        owner.wait()
        with lock(tmp_path / "run" / "locks"):
            pass


def test_not_twice_in_one_process(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path):
        pytest.fail("two writers at once")


def test_the_processes_of_a_launch_share_it(tmp_path: Path) -> None:
    with held(tmp_path, "one") as first, held(tmp_path, "one"):
        with pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path, "two"):
            pytest.fail("two launches at once")
        first.kill()
        first.wait()
        with pytest.raises(RunLockedError, match="is being written by another"), lock(tmp_path, "two"):
            pytest.fail("one process of the launch is still at work")
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
