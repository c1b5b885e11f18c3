from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from seviz.analysis.specificity import (
    Errors,
    channel_interval,
    error_over_images,
    errors_against_rest,
    false_discovery_rate,
    interval,
    interval_over_classes,
    log_f_without_each,
    permuted_omega_squared,
    specificity,
    specificity_by_channel,
    specificity_by_class,
    specificity_by_outcome,
    split_against_rest,
    split_variance,
)
from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.moments import Moments
from seviz.run.store import Run
from tests.made_runs import make_run

SIZES = (30, 12, 45, 7)
LABELS = np.repeat(range(4), SIZES)


def values(effect: float, channels: int = 6, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    means = effect * random.normal(size=(labels.max() + 1, channels))
    return means[labels] + random.normal(size=(len(labels), channels))


def gates(effect: float, channels: int = 6, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values(effect, channels, labels, seed)))


def textbook(x: NDArray[np.floating], groups: list[NDArray[np.bool_]]) -> tuple[float, float]:
    """Eta and omega squared by the formulas, group by group."""
    x = x.astype(np.float64)
    total = np.square(x - x.mean(0)).sum()
    within = sum(np.square(x[group] - x[group].mean(0)).sum() for group in groups)
    square = within / (len(x) - len(groups))
    return 1 - within / total, (total - within - (len(groups) - 1) * square) / (total + square)


def covered(hits: float, draws: int, share: float = 0.95) -> bool:
    """Whether so many hits are within four standard deviations of what is promised."""
    return abs(hits / draws - share) < 4 * np.sqrt(share * (1 - share) / draws)


def test_f_and_p_are_scipys() -> None:
    x = values(0.7)
    split = split_variance(Moments.of(x, LABELS, 4))
    expected = stats.f_oneway(*(x[k == LABELS] for k in range(4)))
    np.testing.assert_allclose(split.by_channel()["F"], expected.statistic, rtol=1e-10)
    np.testing.assert_allclose(split.by_channel()["p"], expected.pvalue, rtol=1e-8)
    np.testing.assert_allclose(split.between + split.within, np.var(x, 0) * len(x), rtol=1e-12)


def test_shares_follow_their_textbook_formulas() -> None:
    x = values(0.7)
    split = split_variance(Moments.of(x, LABELS, 4))
    eta, omega = textbook(x, [k == LABELS for k in range(4)])
    assert split.eta_squared == pytest.approx(eta)
    assert split.omega_squared == pytest.approx(omega)
    assert split.null == pytest.approx(3 / 93)
    np.testing.assert_allclose(split.variance_total, x.var(0, ddof=1))
    each = [textbook(x[:, [c]], [k == LABELS for k in range(4)]) for c in range(6)]
    np.testing.assert_allclose(split.by_channel()["eta_squared"], [eta for eta, _ in each])
    np.testing.assert_allclose(split.by_channel()["omega_squared"], [omega for _, omega in each])


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


def test_a_constant_that_no_binary_number_is_does_not_vary() -> None:
    """The mean of thirty times 0.1 is not 0.1, and a share of that rounding would be some number."""
    moments = Moments.of(np.full((94, 2), np.float32(0.1)), LABELS, 4)
    split = split_variance(moments)
    assert split.between.sum() == split.within.sum() == 0
    assert np.isnan(split.eta_squared)
    x = np.where(LABELS < 2, np.float32(0.1), np.float32(0.3))[:, None]
    assert split_variance(Moments.of(x, LABELS, 4)).omega_squared == 1
    rest = split_against_rest(moments, Moments.of_all(np.full((94, 2), np.float32(0.1))), 0)
    assert rest.between.sum() == rest.within.sum() == 0


def test_channel_interval_solves_the_noncentral_f_distribution() -> None:
    x = np.concatenate([values(effect, 8, seed=3) for effect in (0, 0.4, 3)], axis=1)
    split = split_variance(Moments.of(x, LABELS, 4))
    low, high = channel_interval(split, confidence=0.9)
    for channel, f in enumerate(split.by_channel()["F"]):
        for bound, level in ((low, 0.95), (high, 0.05)):
            if stats.f.cdf(f, 3, 90) <= level:
                assert bound[channel] == 0
                continue
            noncentrality = optimize.brentq(
                lambda x, f=f, level=level: stats.ncf.cdf(f, 3, 90, x) - level, 0, 5 * f + 30
            )
            assert bound[channel] == pytest.approx(noncentrality / (noncentrality + 94), abs=2e-5)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_channel_interval_covers(share: float) -> None:
    """Each of 2,000 channels is a draw of its own; with the true share of their variance between fixed classes."""
    random, labels = np.random.default_rng(5), np.repeat(range(10), 12)
    means = random.normal(size=10)
    means = (means - means.mean()) / means.std() * np.sqrt(share / (1 - share))
    x = means[labels, None] + random.normal(size=(len(labels), 2000))
    low, high = channel_interval(split_variance(Moments.of(x, labels, 10)))
    assert covered(((low <= share) & (share <= high)).sum(), 2000)


