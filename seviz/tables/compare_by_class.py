"""How far the mean gates of each class shift from one run to another."""

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.pairing import Match
from seviz.run.store import Run
from seviz.stats.shift import shift_of
from seviz.tables.columns import CLASSES, COUNT, KEY, SIGNAL, SPREAD, TEXT, every
from seviz.tables.two_runs import paired, remarks_on_both, shared_classes


@table(
    title="Two runs by class",
    caption="How far the mean gates of each class shift from one run to the other, the furthest first.",
    needs=("other",),
    columns={
        "block": KEY,
        **every(TEXT, "other_block", "paired_by"),
        **CLASSES,
        **every(COUNT, "images_one", "images_other"),
        **every(SPREAD, "shift", "low", "high"),
        "difference": SIGNAL,
    },
)
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
    one
        A finished run.
    other
        Another finished run.
    match
        Which blocks belong together: "path", those of one module path and, of the rest, those of one name; "name",
        those of one name; "position", those at one place in the order of depth.
    signal
        Signal to analyse: excitation, squeeze or response.
    confidence
        Confidence level of the intervals, in (0, 1).

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

    Examples
    --------
    >>> len(seviz.compare_by_class(run, other))
    160
    """
    pairing = paired(one, other, match, confidence)
    mine, theirs = shared_classes(one, other)
    ids, names = (np.array(texts, dtype=object) for texts in (one.classes.ids, one.classes.names))
    frames = []
    for pair in pairing.pairs:
        block, other_block = pair.one, pair.other
        if one.block(block).channels != other.block(other_block).channels:
            continue
        first = one.sample(block, signal).moments.take(mine)
        second = other.sample(other_block, signal).moments.take(theirs)
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
    table.attrs["remarks"] = remarks_on_both(one, other, pairing, signal, len(mine))
    return table
