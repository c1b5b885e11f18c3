import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.analysis.specificity import specificity, split_variance
from seviz.run.moments import Moments
from seviz.run.store import Run

SIZES = (30, 12, 45, 7)
LABELS = np.repeat(range(4), SIZES)


def values(effect: float, channels: int = 6, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    means = effect * random.normal(size=(labels.max() + 1, channels))
    return means[labels] + random.normal(size=(len(labels), channels))


def test_f_is_scipys() -> None:
    x = values(0.7)
    split = split_variance(Moments.of(x, LABELS, 4))
    f = (split.between / 3) / split.mean_square_within
    expected = stats.f_oneway(*(x[k == LABELS] for k in range(4))).statistic
    np.testing.assert_allclose(f, expected, rtol=1e-10)
    np.testing.assert_allclose(split.between + split.within, np.var(x, 0) * len(x), rtol=1e-12)


def test_shares_follow_their_textbook_formulas() -> None:
    x = values(0.7)
    split = split_variance(Moments.of(x, LABELS, 4))
    total = np.square(x - x.mean(0)).sum()
    within = sum(np.square(x[k == LABELS] - x[k == LABELS].mean(0)).sum() for k in range(4))
    assert split.eta_squared == pytest.approx(1 - within / total)
    mean_square = within / (len(x) - 4)
    assert split.omega_squared == pytest.approx((total - within - 3 * mean_square) / (total + mean_square))
    assert split.null == pytest.approx(3 / 93)


def test_without_effect_eta_is_at_its_null_and_omega_at_zero() -> None:
    labels = np.repeat(range(20), 5)
    splits = [split_variance(Moments.of(values(0, 50, labels, seed), labels, 20)) for seed in range(200)]
    assert np.mean([split.eta_squared for split in splits]) == pytest.approx(19 / 99, abs=0.003)
    assert np.mean([split.omega_squared for split in splits]) == pytest.approx(0, abs=0.003)
    assert np.mean([split.variance_between.mean() for split in splits]) == pytest.approx(0, abs=0.003)


def test_variance_component_is_unbiased_with_unequal_classes() -> None:
    random, found = np.random.default_rng(1), []
    for _ in range(400):
        x = (0.5 * random.normal(size=(4, 40)))[LABELS] + random.normal(size=(len(LABELS), 40))
        found.append(split_variance(Moments.of(x, LABELS, 4)).variance_between.mean())
    assert np.mean(found) == pytest.approx(0.25, abs=0.01)


def test_empty_classes_do_not_count() -> None:
    x = values(0.7)
    split, gap = (split_variance(Moments.of(x, labels, 6)) for labels in (LABELS, LABELS + (LABELS > 1)))
    assert (split.classes, gap.classes) == (4, 4)
    assert split.omega_squared == pytest.approx(gap.omega_squared)


@pytest.mark.parametrize(
    ("x", "labels", "nan"),
    [
        (np.ones((6, 3)), [0, 0, 0, 1, 1, 1], {"eta_squared", "omega_squared"}),
        (np.arange(18.0).reshape(6, 3), [0] * 6, {"variance_between"}),
        (np.arange(9.0).reshape(3, 3), [0, 1, 2], {"omega_squared", "variance_between"}),
        (np.ones((1, 3)), [0], {"eta_squared", "omega_squared", "null", "variance_between"}),
        (np.ones((0, 3)), [], {"eta_squared", "omega_squared", "null", "variance_between"}),
    ],
    ids=["constant gates", "one class", "one image a class", "one image", "no image"],
)
def test_what_cannot_be_said_is_nan(x: NDArray[np.float64], labels: list[int], nan: set[str]) -> None:
    split = split_variance(Moments.of(x, np.array(labels, int), 3))
    for name in ("eta_squared", "omega_squared", "null", "variance_between"):
        assert np.isnan(getattr(split, name)).all() == (name in nan), name


def test_table_of_a_run_agrees_with_its_gates(tiny_run: Run) -> None:
    table = specificity(tiny_run).set_index("block")
    assert list(table.index) == ["SE_2_1", "SE_3_1", "SE_4_1"]
    assert list(table["stage"]) == [2, 3, 4]
    labels = tiny_run.samples["label"].to_numpy()
    for name in tiny_run.blocks:
        gates = tiny_run.gates(name).astype(np.float64)
        split = split_variance(Moments.of(gates, labels, 3))
        row = table.loc[name]
        assert (row["images"], row["classes"], row["channels"]) == (30, 3, gates.shape[1])
        assert row["eta_squared"] == pytest.approx(split.eta_squared, abs=1e-4)
        assert row["omega_squared"] == pytest.approx(split.omega_squared, abs=1e-4)
        assert row["std_total"] == pytest.approx(np.sqrt(gates.var(0, ddof=1).mean()), abs=1e-5)
        assert row["std_between"] == pytest.approx(np.sqrt(max(split.variance_between.mean(), 0)), abs=1e-5)
    assert specificity(tiny_run, signal="squeeze")["eta_squared"].between(0, 1).all()
