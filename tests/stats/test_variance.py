from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from seviz.moments import Moments
from seviz.stats.variance import (
    Errors,
    channel_interval,
    drawn,
    error_over_images,
    errors_against_rest,
    interval,
    interval_over_classes,
    least_omega_squared,
    log_f_without_each,
    omega_squared_of_f,
    permuted_omega_squared,
    split_against_rest,
    split_variance,
)
from tests.normal_gates import LABELS, SIZES, gates, memberships, textbook, values


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


def test_f_gives_omega_squared_back() -> None:
    split = split_variance(Moments.of(values(0.7), LABELS, 4))
    f = (split.between.sum() / 3) / (split.within.sum() / 90)
    assert omega_squared_of_f(f, 94, 4) == pytest.approx(split.omega_squared)
    assert omega_squared_of_f(np.ones(2), 94, 4).tolist() == [0, 0]


def test_size_that_stands_for_unequal_classes() -> None:
    """(N - sum of n^2 / N) / (K - 1), by Snedecor and Cochran; n itself where all are n."""
    n = np.array(SIZES)
    unequal, equal = (split_variance(Moments.of(values(1, labels=k), k, 4)) for k in (LABELS, np.repeat(range(4), 9)))
    assert unequal.effective_size == pytest.approx((94 - np.square(n).sum() / 94) / 3)
    assert equal.effective_size == pytest.approx(9)


def test_p_is_unknown_where_there_is_nothing_to_compare() -> None:
    for labels in (np.zeros(94, int), np.arange(94)):
        assert np.isnan(split_variance(Moments.of(values(1), labels, 94)).by_channel()["p"]).all()


def test_a_class_of_all_images_or_of_none_is_not_apart_from_the_rest() -> None:
    x = values(1)
    moments, total = Moments.of(x, np.zeros(94, int), 2), Moments.of_all(x)
    for label in (0, 1):
        split = split_against_rest(moments, total, label)
        assert not split.between.any()
        np.testing.assert_allclose(split.within, np.var(x, 0) * 94)
        assert (split.images, split.classes) == (94, 1)
    assert split_against_rest(Moments.empty(2, 6), Moments.empty(1, 6), 0).classes == 0


def test_errors_from_the_parts_of_a_variance() -> None:
    """Worked out by hand. Odds of 0.2 are 1/4 and of 0.25 are 1/3: growth is 0.03 / (0.64 / 3) * 3/4.

    Nothing is less than the quadratic part.
    """
    omega, eta = np.array([0.2, 0.2, 0.6, -0.1, -1.0]), np.array([0.25, 0.25, 0.7, 0.0, 0.5])
    linear, quadratic = np.array([0.03, 0.015, 0.03, 0.03, 0.04]), np.array([0.01, 0.01, 0.01, 0.01, 0.02])
    errors = Errors.of(omega, eta, linear, quadratic)
    np.testing.assert_allclose(
        np.square(errors.error), [0.02, 0.01, 0.02, 0.02, 0.02]
    )  # no less than the quadratic part
    np.testing.assert_allclose(errors.growth, [0.10546875, 0.052734375, 0, 0, 0.015])
    one = errors[1]
    assert (float(one.error), float(one.growth)) == (pytest.approx(0.1), pytest.approx(0.052734375))
    unknown = Errors.unknown(2, 3)
    assert unknown.error.shape == unknown.growth.shape == (2, 3)
    assert np.isnan([unknown.error, unknown.growth]).all()


