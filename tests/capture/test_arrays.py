"""Files that hold arrays: what is read of them, and what of a stranger's file is refused."""

import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seviz.capture.arrays import decode_array
from seviz.capture.datasets import open_dataset
from seviz.capture.images import Decoded

VALUES = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


def write(file: Path, value: Any) -> Path:
    """As the packages themselves write it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, value, allow_pickle=True)
    elif file.suffix == ".npz":
        np.savez_compressed(file, **value)
    else:
        torch.save(value, file)
    return file


def read(root: Path, file: str, value: Any = None) -> Decoded:
    """As a data set reads a file of this name; the value is bytes, or for the package that writes such files."""
    if isinstance(value, bytes):
        (root / "a").mkdir(parents=True, exist_ok=True)
        (root / "a" / file).write_bytes(value)
    elif value is not None:
        write(root / "a" / file, value)
    return open_dataset(f"arrays:{root}").read(0)


@pytest.mark.parametrize(
    ("file", "value", "expected"),
    [
        ("x.npy", VALUES, VALUES),
        ("x.NPY", None, VALUES),
        ("x.npy", np.asfortranarray(VALUES), VALUES),
        ("x.npy", VALUES.astype(">f8"), VALUES.astype("f8")),
        ("x.npy", VALUES.astype(np.float16), VALUES.astype(np.float16)),
        ("x.npy", VALUES.astype(np.uint16), VALUES.astype(np.uint16)),
        ("x.npy", VALUES > 3, VALUES > 3),
        ("x.npy", VALUES[0], VALUES[0]),
        ("x.npy", VALUES[None], VALUES[None]),
        ("x.npz", {"anything": VALUES}, VALUES),
        ("x.npz", {"mask": VALUES[0], "x": VALUES}, VALUES),
        ("x.npz", {"x": VALUES[0], "image": VALUES}, VALUES),
        ("x.pt", torch.from_numpy(VALUES), VALUES),
        ("x.pt", torch.from_numpy(VALUES).permute(2, 0, 1), VALUES.transpose(2, 0, 1)),
        ("x.pt", torch.nn.Parameter(torch.from_numpy(VALUES)), VALUES),
        ("x.pt", torch.from_numpy(VALUES).bfloat16(), VALUES),
        ("x.pt", torch.from_numpy(VALUES).to(torch.uint8), VALUES.astype(np.uint8)),
        ("x.pt", {"label": 3, "input": torch.from_numpy(VALUES)}, VALUES),
        ("x.pt", OrderedDict(mask=torch.ones(2), data=torch.from_numpy(VALUES)), VALUES),
    ],
)
def test_arrays_as_they_are_written(file: str, value: Any, expected: np.ndarray, tmp_path: Path) -> None:
    if value is None:
        write(tmp_path / "a" / "x.npy", VALUES).rename(tmp_path / "a" / file)
    decoded = read(tmp_path, file, value)
    assert (decoded.status, decoded.reason) == ("ok", "")
    assert decoded.image.dtype == expected.dtype
    np.testing.assert_array_equal(decoded.image, expected)


def header(shape: str, dtype: str = "<f4", version: bytes = b"\x01\x00") -> bytes:
    """A file of numpy's with this header and eight bytes of numbers."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + bytes(8)


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(f"{name}.npy", content)
    return file.getvalue()


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("/tmp/seviz-was-here"),))


