from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seviz.run.chunks import decode_gates, encode_gates
from seviz.run.sample import in_codes
from seviz.stats.ordering import by_channel, first
from tests.made_runs import make_run


def test_gates_of_some_images_are_those_of_all_at_their_places(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(size=(50, 6))}
    run = make_run(tmp_path / "run", gates, np.arange(50) % 3, failed=[4], kept=np.arange(50) % 5 > 0, chunk_size=16)
    every, rows = run.gates("SE_2_1"), np.array([0, 3, 11, 12, 13, 39])  # none of the chunk before the last
    np.testing.assert_array_equal(run.gates("SE_2_1", rows=rows), every[rows])
    assert np.isnan(every[3]).all()
    assert run.gates("SE_2_1", rows=rows[:0]).shape == (0, 6)
    sample = run.sample("SE_2_1")
    found, images = sample.gates, sample.rows
    np.testing.assert_allclose(found, gates["SE_2_1"][images], atol=8e-6)
    assert list(images) == [k for k in range(50) if k % 5 and k != 4]


def test_gates_are_turned_tile_by_tile() -> None:
    gates = np.random.default_rng(0).normal(size=(600, 5))
    turned = by_channel(gates, slice(2, 9))
    np.testing.assert_array_equal(turned, gates[:, 2:].T)
    assert turned.flags.c_contiguous
    turned += 1
    assert turned[0, 0] != gates[0, 2]


def test_first_rows_are_those_of_a_stable_sort() -> None:
    values = np.random.default_rng(0).integers(0, 6, (40, 7)).astype(float)
    for number in (1, 5, 40, 99):
        np.testing.assert_array_equal(first(values, number), np.argsort(values, axis=0, kind="stable")[:number])
    assert first(values[:0], 3).shape == (0, 7)


@pytest.mark.parametrize("digits", [0, 2, 7])
def test_first_rows_of_many_are_those_of_a_stable_sort(digits: int) -> None:
    values = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32).round(digits)
    values[:, 1] = 0.5
    values[:, 2] = np.arange(3000)
    values[:, 3] = -values[:, 2]
    values[-1, 4] = values[-2, 4] = 9  # behind the last whole group
    for number in (1, 5, 11):
        for greatest in (False, True):
            expected = np.argsort(-values if greatest else values, axis=0, kind="stable")[:number]
            np.testing.assert_array_equal(first(values, number, greatest=greatest), expected)


def test_gates_on_the_grid_of_a_run_become_its_codes() -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(-1, 4)
    gates = decode_gates(stored)
    codes = in_codes(gates)
    np.testing.assert_array_equal(codes, stored)
    assert codes.dtype == np.uint16
    np.testing.assert_array_equal(codes, encode_gates(gates))


@pytest.mark.parametrize(
    "gates",
    [
        np.float32([[0.5, 0.1234567]]),
        np.float32([[0.0, 1.5]]),
        np.float32([[-0.1, 1]]),
        np.float32([[np.nan, 1]]),
        np.array([[0.0, 1]]),
        np.empty((0, 3), np.float32),
    ],
    ids=["between codes", "above", "below", "no number", "double", "none"],
)
def test_other_values_stay_as_they_are(gates: NDArray[np.floating]) -> None:
    assert in_codes(gates) is gates