@pytest.mark.parametrize("share", [-0.01, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("growth", [0.0, 0.02, 0.5])
def test_interval_is_of_all_shares_that_are_no_more_than_t_errors_away(share: float, growth: float) -> None:
    error, t = 0.05, stats.t.ppf(0.9, 12)
    low, high = interval(share, Errors(np.array(error), np.array(growth)), 12, confidence=0.8)
    here = -np.log(1 - share)

    def beyond(y: float) -> float:
        """By how much a share, as -log(1 - share), is further away than t errors; they grow with it."""
        return (y - here) ** 2 - t**2 * ((error / (1 - share)) ** 2 + growth * (y - here))

    # Below the estimate the variance shrinks, down to the root; above it grows.
    below = optimize.brentq(beyond, here - 60, here)
    above = optimize.brentq(beyond, here, here + 60)
    assert (low, high) == (pytest.approx(1 - np.exp(-below)), pytest.approx(1 - np.exp(-above)))


def test_interval_with_few_degrees_of_freedom_is_that_with_one() -> None:
    errors = Errors(np.array(0.01), np.array(0.0))
    assert interval(0.2, errors, 0) == interval(0.2, errors, 1)
    assert interval(0.2, errors, 1)[0] < interval(0.2, errors, 2)[0]


def derivatives(of: Callable[[NDArray[np.float64]], NDArray[np.float64]], images: int) -> NDArray[np.float64]:
    """By how much something changes with the weight of each image, all weights being 1, by central differences."""
    step = 1e-4 * np.eye(images)
    return np.array([(of(1 + up) - of(1 - up)) / 2e-4 for up in step])


def share_of(between: float, within: float, images: int, classes: int) -> float:
    square = within / (images - classes)
    return (between - (classes - 1) * square) / (between + within + square)


def slopes_of(between: float, within: float, images: int, classes: int) -> tuple[float, float]:
    """By how much omega squared changes with each of the sums of squares, by central differences."""
    step = 1e-5 * (between + within)
    up, down = (share_of(between + sign * step, within, images, classes) for sign in (1, -1))
    more, less = (share_of(between, within + sign * step, images, classes) for sign in (1, -1))
    return (up - down) / (2 * step), (more - less) / (2 * step)


def squared_covariance_of(deviations: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Trace of the squared covariance: mean squared product of the deviations of two images of different groups."""
    pairs = [(a, b) for a in range(len(groups)) for b in range(a) if groups[a] != groups[b]]
    return float(np.mean([(deviations[a] @ deviations[b]) ** 2 for a, b in pairs]))


def test_error_over_images_is_that_of_changing_each_weight() -> None:
    """Every image gains a little weight, within its class; slopes by differences, pairs one by one."""
    sizes = np.array([9, 6, 13])
    labels = np.repeat(range(3), sizes)
    x = gates(1.5, 4, labels)

    def sums(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of squares between classes, and within each class."""
        groups = [labels == k for k in range(3)]
        means = np.array([np.average(x[g], axis=0, weights=weights[g]) for g in groups])
        within = [
            np.average(np.square(x[g] - m).sum(1), weights=weights[g]) for g, m in zip(groups, means, strict=True)
        ]
        return np.array([sizes @ np.square(means - sizes @ means / 28).sum(1), *(sizes * within)])

    between, *within = sums(np.ones(28))
    slope_between, slope_within = slopes_of(between, sum(within), 28, 3)
    change = derivatives(sums, 28)
    variance = 0.0
    for k, n in enumerate(sizes):
        influence = slope_between * change[:, 0] + slope_within * change[:, 1 + k] * np.sqrt(n / (n - 1))
        variance += n * influence[labels == k].var(ddof=1)
    means = np.array([x[labels == k].mean(0) for k in range(3)])
    deviations = (x - means[labels]) / np.sqrt(1 - 1 / sizes[labels, None])
    quadratic = 2 * 2 * slope_between**2 * squared_covariance_of(deviations, labels)
    eta, omega = textbook(x, [labels == k for k in range(3)])
    found = error_over_images(Moments.of(x, labels, 4), x, labels)
    expected = Errors.of(np.array(omega), np.array(eta), np.array(variance), np.array(quadratic))
    assert variance > 2 * quadratic
    np.testing.assert_allclose(found.error, expected.error, rtol=1e-5)
    np.testing.assert_allclose(found.growth, expected.growth, rtol=1e-5)


@pytest.mark.parametrize("sizes_fixed", [False, True])
def test_errors_against_the_rest_are_those_of_changing_each_weight(sizes_fixed: bool) -> None:
    """An image gains weight in all its classes at once; where sizes are fixed, others of its group lose as much."""
    images = 40
    members = memberships(images, 2)
    x = members @ np.random.default_rng(3).normal(size=(4, 5)) + np.random.default_rng(4).normal(size=(images, 5))

    def sums(own: NDArray[np.bool_], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of squares between a class and the rest, and within the two; weights are images in all."""
        if sizes_fixed:
            weights = sum(g * weights * g.sum() / weights[g].sum() for g in (own, ~own))
        weights = weights * images / weights.sum()
        size, means = weights[own].sum(), [np.average(x[g], axis=0, weights=weights[g]) for g in (own, ~own)]
        within = sum(weights[g] @ np.square(x[g] - m).sum(1) for g, m in zip((own, ~own), means, strict=True))
        return np.array([size * (images - size) / images * np.square(means[0] - means[1]).sum(), within])

    changes, slopes, shares = [], [], []
    for own in members.T:
        slopes.append(slopes_of(*sums(own, np.ones(images)), images, 2))
        shares.append(textbook(x, [own, ~own]))
        few = np.where(own, own.sum(), images - own.sum())
        change = derivatives(lambda weights, own=own: sums(own, weights), images) @ slopes[-1]
        changes.append(change * np.sqrt(few / (few - 1)))
    eta, omega = np.array(shares).T
    steep = np.array(slopes)[:, 0]
    overlap = np.mean(np.square(np.corrcoef(members.T.astype(float))))
    steepness = np.array([*np.square(steep), overlap * steep.mean() ** 2])
    quadratic = 2 * steepness * squared_covariance_of(x - x.mean(0), np.arange(images))
    linear = np.array([*np.square(changes).sum(1), np.square(np.mean(changes, 0)).sum()])
    expected = Errors.of(np.append(omega, omega.mean()), np.append(eta, eta.mean()), linear, quadratic)
    moments, total = Moments.of(x, members, 4), Moments.of_all(x)
    each, mean = errors_against_rest(moments, total, x, members, sizes_fixed=sizes_fixed)
    np.testing.assert_allclose([*each.error, mean.error], expected.error, rtol=1e-5)
    np.testing.assert_allclose([*each.growth, mean.growth], expected.growth, rtol=1e-5)


def test_errors_against_the_rest_are_the_same_in_pieces_and_beside_classes_that_are_not_apart() -> None:
    """More images than are worked on at once, in any order; classes of no image and of all change nothing."""
    images = 1500
    members = memberships(images, 5)
    x = members @ np.random.default_rng(6).normal(size=(4, 3)) + np.random.default_rng(7).normal(size=(images, 3))
    order = np.random.default_rng(8).permutation(images)
    more = np.column_stack([members, np.zeros(images, bool), np.ones(images, bool)])
    total = Moments.of_all(x)
    one, mean = errors_against_rest(Moments.of(x, members, 4), total, x, members)
    other, again = errors_against_rest(Moments.of(x, more, 6), total, x[order], more[order])
    assert np.isnan(other.error[4:]).all()
    assert np.isnan(other.growth[4:]).all()
    np.testing.assert_allclose(other.error[:4], one.error, rtol=0.05)  # the covariance is that of 512 of them
    np.testing.assert_allclose(other.growth[:4], one.growth, rtol=1e-9)
    np.testing.assert_allclose(again.growth, mean.growth, rtol=1e-9)


def test_errors_that_cannot_be_said_are_nan() -> None:
    x, members = values(1)[:2], np.array([[True], [False]])
    for given in (x, np.ones((94, 6))):
        own = np.resize(members, (len(given), 1))
        for errors in errors_against_rest(Moments.of(given, own, 1), Moments.of_all(given), given, own):
            assert np.isnan([errors.error, errors.growth]).all()
    x = values(1)
    everyone = np.ones((94, 1), bool)
    for errors in errors_against_rest(Moments.of(x, everyone, 1), Moments.of_all(x), x, everyone):
        assert np.isnan(errors.error).all()
    constant = np.where(LABELS < 2, 0.25, 0.5)[:, None]  # within classes
    for given, labels in ((x, np.zeros(94, int)), (constant, LABELS)):
        assert np.isnan(error_over_images(Moments.of(given, labels, 4), given, labels).error)
    few = np.repeat(range(47), 2)  # none has three images
    assert np.isnan(error_over_images(Moments.of(x, few, 47), x, few).error)
    three = np.repeat(range(31), 3)
    assert error_over_images(Moments.of(x[:93], three, 31), x[:93], three).error > 0


def test_rows_that_are_drawn_are_ascending_and_depend_on_the_seed() -> None:
    rows = np.arange(100, 200)
    first, again, other = (drawn(rows, 30, seed) for seed in (0, 0, 1))
    assert len(first) == len(set(first)) == 30
    assert set(first) <= set(rows)
    assert (np.diff(first) > 0).all()
    assert first.tolist() == again.tolist() != other.tolist()
    assert drawn(rows, 100, 0).tolist() == drawn(rows, 101, 0).tolist() == rows.tolist()


def test_interval_over_classes_is_a_jackknife_of_log_f() -> None:
    x = values(0.6)
    moments = Moments.of(x, LABELS, 5)
    left = log_f_without_each(moments)
    error = np.sqrt(3 / 4 * np.square(left - left.mean()).sum())
    split = split_variance(moments)
    log_f = np.log((split.between.sum() / 3) / (split.within.sum() / 90))
    for confidence in (0.8, 0.95):
        reach = stats.t.ppf((1 + confidence) / 2, 3) * error
        f = np.exp([log_f - reach, log_f + reach])
        expected = 3 * (f - 1) / (3 * (f - 1) + 94)
        assert interval_over_classes(moments, confidence=confidence) == pytest.approx(tuple(expected))
    assert interval_over_classes(moments) == interval_over_classes(moments, confidence=0.95)


def test_interval_over_classes_needs_three_and_variance_without_each() -> None:
    x = values(0.6)
    assert np.isfinite(interval_over_classes(Moments.of(x, np.minimum(LABELS, 2), 4))).all()
    for labels in (np.minimum(LABELS, 1), np.arange(94)):  # two classes; one image a class
        assert np.isnan(interval_over_classes(Moments.of(x, labels, 94))).all()
    only = np.where(LABELS[:, None] == 2, x, LABELS[:, None])  # nothing varies in classes but in this one
    left = log_f_without_each(Moments.of(only, LABELS, 4))
    assert np.isnan(left).tolist() == [False, False, True, False]
    assert np.isnan(interval_over_classes(Moments.of(only, LABELS, 4))).all()


def test_interval_over_classes_of_equal_means_is_at_the_least_share() -> None:
    """F is 0 then; the least omega squared is -(K - 1) / (N - K + 1)."""
    x, labels = np.tile(values(0)[:9], (5, 1)), np.repeat(range(5), 9)
    found = interval_over_classes(Moments.of(x, labels, 5))
    assert found == pytest.approx((-4 / 41, -4 / 41), rel=1e-4)


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


@pytest.mark.parametrize(("classes", "size", "kept"), [(12, 25, 25), (20, 30, 10), (40, 6, 6)])
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
    labels = np.repeat(range(3), (150, 190, 300))  # so many that the covariance is that of some of them
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


def test_interval_stays_within_the_range_of_omega_squared() -> None:
    """An error of 5 would reach far below what omega squared can be; of a share of 1 there is no error."""
    errors = Errors(np.array([5.0, 5.0, 5.0]), np.zeros(3))
    low, high = interval(np.array([0.2, 1 - 1e-12, 1.0]), errors, 20, least=-2 / 28)
    assert list(low[:2]) == [-2 / 28, -2 / 28]
    assert (high[:2] <= 1).all()
    assert np.isnan([low[2], high[2]]).all()


@pytest.mark.parametrize("sizes", [[10, 10, 10], [2, 1, 1, 1], [40, 3]])
def test_least_omega_squared_is_that_of_classes_with_one_mean(sizes: list[int]) -> None:
    x = np.concatenate([np.tile([[-1.0], [1.0]], (size, 1))[:size] if size > 1 else np.zeros((1, 1)) for size in sizes])
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x[labels == 0] -= x[labels == 0].mean()
    for label in range(1, len(sizes)):
        x[labels == label] -= x[labels == label].mean()
    split = split_variance(Moments.of(x.astype(np.float32), labels, len(sizes)))
    images, classes = sum(sizes), len(sizes)
    assert split.least_omega_squared == -(classes - 1) / (images - classes + 1)
    assert split.omega_squared == pytest.approx(split.least_omega_squared, abs=1e-6)
    assert np.isnan(least_omega_squared(3, 3))


def test_a_class_of_one_image_counts_where_labels_are_dealt_out() -> None:
    x, labels = values(0.5), np.append(LABELS[:-1], 9)
    observed, _ = permuted_omega_squared(x, labels, permutations=0)
    assert observed == pytest.approx(textbook(x, [labels == k for k in np.unique(labels)])[1])


def test_dealing_out_labels_leaves_no_effect() -> None:
    x = values(0.5)
    observed, permuted = permuted_omega_squared(x, LABELS, permutations=200)
    assert observed == pytest.approx(textbook(x, [k == LABELS for k in range(4)])[1])
    assert permuted.mean() == pytest.approx(0, abs=0.003)
    assert permuted.max() < observed
    again = permuted_omega_squared(x, LABELS, permutations=200)[1]
    np.testing.assert_array_equal(permuted, again)
    assert not np.array_equal(permuted, permuted_omega_squared(x, LABELS, permutations=200, seed=1)[1])


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


def test_dealing_out_labels_leaves_out_classes_of_no_image_and_of_all() -> None:
    members, x = memberships(60, 3), values(0, 5, np.zeros(60, int))
    more = np.column_stack([np.zeros(60, bool), members, np.ones(60, bool)])
    one, other = (permuted_omega_squared(x, labels, permutations=3) for labels in (members, more))
    assert one[0] == pytest.approx(other[0])
    np.testing.assert_allclose(one[1], other[1])
    assert np.isnan(permuted_omega_squared(x[:0], members[:0], permutations=1)[0])
    apart = np.where(LABELS < 2, 0.25, 0.5)[:, None]  # all that varies lies between two classes
    assert permuted_omega_squared(apart, (LABELS < 2).astype(int), permutations=1)[0] == pytest.approx(1)
