"""What is said of made runs whose truth is known. What is still wrong is marked, and to be right one day."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

import seviz
from seviz.report.contents import gather
from seviz.stats.proportions import score
from seviz.tables.decoding import decode
from tests.made_runs import make_run

BLOCKS = [f"SE_{stage}_{k}" for stage, number in ((2, 3), (3, 4), (4, 6), (5, 3)) for k in range(1, number + 1)]
PAPER = "the course that the paper describes"


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1 / (1 + np.exp(-x))


@pytest.mark.xfail(reason="runs of the same images are compared as if each had its own")
@pytest.mark.parametrize("shift", [0.005, 0.01, 0.02])
def test_a_shift_of_the_same_images_is_found(shift: float, tmp_path: Path) -> None:
    labels = np.repeat(np.arange(10), 100)
    gates = sigmoid(np.random.default_rng(0).normal(0, 0.8, (1000, 16))) * 0.9
    one, other = (make_run(tmp_path / f"{k}", {"SE_2_1": gates + k * shift}, labels) for k in (0, 1))
    row = seviz.compare(one, other).iloc[0]
    assert row["shift"] == pytest.approx(shift, rel=0.05)
    assert 0 < row["low"] <= shift * 1.001
    assert row["high"] >= shift * 0.999


@pytest.mark.xfail(reason="the share between classes is of the images at hand, whatever their proportions")
@pytest.mark.parametrize("sizes", [[400, 200, 100, 80, 60, 50, 40, 30, 20, 20], [910, *[10] * 9]])
def test_proportions_of_classes_are_no_change_of_the_gates(sizes: list[int], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    means = random.normal(size=(10, 64))
    runs = []
    for name, count in (("even", [100] * 10), ("uneven", sizes)):
        labels = np.repeat(np.arange(10), count)
        gates = sigmoid(means[labels] * 0.8 + random.normal(size=(len(labels), 64)))
        runs.append(make_run(tmp_path / name, {"SE_2_1": gates}, labels))
    row = seviz.compare(*runs).iloc[0]
    assert row["change_low"] <= 0 <= row["change_high"]


def run_of(path: Path, shares: list[float], *, mean: float = 0.0, spread: float = 1.0) -> seviz.Run:
    """Ten classes of 30 images; of a block's variance before the sigmoid a share lies between classes."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 30)
    gates = {}
    for block, share in zip(BLOCKS[::2], shares, strict=True):
        of_class = random.normal(size=(10, 8))
        of_class -= of_class.mean(0)
        of_class /= np.sqrt((of_class**2).mean(0))
        noise = random.normal(size=(300, 8))
        gates[block] = sigmoid(mean + spread * (np.sqrt(share) * of_class[labels] + np.sqrt(1 - share) * noise))
    return make_run(path, gates, labels)


COURSES: dict[str, tuple[list[float], dict[str, float], bool]] = {
    "rises": (np.linspace(0.05, 0.8, 8).tolist(), {}, True),
    "rises, then falls": ([0.05, 0.1, 0.2, 0.4, 0.55, 0.65, 0.75, 0.3], {}, False),
    "of next to nothing": (np.linspace(0.05, 0.8, 8).tolist(), {"mean": 5, "spread": 0.3}, False),
}
"""Shares by block, how the gates lie, and whether that is what the paper describes."""


@pytest.mark.parametrize(
    "name",
    [
        name if right else pytest.param(name, marks=pytest.mark.xfail(reason="called what the paper describes"))
        for name, (_, _, right) in COURSES.items()
    ],
)
def test_the_course_of_the_paper_is_told_apart(name: str, tmp_path: Path) -> None:
    shares, options, described = COURSES[name]
    said = " ".join(each.sentence for each in gather(run_of(tmp_path / "run", shares, **options)).headlines)
    assert (PAPER in said and "opposite" not in said) == described


@pytest.mark.xfail(reason="16 intervals are looked at, none of them corrected for their number")
@pytest.mark.parametrize(("classes", "images"), [(10, 20), (2, 50)])
def test_decoding_raises_few_false_alarms(classes: int, images: int) -> None:
    """Runs whose gates know nothing of the class: in at most one of ten an interval may lie above chance."""
    alarms = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        labels = np.repeat(np.arange(classes), images)
        folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels))
        lows = []
        for _ in BLOCKS:
            gates = random.normal(size=(len(labels), 16)).astype(np.float32)
            found = decode(gates, labels, folds, decoders=["centroid"], components=64)
            lows.append(score(labels, found["pca", "centroid"])["low"])
        alarms += any(low > 1 / classes for low in lows)
    assert alarms <= 1
