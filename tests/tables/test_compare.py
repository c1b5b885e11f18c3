import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import MissingSignalError, OptionError
from seviz.moments import Moments
from seviz.run.store import Run
from seviz.stats.shift import change_of, shift_of
from seviz.stats.variance import split_variance
from seviz.tables.compare import compare
from seviz.tables.compare_by_class import compare_by_class
from seviz.tables.specificity import specificity
from tests.made_runs import make_run

LABELS = np.repeat(range(5), (20, 30, 25, 15, 40))


def gates(seed: int = 0, shift: float = 0.0, noise: float = 0.05, channels: int = 6) -> NDArray[np.float64]:
    means = 0.5 + 0.1 * np.random.default_rng(99).normal(size=(5, channels))
    return means[LABELS] + shift + noise * np.random.default_rng(seed).normal(size=(len(LABELS), channels))


def change(run: Run, **records: dict[str, Any]) -> Run:
    """The run with other words in its manifest."""
    parts = {key: dataclasses.replace(getattr(run.manifest, key), **value) for key, value in records.items()}
    run.manifest = dataclasses.replace(run.manifest, **parts)
    return run


def test_one_channel_is_welchs_test() -> None:
    random, labels = np.random.default_rng(1), np.repeat([0, 1], (9, 14))
    x, y = random.normal(size=(23, 1)), 0.8 + 2 * random.normal(size=(23, 1))
    shift = shift_of(Moments.of(x, labels, 2), Moments.of(y, labels, 2), confidence=0.9)
    for k in range(2):
        test = stats.ttest_ind(y[labels == k, 0], x[labels == k, 0], equal_var=False)
        low, high = test.confidence_interval(0.9)
        root = abs(shift.difference[k])
        assert shift.difference[k] == pytest.approx(y[labels == k].mean() - x[labels == k].mean())
        assert shift.high[k] - root == pytest.approx((high - low) / 2)
        assert shift.low[k] == pytest.approx(max(root - (high - low) / 2, 0))


@pytest.mark.parametrize("together", [False, True])
def test_interval_of_a_class_covers_whether_channels_move_together_or_apart(together: bool) -> None:
    random, truth, hits, squares = np.random.default_rng(2), 0.3, 0, []
    step = random.normal(size=12)
    step *= truth / np.sqrt(np.square(step).mean())
    for _ in range(400):
        x, y = (random.normal(size=(25, 1 if together else 12)) * np.ones(12) for _ in range(2))
        label = np.zeros(25, int)
        shift = shift_of(Moments.of(x, label, 1), Moments.of(y + step, label, 1))
        hits += shift.low[0] <= truth <= shift.high[0]
        squares.append(shift.squared[0])
    assert hits / 400 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 400)
    assert np.mean(squares) == pytest.approx(truth**2, abs=0.02)


def test_the_interval_of_a_block_covers(tmp_path: Path) -> None:
    """Classes are drawn anew, each with a shift of its own, through the same numbers that `compare` takes."""
    random, hits = np.random.default_rng(3), 0
    labels = np.repeat(range(40), 10)
    for _ in range(300):
        steps = 0.3 * random.normal(size=(40, 8))
        x, y = random.normal(size=(400, 8)), random.normal(size=(400, 8)) + steps[labels]
        squared = shift_of(Moments.of(x, labels, 40), Moments.of(y, labels, 40)).squared
        reach = stats.t.ppf(0.975, 39) * squared.std(ddof=1) / np.sqrt(40)
        hits += abs(squared.mean() - 0.09) <= reach
    assert abs(hits / 300 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 300)