ODD = [
    ("x.npy", b"", "the file is empty"),
    ("x.npy", b"no array at all", "the magic string is not correct"),
    ("x.npy", header("(1, 1, 3)"), "holds other than the bytes that its header tells"),
    ("x.npy", header("(1, 1, 1)"), "holds other than the bytes that its header tells"),
    ("x.npy", header("(100000, 100000, 1000)"), "holds other than the bytes that its header tells"),
    ("x.npy", header("(-1, -1, 2)"), "holds other than the bytes that its header tells"),
    ("x.npy", header("(1, 1, 2)", version=b"\x03\x00"), "numpy format 3.0, expected 1.0 or 2.0"),
    ("x.npy", header("(1, 1, 2)", "|O"), "holds Python objects, which are not read"),
    ("x.npy", header("__import__('os').system('x')"), "malformed|Cannot parse header"),
    ("x.npy", np.array([Evil()], object), "holds Python objects, which are not read"),
    ("x.npy", VALUES.astype(complex), "numbers of type complex128, expected whole numbers or floating point"),
    ("x.npy", VALUES.astype(str), "numbers of type <U32, expected whole"),
    ("x.npy", VALUES[0, 0], r"shape \(4,\), expected \(channels, height, width\)"),
    ("x.npy", VALUES[None, None], r"shape \(1, 1, 2, 3, 4\), expected"),
    ("x.npy", VALUES[:, :0], r"shape \(2, 0, 4\), expected"),
    ("x.npy", np.where(VALUES == 3, np.nan, VALUES), "holds numbers that are not finite"),
    ("x.npy", np.where(VALUES == 3, -np.inf, VALUES), "holds numbers that are not finite"),
    ("x.npz", b"PK no archive", "File is not a zip file"),
    ("x.npz", {"one": VALUES, "two": VALUES}, r"2 arrays \(one, two\), expected one, or one called image, x, "),
    ("x.npz", archive(), r"0 arrays \(\), expected one"),
    ("x.npz", archive(x=header("(100000, 100000, 1000)")), "holds other than the bytes that its header tells"),
    ("x.npz", archive(x=header("(1, 1, 2)", "|O")), "holds Python objects"),
    ("x.pt", b"no tensor", "no file that torch.save writes"),
    ("x.pt", pickle.dumps(Evil()), "no file that torch.save writes"),
    ("x.pt", Evil(), "cannot be read as tensors alone, without executing what it holds"),
    ("x.pt", archive(x=bytes(9)), "cannot be read as tensors alone"),
    ("x.pt", [1, 2], "holds a list, expected a tensor"),
    ("x.pt", {"a": torch.ones(1), "b": torch.ones(2)}, r"2 arrays \(a, b\), expected one, or one called image"),
    ("x.pt", torch.ones(2, 3).to_sparse(), "a tensor of torch.sparse_coo, torch.float32, expected dense real numbers"),
    ("x.pt", torch.ones(2, 3, dtype=torch.complex64), "torch.complex64, expected dense real numbers"),
    ("x.pt", torch.ones(1).expand(1 << 15, 1 << 15), "larger than 1073741824 bytes"),
    ("x.pt", torch.tensor([[float("nan")]]), "holds numbers that are not finite"),
]


@pytest.mark.parametrize(("file", "value", "reason"), ODD)
def test_what_is_no_array_of_numbers_fails_with_the_reason(file: str, value: Any, reason: str, tmp_path: Path) -> None:
    decoded = read(tmp_path, file, value)
    assert (decoded.image, decoded.status) == (None, "failed")
    assert re.search(reason, decoded.reason), decoded.reason
    assert not Path("/tmp/seviz-was-here").exists()


@pytest.mark.parametrize("file", ["x.npy", "x.npz", "x.pt"])
def test_no_bit_that_is_flipped_is_an_error_of_ours(file: str, tmp_path: Path) -> None:
    value = {"x": VALUES} if file == "x.npz" else torch.from_numpy(VALUES) if file == "x.pt" else VALUES
    whole = write(tmp_path / file, value).read_bytes()
    random = np.random.default_rng(0)
    data = open_dataset(f"arrays:{write(tmp_path / 'root' / 'a' / file, value).parent.parent}")
    for _ in range(60):
        bytes_ = bytearray(whole)
        bytes_[random.integers(len(whole))] ^= 1 << random.integers(8)
        cut = whole[: random.integers(1, len(whole))]
        for content in (bytes(bytes_), cut):
            (tmp_path / "root" / "a" / file).write_bytes(content)
            decoded = data.read(0)
            assert decoded.status == "ok" or (decoded.image is None and decoded.reason), content


def test_larger_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seviz.capture.arrays.LARGEST_FILE", 50)
    with pytest.raises(ValueError, match="larger than 50 bytes"):
        decode_array(write(tmp_path / "x.npz", {"x": VALUES}).read_bytes(), ".npz")
    with pytest.raises(ValueError, match="larger than 50 bytes"):
        decode_array(write(tmp_path / "x.pt", torch.ones(2, 2)).read_bytes(), ".pt")


def test_folders_of_arrays(tmp_path: Path) -> None:
    for path in ("val/b/1.npy", "val/b/0.pt", "train/a/x.npz"):
        write(tmp_path / path, {"x": VALUES} if path.endswith("z") else torch.ones(2, 3) if "pt" in path else VALUES)
    (tmp_path / "val" / "b" / "picture.png").touch()
    data = open_dataset(f"arrays:{tmp_path}")
    assert (data.paths, data.labels.tolist(), data.classes.ids) == (("val/b/0.pt", "val/b/1.npy"), [1, 1], ("a", "b"))
    assert (data.arrays, data.preprocess, data.split, data.ignored) == (True, "none", "val", {".png": 1})
    assert data.notes == (
        "split 'val' is taken (--split chooses; there is also train)",
        "1 of 2 classes have no array in split 'val': a",
        "arrays are taken as they are, in the network's dtype (--preprocess model: prepared as the network says)",
    )
    given = open_dataset(f"arrays:{tmp_path}", split="train", preprocess="model")
    assert (given.paths, given.preprocess, given.notes) == (
        ("train/a/x.npz",),
        "model",
        ("1 of 2 classes have no array in split 'train': b",),
    )
    assert given.read(0).status == given.take(np.array([0])).read(0).status == "ok"
