from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import MissingSignalError, OptionError
from seviz.moments import Moments
from seviz.run.store import Run
from seviz.stats.selectivity import expected_maximum, mutual_information, precision_at, selectivity_index, sensitivity
from seviz.tables.selectivity import selectivity
from tests.made_runs import make_run

LABELS = np.repeat(range(4), (30, 12, 45, 9))


def gates(labels: NDArray[np.int64] = LABELS, effect: float = 0.8, channels: int = 6) -> NDArray[np.float64]:
    random = np.random.default_rng(3)
    x = effect * random.normal(size=(labels.max() + 1, channels))[labels] + random.normal(size=(len(labels), channels))
    return 1 / (1 + np.exp(-x))


def test_d_prime_is_its_formula() -> None:
    x = gates()
    found = sensitivity(Moments.of(x, LABELS, 5), Moments.of_all(x))
    for k in range(4):
        own, rest = x[k == LABELS], x[k != LABELS]
        spread = np.sqrt((own.var(0, ddof=1) + rest.var(0, ddof=1)) / 2)
        np.testing.assert_allclose(found[k], (own.mean(0) - rest.mean(0)) / spread, rtol=1e-9)
    assert np.isnan(found[4]).all()  # it has no image


def test_d_prime_of_overlapping_classes() -> None:
    members, x = np.random.default_rng(0).random((96, 3)) < 0.4, gates()
    found = sensitivity(Moments.of(x, members, 3), Moments.of_all(x))
    own, rest = x[members[:, 1]], x[~members[:, 1]]
    expected = (own.mean(0) - rest.mean(0)) / np.sqrt((own.var(0, ddof=1) + rest.var(0, ddof=1)) / 2)
    np.testing.assert_allclose(found[1], expected, rtol=1e-9)


def test_d_prime_without_spread() -> None:
    x = np.stack([np.full(96, 0.1), np.where(LABELS == 2, 0.7, 0.1)], 1).astype(np.float32)
    found = sensitivity(Moments.of(x, LABELS, 4), Moments.of_all(x))
    assert np.isnan(found[:, 0]).all()
    assert found[2, 1] == np.inf
    assert (found[[0, 1, 3], 1] < 0).all()
    lone = sensitivity(Moments.of(x, np.arange(96), 96), Moments.of_all(x))
    assert np.isnan(lone).all()


def test_selectivity_index_is_morcos() -> None:
    x = gates()
    means = np.sort([x[k == LABELS].mean(0) for k in range(4)], axis=0)
    expected = (means[-1] - means[:-1].mean(0)) / (means[-1] + means[:-1].mean(0))
    np.testing.assert_allclose(selectivity_index(Moments.of(x, LABELS, 6)), expected)


def test_selectivity_index_runs_from_nought_to_one() -> None:
    x = np.stack([np.ones(96), LABELS == 1, np.zeros(96), LABELS - 1.0], 1)
    np.testing.assert_array_equal(selectivity_index(Moments.of(x, LABELS, 4)), [0, 1, np.nan, np.nan])
    assert np.isnan(selectivity_index(Moments.of(x, 0 * LABELS, 1))).all()


@pytest.mark.parametrize("classes", [2, 5, 50])
def test_greatest_d_prime_by_chance(classes: int) -> None:
    random, found = np.random.default_rng(1), []
    for _ in range(40):
        x = random.normal(size=(40 * classes, 200))
        labels = np.repeat(range(classes), 40)
        found.append(sensitivity(Moments.of(x, labels, classes), Moments.of_all(x)).max(0).mean())
    expected = expected_maximum(np.full(classes, 40), 40 * classes)
    assert np.mean(found) == pytest.approx(expected, rel=0.03)


def test_greatest_d_prime_of_classes_of_unequal_size() -> None:
    """By numbers drawn instead of integrated."""
    sizes = np.array([10, 40, 200, 0])
    draws = np.random.default_rng(0).normal(size=(200_000, 3)) / np.sqrt(sizes[:3]) * 250 / (250 - sizes[:3])
    assert expected_maximum(sizes, 250) == pytest.approx(draws.max(1).mean(), rel=0.01)
    assert np.isnan(expected_maximum(np.array([250, 0]), 250))


