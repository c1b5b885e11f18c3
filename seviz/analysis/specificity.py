"""How class-specific gates are: the share of their variance that lies between classes, in tables.

`specificity` is by block, `specificity_by_channel` by channel, `specificity_by_class` one class against the rest,
and `specificity_by_outcome` right from wrong predictions. The maths, with its sources, is in `seviz.analysis.variance`.

References
----------
Benjamini, Hochberg, "Controlling the False Discovery Rate", Journal of the Royal Statistical Society B 57(1), 1995,
doi:10.1111/j.2517-6161.1995.tb02031.x.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from seviz.analysis.blocks import each
from seviz.analysis.images import kept_gates
from seviz.analysis.ranges import ANY, COUNT, OMEGA, POSITIVE, SHARE, Ranges
from seviz.analysis.resolved import moments_of, unresolved
from seviz.analysis.variance import (
    Errors,
    VarianceSplit,
    channel_interval,
    drawn,
    error_over_images,
    errors_against_rest,
    interval,
    interval_over_classes,
    known_mean,
    least_omega_squared,
    permuted_omega_squared,
    quotient,
    ratio,
    split_against_rest,
    split_variance,
)
from seviz.errors import MissingSignalError, OptionError
from seviz.run.moments import Moments
from seviz.run.store import Run

INTERVAL_CLASSES = 100
"""Up to so many classes, each of them has an interval over images by default."""
PERMUTED_IMAGES = 2000
"""Of how many images, drawn at random, the labels are permuted at most."""

_SHARES = {"eta_squared": SHARE, "omega_squared": OMEGA, "null": SHARE}
_DEVIATIONS = dict.fromkeys(("std_between", "std_within", "std_total", "difference"), POSITIVE)
_TEST = {"F": POSITIVE, "p": SHARE, "q": SHARE}

SPECIFICITY: Ranges = {
    **dict.fromkeys(("stage", "channels", "images", "classes", "permuted_images"), COUNT),
    **_SHARES,
    **dict.fromkeys(("low", "high", "low_classes", "high_classes", "permuted_mean", "permuted_95"), OMEGA),
    **_DEVIATIONS,
    "permuted_p": SHARE,
}
SPECIFICITY_BY_CHANNEL: Ranges = {"channel": COUNT, **_SHARES, "low": SHARE, "high": SHARE, **_DEVIATIONS, **_TEST}
SPECIFICITY_BY_CLASS: Ranges = {"images": COUNT, **_SHARES, "low": OMEGA, "high": OMEGA, **_DEVIATIONS}
SPECIFICITY_BY_OUTCOME: Ranges = {
    **dict.fromkeys(("stage", "channel", "images", "right"), COUNT),
    **dict.fromkeys(("between_classes", "between_outcomes", "within"), SHARE),
    **_SHARES,
    **_TEST,
    "difference": ANY,  # of a channel it has a sign
}


def specificity(
    run: Run,
    *,
    signal: str = "excitation",
    over_images: bool = True,
    permutations: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Class specificity of each block.

    Parameters
    ----------
    run
        A finished run.
    signal
        Whose variance is split.
    over_images
        Whether to give the interval over images, for which the gates of single images are read. Without it, and without
        permutations, moments are enough: seconds for any run.
    permutations
        How often labels are dealt out anew, on the images whose gates are kept, at most 2,000 of them drawn at random.
    confidence
        Of the intervals, in (0, 1).
    seed
        Of what is drawn.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images, classes
        - eta_squared: share of variance between classes, summed over channels, in [0, 1]
        - omega_squared: the same, bias-corrected; may fall below 0 by chance
        - low, high: interval of omega_squared for these classes, had other images of them been taken, by
          `error_over_images`. This is the interval to show: a data set's classes are mostly all there are. In
          simulations of 2 to 200 classes of 6 to 100 images, 95 % covered 93 to 99 %. NaN where the run keeps no gates.
          Within the range of omega_squared, from -(K - 1) / (N - K + 1) to 1; NaN also where nothing varies within
          classes, and no gate of a single image tells by how much.
        - low_classes, high_classes: interval for other classes of the same kind, by `interval_over_classes`, from
          moments alone. Wider: with ten classes it says little. 95 % covered 90 to 99 %, and down to 87 % with ten
          classes whose variances differ several-fold.
        - null: mean of eta_squared if classes made no difference, (K - 1) / (N - 1)
        - std_between: standard deviation between classes, root mean square over channels, bias-corrected, in
          units of the signal. A nearly constant block can have a large share of next to nothing.
        - std_total: standard deviation over all images, root mean square over channels

        With permutations also permuted_images, how many images took part; permuted_mean and permuted_95, mean and 95 %
        quantile of their omega_squared with labels dealt out anew; permuted_p, the share of deals that reach that of
        the true labels, these counted among them.

        Shares are NaN where nothing varies, and all but eta_squared where no class has two images. Gates that spread
        less than is stored exactly do not vary (see `seviz.run.precision`), and nothing is known of a channel with
        values that are not finite. What is missing, and why, says `attrs["remarks"]`, a list of sentences.

        Where images have several classes, each class is set against all other images: eta_squared, omega_squared and
        the variance of std_between are means over the classes, null is 1 / (N - 1). A rare class can have no great
        share, so that these are smaller than where each image has one class. The interval over images needs the gates
        of all of them.

    Raises
    ------
    MissingSignalError
        If the run does not hold the signal, or, with permutations, keeps no gates of it.
    OptionError
        If confidence or permutations are outside their range.
    """
    _check(confidence)
    if permutations < 0:
        raise OptionError(f"permutations is {permutations}, expected 0 for none, or a number such as 199")
    several = run.labels.ndim == 2
    images, kept = _images(run)
    wanted = over_images and (kept == images if several else kept > 0)

    def of_block(name: str) -> dict[str, Any]:
        (moments, total), block = moments_of(run, name, signal), run.block(name)
        splits = _splits(moments, total, several)
        errors, permuted = Errors.unknown(), {}
        if wanted or permutations:
            gates, of = kept_gates(run, name, signal)
            labels = run.labels[of]
            if wanted and several:
                _, errors = errors_against_rest(moments, total, gates, labels, seed=seed)
            elif wanted:
                errors = error_over_images(moments, gates, labels, seed=seed)
            if permutations:
                permuted = _permuted(gates, labels, permutations, seed)
        omega, classes = known_mean([split.omega_squared for split in splits]), splits[0].classes
        least = splits[0].least_omega_squared
        if several:
            classes = sum(split.classes == 2 for split in splits)
            spread = np.std([split.omega_squared for split in splits], ddof=1) if classes > 1 else np.nan
            sampled = Errors(np.asarray(spread / np.sqrt(classes or 1)), np.array(0.0))
            over_classes = interval(omega, sampled, classes - 1, least=least, confidence=confidence)
        else:
            over_classes = interval_over_classes(moments, confidence=confidence)
        freedom = images - (2 if several else classes)
        low, high = interval(omega, errors, freedom, least=least, confidence=confidence)
        return {
            "block": name,
            "stage": block.stage,
            "channels": block.channels,
            "images": images,
            "classes": classes,
            "eta_squared": known_mean([split.eta_squared for split in splits]),
            "omega_squared": omega,
            "low": float(low),
            "high": float(high),
            "low_classes": float(over_classes[0]),
            "high_classes": float(over_classes[1]),
            "null": known_mean([split.null for split in splits]),
            "std_between": _root(known_mean([split.variance_between.mean() for split in splits])),
            "std_total": float(np.sqrt(splits[0].variance_total.mean())),
            **permuted,
        }

    table = pd.DataFrame(each(of_block, run.blocks))
    table.attrs["remarks"] = [*unresolved(run, run.blocks, signal), *_remarks(several, over_images, kept, images)]
    return table


