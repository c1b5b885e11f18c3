"""Images parted into those that scores come from, those that choices are made with, and those that judge the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seviz.capture.datasets import Dataset
from seviz.compression.masking import check_disjoint
from seviz.errors import MissingSignalError, OptionError
from seviz.run.parts import Part, split_rows
from seviz.run.store import Run
from seviz.texts import path_text


@dataclass(frozen=True)
class Split:
    """Three sets of images that share none.

    Attributes
    ----------
    run
        The run, or the part of it, that gate scores and mean gates come from.
    score
        Its images, for scores that need images.
    choose
        Images to choose with.
    final
        Images that the result is judged by.
    record
        How they were made, in words and numbers that JSON holds.
    """

    run: Run | Part
    score: Dataset
    choose: Dataset
    final: Dataset
    record: dict[str, Any]


def split(
    run: Run,
    data: Dataset,
    *,
    other: Dataset | None = None,
    score: float = 0.4,
    choose: float = 0.2,
    seed: int = 0,
) -> Split:
    """Part the images of a run; or, where there are others, take the run's for scores and part the others.

    Parameters
    ----------
    run
        Complete, with one class an image; without other images, with the gates of all images kept.
    data
        Its images, in its order, as `seviz.experiments.reopening.reopen_data` gives them.
    other
        Images that are none of the run's.
    score, choose
        The shares of the run's images; the rest is final. Of other images choose / (1 - score) are to choose with.
    seed
        Of the draw, which is by class.

    Raises
    ------
    OptionError
        If shares leave nothing, an image has several classes, or other images are some of the run's.
    MissingSignalError
        If the run does not keep the gates of all images.
    """
    if not (0 < score < 1 and 0 < choose < 1 and score + choose < 1):
        raise OptionError(f"score is {score} and choose {choose}, expected numbers above 0 that leave a rest of 1")
    if other is not None:
        check_disjoint(files(data), files(other))
        share = choose / (1 - score)
        rows = split_rows(_single(other), {"choose": share, "final": 1 - share}, seed=seed)
        parts = {name: other.take(each) for name, each in rows.items()}
        record = _record(seed, len(data), parts, scores_from=data.spec, judged_on=other.spec)
        return Split(run, data, parts["choose"], parts["final"], record)
    _refuse_unkept(run)
    rows = split_rows(run, {"score": score, "choose": choose, "final": 1 - score - choose}, seed=seed)
    parts = {name: data.take(each) for name, each in rows.items()}
    record = _record(seed, len(parts["score"]), parts, scores_from=data.spec, judged_on=data.spec)
    return Split(Part(run, rows["score"]), parts["score"], parts["choose"], parts["final"], record)


def scoring_samples(split: Split, seeds: Sequence[int], *, share: float = 0.5) -> dict[int, tuple[Part, Dataset]]:
    """Several samples of the images that scores come from, to see how far scores depend on them.

    Parameters
    ----------
    split
        As `split` gives it.
    seeds
        One sample each, drawn by class.
    share
        Of the images in a sample, in (0, 1].

    Returns
    -------
    dict of int to tuple
        By seed, the part of the run and its images.

    Raises
    ------
    OptionError
        If a sample would have no image.
    MissingSignalError
        If the run does not keep the gates of all images.
    """
    if isinstance(split.run, Part):
        run, rows = split.run.run, split.run.rows
    else:
        run, rows = split.run, np.arange(len(split.score), dtype=np.int64)
        _refuse_unkept(run)
    samples = {}
    for seed in seeds:
        drawn: NDArray[np.int64] = split_rows(split.run, {"score": share}, seed=seed)["score"]
        samples[seed] = Part(run, rows[drawn]), split.score.take(drawn)
    return samples


def of_classes(data: Dataset, classes: Sequence[str] | None) -> Dataset:
    """The images of some classes, by id or name; all of them if it is None.

    Raises
    ------
    UnknownClassError
        If there is no such class in the data.
    """
    if classes is None:
        return data
    wanted = [data.classes.index(name, f"data {data.spec!r}") for name in classes]
    return data.take(np.flatnonzero(np.isin(_single(data), wanted)))


def _refuse_unkept(run: Run) -> None:
    samples = run.samples
    missing = int((~samples["kept"] & (samples["status"] != "failed")).sum())
    if missing:
        raise MissingSignalError(
            f"the run {str(run.path)!r} does not keep the gates of {missing} of its {len(samples)} images, so they"
            " cannot be parted. Judge the result by other images (--data), or capture again with --keep-gates all."
        )


def _single(data: Dataset) -> NDArray[np.int64]:
    if data.multi:
        raise OptionError(
            f"images of data {data.spec!r} have several classes, expected one of each. Give such images, as other data."
        )
    return data.labels


def files(data: Dataset) -> list[str]:
    """What tells the images of data sets apart: where each is."""
    return [f"{data.root or data.spec}/{path_text(path)}" for path in data.paths]


def _record(seed: int, scored: int, parts: dict[str, Dataset], *, scores_from: str, judged_on: str) -> dict[str, Any]:
    return {
        "seed": seed,
        "scores from": scores_from,
        "judged on": judged_on,
        "images for scores": scored,
        "images to choose with": len(parts["choose"]),
        "images to judge by": len(parts["final"]),
    }