def test_a_planted_shift_is_found(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"SE_2_1": gates(0), "SE_3_1": gates(1)}, LABELS)
    other = make_run(tmp_path / "other", {"SE_2_1": gates(2, 0.1), "SE_3_1": gates(3)}, LABELS)
    table = compare(one, other).set_index("block")
    assert list(table.index) == ["SE_2_1", "SE_3_1"]
    moved, still = table.loc["SE_2_1"], table.loc["SE_3_1"]
    assert moved["shift"] == pytest.approx(0.1, abs=0.01)
    assert moved["low"] < 0.1 < moved["high"]
    assert moved["difference"] == pytest.approx(0.1, abs=0.01)
    assert moved["difference_low"] < 0.1 < moved["difference_high"]
    assert still["shift"] < 0.008
    assert still["low"] == 0
    assert still["difference_low"] < 0 < still["difference_high"]
    assert (table["correlation"] > 0.9).all()
    assert (table["change"].abs() < 0.1).all()
    assert (table["collapsed"] == "neither").all()
    assert (table["classes"] == 5).all()
    assert table.attrs["remarks"] == []


def test_columns_agree_with_the_gates(tmp_path: Path) -> None:
    x, y = gates(0), gates(2, 0.05, 0.2)
    one, other = (make_run(tmp_path / name, {"SE_2_1": g}, LABELS) for name, g in (("one", x), ("other", y)))
    row = compare(one, other).iloc[0]
    means = [np.array([g[k == LABELS].mean(0) for k in range(5)]) for g in (x, y)]
    noise = [np.array([g[k == LABELS].var(0, ddof=1) / (k == LABELS).sum() for k in range(5)]) for g in (x, y)]
    assert row["shift"] == pytest.approx(np.sqrt((np.square(means[1] - means[0]) - noise[0] - noise[1]).mean()))
    assert row["difference"] == pytest.approx((means[1] - means[0]).mean(), abs=1e-6)
    flat = [(m - m.mean(0)).ravel() for m in means]
    assert row["correlation"] == pytest.approx(np.corrcoef(*flat)[0, 1], abs=1e-4)
    assert row["correlation_of_means"] == pytest.approx(np.corrcoef(means[0].mean(0), means[1].mean(0))[0, 1], abs=1e-4)
    shares = [specificity(run)["omega_squared"][0] for run in (one, other)]
    assert (row["omega_squared_one"], row["omega_squared_other"]) == pytest.approx(tuple(shares))
    assert row["change"] == pytest.approx(shares[1] - shares[0])
    assert row["change_low"] < row["change"] < row["change_high"] < -0.1
    assert row["std_total_other"] == pytest.approx(np.sqrt(y.var(0, ddof=1).mean()), rel=1e-4)
    classes = compare_by_class(one, other)
    assert classes["shift"].is_monotonic_decreasing
    for record in classes.to_dict("records"):
        k = int(record["class"][-1])
        square = (np.square(means[1] - means[0]) - noise[0] - noise[1])[k].mean()
        assert record["shift"] == pytest.approx(np.sqrt(max(square, 0)), abs=1e-5)
        assert record["difference"] == pytest.approx((means[1] - means[0])[k].mean(), abs=1e-5)
        assert record["low"] <= record["shift"] <= record["high"]
        assert record["images_one"] == record["images_other"] == (k == LABELS).sum()


def test_the_interval_of_the_change_covers() -> None:
    """By its parts: classes are drawn anew, two noises, and the jackknife of both over the same classes."""
    random, hits, labels = np.random.default_rng(4), 0, np.repeat(range(30), 15)
    truth = [29 * component / (29 * component + 30) for component in (0.5, 0.25)]
    for _ in range(300):
        means = np.sqrt(0.5) * random.normal(size=(30, 6))
        sides = [Moments.of(means[labels] + s * random.normal(size=(450, 6)), labels, 30) for s in (1, np.sqrt(2))]
        found, reach = change_of(sides[0], sides[1], confidence=0.95)
        assert found == pytest.approx(split_variance(sides[1]).omega_squared - split_variance(sides[0]).omega_squared)
        hits += abs(found - (truth[1] - truth[0])) <= reach
    assert abs(hits / 300 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 300)


