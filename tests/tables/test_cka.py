from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from seviz.errors import MissingSignalError, OptionError
from seviz.stats.cka import kernel_alignment
from seviz.tables.cka import cka
from tests.animals import LABELS, noise
from tests.made_runs import make_run


def hsic(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The unbiased estimate, as a mean over tuples of four different images (Gretton's definition)."""
    k, m = x @ x.T, y @ y.T
    n = len(x)
    total = 0.0
    for i, j, q, r in permutations(range(n), 4):
        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_alignment_follows_its_definitions() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(1, size=(8, 3)), random.normal(size=(8, 12))
    y[:, :2] += x[:, :2]
    a, b = x - x.mean(0), y - y.mean(0)
    plain = np.linalg.norm(a.T @ b) ** 2 / np.linalg.norm(a.T @ a) / np.linalg.norm(b.T @ b)
    assert kernel_alignment([x], [y])[0, 0] == pytest.approx(plain)
    debiased = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert kernel_alignment([x], [y], debiased=True)[0, 0] == pytest.approx(debiased)


@pytest.mark.parametrize("debiased", [False, True])
def test_alignment_knows_no_rotation_scale_or_shift(debiased: bool) -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(40, 6)), random.normal(size=(40, 9))
    y[:, :4] += x[:, :4]
    turn, _ = np.linalg.qr(random.normal(size=(6, 6)))
    stretch = x * [5, 1, 1, 1, 1, 1]
    found = kernel_alignment([x, 3 * x @ turn + 2, stretch], [x, y], debiased=debiased)
    assert found[0, 0] == pytest.approx(1)
    np.testing.assert_allclose(found[1], found[0])
    assert found[2, 1] != pytest.approx(found[0, 1], abs=0.01)
    assert 0.1 < found[0, 1] < 0.9


def test_independent_noise_is_aligned_only_by_bias() -> None:
    random = np.random.default_rng(2)
    found = []
    for _ in range(30):
        x, y = random.normal(size=(2, 30, 200))  # more features than images
        found.append([kernel_alignment([x], [y], debiased=flag)[0, 0] for flag in (False, True)])
    plain, debiased = np.mean(found, 0)
    assert plain > 0.8
    assert debiased == pytest.approx(0, abs=0.02)


def test_alignment_of_nothing_is_nan() -> None:
    x = np.random.default_rng(3).normal(size=(5, 3))
    spoilt = x.copy()
    spoilt[0, 0] = np.nan
    for other in (np.ones((5, 4)), spoilt):
        assert np.isnan(kernel_alignment([x], [other])).all()
        assert np.isnan(kernel_alignment([x], [other], debiased=True)).all()
    assert np.isnan(kernel_alignment([x[:3]], [x[:3]], debiased=True)).all()
    assert kernel_alignment([x[:3]], [x[:3]])[0, 0] == pytest.approx(1)
    for few in (0, 1):
        assert np.isnan(kernel_alignment([x[:few]], [x[:few]])).all()


def test_blocks_of_a_run_are_aligned(tmp_path: Path) -> None:
    x, y = noise(LABELS), noise(LABELS, seed=2)
    blocks = {"SE_2_1": x, "SE_2_2": 1 - x / 2, "SE_3_1": y, "SE_4_1": np.full((80, 3), 0.2)}
    run = make_run(tmp_path / "run", blocks, LABELS, failed=[7], kept=np.arange(80) != 20)
    table = cka(run)
    assert list(table.columns) == ["block", "other_block", "cka", "debiased", "images"]
    assert len(table) == 10
    assert (table["images"] == 78).all()
    found = table.set_index(["block", "other_block"])
    good = ~np.isin(range(80), [7, 20])
    expected = kernel_alignment([x[good]], [y[good]])[0, 0]
    assert found.loc[("SE_2_1", "SE_2_2"), "cka"] == pytest.approx(1, abs=1e-6)
    assert found.loc[("SE_2_1", "SE_2_2"), "debiased"] == pytest.approx(1, abs=1e-6)
    assert found.loc[("SE_2_1", "SE_3_1"), "cka"] == pytest.approx(expected, abs=1e-5)
    assert found.loc[("SE_2_1", "SE_3_1"), "debiased"] == pytest.approx(0, abs=0.05)
    assert table["cka"].isna().sum() == 4
    assert table.attrs["remarks"] == ["SE_4_1: the excitation is the same for all images."]
    drawn = cka(run, images=30, seed=3)
    assert (drawn["images"] == 30).all()
    assert drawn.equals(cka(run, images=30, seed=3))
    assert not drawn.equals(cka(run, images=30, seed=4))


def test_runs_are_aligned_on_the_images_both_have(tmp_path: Path) -> None:
    x, y = noise(LABELS), noise(LABELS, seed=2)
    one = make_run(tmp_path / "one", {"SE_2_1": x, "SE_2_2": y}, LABELS, failed=[2])
    other = make_run(
        tmp_path / "other", {"SE_5_1": x[:50] / 2, "SE_5_2": y[:50]}, LABELS[:50], kept=np.arange(50) != 1, gate="relu"
    )
    table = cka(one, other)
    assert list(zip(table["block"], table["other_block"], strict=True)) == [
        (a, b) for a in ("SE_2_1", "SE_2_2") for b in ("SE_5_1", "SE_5_2")
    ]
    assert (table["images"] == 48).all()
    assert table["cka"][0] == pytest.approx(1, abs=1e-6)
    assert table["debiased"][2] == pytest.approx(0, abs=0.06)
    assert table["cka"].notna().all()
    assert table.attrs["remarks"] == [
        f"Without counterpart in {str(other.path)!r}: SE_2_1, SE_2_2 of {str(one.path)!r}.",
        f"Without counterpart in {str(one.path)!r}: SE_5_1, SE_5_2 of {str(other.path)!r}.",
    ]
    assert table["paired_by"].tolist() == [""] * 4
    assert cka(one, one)["paired_by"].tolist() == ["path", "", "", "path"]


def test_too_few_images_are_aligned_with_a_remark_or_refused(tmp_path: Path) -> None:
    labels = np.zeros(6, np.int64)
    run = make_run(tmp_path / "run", {"SE_2_1": noise(labels)}, labels, failed=[1, 2, 3])
    table = cka(run)
    assert table["cka"].tolist() == [pytest.approx(1)]
    assert table["debiased"].isna().all()
    assert table.attrs["remarks"] == ["Only 3 images can be compared, which is too few for the debiased estimate."]
    failed = make_run(tmp_path / "failed", {"SE_2_1": noise(labels)}, labels, failed=range(6))
    assert cka(failed)["cka"].isna().all()
    with pytest.raises(OptionError, match="images is 3, expected at least 4"):
        cka(run, images=3)
    far = make_run(tmp_path / "far", {"SE_2_1": noise(labels)}, labels, kept=np.arange(6) == 1)
    with pytest.raises(MissingSignalError, match=r"keep the gates of no image in common, by path; such as '000000.png"):
        cka(run, far)
    none = make_run(tmp_path / "none", {"SE_2_1": noise(labels)}, labels, kept=np.zeros(6, bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        cka(run, none)
