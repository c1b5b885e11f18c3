"""From what was read to what a network takes: images through its preprocessing, arrays through it or as they are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from seviz.capture.datasets import Dataset
from seviz.capture.images import MODES, holds_bands, too_long
from seviz.capture.indexed import Preprocess
from seviz.errors import OptionError
from seviz.network.axes import axes_in_words, of_image
from seviz.network.dtype import dtype_of
from seviz.network.networks import Network


def check_inputs(data: Dataset, network: Network) -> None:
    """Raise OptionError if no file of a data set can become an input of a network, whatever is in it.

    Parameters
    ----------
    data
        What is to be read.
    network
        What it is read for.
    """
    channels = network.input_size[0]
    if data.arrays:
        if data.preprocess == "model":
            _try_out(data, network)
    elif not network.of_images:
        raise OptionError(
            f"{network.spec} takes inputs of shape {network.input_size}, but data {data.spec!r} holds images. Give"
            " arrays:ROOT."
        )
    elif channels not in MODES and not any(holds_bands(path) for path in data.paths):
        raise OptionError(
            f"{network.spec} takes {channels} channels, but data {data.spec!r} holds images, which are read in"
            f" {', '.join(str(number) for number in MODES)} channels. Give arrays:ROOT, or TIFF files with a page for"
            " each channel."
        )


def _try_out(data: Dataset, network: Network) -> None:
    size = network.input_size
    if network.of_images:
        side = 2 * math.ceil(max(size[1:]))
        size = (size[0], side, side)
    try:
        taken = network.preprocess(torch.zeros(size))
        if taken.shape[0] != network.input_size[0]:
            raise ValueError(f"it gives {tuple(taken.shape)}")
    except Exception as error:  # whatever a person's own preprocessing raises
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OptionError(
            f"preprocess is 'model' for data {data.spec!r}, but the preprocessing of {network.spec} takes no arrays of"
            f" {network.input_size[0]} channels ({reason}). Give none, and arrays of shape {network.input_size}."
        ) from error


@dataclass(frozen=True)
class Taking:
    """Makes inputs of a network from what was read. Can be pickled where the preprocessing can.

    Attributes
    ----------
    preprocess
        From a PIL image, or a tensor (channels, positions...) in [0, 1], to what the network takes.
    input_size
        (channels, positions...) of what the network takes.
    fixed_size
        Whether it takes no other positions.
    side
        To what the shorter side of an image is resized, as far as is known.
    wide
        Whether the network computes in float64; arrays that are taken as they are become float32 else.
    how
        Whether arrays are prepared as images are.
    """

    preprocess: Callable[[Any], Tensor]
    input_size: tuple[int, ...]
    fixed_size: bool
    side: int
    wide: bool
    how: Preprocess

    @classmethod
    def of(cls, network: Network, how: Preprocess) -> Self:
        """What makes inputs of a network."""
        return cls(
            preprocess=network.preprocess,
            input_size=network.input_size,
            fixed_size=network.fixed_size,
            side=_shorter_side(network),
            wide=dtype_of(network.model) == torch.float64,
            how=how,
        )

    def refusal(self, read: Image.Image | NDArray[Any]) -> str:
        """Why what was read cannot become an input; empty if nothing is known that keeps it from that."""
        if isinstance(read, Image.Image):
            return too_long(read.size, self.side)
        shape = tuple(read.shape)
        if len(shape) != len(self.input_size):
            names = axes_in_words(self.input_size)
            return f"{len(shape)} axes, the network takes {len(self.input_size)}: {names} of {self.input_size}"
        if shape[0] != self.input_size[0]:
            return f"{shape[0]} channels, the network takes {self.input_size[0]}"
        image = of_image(shape)
        if self.how == "model":
            return too_long((shape[-1], shape[-2]), self.side) if image else ""
        resizes = "; preprocess 'model' resizes" if image else ""
        return self._other(shape) + resizes if self._other(shape) else ""

    def __call__(self, read: Image.Image | NDArray[Any]) -> Tensor:
        """The input; raises ValueError for numbers that are too great for it, and what the preprocessing raises."""
        if isinstance(read, Image.Image):
            return self.preprocess(read)
        with np.errstate(over="ignore"):  # what is too great becomes infinite, and is refused below
            values = torch.from_numpy(read.astype(np.float64 if self.wide or self.how == "model" else np.float32))
        if self.how == "model":
            if read.dtype.kind in "ui":
                values /= np.iinfo(read.dtype).max
            values = self.preprocess(values.float())
            if not of_image(self.input_size) and (other := self._other(tuple(values.shape))):
                raise ValueError(other)
        if not bool(values.isfinite().all()):
            raise ValueError(f"numbers beyond the range of {str(values.dtype).removeprefix('torch.')}")
        return values

    def _other(self, shape: tuple[int, ...]) -> str:
        """What of a shape is other than the network takes; empty if nothing is."""
        if not self.fixed_size and shape[0] == self.input_size[0] and len(shape) == len(self.input_size):
            return ""
        return "" if shape == self.input_size else f"shape {shape}, the network takes {self.input_size}"


def _shorter_side(network: Network) -> int:
    done = network.preprocessing
    resized = done.get("resize") or [max(network.input_size[1:]) / (done.get("crop_pct") or 1)]
    side: float = max([*resized, done.get("min_size") or 0])
    return math.ceil(side)