def test_gates_that_collapsed_raise_an_alarm(tmp_path: Path) -> None:
    x = gates()
    still = 0.5 + 0.01 * (x - 0.5)
    half = np.where(np.arange(6) < 2, 0.3, x)
    blocks = {"SE_2_1": x, "SE_3_1": still, "SE_4_1": x, "SE_5_1": 0 * x + 0.1}
    one = make_run(tmp_path / "one", blocks, LABELS)
    other = make_run(tmp_path / "other", {**blocks, "SE_2_1": still, "SE_3_1": x, "SE_4_1": half}, LABELS)
    table = compare(one, other)
    assert list(table["collapsed"]) == ["other", "one", "neither", "both"]
    assert list(table["collapsed_channels"]) == [6, 0, 2, 0]
    constant = table.iloc[3]
    assert constant["std_total_one"] == constant["shift"] == 0
    assert np.isnan(constant[["correlation", "change", "omega_squared_one"]].astype(float)).all()
    assert list(compare(one, other, collapse=0.005)["collapsed"]) == ["neither", "neither", "neither", "both"]


def test_classes_are_matched_by_id(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"SE_2_1": gates()}, LABELS, classes=("a", "b", "c", "d", "e"))
    keep = LABELS > 0
    other = make_run(tmp_path / "other", {"SE_2_1": gates()[keep]}, 4 - LABELS[keep], classes=("e", "d", "c", "b"))
    row = compare(one, other).iloc[0]
    assert (row["classes"], row["correlation"]) == (4, pytest.approx(1))
    assert row["shift"] == 0
    assert row["change"] == pytest.approx(0, abs=1e-9)
    assert compare(one, other).attrs["remarks"] == ["The runs share 4 classes, of 5 and 4; the others are left out."]
    assert set(compare_by_class(one, other)["class"]) == set("bcde")


def test_runs_without_a_shared_class(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"SE_2_1": gates()}, LABELS)
    other = make_run(tmp_path / "other", {"SE_2_1": gates(1)}, LABELS, classes=("a", "b", "c", "d", "e"))
    table = compare(one, other)
    row = table.iloc[0]
    assert row["classes"] == 0
    assert np.isnan(row[["shift", "correlation", "change", "change_low"]].astype(float)).all()
    assert row["omega_squared_other"] == pytest.approx(specificity(other)["omega_squared"][0])
    assert table.attrs["remarks"][0].startswith("The runs share no class by its id")
    assert compare_by_class(one, other).empty


