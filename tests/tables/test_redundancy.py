from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import MissingSignalError, OptionError
from seviz.stats.correlation import (
    Correlations,
    chance_correlation,
    cluster_channels,
    correlate,
    entropy_rank,
    participation_ratio,
    representatives,
)
from seviz.tables.redundancy import redundancy
from seviz.tables.redundant_channels import redundant_channels
from tests.made_runs import make_run


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def factors(images: int, channels: int, count: int, noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """Gates before the sigmoid, made of a few independent factors."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(images, count)) @ random.normal(size=(count, channels)) / np.sqrt(count)
    return mixed + noise * random.normal(size=(images, channels))


def halved(x: NDArray[np.float64]) -> tuple[Correlations, tuple[Correlations, Correlations]]:
    return correlate(x), (correlate(x[::2]), correlate(x[1::2]))


def entropy_of_eigenvalues(x: NDArray[np.float64]) -> float:
    return float(stats.entropy(np.clip(np.linalg.eigvalsh(np.corrcoef(x.T)), 0, None)))


def test_correlations_are_numpys() -> None:
    x = factors(50, 8, 3, noise=0.5)
    found = correlate(x)
    np.testing.assert_allclose(found.r, np.corrcoef(x.T), atol=1e-12)
    assert found.freedom == 49
    expected = [abs(np.corrcoef(x[:, i], x[:, j])[0, 1]) for i, j in combinations(range(8), 2)]
    np.testing.assert_allclose(found.pairs, expected, atol=1e-12)


def test_within_classes_means_of_classes_are_removed() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 3, 4], (20, 1, 29)))
    x = factors(50, 6, 3, noise=0.5) + 5 * np.random.default_rng(1).normal(size=(5, 6))[labels]
    left = pd.DataFrame(x) - pd.DataFrame(x).groupby(labels).transform("mean")
    found = correlate(x, labels)
    np.testing.assert_allclose(found.r, left.corr().to_numpy(), atol=1e-12)
    assert found.freedom == 47
    as_members = correlate(x, labels[:, None] == np.arange(5))
    np.testing.assert_allclose(as_members.r, found.r, atol=1e-12)
    assert as_members.freedom == 47


def test_of_several_classes_what_they_explain_is_removed() -> None:
    random = np.random.default_rng(0)
    members = random.random((60, 4)) < 0.4
    x = factors(60, 6, 3, noise=0.5) + members @ random.normal(size=(4, 6))
    design = np.column_stack([np.ones(60), members])
    left = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    found = correlate(x, members)
    np.testing.assert_allclose(found.r, np.corrcoef(left.T), atol=1e-12)
    assert found.freedom == 55


def test_channels_that_do_not_vary_have_no_correlation() -> None:
    x = factors(200, 5, 5)
    x[:, 1], x[:, 3] = 0.7, 0.7 + 1e-5 * x[:, 3]
    assert list(correlate(x).channels) == [0, 2, 3, 4]
    assert list(correlate(x, still=1e-4).channels) == [0, 2, 4]
    assert correlate(x, still=1e-4).r.shape == (3, 3)
    assert list(correlate(np.full((9, 2), 0.1)).channels) == []  # whatever rounding makes of the mean


@pytest.mark.parametrize("freedom", [1, 2, 5, 99])
def test_chance_is_the_mean_of_the_root_of_a_beta(freedom: int) -> None:
    expected = stats.beta(0.5, (freedom - 1) / 2).expect(np.sqrt) if freedom > 1 else 1
    assert chance_correlation(freedom) == pytest.approx(expected, rel=1e-6)


def test_chance_is_what_independent_channels_show() -> None:
    x = np.random.default_rng(0).normal(size=(12, 300))
    assert correlate(x).pairs.mean() == pytest.approx(chance_correlation(11), rel=0.01)
    within = correlate(x, np.repeat(range(3), 4))
    assert within.pairs.mean() == pytest.approx(chance_correlation(9), rel=0.01)
    assert np.isnan(chance_correlation(0))


def test_ratio_is_that_of_eigenvalues_where_images_are_many() -> None:
    x = factors(200_000, 12, 3, noise=0.3)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(x.T))
    assert participation_ratio(correlate(x)) == pytest.approx(12**2 / np.square(eigenvalues).sum(), rel=1e-3)


@pytest.mark.parametrize("images", [30, 60, 240])
def test_independent_gates_are_counted_right_with_fewer_images_than_channels(images: int) -> None:
    random = np.random.default_rng(0)
    draws = [stats.expon().rvs((images, 120), random) for _ in range(20)]  # no normal distribution
    plain = [120**2 / np.square(np.linalg.eigvalsh(np.corrcoef(x.T))).sum() for x in draws]
    assert np.mean(plain) < min(images, 0.7 * 120)
    # The mean of correlations, not of ratios, is unbiased; and one below 0 counts as 0.
    assert np.mean([participation_ratio(correlate(x)) for x in draws]) == pytest.approx(120, rel=0.03)


@pytest.mark.parametrize("count", [2, 5, 12])
@pytest.mark.parametrize("images", [100, 2000])
def test_channels_made_of_few_factors_have_few_independent_gates(count: int, images: int) -> None:
    group = np.arange(120) % count
    x = np.random.default_rng(0).normal(size=(images, count))[:, group]
    whole, halves = halved(x)
    assert participation_ratio(whole) == pytest.approx(count, rel=0.05)
    assert entropy_rank(whole, halves) == pytest.approx(count, rel=0.05)
    mixed, halves = halved(factors(images, 240, count))
    assert participation_ratio(mixed) == pytest.approx(count, rel=0.15)
    assert entropy_rank(mixed, halves) == pytest.approx(count, rel=0.1)


def test_entropy_rank_makes_good_for_finitely_many_images() -> None:
    x = np.random.default_rng(0).normal(size=(250, 100))
    assert np.exp(entropy_of_eigenvalues(x)) < 85
    assert entropy_rank(*halved(x)) == pytest.approx(100, rel=0.02)
    many, random = factors(50_000, 100, 10, noise=0.5), np.random.default_rng(1)
    truth = np.exp(entropy_of_eigenvalues(many))
    samples = [many[random.choice(50_000, 300, replace=False)] for _ in range(10)]
    assert np.mean([np.exp(entropy_of_eigenvalues(x)) for x in samples]) < 0.96 * truth
    assert np.mean([entropy_rank(*halved(x)) for x in samples]) == pytest.approx(truth, rel=0.01)


def test_entropy_rank_lies_between_the_ratio_and_the_number_of_channels() -> None:
    for images in (3, 5, 20, 80):
        x = factors(images, 40, 8, noise=1)
        assert participation_ratio(correlate(x)) <= entropy_rank(*halved(x)) <= 40


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.zeros((0, 3)), np.nan),
        (np.ones((1, 3)), np.nan),
        (np.arange(6.0).reshape(2, 3), np.nan),
        (np.ones((9, 3)), 0),
        (np.column_stack([np.arange(9.0), np.ones(9)]), 1),
        (np.column_stack([np.arange(9.0), -np.arange(9.0), np.arange(9.0)]), 1),
    ],
    ids=["no image", "one", "two", "constant", "one channel varies", "all the same"],
)
def test_numbers_of_gates_of_little(x: NDArray[np.float64], expected: float) -> None:
    whole, halves = halved(x)
    assert participation_ratio(whole) == pytest.approx(expected, nan_ok=True)
    assert entropy_rank(whole, halves) == pytest.approx(expected, nan_ok=True)


def test_channels_that_move_together_cluster() -> None:
    random = np.random.default_rng(0)
    group = np.array([2, 0, 1, 2, 2, 0, 3, 2])
    sign = np.array([1, 1, 1, -1, 1, -1, 1, 1])
    x = random.normal(size=(500, 4))[:, group] * sign + 0.1 * random.normal(size=(500, 8))
    found = cluster_channels(correlate(x).r, 0.9)
    assert list(found) == [0, 1, 2, 0, 0, 1, 3, 0]  # the largest first, then by the first channel


def test_any_two_of_a_cluster_pass_the_threshold() -> None:
    r = correlate(factors(300, 60, 3, noise=0.2)).r
    group = cluster_channels(r, 0.8)
    assert 1 < group.max() < 59
    for number in range(group.max() + 1):
        members = group == number
        assert np.abs(r[np.ix_(members, members)]).min() >= 0.8


def test_a_chain_is_no_cluster() -> None:
    r = np.array([[1, 0.92, 0.7], [0.92, 1, 0.92], [0.7, 0.92, 1]])
    assert len(np.unique(cluster_channels(r, 0.9))) == 2


def test_only_what_is_identical_clusters_at_one() -> None:
    x = factors(100, 4, 4)
    r = correlate(np.column_stack([x, x * 3 + 1, x + 0.01 * factors(100, 4, 4, seed=1)])).r
    assert list(cluster_channels(r, 1)) == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]
    assert list(cluster_channels(np.ones((1, 1)), 0.9)) == [0]
    assert list(cluster_channels(np.ones((0, 0)), 0.9)) == []


def test_the_channel_that_stands_for_a_cluster_is_its_medoid() -> None:
    r = correlate(factors(300, 30, 3, noise=0.2)).r
    group = cluster_channels(r, 0.8)
    for channel, standing in enumerate(representatives(r, group)):
        members = [k for k in range(30) if group[k] == group[channel]]
        mean = {k: np.mean([abs(r[k, other]) for other in members]) for k in members}
        assert mean[int(standing)] == pytest.approx(max(mean.values()))


LABELS = np.repeat(range(4), (30, 50, 20, 60))


def test_table_agrees_with_the_gates(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(factors(160, 10, 3, 0.3)), "SE_3_1": sigmoid(factors(160, 12, 4, 1, seed=1))}
    gates["SE_3_1"][:, 5] = 0.4
    failed = [0, 77]
    table = redundancy(make_run(tmp_path / "run", gates, LABELS, failed=failed), threshold=0.8).set_index("block")
    assert table.attrs["remarks"] == []
    for name, every in gates.items():
        row, x = table.loc[name], np.delete(every, failed, axis=0)
        x = x[:, x.std(0) > 1e-6]
        r = pd.DataFrame(x).corr().abs().to_numpy()[np.triu_indices(x.shape[1], 1)]
        assert (row["stage"], row["channels"], row["images"]) == (int(name[3]), every.shape[1], 158)
        assert row["varying_channels"] == x.shape[1]
        assert row["mean_correlation"] == pytest.approx(r.mean(), abs=1e-4)
        assert row["redundant_pairs"] == pytest.approx((r >= 0.8).mean())
        assert row["null"] == pytest.approx(chance_correlation(157))
        square = 1 - (1 - np.mean(r**2)) * 157 / 156
        assert row["participation_ratio"] == pytest.approx(x.shape[1] / (1 + (x.shape[1] - 1) * square), rel=1e-3)
        sizes = np.bincount(cluster_channels(correlate(x).r, 0.8))
        assert (row["clusters"], row["largest_cluster"]) == (len(sizes), sizes.max())


def test_gates_that_only_share_their_classes_are_independent_within_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(range(4), 150)
    shared = random.normal(size=4)[labels][:, None]
    gates = {"SE_5_1": sigmoid(3 * shared + 0.3 * random.normal(size=(600, 20)))}
    run = make_run(tmp_path / "run", gates, labels)
    over, within = (redundancy(run, threshold=0.7, within_classes=flag).loc[0] for flag in (False, True))
    assert over["participation_ratio"] < 1.5
    assert within["participation_ratio"] == pytest.approx(20, rel=0.05)
    assert within["entropy_rank"] == pytest.approx(20, rel=0.05)
    assert over["clusters"] == 1
    assert within["clusters"] == 20
    assert within["mean_correlation"] == pytest.approx(within["null"], rel=0.15)  # variances differ by class


def test_images_may_have_several_classes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    members = random.random((400, 3)) < 0.4
    gates = {"SE_5_1": 0.2 + 0.2 * members.sum(1)[:, None] + 0.02 * random.normal(size=(400, 12))}
    run = make_run(tmp_path / "run", gates, members)
    within = redundancy(run, within_classes=True)
    assert redundancy(run).loc[0, "participation_ratio"] < 1.5
    assert within.loc[0, "participation_ratio"] == pytest.approx(12, rel=0.05)
    assert within.attrs["remarks"] == ["Images have several classes: what these explain by least squares was removed."]


def test_images_are_drawn_by_a_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": sigmoid(factors(160, 10, 4, 0.5))}, LABELS)
    first, again, other = (redundancy(run, images=60, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    assert first.loc[0, "images"] == 60
    assert first.attrs["remarks"] == ["Correlations are those of 60 of 160 images, drawn at random."]
    assert redundancy(run, images="all").equals(redundancy(run, images=160))


def test_channels_and_what_stands_for_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(160, 3))
    x = base[:, [0, 1, 0, 2, 0, 1, 0]] * [1, 1, -1, 1, 1, 1, 1] + [0.01, 0.1, 0.2, 0, 0.3, 0.1, 0.2] * random.normal(
        size=(160, 7)
    )
    gates = sigmoid(np.insert(x, 3, 0.2, axis=1))
    run = make_run(tmp_path / "run", {"SE_2_1": gates, "SE_3_1": gates[:, :2]}, LABELS)
    table = redundant_channels(run, "SE_2_1")
    assert list(table["channel"]) == list(range(8))
    assert list(table["cluster"].fillna(-1)) == [0, 1, 0, -1, 2, 0, 1, 0]
    assert list(table["cluster_size"].fillna(-1)) == [4, 2, 4, -1, 1, 4, 2, 4]
    assert list(table["representative"].fillna(-1)) == [0, 1, 0, -1, 4, 0, 1, 0]
    expected = [np.corrcoef(gates[:, k], gates[:, int(standing)])[0, 1] for k, standing in ((2, 0), (5, 0), (6, 1))]
    np.testing.assert_allclose(table.loc[[2, 5, 6], "correlation"], expected, atol=1e-4)
    assert expected[0] < -0.9
    assert table.loc[3].isna().sum() == 4
    assert table.loc[4, "correlation"] == 1
    with pytest.raises(MissingSignalError, match="no block 'SE_9_9'"):
        redundant_channels(run, "SE_9_9")


@pytest.mark.parametrize("options", [{"threshold": 0.0}, {"threshold": 1.1}, {"images": 1}])
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": sigmoid(factors(160, 4, 2))}, LABELS)
    (name, value), *_ = options.items()
    for call in (lambda: redundancy(run, **options), lambda: redundant_channels(run, "SE_2_1", **options)):
        with pytest.raises(OptionError, match=f"{name} is {value}, expected"):
            call()


def test_gates_of_images_are_needed(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(factors(160, 4, 2))}
    run = make_run(tmp_path / "run", gates, LABELS, kept=np.zeros(160, bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        redundancy(run)
    kept = np.arange(160) % 2 == 0
    some = redundancy(make_run(tmp_path / "some", gates, LABELS, kept=kept))
    assert some.loc[0, "mean_correlation"] == pytest.approx(correlate(gates["SE_2_1"][kept]).pairs.mean(), abs=1e-4)


@pytest.mark.parametrize("within_classes", [False, True])
@pytest.mark.parametrize("images", [0, 1, 2, 3])
def test_few_images_give_defined_values_and_are_told(tmp_path: Path, images: int, within_classes: bool) -> None:
    labels, failed = np.array([0, 0, 0, 1]), list(range(images, 4))
    run = make_run(tmp_path / "run", {"SE_2_1": sigmoid(factors(4, 5, 5))}, labels, failed=failed)
    table = redundancy(run, within_classes=within_classes)
    assert table.loc[0, "images"] == images
    assert np.isnan(table.loc[0, "participation_ratio"]) == (images < 3)
    remark = table.attrs["remarks"][0]
    if images < 3:
        assert remark.startswith(f"SE_2_1: {max(images - 1, 0)} degrees of freedom say nothing")
    else:
        assert remark.endswith("pairs of channels would be redundant by chance.")
    assert len(redundant_channels(run, "SE_2_1", within_classes=within_classes)) == 5


def test_so_many_pairs_pass_by_chance(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(np.random.default_rng(0).normal(size=(8, 200)))}
    table = redundancy(make_run(tmp_path / "run", gates, np.zeros(8, int)), threshold=0.8)
    told = int(table.attrs["remarks"][0].split("about ")[1].split(" pairs")[0].replace(",", ""))
    assert told == pytest.approx(199 * 100 * table.loc[0, "redundant_pairs"], rel=0.15)
    assert table.attrs["remarks"][1].endswith("fewer than the channels, entropy_rank may be low: SE_2_1.")


def test_constant_gates_are_no_independent_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((160, 4), 0.3)}, LABELS)
    row = redundancy(run).loc[0]
    assert row[["mean_correlation", "redundant_pairs"]].isna().all()
    names = ["varying_channels", "participation_ratio", "entropy_rank", "clusters", "largest_cluster"]
    assert list(row[names]) == [0, 0, 0, 0, 0]
    assert redundant_channels(run, "SE_2_1").drop(columns="channel").isna().all(axis=None)


def test_what_does_not_vary_depends_on_how_gates_are_stored(tmp_path: Path) -> None:
    """Rounding to 16 bits moves gates by up to 8e-6, which is no variation; nothing of that is in float32."""
    x = 0.5 + 2e-5 * np.random.default_rng(0).normal(size=(40, 3))
    x[:, 0] = np.linspace(0.2, 0.8, 40)
    labels = np.zeros(40, int)
    coded = make_run(tmp_path / "coded", {"SE_2_1": x}, labels, chunk_size=20)
    x[0, 0] = 1.5
    partly = make_run(tmp_path / "partly", {"SE_2_1": x}, labels, chunk_size=20)
    plain = make_run(tmp_path / "plain", {"SE_2_1": x}, labels)
    found = [redundancy(run)["varying_channels"][0] for run in (coded, partly, plain)]
    assert found == [1, 1, 3]
