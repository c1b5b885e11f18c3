import numpy as np
import pytest
from numpy.typing import NDArray

from seviz.run.moments import FIELDS, Moments

RANDOM = np.random.default_rng(0)


def gates(images: int, channels: int = 5) -> NDArray[np.float32]:
    values = RANDOM.beta(0.3, 0.3, (images, channels)).astype(np.float32)
    values[::7, 0], values[::5, 1] = 0, 1
    return values


def assert_moments_are_those_of(moments: Moments, values: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Against plain numpy on all images at once."""
    for label in range(len(moments.count)):
        x = values[labels == label].astype(np.float64)
        assert moments.count[label] == len(x)
        if not len(x):
            continue
        np.testing.assert_allclose(moments.mean[label], np.mean(x, 0), rtol=1e-13)
        np.testing.assert_allclose(moments.m2[label], np.var(x, 0) * len(x), rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(moments.min[label], np.min(x, 0))
        np.testing.assert_array_equal(moments.max[label], np.max(x, 0))
        np.testing.assert_array_equal(moments.near_zero[label], np.sum(x < 0.05, 0))
        np.testing.assert_array_equal(moments.near_one[label], np.sum(x > 0.95, 0))
        np.testing.assert_array_equal(moments.zero[label], np.sum(x == 0, 0))
        np.testing.assert_array_equal(moments.one[label], np.sum(x == 1, 0))
        if len(x) > 1:
            np.testing.assert_allclose(moments.variance()[label], np.var(x, 0, ddof=1), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("order", ["sorted", "shuffled", "single class in each"])
@pytest.mark.parametrize("cuts", [[0], [50, 50, 51], [1, 2, 3, 180], list(range(1, 200))])
def test_merged_pieces_are_the_whole(order: str, cuts: list[int]) -> None:
    values, labels = gates(200), np.repeat([0, 1, 3], [120, 1, 79])  # class 2 of 4 stays empty
    if order == "shuffled":
        permutation = RANDOM.permutation(200)
        values, labels = values[permutation], labels[permutation]
    if order == "single class in each":
        cuts = [120, 121]
    merged = Moments.empty(4, 5)
    for x, y in zip(np.split(values, cuts), np.split(labels, cuts), strict=True):
        merged = merged.merge(Moments.of(x, y, 4))
    assert_moments_are_those_of(merged, values, labels)


def test_merging_with_nothing_changes_no_bit() -> None:
    moments = Moments.of(gates(30), RANDOM.integers(0, 3, 30), 3)
    for merged in (moments.merge(Moments.empty(3, 5)), Moments.empty(3, 5).merge(moments)):
        np.testing.assert_array_equal(merged.to_array(), moments.to_array())
        np.testing.assert_array_equal(merged.count, moments.count)


def test_merging_changes_neither_side() -> None:
    a, b = Moments.of(gates(9), np.zeros(9, int), 1), Moments.of(gates(4), np.zeros(4, int), 1)
    before = a.to_array(), b.to_array()
    a.merge(b)
    np.testing.assert_array_equal(a.to_array(), before[0])
    np.testing.assert_array_equal(b.to_array(), before[1])


def test_small_variance_on_a_large_mean_survives_merging() -> None:
    values = (1 - 1e-6 * RANDOM.random((4000, 1))).astype(np.float64)
    merged = Moments.empty(1, 1)
    for x in np.split(values, 40):
        merged = merged.merge(Moments.of(x, np.zeros(len(x), int), 1))
    np.testing.assert_allclose(merged.variance()[0], np.var(values, 0, ddof=1), rtol=1e-6)


def test_variance_needs_two_images() -> None:
    variance = Moments.of(gates(3), np.array([0, 1, 1]), 3).variance()
    assert np.isnan(variance[[0, 2]]).all()
    assert np.isfinite(variance[1]).all()


def test_packed_and_back() -> None:
    moments = Moments.of(gates(30), RANDOM.integers(0, 3, 30), 3)
    again = Moments.from_array(moments.count, moments.to_array())
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again, name), getattr(moments, name))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"cannot merge moments of shape \(3, 5\) with \(3, 4\)"):
        Moments.empty(3, 5).merge(Moments.empty(3, 4))
    with pytest.raises(ValueError, match=r"mean has shape \(4, 5\), expected \(class, channel\) with 3 classes"):
        Moments.from_array(np.zeros(3, np.int64), Moments.empty(4, 5).to_array())
