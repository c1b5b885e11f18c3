"""Is what gates tell of the class more than low-level statistics of the image, and than the squeeze, tell already?

    python analyses/low_level_covariates.py runs/demo

Of each block: the share of the gates' variance between classes (omega squared), beside that of the squeeze where the
run has it; the share that a quadratic function of low-level statistics of the pixels explains (mean and deviation of
each channel, the power in four bands of frequency, colour at the border), adjusted for its number of terms; what the
class adds to that; and what both explain.
"""

import argparse
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from run_again import open_again, pixels_of
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

BANDS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Borders of the bands, in cycles a pixel."""

Array = NDArray[np.floating]


def statistics(images: Array) -> Array:
    """Low-level statistics of images (image, channel, height, width): (image, statistic)."""
    count, channels, height, width = images.shape
    light = images.mean(1)
    power = np.abs(np.fft.fft2(light - light.mean((1, 2), keepdims=True))) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    bands = [
        np.log1p(power[:, (frequency >= low) & (frequency < high)].mean(1))
        for low, high in pairwise(BANDS)
        if ((frequency >= low) & (frequency < high)).any()
    ]
    edge = max(1, height // 8)
    border = np.concatenate([images[:, :, :edge], images[:, :, -edge:]], 2).reshape(count, channels, -1).mean(2)
    return np.column_stack([images.mean((2, 3)), images.std((2, 3)), *bands, border])


def omega_squared(values: Array, labels: NDArray[np.int64]) -> float:
    """The share of the variance of (image, channel) that lies between classes, all channels together."""
    classes, images = np.unique(labels), len(labels)
    mean = values.mean(0)
    between = sum((labels == k).sum() * ((values[labels == k].mean(0) - mean) ** 2).sum() for k in classes)
    total = ((values - mean) ** 2).sum()
    within = (total - between) / (images - len(classes))
    return float((between - (len(classes) - 1) * within) / (total + within))


def explained(values: Array, terms: Array) -> float:
    """Adjusted R squared of (image, channel) on (image, term), all channels together; NaN with too few images."""
    terms = np.column_stack([np.ones(len(terms)), terms])
    images, freedom = len(values), len(values) - np.linalg.matrix_rank(terms)
    if freedom < 1:
        return float("nan")
    fit, *_ = np.linalg.lstsq(terms, values, rcond=None)
    rest = ((values - terms @ fit) ** 2).sum()
    return float(1 - rest / ((values - values.mean(0)) ** 2).sum() * (images - 1) / freedom)


def main() -> None:
    parser = argparse.ArgumentParser(description="What gates tell of the class beyond low-level image statistics.")
    parser.add_argument("run", type=Path, help="with the gates of all images kept, such as that of `seviz demo`")
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation of the class by statistics")
    parser.add_argument("--trust-code", action="store_true", help="as in seviz")
    options = parser.parse_args()
    run, network, data = open_again(options.run, trust_code=options.trust_code)
    pixels = pixels_of(run, network, data)
    labels = pixels.labels
    expand = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    terms = expand.fit_transform(statistics(pixels.images.numpy().astype(np.float64)))
    folds = StratifiedKFold(options.folds, shuffle=True, random_state=0)
    decoder = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = (cross_val_predict(decoder, terms, labels, cv=folds) == labels).mean()
    print(f"{terms.shape[1]} terms; the class by low-level statistics alone: {right:.3f}")
    classes = np.eye(labels.max() + 1)[labels][:, 1:]
    rows = []
    for block in run.blocks:
        gates = run.gates(block)[pixels.rows].astype(np.float64)
        low, by_class = explained(gates, terms), explained(gates, classes)
        both = explained(gates, np.column_stack([terms, classes]))
        row = {"block": block, "omega_squared": omega_squared(gates, labels), "low_level": low}
        row |= {"class_beyond": both - low, "shared": by_class + low - both}
        if "squeeze" in run.manifest.signals:
            row["omega_squared_squeeze"] = omega_squared(run.gates(block, "squeeze")[pixels.rows], labels)
        rows.append(row)
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
