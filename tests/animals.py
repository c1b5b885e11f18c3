"""Gates of ten classes, six of them animals and four vehicles."""

import numpy as np
from numpy.typing import NDArray

LABELS = np.repeat(range(10), 8)
ANIMAL = np.array([0, 0, 1, 1, 1, 1, 1, 1, 0, 0])


def structured(
    labels: NDArray[np.int64], *, effect: float = 0.1, channels: int = 12, seed: int = 0
) -> NDArray[np.float64]:
    """Gates of which animals have others than vehicles, and each class a little its own."""
    random = np.random.default_rng(seed)
    kinds, own = effect * random.normal(size=(2, channels)), 0.02 * random.normal(size=(10, channels))
    x: NDArray[np.float64] = 0.5 + kinds[ANIMAL[labels]] + own[labels]
    return np.clip(x + 0.02 * random.normal(size=x.shape), 0, 1)


def noise(labels: NDArray[np.int64], channels: int = 12, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (len(labels), channels))
