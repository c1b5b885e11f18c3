"""Read a file that holds an array: .npy, .npz and .pt, of which nothing is executed.

What a header says is compared with what the file holds before memory is taken. Of several arrays in one file the one
is taken that has one of the names in `NAMES`.
"""

import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePath
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import LARGEST_FILE, Decoded, decoded, read_file
from seviz.capture.indexed import Dataset

EXTENSIONS = frozenset({".npy", ".npz", ".pt"})
"""What a file must be called to count as an array, whatever its case."""

NAMES = ("image", "x", "input", "inputs", "data", "array")
"""What the array may be called where a file holds several, the first that is there."""

_RANKS = (2, 3, 4)  # (channels, length), (channels, height, width), (channels, depth, height, width)


@dataclass(frozen=True, eq=False)
class Arrays(Dataset):
    """Files that hold an array (channels, positions...) each."""

    arrays: ClassVar[bool] = True

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        return read_array(Path(self._file(index)))


def read_array(file: Path) -> Decoded:
    """The array that a file holds. Never raises: what is wrong with the file is in the result.

    Parameters
    ----------
    file
        Called by one of `EXTENSIONS`.
    """
    return decoded(partial(read_file, file), partial(decode_array, extension=file.suffix.lower()))


def decode_array(data: bytes, extension: str) -> Decoded:
    """The array that the bytes of a file hold; raises what readers raise, for `seviz.capture.images.decoded` to catch.

    Parameters
    ----------
    data
        The bytes.
    extension
        What the file's name ends in, in lower case: one of `EXTENSIONS`.

    Returns
    -------
    Decoded
        With an array (channels, positions...) of one to three axes of positions, of whole numbers or floating point
        in the machine's byte order, all finite; or failed.
    """
    read = {".npy": _npy, ".npz": _npz, ".pt": _pt}[extension]
    array = read(data)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"numbers of type {array.dtype}, expected whole numbers or floating point")
    if array.ndim not in _RANKS or not array.size:
        raise ValueError(f"shape {tuple(array.shape)}, expected (channels, height, width) or other positions")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("holds numbers that are not finite")
    return Decoded(array, "ok")


def _npy(data: bytes) -> NDArray[Any]:
    return _member(BytesIO(data), len(data))


def _npz(data: bytes) -> NDArray[Any]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {info.filename: info for info in archive.infolist() if info.filename.endswith(".npy")}
        info = members[f"{_chosen([name.removesuffix('.npy') for name in members])}.npy"]
        if info.file_size > LARGEST_FILE:
            raise ValueError(f"larger than {LARGEST_FILE} bytes")
        with archive.open(info) as member:
            return _member(member, info.file_size)


def _member(file: IO[bytes], size: int) -> NDArray[Any]:
    """An array in numpy's format, once its header was compared with the bytes that are there."""
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"numpy format {version[0]}.{version[1]}, expected 1.0 or 2.0")
    shape, _, dtype = headers[version](file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not read")
    if min(shape, default=0) < 0 or np.prod(shape, dtype=object) * dtype.itemsize != size - file.tell():
        raise ValueError("holds other than the bytes that its header tells")
    file.seek(0)
    read: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return read


def _pt(data: bytes) -> NDArray[Any]:
    import torch  # here, since it takes seconds to import

    if not zipfile.is_zipfile(BytesIO(data)):
        raise ValueError("no file that torch.save writes")
    with zipfile.ZipFile(BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > LARGEST_FILE:
            raise ValueError(f"larger than {LARGEST_FILE} bytes")
    try:
        held = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # which says in many lines how to load it all the same
        raise ValueError("cannot be read as tensors alone, without executing what it holds") from error
    if isinstance(held, dict):
        held = held[_chosen([name for name, value in held.items() if isinstance(value, torch.Tensor)])]
    if not isinstance(held, torch.Tensor):
        raise ValueError(f"holds a {type(held).__name__}, expected a tensor")
    if held.layout != torch.strided or held.is_quantized or held.is_complex() or held.is_meta or held.is_nested:
        raise ValueError(f"a tensor of {held.layout}, {held.dtype}, expected dense real numbers")
    if held.numel() * held.element_size() > LARGEST_FILE:  # of which the file may hold one number, repeated
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    if held.dtype in (torch.bfloat16, torch.float16):  # the first of which numpy does not know
        held = held.float()
    return np.array(held.detach())


def _chosen(names: Collection[Any]) -> Any:
    """The name of the array that is meant."""
    if len(names) == 1:
        return next(iter(names))
    for name in NAMES:
        if name in names:
            return name
    some = ", ".join(str(PurePath(str(name)))[:40] for name in list(names)[:5])
    raise ValueError(f"{len(names)} arrays ({some}), expected one, or one called {', '.join(NAMES)}")
