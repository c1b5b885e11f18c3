"""Values that float32 can be computed with, and whether they vary."""

import numpy as np
from numpy.typing import NDArray

_MODERATE = 40  # exponent of two


def varies(values: NDArray[np.floating]) -> bool:
    """Whether any feature of values (image, feature), of which there are some, differs between images."""
    return bool((values != values[0]).any())


def moderate(values: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """Features of a size whose squares float32 can hold, by powers of two, which are exact.

    Parameters
    ----------
    values
        (image, feature), finite. They are changed where need be.

    Returns
    -------
    values, exponents
        Each feature divided by 2 to its exponent, (feature): 0 for sizes from 1e-12 to 1e12.
    """
    exponents = np.frexp(np.abs(values).max(axis=0, initial=0))[1].astype(np.int64)
    exponents[np.abs(exponents) <= _MODERATE] = 0
    far = np.flatnonzero(exponents)
    if len(far):
        values[:, far] = np.ldexp(values[:, far], -exponents[far].astype(np.int32))
    return values, exponents