def test_channel_interval_of_nothing_and_of_everything() -> None:
    x = np.stack([np.full(94, 0.1), LABELS.astype(float)], 1)
    low, high = channel_interval(split_variance(Moments.of(x, LABELS, 4)))
    np.testing.assert_array_equal(low, [np.nan, 1])
    np.testing.assert_array_equal(high, [np.nan, 1])
    for labels in (np.zeros(94, int), np.arange(94)):
        low, high = channel_interval(split_variance(Moments.of(values(1), labels, 94)))
        assert np.isnan([low, high]).all()


def test_leaving_out_a_class_is_computing_without_it() -> None:
    x = values(0.5)
    left = log_f_without_each(Moments.of(x, LABELS, 5))
    sizes = np.array(SIZES, float)
    for k in range(4):
        rest = k != LABELS
        groups = [x[label == LABELS] for label in range(4) if label != k]
        between = sum(len(g) * np.square(g.mean(0) - x[rest].mean(0)).sum() for g in groups) / 2
        within = sum(np.square(g - g.mean(0)).sum() for g in groups) / (rest.sum() - 3)
        size = [(n.sum() - np.square(n).sum() / n.sum()) / (len(n) - 1) for n in (sizes, np.delete(sizes, k))]
        assert left[k] == pytest.approx(np.log(1 + (between / within - 1) * size[0] / size[1]))


def class_moments(means: NDArray[np.float64], size: int, random: np.random.Generator) -> Moments:
    """Moments of classes of normal values with variance 1, without the values."""
    shape = means.shape
    return Moments(
        count=np.full(len(means), size),
        mean=means + random.normal(size=shape) / np.sqrt(size),
        m2=random.chisquare(size - 1, shape),
        min=np.full(shape, -np.inf, np.float32),
        max=np.full(shape, np.inf, np.float32),
        **{name: np.zeros(shape, np.int32) for name in ("near_zero", "near_one", "zero", "one")},
    )


def test_noise_in_a_thousand_classes_is_no_specificity() -> None:
    moments = class_moments(np.zeros((1000, 64)), 50, np.random.default_rng(2))
    split = split_variance(moments)
    low, high = interval_over_classes(moments)
    assert split.eta_squared == pytest.approx(split.null, rel=0.02)
    assert abs(split.omega_squared) < 5e-4
    assert low < 0 < high
    assert high - low < 1e-3
    low, high = channel_interval(split)
    assert (low == 0).mean() > 0.85


@pytest.mark.parametrize("share", [0, 0.05, 0.5])
@pytest.mark.parametrize("classes", [12, 60])
def test_interval_over_classes_covers(share: float, classes: int) -> None:
    """Classes are drawn anew each time, from channels that move together."""
    random, hits = np.random.default_rng(7), 0
    mixing = random.normal(size=(3, 16))
    mixing /= np.sqrt(np.square(mixing).mean())
    component = share / (1 - share) / 3
    f = 1 + 20 * 3 * component
    truth = (classes - 1) * (f - 1) / ((classes - 1) * (f - 1) + classes * 20)
    for _ in range(400):
        means = np.sqrt(component) * random.normal(size=(classes, 3)) @ mixing
        low, high = interval_over_classes(class_moments(means, 20, random))
        hits += low <= truth <= high
    assert covered(hits, 400)


@pytest.mark.parametrize(("classes", "size", "kept"), [(20, 30, 30), (20, 30, 10), (40, 6, 6)])
@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("bounded", [False, True])
def test_interval_over_images_covers(classes: int, size: int, kept: int, share: float, bounded: bool) -> None:
    """The classes stay, images are drawn anew, from channels that move together; also where only some are kept."""
    random = np.random.default_rng(11)
    mixing, means = random.normal(size=(4, 16)), random.normal(size=(classes, 16))
    means -= means.mean(0)
    means *= np.sqrt(share / (1 - share) * np.square(mixing).sum() / np.square(means).sum(1).mean())

    def draw(size: int) -> NDArray[np.float64]:
        x = np.repeat(means, size, axis=0) + random.normal(size=(classes * size, 4)) @ mixing
        return 1 / (1 + np.exp(-x)) if bounded else x

    if bounded:
        labels = np.repeat(range(classes), 2000)
        share = split_variance(Moments.of(draw(2000), labels, classes)).omega_squared
    labels, chosen, hits = np.repeat(range(classes), size), np.tile(np.arange(size) < kept, classes), 0
    for _ in range(300):
        x = draw(size)
        moments = Moments.of(x, labels, classes)
        errors = error_over_images(moments, x[chosen], labels[chosen])
        low, high = interval(split_variance(moments).omega_squared, errors, len(x) - classes)
        hits += low <= share <= high
    assert covered(hits, 300)


def test_interval_over_images_covers_noise() -> None:
    random, labels, hits, errors, found = np.random.default_rng(12), np.repeat(range(20), 15), 0, [], []
    for _ in range(300):
        x = random.normal(size=(300, 8))
        moments = Moments.of(x, labels, 20)
        own = error_over_images(moments, x, labels)
        errors.append(own.error)
        found.append(split_variance(moments).omega_squared)
        low, high = interval(found[-1], own, 280)
        hits += low <= 0 <= high
    assert covered(hits, 300)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)  # without the correction it would be 40 % more