def test_mutual_information_is_a_divergence_less_its_bias() -> None:
    x = gates()
    bits, bias = mutual_information(x, LABELS, bins=5)
    for channel in range(6):
        ranks = np.argsort(np.argsort(x[:, channel]))
        bins = np.searchsorted(np.arange(1, 5) * 96 // 5, ranks, side="right")
        table = stats.contingency.crosstab(LABELS, bins).count
        independent = np.outer(table.sum(1), table.sum(0)) / 96
        plain = stats.entropy(table.ravel(), independent.ravel(), base=2)  # Kullback-Leibler divergence
        cells = (table > 0).sum()
        assert bias[channel] == pytest.approx((cells - 5 - 4 + 1) / (2 * 96 * np.log(2)))
        assert bits[channel] + bias[channel] == pytest.approx(plain)


def test_mutual_information_of_noise_is_about_zero_and_of_the_class_its_entropy() -> None:
    labels = np.repeat(range(8), 50)
    bits, bias = mutual_information(np.random.default_rng(0).normal(size=(400, 200)), labels, bins=8)
    assert bits.mean() == pytest.approx(0, abs=0.01)
    assert bias.mean() > 0.05
    bits, bias = mutual_information(labels[:, None].astype(float), labels, bins=8)
    assert bits[0] == pytest.approx(3 - bias[0])
    assert bias[0] < 0  # fewer cells than bins and classes


def test_mutual_information_of_nothing() -> None:
    bits, bias = mutual_information(np.full((96, 2), 0.1), LABELS, bins=4)
    np.testing.assert_allclose(bits, 0, atol=1e-12)
    np.testing.assert_allclose(bias, 0, atol=1e-12)
    bits, _ = mutual_information(gates(), 0 * LABELS, bins=4)
    np.testing.assert_allclose(bits, 0, atol=1e-12)
    assert np.isnan(mutual_information(np.empty((0, 2)), LABELS[:0], bins=4)).all()


def test_mutual_information_by_channel_has_labels_of_its_own() -> None:
    x, members = gates(), np.stack([k % 4 == LABELS for k in range(6)], 1)
    bits, _ = mutual_information(x, members, bins=4)
    for channel in range(6):
        assert bits[channel] == mutual_information(x[:, [channel]], members[:, channel], bins=4)[0][0]


def test_precision_counts_the_most_excited() -> None:
    x = gates()
    members = np.stack([k % 4 == LABELS for k in range(6)], 1)
    found = precision_at(x, members, 10)
    for channel in range(6):
        top = np.argsort(-x[:, channel])[:10]
        assert found[channel] == pytest.approx(members[top, channel].mean())
    np.testing.assert_allclose(precision_at(x, members, 1000), members.mean(0))
    assert np.isnan(precision_at(x[:0], members[:0], 10)).all()


def test_precision_averages_over_ties() -> None:
    x = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1])
    members = np.array([True, True, False, False, True, True])
    chosen = [(0, *pair) for pair in combinations(range(1, 5), 2)]
    expected = np.mean([members[list(rows)].mean() for rows in chosen])
    assert precision_at(x[:, None], members[:, None], 3)[0] == pytest.approx(expected)


def test_table_of_a_run(tmp_path: Path) -> None:
    x = gates()
    x[:, 5] = 0.1
    run = make_run(tmp_path / "run", {"SE_2_1": x, "SE_3_1": gates(channels=3)}, LABELS, failed=[4])
    table = selectivity(run, k=5, bins=6)
    assert list(table["block"]) == ["SE_2_1"] * 6 + ["SE_3_1"] * 3
    assert table.attrs["remarks"] == []
    first = table[table["block"] == "SE_2_1"]
    assert first["d_prime"][:5].is_monotonic_decreasing
    good = np.arange(96) != 4
    x, labels = run.gates("SE_2_1")[good].astype(np.float64), LABELS[good]
    d_prime = sensitivity(Moments.of(x, labels, 4), Moments.of_all(x))
    for row in first[:5].to_dict("records"):
        channel = row["channel"]
        best = int(d_prime[:, channel].argmax())
        assert (row["best_class"], row["best_class_name"]) == (f"class{best}", f"class{best}")
        assert row["d_prime"] == pytest.approx(d_prime[best, channel], rel=1e-3)
        assert row["precision"] == pytest.approx((labels[np.argsort(-x[:, channel])[:5]] == best).mean())
        assert row["precision_null"] == pytest.approx((labels == best).mean())
        assert row["mutual_information"] == pytest.approx(
            mutual_information(x[:, [channel]], labels, bins=6)[0][0], abs=1e-9
        )
        assert 0 < row["d_prime_null"] < 1
        assert 0 < row["selectivity_index_null"] < 1
    last = first.iloc[5]
    assert (last["channel"], last["best_class"]) == (5, "")
    assert np.isnan(last[["d_prime", "d_prime_null", "precision", "precision_null"]].astype(float)).all()
    assert last["selectivity_index"] == pytest.approx(0, abs=1e-12)


