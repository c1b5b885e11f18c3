"""Shares of images that are told right, beside what they are by chance."""

import numpy as np
from scipy import stats

from seviz.stats.decoders import Labels


def score(labels: Labels, predicted: Labels | None) -> dict[str, float]:
    """Accuracy and what it is by chance, of predictions (image) for classes (image) from 0 on; NaN without any."""
    columns = ("accuracy", "low", "high", "balanced_accuracy", "null", "majority")
    if predicted is None:
        return dict.fromkeys(columns, np.nan)
    count = np.bincount(labels)
    right = predicted == labels
    interval = stats.binomtest(int(right.sum()), len(labels)).proportion_ci(0.95, method="wilson")
    found = np.bincount(labels, right) / count
    independent = count @ np.bincount(predicted, minlength=len(count)) / len(labels) ** 2
    results = (right.mean(), interval.low, interval.high, found.mean(), independent, count.max() / len(labels))
    return dict(zip(columns, map(float, results), strict=True))
