import copy

import numpy as np
import pytest
from numpy.typing import NDArray

from seviz.moments import FIELDS, Moments, MomentsSum

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


def assert_same(one: Moments, other: Moments) -> None:
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name])


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
        assert_same(merged, moments)


def test_merging_changes_neither_side() -> None:
    a, b = Moments.of(gates(9), np.zeros(9, int), 1), Moments.of(gates(4), np.zeros(4, int), 1)
    before = copy.deepcopy((a, b))
    a.merge(b)
    assert_same(a, before[0])
    assert_same(b, before[1])


def test_small_variance_on_a_large_mean_survives_merging() -> None:
    values = (1 - 1e-4 * RANDOM.random((4000, 1))).astype(np.float32)
    merged = Moments.empty(1, 1)
    for x in np.split(values, 40):
        merged = merged.merge(Moments.of(x, np.zeros(len(x), int), 1))
    np.testing.assert_allclose(merged.variance()[0], np.var(values.astype(np.float64), 0, ddof=1), rtol=1e-6)


def test_variance_needs_two_images() -> None:
    variance = Moments.of(gates(3), np.array([0, 1, 1]), 3).variance()
    assert np.isnan(variance[[0, 2]]).all()
    assert np.isfinite(variance[1]).all()


def test_laid_open_and_back() -> None:
    moments = Moments.of(gates(30), RANDOM.integers(0, 3, 30), 3)
    arrays = moments.to_arrays("a/")
    assert list(arrays) == Moments.names("a/") == ["a/count", *(f"a/{name}" for name in FIELDS)]
    assert_same(Moments.from_arrays({**arrays, "b/count": np.zeros(1)}, "a/"), moments)
    assert {name: arrays[f"a/{name}"].dtype for name in FIELDS} == FIELDS


def test_an_image_of_several_classes_counts_in_each() -> None:
    values = gates(40)
    members = RANDOM.random((40, 4)) < [0.5, 0.1, 0.9, 0]
    members[3] = False  # of no class
    moments = Moments.of(values, members, 4)
    for label in range(4):
        own = values[members[:, label]]
        assert_moments_are_those_of(moments.take(np.array([label])), own, np.zeros(len(own), int))


def test_all_images_together_are_one_class() -> None:
    values = gates(40)
    assert_same(Moments.of_all(values), Moments.of(values, np.zeros(40, int), 1))
    assert_same(Moments.of_all(values[:0]), Moments.empty(1, 5))


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_summed_piece_by_piece(order: str) -> None:
    values, labels = gates(200), np.repeat([0, 1, 3], [120, 1, 79])
    if order == "shuffled":
        labels = RANDOM.permutation(labels)
    total = MomentsSum(5, 5)
    for x, y in zip(np.split(values, 8), np.split(labels, 8), strict=True):
        classes, members = np.unique(y, return_inverse=True)
        total.add(classes, Moments.of(x, members, len(classes)))
    assert_moments_are_those_of(total.result(), values, labels)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", [(3,), (2, 5), (4, 5), (3, 4), (3, 6), (3, 5, 1)])
def test_each_array_is_by_class_and_channel(field: str, shape: tuple[int, ...]) -> None:
    arrays = {**Moments.empty(3, 5).to_arrays(), field: np.zeros(shape, FIELDS[field])}
    with pytest.raises(ValueError, match=r"has shape .*, expected \(class, channel\) with 3 classes"):
        Moments.from_arrays(arrays)


def test_arrays_that_agree_in_a_wrong_shape_are_refused() -> None:
    arrays = {name: array[..., None] for name, array in Moments.empty(3, 5).to_arrays().items()}
    with pytest.raises(ValueError, match=r"mean has shape \(3, 5, 1\), expected \(class, channel\)"):
        Moments.from_arrays({**arrays, "count": np.zeros(3, np.int64)})


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"cannot merge moments of shape \(3, 5\) with \(3, 4\)"):
        Moments.empty(3, 5).merge(Moments.empty(3, 4))
    with pytest.raises(ValueError, match=r"mean has shape \(4, 5\), expected \(class, channel\) with 3 classes"):
        Moments.from_arrays({**Moments.empty(4, 5).to_arrays(), "count": np.zeros(3, np.int64)})