def test_selectivity_index_by_chance(tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.repeat(range(10), 30)
    x = 0.5 + 0.1 * random.normal(size=(300, 400))
    table = selectivity(make_run(tmp_path / "run", {"SE_2_1": x}, labels))
    assert table["selectivity_index"].mean() == pytest.approx(table["selectivity_index_null"].mean(), rel=0.03)
    assert table["d_prime"].mean() == pytest.approx(table["d_prime_null"].mean(), rel=0.03)


def test_several_labels(tmp_path: Path) -> None:
    members = np.random.default_rng(0).random((96, 3)) < 0.4
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, members)
    table = selectivity(run, bins=4)
    row = table.iloc[0]
    own = members[:, int(row["best_class"][-1])]
    x = run.gates("SE_2_1")[:, [row["channel"]]]
    assert row["mutual_information"] == pytest.approx(mutual_information(x, own, bins=4)[0][0])
    assert row["precision_null"] == pytest.approx(own.mean())
    assert selectivity(run)["mutual_information"].notna().all()


def test_without_gates_moments_still_speak(tmp_path: Path) -> None:
    none = make_run(tmp_path / "none", {"SE_2_1": gates()}, LABELS, kept=np.zeros(96, bool))
    table = selectivity(none)
    assert table[["mutual_information", "precision", "precision_null"]].isna().all(axis=None)
    assert table[["d_prime", "selectivity_index"]].notna().all(axis=None)
    assert table.attrs["remarks"] == ["The run keeps the gates of no image: mutual information and precision are NaN."]
    some = selectivity(make_run(tmp_path / "some", {"SE_2_1": gates()}, LABELS, kept=np.arange(96) < 40))
    assert "rest on the 40 of 96 images" in some.attrs["remarks"][0]
    assert some["precision"].notna().all()


@pytest.mark.parametrize(
    ("labels", "failed"),
    [
        (np.zeros(6, int), []),
        (np.arange(6), []),
        (np.array([0, 1, 1, 3, 3, 3]), []),
        (np.repeat([0, 1], 3), range(1, 6)),
        (np.repeat([0, 1], 3), range(6)),
        (np.ones((6, 2), bool), []),
        (np.zeros((6, 2), bool), []),
        (np.ones((6, 2), bool), range(6)),
    ],
    ids=[
        "one class",
        "one image a class",
        "lone and empty classes",
        "one image",
        "none",
        "all of all",
        "no label",
        "0",
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_next_to_nothing_is_quiet(labels: NDArray[np.int64], failed: list[int], constant: bool, tmp_path: Path) -> None:
    x = np.full((6, 3), 0.1) if constant else gates(np.zeros(6, int), channels=3)
    run = make_run(tmp_path / "run", {"SE_2_1": x}, labels, failed=list(failed))
    table = selectivity(run)
    assert len(table) == 3
    if constant:
        assert table["d_prime"].isna().all()
        assert (table["best_class"] == "").all()


def test_options_outside_their_range(tmp_path: Path) -> None:
    run: Run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS)
    with pytest.raises(OptionError, match="k is 0, expected at least 1 image"):
        selectivity(run, k=0)
    with pytest.raises(OptionError, match="bins is 1, expected at least 2"):
        selectivity(run, bins=1)
    with pytest.raises(MissingSignalError, match="holds no 'logit'"):
        selectivity(run, signal="logit")
