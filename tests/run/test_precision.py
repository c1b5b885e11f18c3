from pathlib import Path

import numpy as np
import pytest

from seviz.moments import Moments
from seviz.run.chunks import STEP, decode_gates, encode_gates
from seviz.run.precision import Precision, precision_of
from tests.made_runs import make_run


def test_a_step_lies_between_neighbouring_codes() -> None:
    codes = np.arange(1, 65535, dtype=np.uint16)
    np.testing.assert_allclose(np.diff(decode_gates(codes).astype(np.float64)), STEP, rtol=5e-3)
    x = np.random.default_rng(0).random(10_000).astype(np.float32)
    assert np.abs(decode_gates(encode_gates(x)) - x).max() <= STEP / 2 + 1e-7


@pytest.mark.parametrize(
    ("gate", "signal", "precision"),
    [
        ("sigmoid", "excitation", Precision(1 / 65534, 0.0)),
        ("sigmoid", "squeeze", Precision(0.0, 2.0**-23)),
        ("tanh", "excitation", Precision(0.0, 2.0**-23)),
    ],
)
def test_precision_is_that_of_the_storage(tmp_path: Path, gate: str, signal: str, precision: Precision) -> None:
    x = {"SE_2_1": np.random.default_rng(0).random((8, 3))}
    run = make_run(tmp_path / "run", x, np.arange(8) % 2, gate=gate, signals={"squeeze": x})
    assert precision_of(run, "SE_2_1", signal) == precision


def test_gates_that_leave_their_bounds_are_stored_as_float32(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((4, 2), 1.5)}, np.arange(4) % 2)
    assert precision_of(run, "SE_2_1") == Precision(0.0, 2.0**-23)


def test_near_constant_is_a_standard_deviation_below_the_step() -> None:
    deviation = np.array([0, 1e-9, 1.4e-5, 1.6e-5, 0.1])
    x = (0.5 + np.outer([-1, 1] * 10, deviation)).astype(np.float32)
    total = Moments.of_all(x)
    assert list(Precision(STEP, 0.0).near_constant(total)) == [True, True, True, False, False]
    large = Moments.of_all(1e6 * x)  # where neighbouring numbers are 0.03 apart
    assert list(Precision(0.0, 2.0**-23).near_constant(large)) == [True, True, False, False, False]


def test_one_image_and_values_that_are_not_finite_say_nothing_of_a_spread() -> None:
    assert not Precision(STEP, 0.0).near_constant(Moments.of_all(np.full((1, 2), 0.5, np.float32))).any()
    assert not Precision(STEP, 0.0).near_constant(Moments.empty(1, 2)).any()
    odd = np.array([[np.nan, np.inf], [0.5, 0.5]], np.float32)
    assert not Precision(STEP, 0.0).near_constant(Moments.of_all(odd)).any()


def test_a_precision_is_told() -> None:
    assert str(Precision(STEP, 0.0)) == "1.5e-05"
    assert str(Precision(0.0, 2.0**-23)) == "1.2e-07 of their size"