def specificity_by_channel(
    run: Run,
    *,
    blocks: Sequence[str] | None = None,
    signal: str = "excitation",
    against_rest: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Class specificity of each channel.

    Parameters
    ----------
    run
        A finished run.
    blocks
        By name; by default all.
    signal
        Whose variance is split.
    against_rest
        A class, by id or name: its images against all others, instead of class against class.
    confidence
        Of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row a channel; blocks in order of depth, in each the channels by falling omega_squared:

        - block, channel
        - eta_squared, omega_squared, null: as in `specificity`
        - low, high: interval of omega_squared by the noncentral F distribution, see `channel_interval`
        - std_between, std_within, std_total: between classes (bias-corrected), within them, over all images
        - F, p: of the analysis of variance
        - q: false-discovery rate (Benjamini, Hochberg) among all rows. At many images every q is small: look at the
          size of the effect.

        NaN where nothing varies, and all but eta_squared where no class has two images; F also where nothing varies
        within classes. Where images have several classes, shares and the variance of std_between are means over
        the classes, each against the rest, and low, high, F, p and q, of which there is no mean, are NaN unless
        `against_rest` names a class.

    Raises
    ------
    MissingSignalError, UnknownClassError, OptionError
        If the run does not hold a block, the signal or the class, or `confidence` is outside its range.
    """
    _check(confidence)
    several = run.labels.ndim == 2
    frames = []
    for name in blocks or run.blocks:
        moments, total = moments_of(run, name, signal)
        if against_rest is None:
            splits = _splits(moments, total, several)
        else:
            splits = [split_against_rest(moments, total, run.class_index(against_rest))]
        measures = [split.by_channel() for split in splits]
        columns = {key: _means([measure[key] for measure in measures]) for key in ("eta_squared", "omega_squared")}
        single = len(splits) == 1
        unknown = np.full(len(columns["eta_squared"]), np.nan)
        low, high = channel_interval(splits[0], confidence=confidence) if single else (unknown, unknown)
        frames.append(
            pd.DataFrame(
                {
                    "block": name,
                    "channel": np.arange(len(unknown)),
                    **columns,
                    "low": low,
                    "high": high,
                    "null": known_mean([split.null for split in splits]),
                    "std_between": np.sqrt(np.maximum(_means([split.variance_between for split in splits]), 0)),
                    "std_within": np.sqrt(_means([split.mean_square_within for split in splits])),
                    "std_total": np.sqrt(splits[0].variance_total),
                    "F": measures[0]["F"] if single else unknown,
                    "p": measures[0]["p"] if single else unknown,
                }
            ).sort_values("omega_squared", ascending=False, kind="stable")
        )
    table = pd.concat(frames, ignore_index=True)
    table = table.assign(q=false_discovery_rate(table["p"].to_numpy(np.float64)))
    table.attrs["remarks"] = unresolved(run, blocks or run.blocks, signal)
    return table


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
        By name; by default all.
    signal
        Whose variance is split.
    over_images
        Whether to give intervals, for which the gates of all images are read; by default for up to 100 classes. For
        1,000 classes of 50 images each they take minutes.
    confidence
        Of the intervals, in (0, 1).
    seed
        Of what is drawn for them.

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
    """
    _check(confidence)
    images, kept = _images(run)
    left_out = over_images is None and len(run.classes) > INTERVAL_CLASSES
    over_images = not left_out and over_images is not False

    def of_block(name: str) -> pd.DataFrame:
        moments, total = moments_of(run, name, signal)
        seen = np.flatnonzero(moments.count)
        errors = Errors.unknown(len(moments.count))
        if over_images and kept == images and kept:
            gates, of = kept_gates(run, name, signal)
            labels = run.labels[of]
            members = labels if labels.ndim == 2 else labels[:, None] == np.arange(len(run.classes))
            fixed = labels.ndim == 1
            errors, _ = errors_against_rest(moments, total, gates, members, sizes_fixed=fixed, seed=seed)
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
                "difference": [_root(2 * split.variance_between.mean()) for split in splits],
                "std_within": [_root(split.mean_square_within.mean()) for split in splits],
            }
        ).sort_values("omega_squared", ascending=False, kind="stable")

    frames = each(of_block, blocks or run.blocks)
    table = pd.concat(frames, ignore_index=True)
    remarks = _remarks(True, over_images, kept, images)
    if left_out:
        remarks = [f"Intervals over images are left out for more than {INTERVAL_CLASSES} classes, unless asked for."]
    table.attrs["remarks"] = [*unresolved(run, blocks or run.blocks, signal), *remarks]
    return table


