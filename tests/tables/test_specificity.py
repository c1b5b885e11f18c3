from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.store import Run
from seviz.stats.variance import false_discovery_rate
from seviz.tables.specificity import specificity
from seviz.tables.specificity_by_channel import specificity_by_channel
from seviz.tables.specificity_by_class import specificity_by_class
from seviz.tables.specificity_by_outcome import specificity_by_outcome
from tests.made_runs import make_run
from tests.normal_gates import LABELS, gates, memberships, textbook, values


def test_false_discovery_rate_is_benjamini_and_hochbergs() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.9])
    np.testing.assert_allclose(false_discovery_rate(p), [0.04, np.nan, 0.16 / 3, 0.16 / 3, 0.9])
    assert np.isnan(false_discovery_rate(np.array([np.nan]))).all()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two blocks, an image of which failed, an empty class; a channel without effect, one that is constant."""
    x = gates(0.8, 6, seed=1)
    x[:, 4] = gates(0, 1, seed=2)[:, 0]
    x[:, 5] = 0.1
    labels = LABELS + (LABELS == 3)
    predictions = np.where(np.random.default_rng(0).random(94) < 0.6, labels, 0)
    y = gates(0.2, 4, seed=3)
    return make_run(
        tmp_path / "run",
        {"SE_2_1": x, "SE_3_1": y},
        labels,
        predictions=predictions,
        signals={"logit": {"SE_2_1": 100 * x, "SE_3_1": y}},
        failed=[5],
    )


def test_table_of_a_run_agrees_with_its_gates(run: Run) -> None:
    table = specificity(run, permutations=50)
    assert table.attrs["remarks"] == []
    assert list(table["stage"]) == [2, 3]
    good = np.arange(94) != 5
    labels = run.labels[good]
    for row in table.to_dict("records"):
        x = run.gates(row["block"])[good].astype(np.float64)
        eta, omega = textbook(x, [labels == k for k in (0, 1, 2, 4)])
        assert (row["images"], row["classes"], row["channels"]) == (93, 4, x.shape[1])
        assert (row["eta_squared"], row["omega_squared"]) == pytest.approx((eta, omega), abs=1e-4)
        assert row["null"] == pytest.approx(3 / 92)
        assert row["std_total"] == pytest.approx(np.sqrt(x.var(0, ddof=1).mean()), rel=1e-3)
        assert 0 < row["std_between"] < row["std_total"]
        assert row["low"] < omega < row["high"] < 1
        assert row["low_classes"] < omega < row["high_classes"] < 1
        assert row["permuted_images"] == 93
        assert abs(row["permuted_mean"]) < row["permuted_95"] < omega
        assert row["permuted_p"] == pytest.approx(1 / 51)


def test_other_signals_have_a_specificity(run: Run) -> None:
    plain, logit = specificity(run), specificity(run, signal="logit")
    assert logit["omega_squared"][0] == pytest.approx(plain["omega_squared"][0], abs=1e-3)
    assert logit["std_total"][0] == pytest.approx(100 * plain["std_total"][0], rel=1e-3)
    with pytest.raises(MissingSignalError, match="holds no 'squeeze'"):
        specificity(run, signal="squeeze")


def test_without_gates_of_images_there_is_the_interval_over_classes(tmp_path: Path) -> None:
    x = {"SE_2_1": gates(0.5)}
    none = make_run(tmp_path / "none", x, LABELS, kept=np.zeros(94, bool))
    table = specificity(none)
    assert table[["low", "high"]].isna().all(axis=None)
    assert table[["low_classes", "high_classes"]].notna().all(axis=None)
    assert table.attrs["remarks"] == ["The run keeps the gates of no image: there are no intervals over images."]
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        specificity(none, permutations=10)
    some = specificity(make_run(tmp_path / "some", x, LABELS, kept=np.arange(94) % 2 == 0))
    full = specificity(make_run(tmp_path / "full", x, LABELS))
    assert some["high"][0] - some["low"][0] == pytest.approx(full["high"][0] - full["low"][0], rel=0.3)
    assert some["omega_squared"][0] == full["omega_squared"][0]
    assert "gates of 47 of 94 images" in some.attrs["remarks"][0]
    left = specificity(make_run(tmp_path / "left", x, LABELS), over_images=False)
    assert left[["low", "high"]].isna().all(axis=None)
    assert left.attrs["remarks"] == ["Intervals over images were not asked for."]


def test_channels_of_a_run(run: Run) -> None:
    table = specificity_by_channel(run)
    assert list(table["block"]) == ["SE_2_1"] * 6 + ["SE_3_1"] * 4
    for _, rows in table.groupby("block"):
        assert rows["omega_squared"].dropna().is_monotonic_decreasing
    first = table[table["block"] == "SE_2_1"].set_index("channel")
    good = np.arange(94) != 5
    x, labels = run.gates("SE_2_1")[good].astype(np.float64), run.labels[good]
    expected = stats.f_oneway(*(x[labels == k, :5] for k in (0, 1, 2, 4)))
    np.testing.assert_allclose(first["F"].loc[range(5)], expected.statistic, rtol=2e-3)
    np.testing.assert_allclose(first["p"].loc[range(5)], expected.pvalue, rtol=0.05)
    np.testing.assert_allclose(first["std_total"].loc[range(5)], x[:, :5].std(0, ddof=1), rtol=1e-3)
    assert first.loc[5, ["eta_squared", "omega_squared", "low", "high", "F", "p", "q"]].isna().all()
    assert first.loc[5, "std_total"] == first.loc[5, "std_between"] == 0
    assert first.loc[4, "low"] == 0
    assert (first["low"] <= first["omega_squared"]).loc[range(4)].all()
    np.testing.assert_allclose(table["q"], false_discovery_rate(table["p"].to_numpy()))
    narrow = specificity_by_channel(run, blocks=["SE_3_1"], confidence=0.5)
    wide = table[table["block"] == "SE_3_1"].reset_index(drop=True)
    assert (narrow["high"] - narrow["low"] < wide["high"] - wide["low"]).all()
    against = specificity_by_channel(run, blocks=["SE_3_1"], against_rest="class1").set_index("channel")
    y = run.gates("SE_3_1")[good]
    expected = stats.f_oneway(y[labels == 1], y[labels != 1])
    np.testing.assert_allclose(against["F"].loc[range(4)], expected.statistic, rtol=2e-3)


def test_right_and_wrong_predictions_split_what_is_within(run: Run) -> None:
    table = specificity_by_outcome(run).set_index("block")
    channels = specificity_by_outcome(run, by="channel").set_index(["block", "channel"])
    good = np.arange(94) != 5
    labels, right = run.labels[good], run.samples["correct"][good].to_numpy(bool)
    for name in run.blocks:
        x = run.gates(name)[good].astype(np.float64)
        within = np.zeros(x.shape[1])
        rest, steps, weights = np.zeros(x.shape[1]), [], []
        for k in (0, 1, 2, 4):
            own = x[labels == k]
            within += np.square(own - own.mean(0)).sum(0)
            parts = [part for part in (x[(labels == k) & right], x[(labels == k) & ~right]) if len(part)]
            rest += sum(np.square(part - part.mean(0)).sum(0) for part in parts)
            if len(parts) == 2:
                steps.append(parts[0].mean(0) - parts[1].mean(0))
                weights.append(len(parts[0]) * len(parts[1]) / len(own))
        total, freedom = np.square(x - x.mean(0)).sum(0), len(steps)
        assert freedom == 3  # all of class 0 are right
        row, square = table.loc[name], rest / (93 - 4 - freedom)
        assert row["between_classes"] == pytest.approx((total - within).sum() / total.sum(), abs=1e-6)
        assert row["between_outcomes"] == pytest.approx((within - rest).sum() / total.sum(), abs=1e-6)
        assert row[["between_classes", "between_outcomes", "within"]].sum() == pytest.approx(1)
        expected = ((within - rest).sum() - freedom * square.sum()) / (total.sum() + square.sum())
        assert row["omega_squared"] == pytest.approx(expected, abs=1e-6)
        assert (row["images"], row["right"], row["null"]) == (93, right.sum(), pytest.approx(3 / 92))
        own, moving = channels.loc[name].sort_index(), total > 1e-6
        f = ((within - rest) / freedom / np.where(moving, square, 1))[moving]
        np.testing.assert_allclose(own["F"][moving], f, rtol=1e-5)
        np.testing.assert_allclose(own["p"][moving], stats.f.sf(f, freedom, 93 - 4 - freedom), rtol=1e-4)
        np.testing.assert_allclose(own["difference"], np.average(steps, axis=0, weights=weights), atol=1e-6)
        assert own.loc[~moving, ["F", "p", "q", "omega_squared"]].isna().all(axis=None)


def test_outcomes_that_make_a_difference_are_found(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.repeat(range(5), 80)
    right = random.random(400) < 0.7
    x = 0.5 + 0.02 * labels[:, None] + 0.05 * right[:, None] + 0.05 * random.normal(size=(400, 4))
    run = make_run(tmp_path / "run", {"SE_2_1": x}, labels, predictions=np.where(right, labels, (labels + 1) % 5))
    row = specificity_by_outcome(run).iloc[0]
    between, outcome, rest = 0.02**2 * 2, 0.05**2 * 0.21, 0.05**2
    assert row["omega_squared"] == pytest.approx(outcome / (between + outcome + rest), abs=0.03)
    assert row["difference"] == pytest.approx(0.05, abs=0.01)


def test_outcomes_need_predictions_and_gates(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="by is 'image', expected 'block' or 'channel'"):
        specificity_by_outcome(run, by="image")  # type: ignore[arg-type]
    run.samples["correct"] = pd.Series(pd.NA, run.samples.index, dtype="boolean")
    with pytest.raises(MissingSignalError, match="does not say which predictions are right"):
        specificity_by_outcome(run)
    none = make_run(tmp_path / "none", {"SE_2_1": gates(1)}, LABELS, kept=np.zeros(94, bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        specificity_by_outcome(none)


@pytest.fixture
def several(tmp_path: Path) -> Run:
    members = memberships(150, 4)
    x = values(0, 5, np.zeros(150, int), 5) + 0.8 * members @ np.random.default_rng(6).normal(size=(4, 5))
    return make_run(tmp_path / "several", {"SE_2_1": 1 / (1 + np.exp(-x))}, members)


def test_rows_of_several_labels_are_means_over_classes(several: Run) -> None:
    row = specificity(several, permutations=20).iloc[0]
    x = several.gates("SE_2_1").astype(np.float64)
    shares = np.array([textbook(x, [column, ~column]) for column in several.labels.T])
    assert (row["eta_squared"], row["omega_squared"]) == pytest.approx(tuple(shares.mean(0)), abs=1e-5)
    assert (row["classes"], row["images"], row["null"]) == (4, 150, pytest.approx(1 / 149))
    assert row["low"] < row["omega_squared"] < row["high"]
    reach = stats.t.ppf(0.975, 3) * shares[:, 1].std(ddof=1) / 2
    assert row["high_classes"] - row["low_classes"] == pytest.approx(2 * reach, rel=0.05)
    assert row["permuted_p"] == pytest.approx(1 / 21)
    classes = specificity_by_class(several)
    assert classes["omega_squared"].is_monotonic_decreasing
    for record in classes.to_dict("records"):
        column = several.labels[:, several.class_index(record["class"])]
        assert (record["eta_squared"], record["omega_squared"]) == pytest.approx(
            textbook(x, [column, ~column]), abs=1e-5
        )
        assert record["images"] == column.sum()
        assert record["low"] < record["omega_squared"] < record["high"]
        step = np.sqrt(np.square(x[column].mean(0) - x[~column].mean(0)).mean())
        assert record["difference"] == pytest.approx(step, rel=0.1)
    channels = specificity_by_channel(several)
    first = channels.iloc[0]
    own = x[:, [int(first["channel"])]]
    assert first["omega_squared"] == pytest.approx(
        np.mean([textbook(own, [column, ~column])[1] for column in several.labels.T]), abs=1e-5
    )
    assert channels[["F", "p", "q", "low", "high"]].isna().all(axis=None)
    one = specificity_by_channel(several, against_rest="class2")
    assert one[["F", "p", "q", "low", "high"]].notna().all(axis=None)
    outcome = specificity_by_outcome(several).iloc[0]
    assert np.isnan(outcome["between_classes"])
    assert outcome["between_outcomes"] + outcome["within"] == pytest.approx(1)


def test_several_labels_and_some_gates_leave_no_interval_over_images(tmp_path: Path) -> None:
    members = memberships(60, 4)
    run = make_run(tmp_path / "run", {"SE_2_1": gates(0, 3, np.zeros(60, int))}, members, kept=np.arange(60) % 3 == 0)
    table = specificity(run)
    assert table[["low", "high"]].isna().all(axis=None)
    assert "gates of 20 of 60 images, chosen by class" in table.attrs["remarks"][0]
    assert specificity_by_class(run)[["low", "high"]].isna().all(axis=None)


def test_classes_of_a_run_with_one_label_stand_against_the_rest(run: Run) -> None:
    table = specificity_by_class(run, blocks=["SE_2_1"])
    assert sorted(table["class"]) == ["class0", "class1", "class2", "class4"]
    good = np.arange(94) != 5
    x, labels = run.gates("SE_2_1")[good].astype(np.float64), run.labels[good]
    for record in table.to_dict("records"):
        own = labels == int(record["class"][-1])
        assert record["omega_squared"] == pytest.approx(textbook(x, [own, ~own])[1], abs=1e-4)
        assert record["low"] < record["omega_squared"] < record["high"]


DEGENERATE = {
    "a class with one image": (gates(1, 3, np.array([0] * 5 + [1, 2, 2, 2])), np.array([0] * 5 + [1, 2, 2, 2]), []),
    "two images a class": (gates(1, 3, np.repeat(range(4), 2)), np.repeat(range(4), 2), []),
    "one image a class": (gates(1, 3, np.arange(5)), np.arange(5), []),
    "one class": (gates(1, 3, np.zeros(8, int)), np.zeros(8, int), []),
    "two classes": (gates(1, 3, np.repeat([0, 1], 4)), np.repeat([0, 1], 4), []),
    "constant": (np.full((9, 3), 0.1), np.repeat(range(3), 3), []),
    "constant in classes": (np.repeat([0.1, 0.3, 0.7], 3)[:, None] * np.ones(3), np.repeat(range(3), 3), []),
    "all but one failed": (gates(1, 3, np.repeat(range(3), 3)), np.repeat(range(3), 3), range(1, 9)),
    "all but two failed": (gates(1, 3, np.repeat(range(3), 3)), np.repeat(range(3), 3), range(2, 9)),
    "all failed": (gates(1, 3, np.repeat(range(3), 3)), np.repeat(range(3), 3), range(9)),
    "several labels, one in all images": (gates(1, 3, np.zeros(6, int)), np.array([[1, 0], [1, 1]] * 3, bool), []),
    "several labels, none": (gates(1, 3, np.zeros(6, int)), np.zeros((6, 2), bool), []),
    "several labels, all failed": (gates(1, 3, np.zeros(6, int)), np.ones((6, 2), bool), range(6)),
    "several labels, constant": (np.full((6, 3), 0.1), np.array([[1, 0], [0, 1]] * 3, bool), []),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_tables_of_next_to_nothing_are_quiet(name: str, tmp_path: Path) -> None:
    x, labels, failed = DEGENERATE[name]
    run = make_run(tmp_path / "run", {"SE_2_1": x}, labels, failed=list(failed))
    row = specificity(run, permutations=5).iloc[0]
    good = len(labels) - len(failed)
    assert row["images"] == good
    classes = specificity_by_class(run)
    channels = specificity_by_channel(run)
    assert len(channels) == 3
    assert len(classes) == (labels[: max(good, 0)].any(0).sum() if labels.ndim == 2 else len(set(labels[:good])))
    for table in (specificity(run), channels, classes):
        shares = table["omega_squared"].dropna()
        assert shares.le(1).all()
        assert (table["low"].dropna() <= table["high"].dropna()).all()
    if "constant" in name and "classes" not in name:
        assert channels[["std_between", "std_within", "std_total"]].eq(0).all(axis=None)
        assert np.isnan(row["omega_squared"])
        assert np.isnan(row["permuted_p"])
    if name == "constant in classes":
        assert row["omega_squared"] == pytest.approx(1)
        assert (channels["low"] == 1).all()
        assert channels["F"].isna().all()  # infinite, and no number
        assert (channels["p"] == 0).all()
    if failed and good < 2:
        assert np.isnan(row["eta_squared"])
    if run.samples["correct"].notna().any():
        assert len(specificity_by_outcome(run)) == 1
        assert len(specificity_by_outcome(run, by="channel")) == 3


def test_options_outside_their_range(run: Run) -> None:
    for table in (specificity, specificity_by_channel, specificity_by_class):
        with pytest.raises(OptionError, match=r"confidence is 95, expected between 0 and 1"):
            table(run, confidence=95)
    with pytest.raises(OptionError, match="permutations is -1, expected 0 for none"):
        specificity(run, permutations=-1)
    with pytest.raises(MissingSignalError, match="no block 'SE_9_9'"):
        specificity_by_channel(run, blocks=["SE_9_9"])
    with pytest.raises(UnknownClassError, match="no class 'cat'"):
        specificity_by_channel(run, against_rest="cat")


def test_many_classes_have_intervals_only_if_asked_for(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(101), 2)
    run = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).uniform(size=(202, 3))}, labels)
    table = specificity_by_class(run)
    assert table[["low", "high"]].isna().all(axis=None)
    assert table.attrs["remarks"] == ["Intervals over images are left out for more than 100 classes, unless asked for."]
    asked = specificity_by_class(run, over_images=True)
    assert asked[["low", "high"]].notna().all(axis=None)
    assert asked.attrs["remarks"] == []
    pd.testing.assert_frame_equal(table.drop(columns=["low", "high"]), asked.drop(columns=["low", "high"]))
