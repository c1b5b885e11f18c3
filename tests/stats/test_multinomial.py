"""The minimum is scikit-learn's, found by its own solver at a tight tolerance."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from seviz.stats.multinomial import fit, log_likelihood, with_ones

Problem = tuple[NDArray[np.floating], NDArray[np.int64], float]


def problem(
    images: int,
    features: int,
    classes: int,
    penalty: float,
    *,
    effect: float = 1.0,
    shares: tuple[float, ...] = (),
    seed: int = 0,
) -> Problem:
    """Correlated features around a mean for each class; each class has at least one image."""
    random = np.random.default_rng(seed)
    drawn = random.choice(classes, images - classes, p=shares or None)
    labels = np.concatenate([np.arange(classes), drawn])
    noise = random.normal(size=(images, features)) @ random.normal(size=(features, features)) / features**0.5
    return noise + effect * random.normal(size=(classes, features))[labels], labels, penalty


def with_odd_columns(columns: str) -> Problem:
    values, labels, penalty = problem(200, 12, 5, 0.1)
    if columns == "constant":
        values[:, 3] = 0
    elif columns == "repeated":
        values = np.concatenate([values, values, values[:, :1] + values[:, 1:2]], 1)
    else:
        values *= np.geomspace(1e-2, 1e2, 12)
    return values, labels, penalty


PROBLEMS = {
    "few images": problem(14, 40, 3, 0.1),
    "one image a class": problem(6, 30, 6, 1.0),
    "separable, weak penalty": problem(300, 30, 4, 1.0, effect=6),
    "separable, strong penalty": problem(300, 30, 4, 1e-4, effect=6),
    "uneven classes": problem(400, 20, 4, 0.01, shares=(0.9, 0.06, 0.03, 0.01)),
    "1,000 classes": problem(2100, 8, 1000, 0.01),
    "two classes": problem(150, 20, 2, 0.1, effect=0.3),
    "nothing to tell": problem(300, 50, 10, 0.01, effect=0),
    "one feature": problem(100, 1, 3, 1.0),
    "a constant feature": with_odd_columns("constant"),
    "collinear features": with_odd_columns("repeated"),
    "features of other scales": with_odd_columns("scaled"),
}


def loss(
    values: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.floating],
    offset: NDArray[np.floating],
    penalty: float,
) -> float:
    """Mean loss and penalty, by the formula in scikit-learn's user guide."""
    logits = values.astype(np.float64) @ weights.T + offset
    logits -= logits.max(1, keepdims=True)
    own = logits[np.arange(len(labels)), labels]
    mean = float((np.log(np.exp(logits).sum(1)) - own).mean())
    squares = np.square(weights[1] - weights[0]).sum() if len(weights) == 2 else np.square(weights).sum()
    return mean + float(squares) / (2 * penalty * len(labels))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimum_is_sklearns(name: str, dtype: type[np.floating]) -> None:
    values, labels, penalty = PROBLEMS[name]
    values = values.astype(dtype)
    (weights,) = fit([with_ones(values)], [labels], [penalty])
    found = loss(values, labels, weights[:, :-1], weights[:, -1], penalty)

    theirs = LogisticRegression(C=penalty, tol=1e-7, max_iter=20_000).fit(values.astype(np.float64), labels)
    known = theirs.coef_, theirs.intercept_
    if len(known[0]) == 1:  # of two classes they keep the difference
        known = np.concatenate([-known[0], known[0]]) / 2, np.concatenate([-known[1], known[1]]) / 2
    assert found == pytest.approx(loss(values, labels, *known, penalty), abs=1e-5)

    likely = log_likelihood(with_ones(values), labels, weights)
    expected = theirs.predict_log_proba(values)[np.arange(len(labels)), labels]
    assert likely.mean() == pytest.approx(expected.mean(), abs=3e-3)
    new = values + 0.1 * np.random.default_rng(1).normal(size=values.shape).astype(dtype)
    predicted = (with_ones(new) @ weights.T).argmax(1)
    sure = np.sort(theirs.predict_proba(new))
    sure = sure[:, -1] - sure[:, -2] > 0.01
    np.testing.assert_array_equal(predicted[sure], theirs.predict(new)[sure])
    assert (predicted == labels).mean() == pytest.approx((theirs.predict(new) == labels).mean(), abs=1e-3)


def test_a_start_near_the_minimum_ends_at_the_same() -> None:
    values, labels, penalty = PROBLEMS["uneven classes"]
    turned = with_ones(values)
    fresh = fit([turned], [labels], [penalty])[0]
    near = fit([turned], [labels], [10 * penalty])[0]
    again = fit([turned], [labels], [penalty], starts=[near])[0]
    both = [loss(values, labels, w[:, :-1], w[:, -1], penalty) for w in (fresh, again)]
    assert both[0] == pytest.approx(both[1], abs=1e-6)


def test_values_that_are_all_zero_leave_the_shares() -> None:
    labels = np.repeat([0, 1, 2], (6, 3, 1))
    values = with_ones(np.zeros((10, 4)))
    (weights,) = fit([values], [labels], [1.0])
    np.testing.assert_allclose(
        log_likelihood(values, labels, weights), np.log(np.repeat([0.6, 0.3, 0.1], (6, 3, 1))), atol=1e-4
    )


def test_problems_that_are_fitted_together_do_not_touch_each_other() -> None:
    """Also with other numbers of images and other penalties."""
    values, labels, _ = problem(400, 20, 4, 0.1)
    parts = [slice(0, 250), slice(100, None), slice(None, None, 2)]
    given, own, penalties = (
        [with_ones(values[part]) for part in parts],
        [labels[part] for part in parts],
        [0.1, 1e-3, 1.0],
    )
    together = fit(given, own, penalties)
    for one, label, penalty, found in zip(given, own, penalties, together, strict=True):
        np.testing.assert_allclose(found, fit([one], [label], [penalty])[0], atol=1e-9)
    given[1] = with_ones(100 * values[parts[1]])
    np.testing.assert_array_equal(fit(given, own, penalties)[2], together[2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tolerance_that_rounding_cannot_meet_ends_at_the_minimum(dtype: type[np.floating]) -> None:
    values, labels, penalty = PROBLEMS["uneven classes"]
    given = with_ones(values.astype(dtype))
    usual, strict = (fit([given], [labels], [penalty], tolerance=tolerance)[0] for tolerance in (1e-5, 0))
    both = [loss(values, labels, w[:, :-1].astype(float), w[:, -1].astype(float), penalty) for w in (usual, strict)]
    assert both[1] == pytest.approx(both[0], abs=1e-6)
