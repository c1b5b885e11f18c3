"""How far each class stands out from all other images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.parallel import each
from seviz.stats.variance import (
    Errors,
    errors_against_rest,
    interval,
    least_omega_squared,
    root_or_zero,
    split_against_rest,
)
from seviz.tables.columns import CLASSES, COUNT, KEY, OMEGA, SHARE, SPREAD, every
from seviz.tables.intervals import check_confidence, images_and_kept, remarks_on_intervals

INTERVAL_CLASSES = 100
"""Up to so many classes, each of them has an interval over images by default."""


@table(
    title="Class specificity by class",
    caption=(
        "How far the gates of each class stand out from those of all other images, the most distinct "
        "classes of a block first."
    ),
    cost="gates",
    columns={
        "block": KEY,
        **CLASSES,
        "images": COUNT,
        **every(SHARE, "eta_squared", "null"),
        **every(OMEGA, "omega_squared", "low", "high"),
        **every(SPREAD, "difference", "std_within"),
    },
)
def specificity_by_class(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    over_images: bool | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How far each class stands out from all other images, by block.

    Parameters
    ----------
    run
        A finished run, whose images may have several classes.
    blocks
        Names of SE blocks; by default all.
    signal
        Signal to analyse: excitation, squeeze or response.
    over_images
        Whether to give intervals, for which the gates of all images are read; by default for up to 100 classes. For
        1,000 classes of 50 images each they take minutes.
    confidence
        Confidence level of the intervals, in (0, 1).
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row a block and class that has images; blocks in order of depth, in each the classes by falling
        omega_squared:

        - block, class, class_name, images
        - eta_squared, omega_squared, null: share of variance between the class and the rest, summed over channels, as
          in `specificity`. Of a share p of the images, and a difference of d standard deviations within, it is at most
          about p (1 - p) d², so that rare classes have small shares.
        - low, high: interval of omega_squared over images, by a jackknife; NaN unless the run keeps the gates of all
        - difference: between the means of the class and of the rest, root mean square over channels, bias-corrected,
          in units of the signal
        - std_within: standard deviation within the class and within the rest, root mean square over channels

        A class that all images belong to has shares of 0 and a difference of NaN.

    Raises
    ------
    MissingSignalError, OptionError
        If the run does not hold a block or the signal, or `confidence` is outside its range.

    Examples
    --------
    >>> seviz.specificity_by_class(run, blocks=["SE_5_1"])["class"].nunique()
    10
    """
    check_confidence(confidence)
    images, kept = images_and_kept(run)
    left_out = over_images is None and len(run.classes) > INTERVAL_CLASSES
    over_images = not left_out and over_images is not False

    def of_block(name: str) -> pd.DataFrame:
        sample = run.sample(name, signal)
        moments, total = sample.moments, sample.total
        seen = np.flatnonzero(moments.count)
        errors = Errors.unknown(len(moments.count))
        if over_images and kept == images and kept:
            labels, fixed = sample.labels, sample.labels.ndim == 1
            members = labels[:, None] == np.arange(len(run.classes)) if fixed else labels
            errors, _ = errors_against_rest(moments, total, sample.gates, members, sizes_fixed=fixed, seed=seed)
        splits = [split_against_rest(moments, total, label) for label in seen]
        omega = np.array([split.omega_squared for split in splits])
        low, high = interval(
            omega, errors[seen], images - 2, least=least_omega_squared(images, 2), confidence=confidence
        )
        return pd.DataFrame(
            {
                "block": name,
                "class": np.array(run.classes.ids, dtype=object)[seen],
                "class_name": np.array(run.classes.names, dtype=object)[seen],
                "images": moments.count[seen],
                "eta_squared": [split.eta_squared for split in splits],
                "omega_squared": omega,
                "low": low,
                "high": high,
                "null": [split.null for split in splits],
                "difference": [root_or_zero(2 * split.variance_between.mean()) for split in splits],
                "std_within": [root_or_zero(split.mean_square_within.mean()) for split in splits],
            }
        ).sort_values("omega_squared", ascending=False, kind="stable")

    frames = each(of_block, blocks or run.blocks)
    table = pd.concat(frames, ignore_index=True)
    remarks = remarks_on_intervals(True, over_images, kept, images)
    if left_out:
        remarks = [f"Intervals over images are left out for more than {INTERVAL_CLASSES} classes, unless asked for."]
    table.attrs["remarks"] = [*unresolved(run, blocks or run.blocks, signal), *remarks]
    return table
