"""Arrays as pictures: what is shown to a person of an input that is no picture by itself.

Of a volume, or a video, the middle slice of its first axis of positions is taken, and then it is an image: three
channels are red, green and blue, other numbers of channels become grey by their mean. A signal of a few channels is
drawn as lines, one below the other on one scale; of more channels, as of a spectrogram, as an image (channel,
position).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seviz.capture.arrays import EXTENSIONS, read_array
from seviz.capture.images import Decoded, decode

LINES = 8
"""Channels of a signal that are drawn as lines."""
SIGNAL = (256, 128)
"""Width and height of the picture of a signal."""


def read_picture(file: Path, *, rotate: bool = False) -> Decoded:
    """A file as a picture, whether it holds an image or an array; never raises.

    Parameters
    ----------
    file, rotate
        As of `seviz.capture.images.decode`.

    Returns
    -------
    Decoded
        With a PIL image, or failed.
    """
    if file.suffix.lower() not in EXTENSIONS:
        return decode(file, rotate=rotate)
    read = read_array(file)
    return read if read.image is None else replace(read, image=picture_of(np.asarray(read.image)))


def picture_of(values: NDArray[Any]) -> Image.Image:
    """An array as a picture.

    Parameters
    ----------
    values
        (channels, length), (channels, height, width) or (channels, depth, height, width), all finite. Of images in
        uint8 the values are those of the picture; of all others the least is black and the greatest white.
    """
    if values.ndim == 2:
        return _signal(_shares(values))
    if values.ndim == 4:
        values = values[:, values.shape[1] // 2]
    shares = values / 255 if values.dtype == np.uint8 else _shares(values)
    shares = np.moveaxis(shares, 0, -1) if len(shares) == 3 else shares.mean(0)
    return Image.fromarray(_levels(shares))


def described(shape: tuple[int, ...]) -> str:
    """What `picture_of` shows of an array of a shape, in words."""
    if len(shape) == 2:
        lines = "its channels as lines" if shape[0] <= LINES else "its channels from top to bottom"
        return f"a signal of shape {shape}, {lines}"
    return f"a volume of shape {shape}, its middle slice" if len(shape) == 4 else f"an array of shape {shape}"


def _shares(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values between the least, 0, and the greatest, 1; all 0 where they are equal."""
    wide = values.astype(np.float64)
    wide /= np.abs(wide).max() or 1.0  # so that no difference is beyond the range
    wide -= wide.min()
    wide /= wide.max() or 1.0
    return wide


def _levels(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(shares * 255).astype(np.uint8)


def _signal(shares: NDArray[np.float64]) -> Image.Image:
    if len(shares) > LINES:
        return Image.fromarray(_levels(shares)).resize(SIGNAL, Image.Resampling.BOX)
    picture = Image.new("L", SIGNAL, 255)
    draw = ImageDraw.Draw(picture)
    width, height = SIGNAL[0] - 1, SIGNAL[1] / len(shares)
    for number, values in enumerate(shares):
        first = np.unique(np.linspace(0, len(values), SIGNAL[0], endpoint=False).astype(int))  # of each column
        x = np.repeat(first / max(len(values) - 1, 1) * width, 2)
        ends = np.stack([np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)], 1).ravel()
        draw.line(list(zip(x, height * (number + 0.95 - 0.9 * ends), strict=True)), fill=0, width=2)
    return picture