def specificity_by_outcome(
    run: Run, *, by: Literal["block", "channel"] = "block", signal: str = "excitation"
) -> pd.DataFrame:
    """What share of the variance lies between classes, within them between right and wrong predictions, and within.

    Parameters
    ----------
    run
        A finished run that keeps gates of images, of a network whose predictions can be right.
    by
        A row a block, or a row a channel.
    signal
        Whose variance is split.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth; or a channel, in each block by falling omega_squared:

        - block; stage, or channel
        - images, right: how many with gates, and how many of them predicted right
        - between_classes, between_outcomes, within: shares of the variance, which sum to 1: between classes, between
          the images of a class that were predicted right and those that were not, and the rest
        - omega_squared: between_outcomes, bias-corrected; may fall below 0 by chance
        - null: mean of between_outcomes if outcomes made no difference: classes with both over N - 1
        - difference: right less wrong, within classes, weighted as precise as it is for each class; over a block its
          root mean square over channels, not corrected for chance
        - F, p, q: of a channel, of the difference between outcomes; q the false-discovery rate among all rows

        NaN where nothing varies or no class has both outcomes. Where images have several classes, right is any of
        them, between_classes is NaN, and right and wrong are compared over all images.

    Raises
    ------
    MissingSignalError
        If the run does not hold the signal, keeps no gates, or does not know which predictions are right.
    OptionError
        If `by` is neither.
    """
    if by not in ("block", "channel"):
        raise OptionError(f"by is {by!r}, expected 'block' or 'channel'")
    if not run.samples["correct"].notna().any():
        raise MissingSignalError(
            f"{str(run.path)!r} does not say which predictions are right: the classes of data and network do not"
            " correspond, or all images failed; capture a data set with the network's classes"
        )
    several = run.labels.ndim == 2

    def of_block(name: str) -> pd.DataFrame:
        gates, rows = kept_gates(run, name, signal)
        right = run.samples["correct"].iloc[rows].to_numpy(bool)
        labels = np.zeros(len(rows), np.int64) if several else run.labels[rows]
        classes, labels = np.unique(labels, return_inverse=True)
        groups = Moments.of(gates, 2 * labels + right, 2 * len(classes))
        wrong, correct = (groups.take(np.arange(side, 2 * len(classes), 2)) for side in (0, 1))
        inner, outer = split_variance(groups), split_variance(wrong.merge(correct))
        within, outcomes = inner.within, np.maximum(outer.within - inner.within, 0)
        total, freedom = outer.between + outer.within, inner.classes - outer.classes
        wrong_count, right_count = groups.count.reshape(-1, 2).T.astype(float)
        weight = wrong_count * right_count / np.maximum(wrong_count + right_count, 1)
        step = groups.mean[1::2] - groups.mean[::2]
        frame = {
            "between_classes": np.full(len(total), np.nan) if several else outer.between,
            "between_outcomes": outcomes,
            "within": within,
        }
        if by == "block":
            total, outcomes, within = (np.atleast_1d(array.sum()) for array in (total, outcomes, within))
            frame = {key: np.atleast_1d(array.sum()) for key, array in frame.items()}
        difference = weight @ step / (weight.sum() if freedom else np.nan)
        measures = VarianceSplit(outcomes, within, inner.images - outer.classes + 1, freedom + 1, 1.0).by_channel()
        square = within / (inner.images - inner.classes if inner.images > inner.classes else np.nan)
        shares = {key: quotient(array, total) for key, array in frame.items()}
        table = pd.DataFrame(
            {
                "block": name,
                **({"stage": run.block(name).stage} if by == "block" else {"channel": np.arange(len(total))}),
                "images": len(rows),
                "right": int(right.sum()),
                **shares,
                "omega_squared": quotient(outcomes - freedom * square, total + square) if freedom else np.nan,
                "null": ratio(freedom, len(rows) - 1),
                "difference": _root(np.square(difference).mean()) if by == "block" else difference,
                **({} if by == "block" else {key: measures[key] for key in ("F", "p")}),
            }
        )
        return table if by == "block" else table.sort_values("omega_squared", ascending=False, kind="stable")

    frames = each(of_block, run.blocks)
    result = pd.concat(frames, ignore_index=True)
    if by == "channel":
        result = result.assign(q=false_discovery_rate(result["p"].to_numpy(np.float64)))
    result.attrs["remarks"] = unresolved(run, run.blocks, signal)
    return result


