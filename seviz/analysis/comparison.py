r"""How the gates of two runs differ: two networks, a network before and after training, clean and corrupted images.

Notes
-----
The shift of a class in a block is the root mean square over channels of the difference between its two mean gates. By
chance alone its square is :math:`v`, the mean over channels of :math:`s_1^2 / n_1 + s_2^2 / n_2` (Welch 1947), which is
taken off. With :math:`D` for the shift before that, the interval of the shift is
:math:`D \pm t \sqrt v`: the error of :math:`D` is at most the root mean square of the errors of the channels, and of
all ways in which these may hang together the widest is in step. So it holds for any correlation between channels,
and is too wide for channels that move apart.

The shift of a block is the root mean square over classes. Its interval takes the classes as a sample, by Student's t of
the squared shifts, as that of the change of omega squared does, by a jackknife over classes.

References
----------
Welch, "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved", Biometrika
34, 1947, doi:10.1093/biomet/34.1-2.28.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from seviz.analysis.ranges import ANY, COUNT, OMEGA, POSITIVE, SIGNED, Ranges
from seviz.analysis.resolved import moments_of, unresolved
from seviz.analysis.variance import (
    log_f_without_each,
    omega_squared_of_f,
    split_against_rest,
    split_variance,
)
from seviz.errors import MissingSignalError, OptionError
from seviz.run.moments import Moments
from seviz.run.pairing import MATCHES, Match, Pairing, pair_runs
from seviz.run.store import Run

COLLAPSED = 0.1
"""Gates have collapsed where their standard deviation is less than this share of that in the other run."""

COMPARISON: Ranges = {
    **dict.fromkeys(("stage", "channels", "classes", "collapsed_channels"), COUNT),
    **dict.fromkeys(("shift", "low", "high", "std_total_one", "std_total_other"), POSITIVE),
    **dict.fromkeys(("difference", "difference_low", "difference_high"), ANY),
    **dict.fromkeys(("correlation", "correlation_of_means"), SIGNED),
    **dict.fromkeys(("omega_squared_one", "omega_squared_other"), OMEGA),
    **dict.fromkeys(("change", "change_low", "change_high"), ANY),
}
COMPARISON_BY_CLASS: Ranges = {
    **dict.fromkeys(("images_one", "images_other"), COUNT),
    **dict.fromkeys(("shift", "low", "high"), POSITIVE),
    "difference": ANY,
}


@dataclass(frozen=True)
class Shift:
    """How far mean gates differ, class by class, over all channels.

    Attributes
    ----------
    squared
        Mean square over channels of the difference, less what chance makes it, (class); may fall below 0. NaN where
        either side has fewer than two images.
    low, high
        Interval of its root, (class), not below 0.
    difference
        Mean over channels of the other run less the one, (class).
    """

    squared: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    difference: NDArray[np.float64]


def shift_of(one: Moments, other: Moments, *, confidence: float = 0.95) -> Shift:
    """How far the mean gates of each class differ between two sets of images.

    Parameters
    ----------
    one, other
        Per class and channel, of the same classes and channels, from images that were drawn independently. Of the
        same images in both, intervals are too wide.
    confidence
        Of the intervals, in (0, 1).
    """
    step = other.mean - one.mean
    noise = [(moments.variance().mean(1) / np.maximum(moments.count, 1)) for moments in (one, other)]
    freedom = [np.where(moments.count > 1, moments.count - 1, np.nan) for moments in (one, other)]
    both = noise[0] + noise[1]
    square, there = np.square(step).mean(1), (one.count > 0) & (other.count > 0)
    share = noise[0] / np.where(both > 0, both, np.nan)
    welch = 1 / (share**2 / freedom[0] + (1 - share) ** 2 / freedom[1])
    reach = np.where(both == 0, 0, stats.t.ppf((1 + confidence) / 2, welch) * np.sqrt(both))
    root = np.sqrt(square)
    return Shift(
        squared=square - both,
        low=np.maximum(root - reach, 0),
        high=root + reach,
        difference=np.where(there, step.mean(1), np.nan),
    )


def change_of(one: Moments, other: Moments, *, confidence: float = 0.95) -> tuple[float, float]:
    """Change of omega squared between two sets of images of the same classes.

    Parameters
    ----------
    one, other
        Per class and channel, of the same classes; an image belongs to one class. Every class has images in both.
    confidence
        Of the interval, in (0, 1).

    Returns
    -------
    change
        Omega squared of the other less that of the one.
    reach
        To either side of the change, how far its interval reaches with the classes as a sample: by a jackknife that
        leaves out a class in both at once. NaN for fewer than three classes.
    """
    splits, classes = (split_variance(one), split_variance(other)), len(one.count)
    change = splits[1].omega_squared - splits[0].omega_squared
    if classes < 3:
        return change, float("nan")
    left = [
        omega_squared_of_f(np.exp(log_f_without_each(moments)), split.images, classes)
        for moments, split in zip((one, other), splits, strict=True)
    ]
    error = (classes - 1) / np.sqrt(classes) * (left[1] - left[0]).std(ddof=1)
    return change, float(stats.t.ppf((1 + confidence) / 2, classes - 1) * error)


def compare(
    one: Run,
    other: Run,
    *,
    match: Match = "path",
    signal: str = "excitation",
    collapse: float = COLLAPSED,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How two runs differ, block by block.

    Parameters
    ----------
    one, other
        Finished runs.
    match
        Which blocks belong together: "path", those of one module path and, of the rest, those of one name; "name",
        those of one name; "position", those at one place in the order of depth.
    signal
        What to compare.
    collapse
        Below which share of the standard deviation of the other run gates have collapsed to a constant, in (0, 1).
    confidence
        Of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row for each pair of blocks, in the order of depth in `one`; all on the classes, matched by id, of which
        both runs have images:

        - block, other_block, paired_by ("path", "name" or "position"), stage, channels, classes
        - shift, low, high: between the mean gates of a class, root mean square over classes and channels, in units of
          the signal, without what chance adds; interval for classes of the same kind
        - difference, difference_low, difference_high: mean over classes and channels of `other` less `one`
        - correlation: between the two runs' class means over classes and channels, the mean over classes taken off
          each channel: whether the same channels tell the same classes apart. Nearer 0 the noisier the means.
        - correlation_of_means: over channels, of the means over classes
        - omega_squared_one, omega_squared_other: class specificity, as in `specificity`
        - change, change_low, change_high: of omega squared, from one to the other; interval for classes of the same
          kind
        - std_total_one, std_total_other: standard deviation over all images of the run, root mean square over channels
        - collapsed: which of the runs has gates that hardly move beside the other's: "one", "other", "both" where
          neither run's gates move at all, or "neither"; empty where either's standard deviation is not known
        - collapsed_channels: how many channels have collapsed in `other` that move in `one`

        Shifts, correlations and collapsed_channels are NaN where the blocks have different numbers of channels, and
        shifts, correlations and changes where the runs share no class with two images in each. Without a shared class
        omega squared is over all classes of each run. Intervals are NaN for fewer than two classes, those of change
        for fewer than three. What makes the comparison less than fair, how blocks
        were paired, and which have no counterpart and are left out says `attrs["remarks"]`, a list of sentences.

    Raises
    ------
    MissingSignalError
        If a run does not hold the signal, or no two blocks match.
    OptionError
        If an option is outside its range.
    """
    if not 0 < collapse < 1:
        raise OptionError(f"collapse is {collapse}, expected between 0 and 1, such as {COLLAPSED}")
    pairing = _paired(one, other, match, confidence)
    mine, theirs = _shared(one, other)
    several = one.manifest.data.labels == "multi", other.manifest.data.labels == "multi"
    rows = []
    for pair in pairing.pairs:
        block, other_block = pair.one, pair.other
        found = moments_of(one, block, signal), moments_of(other, other_block, signal)
        sides, totals = (found[0][0], found[1][0]), (found[0][1], found[1][1])
        there = (sides[0].count[mine] > 0) & (sides[1].count[theirs] > 0)
        chosen = mine[there], theirs[there]
        record = one.block(block)
        alike = record.channels == other.block(other_block).channels
        stds = [_total_std(total) for total in totals]
        known = alike and np.isfinite(stds).all()
        ends = one.bounds(block, signal), other.bounds(other_block, signal)
        reach = ends[1][0] - ends[0][1], ends[1][1] - ends[0][0]  # of a difference between gates
        rows.append(
            {
                "block": block,
                "other_block": other_block,
                "paired_by": pair.by,
                "stage": record.stage,
                "channels": record.channels,
                "classes": int(there.sum()),
                **_shifts(sides[0].take(chosen[0]), sides[1].take(chosen[1]), alike, reach, confidence),
                **_change(sides, totals, chosen, several, confidence),
                "std_total_one": _root_mean_square(stds[0]),
                "std_total_other": _root_mean_square(stds[1]),
                "collapsed": _collapsed(_root_mean_square(stds[0]), _root_mean_square(stds[1]), collapse),
                "collapsed_channels": float((stds[1] < collapse * stds[0]).sum()) if known else float("nan"),
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = _unresolved(one, other, pairing, signal) + _remarks(one, other, pairing, len(mine))
    return table


def compare_by_class(
    one: Run,
    other: Run,
    *,
    match: Match = "path",
    signal: str = "excitation",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How far the mean gates of each class shift from one run to another, block by block.

    Parameters
    ----------
    one, other, match, signal, confidence
        As in `compare`.

    Returns
    -------
    pandas.DataFrame
        One row for each pair of blocks and class, matched by id, of which both runs have images; blocks in order of
        depth in `one`, in each the classes by falling shift:

        - block, other_block, paired_by, class, class_name
        - images_one, images_other
        - shift, low, high: root mean square over channels, in units of the signal, without what chance adds (0 where
          chance alone makes as much); interval by Welch's t for any correlation between channels
        - difference: mean over channels of `other` less `one`

        NaN where a class has fewer than two images on either side (difference: none). Blocks with different numbers of
        channels are left out. In `attrs["remarks"]` sentences as in `compare`.

    Raises
    ------
    MissingSignalError
        If a run does not hold the signal, or no two blocks match.
    OptionError
        If an option is outside its range.
    """
    pairing = _paired(one, other, match, confidence)
    mine, theirs = _shared(one, other)
    ids, names = (np.array(texts, dtype=object) for texts in (one.classes.ids, one.classes.names))
    frames = []
    for pair in pairing.pairs:
        block, other_block = pair.one, pair.other
        if one.block(block).channels != other.block(other_block).channels:
            continue
        first = moments_of(one, block, signal)[0].take(mine)
        second = moments_of(other, other_block, signal)[0].take(theirs)
        there = (first.count > 0) & (second.count > 0)
        shift = shift_of(first, second, confidence=confidence)
        frame = pd.DataFrame(
            {
                "block": block,
                "other_block": other_block,
                "paired_by": pair.by,
                "class": ids[mine],
                "class_name": names[mine],
                "images_one": first.count,
                "images_other": second.count,
                "shift": np.sqrt(np.maximum(shift.squared, 0)),
                "low": shift.low,
                "high": shift.high,
                "difference": shift.difference,
            }
        )
        frames.append(frame[there].sort_values("shift", ascending=False, kind="stable"))
    columns = ["block", "other_block", "paired_by", "class", "class_name", "images_one", "images_other"]
    columns += ["shift", "low", "high", "difference"]
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    table.attrs["remarks"] = _unresolved(one, other, pairing, signal) + _remarks(one, other, pairing, len(mine))
    return table


def _paired(one: Run, other: Run, match: Match, confidence: float) -> Pairing:
    if match not in MATCHES:
        raise OptionError(f"match is {match!r}, expected 'path', 'name' or 'position'")
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1, such as 0.95")
    pairing = pair_runs(one, other, match=match)
    if not pairing.pairs:
        what = "name" if match == "name" else "module path or the name"
        raise MissingSignalError(
            f"no block of {str(one.path)!r} ({', '.join(one.blocks)}) has the {what} of one of {str(other.path)!r}"
            f" ({', '.join(other.blocks)}); match them by position"
        )
    return pairing


def _shared(one: Run, other: Run) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The classes, by id, that both runs know: their indices in each."""
    there = {class_id: index for index, class_id in enumerate(other.classes.ids)}
    both = [(index, there[class_id]) for index, class_id in enumerate(one.classes.ids) if class_id in there]
    indices = np.array(both, np.int64).reshape(-1, 2)
    return indices[:, 0], indices[:, 1]


def _shifts(
    one: Moments, other: Moments, alike: bool, reach: tuple[float, float], confidence: float
) -> dict[str, float]:
    """Shift, difference and correlations of a block, none for blocks that are not alike, intervals within reach."""
    names = ["shift", "low", "high", "difference", "difference_low", "difference_high"]
    names += ["correlation", "correlation_of_means"]
    if not alike or not len(one.count):
        return dict.fromkeys(names, float("nan"))
    shift = shift_of(one, other, confidence=confidence)
    squared = shift.squared[np.isfinite(shift.squared)]
    values = [*_mean_interval(squared, confidence)]
    values = [float(np.sqrt(max(value, 0))) if np.isfinite(value) else value for value in values]
    values[2] = min(values[2], max(np.abs(reach)))
    mean, low, high = _mean_interval(shift.difference, confidence)
    values += [mean, max(low, reach[0]), min(high, reach[1])]
    centred = [(moments.mean - moments.mean.mean(0)).ravel() for moments in (one, other)]
    values += [_correlation(*centred), _correlation(one.mean.mean(0), other.mean.mean(0))]
    return dict(zip(names, values, strict=True))


def _mean_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float, float]:
    """Mean of independent values and its interval by Student's t; NaN for none, the interval for fewer than two."""
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    mean, reach = float(values.mean()), float("nan")
    if len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error)
    return mean, mean - reach, mean + reach


def _change(
    sides: tuple[Moments, Moments],
    totals: tuple[Moments, Moments],
    chosen: tuple[NDArray[np.int64], NDArray[np.int64]],
    several: tuple[bool, bool],
    confidence: float,
) -> dict[str, float]:
    """Omega squared of both, and its change with an interval over classes."""
    shared, each = len(chosen[0]) > 0, []
    for side, total, of, many in zip(sides, totals, chosen, several, strict=True):
        labels = of if shared else np.flatnonzero(side.count)
        splits = [split_against_rest(side, total, label) for label in labels] if many else []
        each.append(np.array([s.omega_squared for s in splits] if many else [_omega_squared(side.take(labels))]))
    change, reach = float("nan"), float("nan")
    if shared and all(several):
        change, low, _ = _mean_interval(each[1] - each[0], confidence)
        reach = change - low
    elif shared and not any(several):
        change, reach = change_of(sides[0].take(chosen[0]), sides[1].take(chosen[1]), confidence=confidence)
    omega = [float(values.mean()) if len(values) else float("nan") for values in each]
    least = [_least(side.take(of), many) for side, of, many in zip(sides, chosen, several, strict=True)]
    return {
        "omega_squared_one": omega[0],
        "omega_squared_other": omega[1],
        "change": change,
        "change_low": float(np.maximum(change - reach, least[1] - 1)),
        "change_high": float(np.minimum(change + reach, 1 - least[0])),
    }


def _least(moments: Moments, several: bool) -> float:
    """The least value that omega squared can have; -inf where images have several classes, whose number is not told."""
    return -np.inf if several else split_variance(moments).least_omega_squared


def _omega_squared(moments: Moments) -> float:
    return split_variance(moments).omega_squared


def _unresolved(one: Run, other: Run, pairing: Pairing, signal: str) -> list[str]:
    """Remarks on channels of either run that are near-constant or not finite."""
    blocks = [pair.one for pair in pairing.pairs], [pair.other for pair in pairing.pairs]
    return [
        f"{str(run.path)!r}: {remark}"
        for run, names in zip((one, other), blocks, strict=True)
        for remark in unresolved(run, names, signal)
    ]


def _total_std(total: Moments) -> NDArray[np.float64]:
    """Standard deviation of each channel over all images, exactly 0 where it is constant; NaN for one image."""
    variance = total.variance()[0]
    result: NDArray[np.float64] = np.sqrt(np.where(total.min[0] >= total.max[0], 0 * variance, variance))
    return result


def _collapsed(one: float, other: float, collapse: float) -> str:
    if np.isnan([one, other]).any():
        return ""
    if one == other == 0:
        return "both"
    if other < collapse * one:
        return "other"
    return "one" if one < collapse * other else "neither"


def _remarks(one: Run, other: Run, pairing: Pairing, classes: int) -> list[str]:
    """What makes a comparison of two runs less than fair, a sentence each."""
    mine, theirs = one.manifest, other.manifest
    remarks = []
    if mine.model.spec != theirs.model.spec:
        remarks.append(
            f"The networks are two ({mine.model.spec}, {theirs.model.spec}): a channel of one has no counterpart in the"
            " other but by its number, which shifts and correlations go by."
        )
    elif mine.model.weights_sha256 != theirs.model.weights_sha256:
        remarks.append("The weights differ: channels correspond only where one network was trained from the other.")
    for run in (one, other):
        if (changed := run.manifest.model.changed) is not None:
            remarks.append(
                f"The network of {str(run.path)!r} was changed in Python after it was loaded: {changed.what}."
            )
        if not run.manifest.model.trained:
            remarks.append(f"The weights of the SE blocks in {str(run.path)!r} are untrained.")
    if mine.model.preprocessing != theirs.model.preprocessing or mine.model.input_size != theirs.model.input_size:
        keys = sorted(
            key
            for key in {*mine.model.preprocessing, *theirs.model.preprocessing}
            if mine.model.preprocessing.get(key) != theirs.model.preprocessing.get(key)
        )
        what = ", ".join(keys) or "the size of the input"
        remarks.append(f"Images were preprocessed differently ({what}): part of the difference may come from that.")
    if mine.engine.rotate != theirs.engine.rotate:
        remarks.append("Only one of the runs rotated images as their EXIF orientation says.")
    if mine.data.labels != theirs.data.labels:
        remarks.append("Images have one class in one run and several in the other: omega squared does not compare.")
    known = len(one.classes), len(other.classes)
    if not classes:
        remarks.append("The runs share no class by its id: there are no shifts, and omega squared is over all classes.")
    elif classes < max(known):
        remarks.append(f"The runs share {classes} classes, of {known[0]} and {known[1]}; the others are left out.")
    widths = [pair.one for pair in pairing.pairs if one.block(pair.one).channels != other.block(pair.other).channels]
    if widths:
        remarks.append(f"Blocks with different numbers of channels have no shifts: {', '.join(widths)}.")
    return remarks + pairing.remarks(str(one.path), str(other.path))


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson's; NaN where either is constant but for rounding."""
    x, y = x - x.mean(), y - y.mean()
    whole = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float(x @ y) / whole if whole > 1e-24 else float("nan")


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
