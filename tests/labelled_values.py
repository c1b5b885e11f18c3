"""Made values of a block, the classes of their images, and folds."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

LABELS = np.repeat(range(4), (30, 12, 45, 13))
FOLDS = 5


def values(effect: float, channels: int = 8, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    """Gates around one half, those of a class around a mean of its own."""
    random = np.random.default_rng(seed)
    means = effect * random.normal(size=(labels.max() + 1, channels))
    noise = random.normal(size=(len(labels), channels)) @ random.normal(size=(channels, channels))
    x: NDArray[np.float64] = 1 / (1 + np.exp(-(means[labels] + noise / np.sqrt(channels))))
    return x


def splits(labels: NDArray[np.int64], seed: int = 0) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))
