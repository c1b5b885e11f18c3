"""Values that are normal around the means of their classes, the gates they give, and the textbook's shares of them."""

import numpy as np
from numpy.typing import NDArray

SIZES = (30, 12, 45, 7)
LABELS = np.repeat(range(4), SIZES)


def values(effect: float, channels: int = 6, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    means = effect * random.normal(size=(labels.max() + 1, channels))
    return means[labels] + random.normal(size=(len(labels), channels))


def gates(effect: float, channels: int = 6, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values(effect, channels, labels, seed)))


def memberships(images: int, seed: int) -> NDArray[np.bool_]:
    """Of four classes that overlap, (image, class)."""
    random = np.random.default_rng(seed)
    members = random.random((images, 4)) < (0.1, 0.3, 0.5, 0.2)
    members[:, 0] |= members[:, 1] & (random.random(images) < 0.3)
    return members


def textbook(x: NDArray[np.floating], groups: list[NDArray[np.bool_]]) -> tuple[float, float]:
    """Eta and omega squared by the formulas, group by group."""
    x = x.astype(np.float64)
    total = np.square(x - x.mean(0)).sum()
    within = sum(np.square(x[group] - x[group].mean(0)).sum() for group in groups)
    square = within / (len(x) - len(groups))
    return 1 - within / total, (total - within - (len(groups) - 1) * square) / (total + square)
