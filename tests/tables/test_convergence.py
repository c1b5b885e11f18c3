"""Convergence: against scipy, Spearman and Brown's formula, and runs whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import MissingSignalError, OptionError
from seviz.stats.reliability import rank_correlation, spearman_brown, wanted_factor
from seviz.stats.resampling import default_sizes
from seviz.tables.convergence import convergence, stability
from seviz.tables.convergence_by_size import convergence_by_size
from seviz.tables.specificity import specificity
from tests.made_runs import make_run

CLASSES, PER_CLASS, CHANNELS = 6, 40, 24
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)


def gates(between: float, within: float, seed: int = 0) -> NDArray[np.float64]:
    """Class means and images about them, with these standard deviations, about one half."""
    random = np.random.default_rng(seed)
    means = random.normal(0, between, (CLASSES, CHANNELS))
    return np.clip(0.5 + means[LABELS] + random.normal(0, within, (len(LABELS), CHANNELS)), 0, 1)


def test_rank_correlation_is_scipys() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 5, 30)).round(1)  # with ties
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)


def test_rank_correlation_of_what_has_no_order_is_not_known() -> None:
    x = np.array([[1.0, 1.0, 1.0], [1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])
    y = np.tile([1.0, 2.0, 3.0], (3, 1))
    np.testing.assert_array_equal(rank_correlation(x, y), [np.nan, np.nan, 1.0])
    assert np.isnan(rank_correlation(np.empty((2, 0)), np.empty((2, 0)))).all()


def test_spearman_brown_is_the_correlation_of_means_of_more() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=200_000)
    two = [truth + random.normal(size=(4, len(truth))) for _ in range(2)]
    single = np.corrcoef(two[0][0], two[1][0])[0, 1]
    of_four = np.corrcoef(two[0].mean(0), two[1].mean(0))[0, 1]
    assert spearman_brown(single, 4) == pytest.approx(of_four, abs=0.01)
    assert spearman_brown(single, wanted_factor(single, 0.8)) == pytest.approx(0.8)


@pytest.mark.parametrize("correlation", [0.0, -0.4])
def test_what_does_not_correlate_never_will(correlation: float) -> None:
    assert spearman_brown(correlation, 10) == correlation
    assert wanted_factor(correlation) == np.inf


def test_spearman_brown_of_nothing_known_is_not_known() -> None:
    assert np.isnan(spearman_brown(float("nan"), 10))


@pytest.mark.parametrize(
    ("images", "expected"),
    [(0, [1]), (3, [1]), (4, [1, 2]), (40, [1, 2, 5, 10, 20]), (50, [1, 2, 5, 10, 20, 25])],
)
def test_sizes_go_up_to_half_of_the_images(images: int, expected: list[int]) -> None:
    assert default_sizes(images) == expected


def test_curve_agrees_with_samples_drawn_by_hand(tmp_path: Path) -> None:
    """Where each class has just two samples' worth of images, the halves are known but for their order."""
    x = gates(0.1, 0.1).astype(np.float32)
    two = np.tile(np.repeat([0, 1], PER_CLASS // 2), CLASSES).astype(bool)
    x[two] = x[~two]  # both halves hold the same values: whatever is drawn of size 20 ...
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS)
    row = convergence_by_size(run, sizes=[20], repeats=30).iloc[0]
    # ... an image meets its twin in the other half as often as in its own: as samples of 20 of 40, with repetition
    random, orders, omegas = np.random.default_rng(5), [], []
    for _ in range(200):
        halves = np.array([random.permutation(PER_CLASS) + k * PER_CLASS for k in range(CLASSES)])
        first, second = x[halves[:, :20]], x[halves[:, 20:]]  # (class, image, channel)
        pairs = zip(first.mean(1), second.mean(1), strict=True)
        orders.append(np.mean([stats.spearmanr(a, b).statistic for a, b in pairs]))
        omegas.append(omega_squared(first))
    assert row["mean_order"] == pytest.approx(np.mean(orders), abs=0.01)
    assert row["omega_squared"] == pytest.approx(np.mean(omegas), abs=0.005)
    assert (row["channels"], row["classes"], row["size"]) == (CHANNELS, CLASSES, 20)


def omega_squared(x: NDArray[np.floating]) -> float:
    """Of equal groups, (class, image, channel), by the textbook's formula."""
    classes, n, _ = x.shape
    means = x.mean(1)
    between = n * np.square(means - means.mean(0)).sum()
    within = np.square(x - means[:, None]).sum()
    error = within / (classes * (n - 1))
    return float((between - (classes - 1) * error) / (between + within + error))


def test_spread_is_that_of_independent_samples(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    means = random.normal(0, 0.05, (CLASSES, CHANNELS))
    told = []
    for k in range(8):  # one run alone may have more or less spread than is usual
        x = np.clip(0.5 + means[LABELS] + random.normal(0, 0.1, (len(LABELS), CHANNELS)), 0, 1)
        run = make_run(tmp_path / str(k), {"SE_2_1": x}, LABELS)
        told.append(convergence_by_size(run, sizes=[10], repeats=20).loc[0, "omega_squared_std"])
    fresh = [omega_squared(means[:, None] + random.normal(0, 0.1, (CLASSES, 10, CHANNELS))) for _ in range(300)]
    assert np.mean(told) == pytest.approx(np.std(fresh), rel=0.15)


def test_clear_classes_have_images_enough_and_blurred_ones_have_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates(0.1, 0.02), "SE_5_1": gates(0.004, 0.15)}, LABELS)
    table = convergence(run).set_index("block")
    assert list(table["verdict"]) == ["enough", "as by chance"]
    assert table.loc["SE_2_1", "stable_from"] <= 20
    assert pd.isna(table.loc["SE_5_1", "stable_from"])
    assert table.loc["SE_2_1", "wanted"] <= PER_CLASS
    assert np.isnan(table.loc["SE_5_1", "wanted"])
    assert list(table["images"]) == [PER_CLASS, PER_CLASS]
    assert table.loc["SE_2_1", "omega_squared"] == pytest.approx(
        specificity(run, over_images=False).loc[0, "omega_squared"], abs=0.02
    )