def test_blocks_are_matched_by_name_or_position(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", {"SE_2_1": gates(0), "SE_2_2": gates(1), "SE_3_1": gates(2)}, LABELS)
    other = make_run(tmp_path / "other", {"SE_2_1": gates(3), "SE_3_1": gates(4, channels=7)}, LABELS)
    named = compare(one, other)
    assert list(zip(named["block"], named["other_block"], strict=True)) == [("SE_2_1",) * 2, ("SE_3_1",) * 2]
    assert named["paired_by"].tolist() == ["path", "path"]
    assert named.attrs["remarks"] == [
        "Blocks with different numbers of channels have no shifts: SE_3_1.",
        f"Without counterpart in {str(other.path)!r}: SE_2_2 of {str(one.path)!r}.",
    ]
    assert np.isnan(named[["shift", "correlation", "collapsed_channels"]].iloc[1]).all()
    assert np.isfinite(named[["omega_squared_one", "change", "std_total_other"]].iloc[1]).all()
    assert set(compare_by_class(one, other)["block"]) == {"SE_2_1"}
    placed = compare(one, other, match="position")
    assert list(zip(placed["block"], placed["other_block"], strict=True)) == [
        ("SE_2_1", "SE_2_1"),
        ("SE_2_2", "SE_3_1"),
    ]
    assert compare_by_class(one, make_run(tmp_path / "wide", {"SE_2_1": gates(0, channels=9)}, LABELS)).empty
    strange = make_run(tmp_path / "strange", {"SE_4_1": gates()}, LABELS)
    with pytest.raises(
        MissingSignalError,
        match=r"no block of .*one.* has the module path or the name of one of .*match them by position",
    ):
        compare(one, strange)
    assert len(compare(one, strange, match="position")) == 1


def test_remarks_say_what_is_not_fair(tmp_path: Path) -> None:
    def run(name: str) -> Run:
        return make_run(tmp_path / name, {"SE_2_1": gates()}, LABELS)

    one = run("one")
    cases = {
        "Images were preprocessed differently (mean)": {"model": {"preprocessing": {"mean": [0.5]}}},
        "Images were preprocessed differently (the size of the input)": {"model": {"input_size": (3, 32, 32)}},
        "The networks are two (tests/made, tests/other)": {"model": {"spec": "tests/other"}},
        "The weights differ": {"model": {"weights_sha256": "1" * 64}},
        "are untrained": {"model": {"trained": False}},
        "Only one of the runs rotated images": {"engine": {"rotate": True}},
    }
    for number, (words, records) in enumerate(cases.items()):
        other = change(run(f"other{number}"), **records)  # type: ignore[arg-type]
        remarks = compare(one, other).attrs["remarks"]
        assert len(remarks) == 1, remarks
        assert words in remarks[0]
        assert compare_by_class(one, other).attrs["remarks"] == remarks


def test_several_labels(tmp_path: Path) -> None:
    members = np.stack([k == LABELS for k in range(5)], 1)
    members[::3, 0] = True
    one, other = (make_run(tmp_path / str(seed), {"SE_2_1": gates(seed)}, members) for seed in (0, 1))
    row = compare(one, other).iloc[0]
    assert row["omega_squared_one"] == pytest.approx(specificity(one)["omega_squared"][0])
    assert row["change_low"] < 0 < row["change_high"]
    assert row["shift"] < 0.01
    single = make_run(tmp_path / "single", {"SE_2_1": gates()}, LABELS)
    table = compare(one, single)
    assert np.isnan(table["change"][0])
    assert "one class in one run and several in the other" in table.attrs["remarks"][0]


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        (np.zeros(8, int), []),
        (np.arange(8), []),
        (np.array([0, 0, 0, 1, 3, 3, 3, 3]), []),
        (np.repeat([0, 1], 4), range(1, 8)),
        (np.repeat([0, 1], 4), range(8)),
        (np.zeros((8, 2), bool), []),
        (np.ones((8, 2), bool), []),
    ],
    ids=["one class", "one image a class", "lone and empty classes", "one image", "no image", "no label", "all of all"],
)
@pytest.mark.parametrize("constant", [False, True])
def test_next_to_nothing_is_quiet(labels: NDArray[Any], failed: list[int], constant: bool, tmp_path: Path) -> None:
    x = np.full((8, 3), 0.1) if constant else gates()[::20][:, :3].repeat(2, 0)[:8]
    x = np.resize(x, (8, 3))
    one, other = (make_run(tmp_path / name, {"SE_2_1": x}, labels, failed=list(failed)) for name in ("one", "other"))
    table = compare(one, other)
    assert len(table) == 1
    assert not table["shift"].gt(1e-6).any()
    compare_by_class(one, other)


def test_options_outside_their_range(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS)
    with pytest.raises(OptionError, match="match is 'depth', expected 'path', 'name' or 'position'"):
        compare(run, run, match="depth")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="collapse is 1, expected between 0 and 1"):
        compare(run, run, collapse=1)
    with pytest.raises(OptionError, match="confidence is 0, expected between 0 and 1"):
        compare_by_class(run, run, confidence=0)
    with pytest.raises(MissingSignalError, match="holds no 'logit'"):
        compare(run, run, signal="logit")
