"""How exactly a run stores its signals: below which spread values cannot be told apart."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seviz.moments import Moments
from seviz.run.chunks import STEP

if TYPE_CHECKING:
    from seviz.run.store import Run

SINGLE = float(np.finfo(np.float32).eps)
"""Between neighbouring numbers of float32, as a share of them."""


@dataclass(frozen=True)
class Precision:
    """Distance between neighbouring values, as they are stored.

    Attributes
    ----------
    step
        In units of the signal; 0 where it grows with the values.
    relative
        As a share of the value.
    """

    step: float
    relative: float

    def least(self, size: NDArray[np.float64]) -> NDArray[np.float64]:
        """The distance for values of some root mean square, of any shape."""
        with np.errstate(invalid="ignore"):  # of infinite values
            return np.maximum(self.step, self.relative * size)

    def near_constant(self, total: Moments) -> NDArray[np.bool_]:
        """Channels whose values spread less than they are told apart.

        Parameters
        ----------
        total
            Of all images, as a single class.

        Returns
        -------
        numpy.ndarray
            (channel): whether the standard deviation over images is below the distance between neighbouring values, or
            0. False where it is not finite, and for fewer than two images, which say nothing of a spread.
        """
        images = int(total.count[0])
        if images < 2:
            return np.zeros(total.mean.shape[1], bool)
        deviation = np.where(total.min[0] == total.max[0], 0, np.sqrt(total.m2[0] / images))
        least = self.least(np.hypot(total.mean[0], deviation))
        result: NDArray[np.bool_] = (deviation < least) | (deviation == 0)
        return result

    def __str__(self) -> str:
        return f"{self.step:.1e}" if self.step else f"{self.relative:.1e} of their size"


def precision_of(run: "Run", block: str, signal: str = "excitation") -> Precision:
    """How exactly a run stores one signal of one block.

    Parameters
    ----------
    run
        A finished run.
    block, signal
        Which.

    Returns
    -------
    Precision
        That of 16-bit codes for gates that are stored so, in all chunks or in some; else that of float32.

    Raises
    ------
    MissingSignalError
        If the run holds no such block.
    """
    if signal == "excitation" and run.stored_in_16_bits(block):
        return Precision(STEP, 0.0)
    return Precision(0.0, SINGLE)