def test_so_many_images_as_are_wanted_are_enough(tmp_path: Path) -> None:
    """The extrapolation from few images is tried on many."""
    random = np.random.default_rng(3)
    means, many = random.normal(0, 0.035, (CLASSES, CHANNELS)), 300
    labels = np.repeat(np.arange(CLASSES), many)
    x = np.clip(0.5 + means[labels] + random.normal(0, 0.1, (len(labels), CHANNELS)), 0, 1)
    few = np.concatenate([np.flatnonzero(labels == k)[:40] for k in range(CLASSES)])
    wanted = convergence(make_run(tmp_path / "few", {"SE_2_1": x[few]}, labels[few])).loc[0, "wanted"]
    assert 40 < wanted <= 150
    curve = convergence_by_size(make_run(tmp_path / "many", {"SE_2_1": x}, labels), sizes=[int(wanted)], repeats=20)
    assert min(curve.loc[0, ["mean_order", "omega_order"]]) == pytest.approx(0.9, abs=0.05)


def test_constant_gates_have_no_order(tmp_path: Path) -> None:
    table = convergence(make_run(tmp_path / "run", {"SE_2_1": np.full((len(LABELS), 5), 0.25)}, LABELS))
    assert list(table["verdict"]) == ["nothing varies"]
    assert table[["mean_order", "omega_order", "wanted"]].isna().all(axis=None)


