import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seviz.errors import DamagedRunError, WriteError
from seviz.run import files

ARRAYS = {"b": np.arange(6, dtype=np.float64).reshape(2, 3), "a": np.arange(4, dtype=np.uint16)}
FACTS = {"chunk": 3, "paths": ["zürich/1.png", "a"]}


def test_same_content_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    for name, arrays, facts in (
        ("1", ARRAYS, FACTS),
        ("2", dict(reversed(ARRAYS.items())), dict(reversed(FACTS.items()))),
    ):
        files.write_arrays(tmp_path / name, arrays, facts)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_read_back(tmp_path: Path) -> None:
    files.write_arrays(tmp_path / "f", ARRAYS, FACTS)
    arrays, facts = files.read_arrays(tmp_path / "f")
    assert facts == FACTS
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "f"
    files.write_arrays(path, ARRAYS, FACTS)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DamagedRunError, match="Delete that file and run the same capture again"):
            files.read_arrays(path)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedRunError, match="is damaged: it cannot be read"):
            files.read_arrays(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    files.write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match=r"/f could not be written \(No space left on device\)\. .* make room"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    for path in (tmp_path / "file" / "f", tmp_path / "file" / "deeper" / "f"):
        with pytest.raises(WriteError, match=r"could not be written: .*file.* a file\. Give another place"):
            files.write_atomically(path, b"new")


@pytest.mark.parametrize("links", [True, False])
def test_what_must_not_be_replaced_stays(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", none)
    files.write_atomically(tmp_path / "f", b"first", replace=False)
    with pytest.raises(FileExistsError):
        files.write_atomically(tmp_path / "f", b"second", replace=False)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"first")]


def test_some_arrays_of_a_file(tmp_path: Path) -> None:
    files.write_arrays(tmp_path / "f", ARRAYS, FACTS)
    some = files.read_some(tmp_path / "f", ["a"])
    assert list(some) == ["a"]
    np.testing.assert_array_equal(some["a"], ARRAYS["a"])


def test_sweeping_spares_the_living_and_other_hosts(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    host = socket.gethostname()
    (tmp_path / "chunks").mkdir()
    names = {
        f"chunks/.000001.safetensors.{host}.{dead.pid}.tmp": False,
        f".manifest.json.{host}.{dead.pid}.tmp": False,
        f"chunks/.000001.safetensors.{host}.{os.getpid()}.tmp": True,
        f"chunks/.000001.safetensors.elsewhere.{dead.pid}.tmp": True,
        "chunks/000001.safetensors": True,
        f".notes.{host}.mine.tmp": True,
    }
    for name in names:
        (tmp_path / name).touch()
    files.sweep(tmp_path)
    assert {name: (tmp_path / name).exists() for name in names} == names
