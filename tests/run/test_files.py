from pathlib import Path

import numpy as np
import pytest

from seviz.errors import DamagedRunError
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
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
