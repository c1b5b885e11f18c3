from pathlib import Path

import numpy as np
import pytest

from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.scaling import moderate, varies
from tests.made_runs import make_run

LABELS = np.repeat([0, 1], 10)
_NOISE = np.random.default_rng(0).standard_normal((20, 4))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Channel 0 moves, 1 is near-constant, 2 is near-constant in class 0, 3 is constant."""
    x = 0.5 + _NOISE * [0.1, 1e-6, 0, 0]
    x[:, 2] += np.where(LABELS, 0.1 * _NOISE[:, 2], 1e-6 * _NOISE[:, 2])
    return make_run(tmp_path / "run", {"SE_2_1": np.clip(x, 0, 1), "SE_3_1": np.clip(x[:, :1], 0, 1)}, LABELS)


def test_near_constant_channels_have_one_mean_and_do_not_vary(run: Run) -> None:
    sample, plain = run.sample("SE_2_1"), run.moments("SE_2_1")
    moments, total = sample.moments, sample.total
    assert list(run.sample("SE_2_1").channels.near_constant) == [False, True, False, True]
    for each in (moments, total):
        assert (each.m2[:, [1, 3]] == 0).all()
        assert (each.min[:, [1, 3]] == each.max[:, [1, 3]]).all()
        assert np.ptp(each.mean[:, [1, 3]], axis=0).max() == 0
    for name in ("mean", "m2", "min", "max"):
        np.testing.assert_array_equal(getattr(moments, name)[:, 0], getattr(plain, name)[:, 0])
    np.testing.assert_array_equal(run.sample("SE_2_1").gates_at()[:, 1], np.full(20, np.float32(moments.mean[0, 1])))
    np.testing.assert_array_equal(run.sample("SE_2_1").gates_at()[:, 0], run.gates("SE_2_1")[:, 0])


def test_a_class_that_is_near_constant_keeps_its_mean_and_does_not_vary(run: Run) -> None:
    sample, plain = run.sample("SE_2_1"), run.moments("SE_2_1")
    moments, total = sample.moments, sample.total
    assert moments.m2[0, 2] == 0 < plain.m2[0, 2]
    assert moments.m2[1, 2] == plain.m2[1, 2]
    np.testing.assert_array_equal(moments.mean[:, 2], plain.mean[:, 2])
    between = 5 * (plain.mean[0, 2] - plain.mean[1, 2]) ** 2  # 10 * 10 / 20
    assert total.m2[0, 2] == pytest.approx(between + moments.m2[:, 2].sum(), rel=1e-12)


def test_what_is_all_resolved_is_as_the_run_has_it(run: Run) -> None:
    sample = run.sample("SE_3_1")
    moments, total = sample.moments, sample.total
    for ours, theirs in ((moments, run.moments("SE_3_1")), (total, run.total("SE_3_1"))):
        for name, array in ours.to_arrays().items():
            np.testing.assert_array_equal(array, theirs.to_arrays()[name])
    assert unresolved(run, ["SE_3_1"]) == []


def test_remarks_name_what_moves_and_counts_as_constant(run: Run) -> None:
    assert unresolved(run, run.blocks) == [
        "The excitation is near-constant, and counts as constant, where its standard deviation is below the precision"
        " that it is stored with: in 1 of 4 channels of SE_2_1 (precision 1.5e-05)."
    ]
    assert unresolved(run, run.blocks, near_constant=False) == []


def test_of_many_blocks_some_are_named(tmp_path: Path) -> None:
    gates = {f"SE_2_{k}": 0.5 + 1e-6 * _NOISE for k in range(1, 10)}
    run = make_run(tmp_path / "run", gates, LABELS)
    (remark,) = unresolved(run, run.blocks)
    assert remark.endswith("all channels of SE_2_6 (precision 1.5e-05) and 3 more blocks.")


def test_features_of_any_size_become_moderate_by_powers_of_two() -> None:
    x = np.array([[1e30, 1e-30, 3.0, 0.0, -3e38], [-2e30, 5e-31, 1.0, 0.0, 1.0]], np.float32)
    scaled, exponents = moderate(x.copy())
    assert list(exponents[2:4]) == [0, 0]
    assert np.abs(scaled).max(axis=0)[[0, 1, 4]].tolist() == pytest.approx([0.5] * 3, abs=0.5)
    np.testing.assert_array_equal(np.ldexp(scaled, exponents.astype(np.int32))[0], x[0])
    empty, none = moderate(np.zeros((0, 3), np.float32))
    assert empty.shape == (0, 3)
    assert list(none) == [0, 0, 0]


def test_values_vary_or_not() -> None:
    assert varies(_NOISE)
    assert not varies(np.tile(_NOISE[:1], (5, 1)))
    assert not varies(np.array([[3e38, -3e38]], np.float32))