def test_noise_can_never_be_enough(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    noise = np.clip(random.normal(0.5, 0.1, (len(LABELS), 400)), 0, 1)
    table = convergence(make_run(tmp_path / "run", {"SE_2_1": noise}, LABELS))
    assert list(table["verdict"]) == ["as by chance"]
    assert np.isnan(table.loc[0, "wanted"])
    assert any("as by chance" in remark for remark in table.attrs["remarks"])


def test_classes_with_few_images_take_no_part_and_are_named(tmp_path: Path) -> None:
    labels = np.concatenate([LABELS, [CLASSES]])  # a class of one image
    x = np.concatenate([gates(0.1, 0.02), np.full((1, CHANNELS), 0.5)])
    run = make_run(tmp_path / "run", {"SE_2_1": x}, labels)
    curve = convergence_by_size(run, sizes=[5, 500])
    assert list(curve["size"]) == [5]
    assert list(curve["classes"]) == [CLASSES]
    remarks = curve.attrs["remarks"]
    assert any("Size 500 is left out" in remark for remark in remarks)
    assert any(remark.startswith("1 of 7 classes (class6 (1))") for remark in remarks)


def test_single_images_cannot_be_judged(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = convergence(make_run(tmp_path / "run", {"SE_2_1": random.uniform(size=(4, 6))}, np.arange(4)))
    assert list(table["verdict"]) == ["not enough"]
    assert table.loc[0, ["mean_order", "wanted"]].isna().all()


def test_a_single_class_is_asked_for_the_order_of_its_means_alone(tmp_path: Path) -> None:
    means = np.linspace(0.2, 0.8, 12)
    x = means + np.random.default_rng(0).normal(0, 0.01, (40, 12))
    table = convergence(make_run(tmp_path / "run", {"SE_2_1": x}, np.zeros(40, np.int64)))
    assert table.loc[0, "verdict"] == "enough"
    assert np.isnan(table.loc[0, "omega_order"])
    assert table.loc[0, "mean_order"] > 0.9


def test_images_may_have_several_classes(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    members = random.random((300, 3)) < 0.4
    x = np.clip(0.3 + members @ random.uniform(0, 0.2, (3, 20)) + random.normal(0, 0.02, (300, 20)), 0, 1)
    curve = convergence_by_size(make_run(tmp_path / "run", {"SE_2_1": x}, members), sizes=[20])
    assert curve.loc[0, "mean_order"] > 0.9
    assert any("several classes" in remark for remark in curve.attrs["remarks"])


def test_images_that_failed_are_not_drawn(tmp_path: Path) -> None:
    x = gates(0.1, 0.02)
    failed = [0, 45, 90]
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, failed=failed)
    curve = convergence_by_size(run, sizes=[10, 20])
    assert curve[["mean_order", "omega_order"]].notna().all(axis=None)
    assert list(curve["classes"]) == [CLASSES, CLASSES - 3]


def test_draws_follow_the_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates(0.05, 0.1)}, LABELS)
    one, same, other = (convergence_by_size(run, sizes=[5], repeats=2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert one.loc[0, "mean_order"] != other.loc[0, "mean_order"]


def test_stability_carries_agreement_on_to_all_images() -> None:
    row = {"block": "SE_2_1", "stage": 2, "channels": 100, "size": 10, "classes": 5}
    curve = pd.DataFrame(
        [{**row, "mean_order": 0.5, "omega_order": 0.8, "omega_squared": 0.3, "omega_squared_std": 0.04}]
    )
    judged = stability(curve, 40).iloc[0]
    assert judged["mean_order"] == pytest.approx(4 * 0.5 / (1 + 3 * 0.5))
    assert judged["omega_squared_std"] == pytest.approx(0.02)
    assert judged["wanted"] == pytest.approx(10 * 0.9 * 0.5 / (0.5 * 0.1))  # 90, by the order of the means
    assert judged["verdict"] == "not enough"
    assert stability(curve, 90).iloc[0]["verdict"] == "enough"


@pytest.mark.parametrize("options", [{"repeats": 0}, {"sizes": [0, 5]}])
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates(0.1, 0.1)}, LABELS)
    with pytest.raises(OptionError, match="expected whole numbers from 1"):
        convergence_by_size(run, **options)


def test_gates_of_images_are_needed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates(0.1, 0.1)}, LABELS, kept=np.zeros(len(LABELS), bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        convergence(run)
