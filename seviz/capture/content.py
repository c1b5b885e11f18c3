"""A hash of what an image was made from: the same image again, wherever it lies and whatever it is called."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DIGITS = 32  # hexadecimal, of the 64 of SHA-256


def content_of_file(data: bytes) -> str:
    """Of a file, by its bytes: the first 32 hex digits of their SHA-256, as `sha256sum` prints it."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def content_of_numbers(numbers: NDArray[np.generic], dtype: str, shape: Sequence[int]) -> str:
    """Of an image in memory: the first 32 hex digits of the SHA-256 of dtype, shape and bytes.

    Parameters
    ----------
    numbers
        All that it holds, in C order, as an array of any kind.
    dtype, shape
        Of the image. They are hashed before the numbers, as a line in ASCII such as `float32 (3, 32, 32)`.
    """
    digest = hashlib.sha256(f"{dtype} {tuple(shape)}\n".encode())
    digest.update(np.ascontiguousarray(numbers).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:_DIGITS]