def false_discovery_rate(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's adjusted p-values, of any shape (row); those that are NaN do not count."""
    q, known = np.full(len(p), np.nan), np.isfinite(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return q


def _splits(moments: Moments, total: Moments, several: bool) -> list[VarianceSplit]:
    """The split by class, or that of each class against the rest, of those that have one; at least one."""
    if not several:
        return [split_variance(moments)]
    images = int(total.count[0])
    labels = np.flatnonzero((moments.count > 0) & (moments.count < images))
    return [split_against_rest(moments, total, label) for label in (labels if len(labels) else [0])]


def _images(run: Run) -> tuple[int, int]:
    """How many images did not fail, and of how many of these the gates are kept."""
    good = run.samples["status"] != "failed"
    return int(good.sum()), int((good & run.samples["kept"]).sum())


def _permuted(gates: NDArray[np.float32], labels: NDArray[Any], permutations: int, seed: int) -> dict[str, float]:
    chosen = drawn(np.arange(len(gates)), PERMUTED_IMAGES, seed)
    observed, permuted = permuted_omega_squared(gates[chosen], labels[chosen], permutations=permutations, seed=seed)
    known = np.isfinite(observed)
    reached = (permuted >= observed - 1e-12).sum()
    return {
        "permuted_images": len(chosen),
        "permuted_mean": float(permuted.mean()),
        "permuted_95": float(np.quantile(permuted, 0.95)) if known else float("nan"),
        "permuted_p": float((1 + reached) / (1 + permutations)) if known else float("nan"),
    }


def _remarks(several: bool, over_images: bool, kept: int, images: int) -> list[str]:
    if not over_images:
        return ["Intervals over images were not asked for."]
    if not kept:
        return ["The run keeps the gates of no image: there are no intervals over images."]
    if kept == images:
        return []
    if several:
        return [f"The run keeps the gates of {kept} of {images} images, chosen by class: none over images is given."]
    return [f"Intervals over images rest on the gates of {kept} of {images} images, which the run keeps."]


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1, such as 0.95")


def _means(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of arrays, entry by entry."""
    result: NDArray[np.float64] = np.mean(arrays, axis=0)
    return result


def _root(value: float) -> float:
    """Square root of a number that is not negative but by chance."""
    return float(np.sqrt(np.maximum(value, 0)))
