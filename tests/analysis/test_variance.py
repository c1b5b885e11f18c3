import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from seviz.analysis.variance import (
    Errors,
    channel_interval,
    error_over_images,
    errors_against_rest,
    interval,
    interval_over_classes,
    log_f_without_each,
    permuted_omega_squared,
    split_against_rest,
    split_variance,
)
from seviz.run.moments import Moments

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