def test_error_over_images_is_near_that_of_leaving_each_image_out() -> None:
    """At many images an infinitesimal jackknife and the plain one agree; here with unequal classes."""
    labels = np.repeat(range(3), (150, 90, 200))
    x = values(0.8, 4, labels)

    def share(rows: NDArray[np.bool_]) -> float:
        return textbook(x[rows], [labels[rows] == k for k in range(3)])[1]

    variance = 0.0
    for k in range(3):
        own = np.flatnonzero(labels == k)
        left = [share(np.arange(len(x)) != row) for row in own]
        variance += (len(own) - 1) ** 2 / len(own) * np.var(left, ddof=1)
    found = error_over_images(Moments.of(x, labels, 3), x, labels).error
    assert found == pytest.approx(np.sqrt(variance), rel=0.05)


def test_interval_stays_below_one_and_is_symmetric_where_shares_are_small() -> None:
    errors = Errors(np.array([0.002, 1e-3, np.nan]), np.zeros(3))
    low, high = interval(np.array([0.99, 0.0, 0.5]), errors, 1000)
    assert 0.98 < low[0] < 0.99 < high[0] < 1
    assert high[1] == pytest.approx(-low[1], rel=0.01) == pytest.approx(1.962e-3, rel=0.01)
    assert np.isnan([low[2], high[2]]).all()


def test_dealing_out_labels_leaves_no_effect() -> None:
    x = values(0.5)
    observed, permuted = permuted_omega_squared(x, LABELS, permutations=200)
    assert observed == pytest.approx(textbook(x, [k == LABELS for k in range(4)])[1])
    assert permuted.mean() == pytest.approx(0, abs=0.003)
    assert permuted.max() < observed
    again = permuted_omega_squared(x, LABELS, permutations=200)[1]
    np.testing.assert_array_equal(permuted, again)
    assert not np.array_equal(permuted, permuted_omega_squared(x, LABELS, permutations=200, seed=1)[1])


def memberships(images: int, seed: int) -> NDArray[np.bool_]:
    random = np.random.default_rng(seed)
    members = random.random((images, 4)) < (0.1, 0.3, 0.5, 0.2)
    members[:, 0] |= members[:, 1] & (random.random(images) < 0.3)
    return members


def test_several_labels_are_each_against_the_rest() -> None:
    members, x = memberships(200, 0), values(0, 5, np.zeros(200, int))
    x += members @ np.random.default_rng(1).normal(size=(4, 5))
    moments, total = Moments.of(x, members, 4), Moments.of_all(x)
    for k in range(4):
        split = split_against_rest(moments, total, k)
        groups = [members[:, k], ~members[:, k]]
        assert (split.eta_squared, split.omega_squared) == pytest.approx(textbook(x, groups))
        expected = stats.f_oneway(x[groups[0]], x[groups[1]])
        np.testing.assert_allclose(split.by_channel()["F"], expected.statistic, rtol=1e-9)
        two = split_variance(Moments.of(x, members[:, k].astype(int), 2))
        np.testing.assert_allclose(split.variance_between, two.variance_between)
    each = [textbook(x, [members[:, k], ~members[:, k]])[1] for k in range(4)]
    observed, permuted = permuted_omega_squared(x, members, permutations=100)
    assert observed == pytest.approx(np.mean(each))
    assert permuted.mean() == pytest.approx(0, abs=0.002)


def test_errors_against_the_rest_cover() -> None:
    """Images with their labels are drawn anew."""
    steps, mixing = np.random.default_rng(1).normal(size=(4, 12)), np.random.default_rng(2).normal(size=(4, 12))

    def draw(images: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64], Moments, Moments]:
        members = memberships(images, seed)
        x = members @ steps + np.random.default_rng(seed + 10**6).normal(size=(images, 4)) @ mixing
        return members, x, Moments.of(x, members, 4), Moments.of_all(x)

    def shares(moments: Moments, total: Moments) -> NDArray[np.float64]:
        each = [split_against_rest(moments, total, k).omega_squared for k in range(4)]
        return np.array([*each, np.mean(each)])

    truth, hits = shares(*draw(200_000, 0)[2:]), np.zeros(5)
    for seed in range(1, 301):
        members, x, moments, total = draw(400, seed)
        each, mean = errors_against_rest(moments, total, x, members)
        both = Errors(np.append(each.error, mean.error), np.append(each.growth, mean.growth))
        low, high = interval(shares(moments, total), both, 398)
        hits += (low <= truth) & (truth <= high)
    assert all(covered(count, 300) for count in hits), hits


def test_errors_of_classes_of_fixed_size_are_smaller() -> None:
    x = values(1.5)
    moments, total, members = Moments.of(x, LABELS, 4), Moments.of_all(x), LABELS[:, None] == range(4)
    free, _ = errors_against_rest(moments, total, x, members)
    fixed, _ = errors_against_rest(moments, total, x, members, sizes_fixed=True)
    assert (fixed.error < free.error).all()


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
        assert np.isinf(channels["F"]).all()
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
