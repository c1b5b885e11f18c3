from pathlib import Path

import numpy as np
import pytest

from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.parts import Part, split_rows
from seviz.run.store import Run
from tests.made_runs import make_run

LABELS = np.repeat([0, 1, 2], [30, 20, 10])


def made(path: Path, **options: object) -> Run:
    random = np.random.default_rng(0)
    gates = {"SE_2_1": random.random((60, 4)), "SE_3_1": random.random((60, 6))}
    signals = {"response": {"SE_2_1": random.normal(size=(60, 4)), "SE_3_1": random.normal(size=(60, 6))}}
    return make_run(path, gates, LABELS, signals=signals, chunk_size=16, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("signal", ["excitation", "response"])
def test_moments_are_those_of_its_images(tmp_path: Path, signal: str) -> None:
    run = made(tmp_path / "run", failed=[2, 31])
    rows = [40, 2, 3, 35, 31, 30, 7]  # 0: 3, 7 and the failed 2; 1: 30, 35, 40 and the failed 31
    part = Part(run, rows)
    every = run.gates("SE_3_1", signal).astype(np.float64)
    moments, total = part.moments("SE_3_1", signal), part.total("SE_3_1", signal)
    np.testing.assert_array_equal(moments.count, [2, 3, 0])
    for label, own in enumerate(([3, 7], [30, 35, 40])):
        np.testing.assert_allclose(moments.mean[label], every[own].mean(0))
        np.testing.assert_allclose(moments.variance()[label], every[own].var(0, ddof=1))
    good = every[[3, 7, 30, 35, 40]]
    np.testing.assert_array_equal(total.count, [5])
    np.testing.assert_allclose(total.mean[0], good.mean(0))
    np.testing.assert_allclose(total.max[0], good.max(0))


def test_it_looks_like_a_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", classes=("cat", "dog", "emu"))
    chosen = np.zeros(60, bool)
    chosen[[1, 30, 59]] = True
    part = Part(run, chosen)
    assert (part.manifest, part.blocks, part.classes, part.path) == (run.manifest, run.blocks, run.classes, run.path)
    assert part.block("SE_2_1") == run.block("SE_2_1")
    np.testing.assert_array_equal(part.labels, [0, 1, 2])
    assert list(part.samples["path"]) == ["000001.png", "000030.png", "000059.png"]
    assert list(part.samples.index) == [0, 1, 2]
    assert part.class_index("EMU") == 2
    with pytest.raises(UnknownClassError, match="no class 'fox' in the run"):
        part.class_index("fox")
    assert repr(part).startswith("<3 of 60 images of <Run ")


def test_of_all_images_it_is_the_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", kept=np.zeros(60, bool))  # no gates of images, only moments
    part = Part(run, range(60))
    for signal in ("excitation", "response"):
        np.testing.assert_array_equal(part.moments("SE_2_1", signal).mean, run.moments("SE_2_1", signal).mean)
        np.testing.assert_array_equal(part.total("SE_2_1", signal).m2, run.total("SE_2_1", signal).m2)


def test_gates_that_are_not_kept_are_an_error(tmp_path: Path) -> None:
    kept = np.arange(60) % 2 == 0
    run = made(tmp_path / "some", kept=kept, failed=[1])
    part = Part(run, [0, 1, 2, 4])  # 1 failed and is not wanted
    np.testing.assert_allclose(part.total("SE_2_1").mean[0], run.gates("SE_2_1")[:3].mean(0, dtype=np.float64))
    message = "keeps the gates of 30 of its 60 images, but not of 2 of the 3 wanted.*again with --keep-gates all"
    with pytest.raises(MissingSignalError, match=message):
        Part(run, [0, 3, 5]).moments("SE_2_1")
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        Part(made(tmp_path / "none", kept=np.zeros(60, bool)), [0]).total("SE_2_1")
    with pytest.raises(MissingSignalError, match=r"holds no 'squeeze'.*Capture again with --signals"):
        part.total("SE_2_1", "squeeze")
    with pytest.raises(MissingSignalError, match="no block 'SE_9_1'"):
        part.moments("SE_9_1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows names no image, expected some of the 60 of the run"),
        ([3, 60], "rows has 60, expected numbers from 0 to 59"),
        ([-1, 3], "rows has -1, expected numbers from 0 to 59"),
        ([5, 3, 5], "rows has 5 twice, expected each image once"),
        (np.ones(59, bool), r"rows has shape \(59,\), expected \(60,\)"),
        ([0.5], r"rows is float64 of shape \(1,\), expected whole numbers or bool, \(image\)"),
        (np.zeros((2, 2), int), r"rows is int64 of shape \(2, 2\), expected whole numbers"),
        (3, r"rows is int64 of shape \(\), expected whole numbers"),
    ],
)
def test_rows_are_checked(tmp_path: Path, rows: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Part(made(tmp_path / "run"), rows)  # type: ignore[arg-type]


def test_parts_share_no_image_and_have_their_share_of_each_class(tmp_path: Path) -> None:
    run = made(tmp_path / "run", failed=[0, 45])
    split = split_rows(run, {"score": 0.5, "choose": 0.2, "final": 0.3}, seed=3)
    assert list(split) == ["score", "choose", "final"]
    rows = np.concatenate(list(split.values()))
    np.testing.assert_array_equal(np.sort(rows), np.delete(np.arange(60), [0, 45]))
    for (name, own), share in zip(split.items(), (0.5, 0.2, 0.3), strict=True):
        assert (np.diff(own) > 0).all(), name
        assert abs(len(own) - 58 * share) <= 1
        for label, size in ((0, 29), (1, 19), (2, 10)):
            assert abs((LABELS[own] == label).sum() - share * size) < 1
    assert {len(own) for own in split_rows(LABELS, {"a": 0.5, "b": 0.5}, seed=0).values()} == {30}


@pytest.mark.parametrize("seed", range(5))
def test_sizes_are_as_close_to_the_shares_as_they_can_be(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 40, 500)
    shares = dict(zip("abcd", random.dirichlet(np.ones(5))[:4], strict=True))
    for name, own in split_rows(labels, shares, seed=seed).items():
        assert abs(len(own) - 500 * shares[name]) < 1
        wrong = np.abs(np.bincount(labels[own], minlength=40) - shares[name] * np.bincount(labels, minlength=40))
        assert wrong.max() < 1


def test_the_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    shares = {"a": 0.4, "b": 0.3}  # the rest is in neither
    once, again, other = (split_rows(LABELS, shares, seed=seed) for seed in (1, 1, 2))
    assert {name: rows.tolist() for name, rows in once.items()} == {k: rows.tolist() for k, rows in again.items()}
    assert once["a"].tolist() != other["a"].tolist()
    assert (len(once["a"]), len(once["b"])) == (24, 18)
    run = made(tmp_path / "run")
    np.testing.assert_array_equal(split_rows(run, shares, seed=1)["a"], once["a"])
    inner = split_rows(Part(run, range(10, 60)), shares, seed=1)  # rows of the part
    assert max(rows.max() for rows in inner.values()) < 50


def test_a_split_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    for shares in ({}, {"a": 0.0}, {"a": 0.6, "b": 0.5}, {"a": -0.1, "b": 0.2}):
        with pytest.raises(OptionError, match="expected numbers above 0 that are together at most 1"):
            split_rows(LABELS, shares, seed=0)
    message = "part 'b' would have no image: 0.001 of 60 images is too little; expected a greater share, or more images"
    with pytest.raises(OptionError, match=message):
        split_rows(LABELS, {"a": 0.9, "b": 0.001}, seed=0)
    several = make_run(tmp_path / "several", {"SE_2_1": np.ones((4, 2))}, np.ones((4, 2), bool))
    with pytest.raises(OptionError, match="images have several classes each, expected one: there is no split by class"):
        split_rows(several, {"a": 0.5}, seed=0)


def test_a_selection_by_prediction_is_of_the_images_that_have_it(tmp_path: Path) -> None:
    predictions = np.where(np.arange(60) % 3, LABELS, (LABELS + 1) % 3)
    run = made(tmp_path / "run", predictions=predictions, failed=[4])
    every = run.gates("SE_2_1").astype(np.float64)
    for correct in (True, False):
        rows = [k for k in range(60) if (k % 3 > 0) == correct and k != 4]
        part = run.select(correct=correct)
        assert part.samples["path"].tolist() == [f"{k:06d}.png" for k in rows]
        np.testing.assert_array_equal(part.gates("SE_2_1"), every[rows])
        for label in range(3):
            own = [k for k in rows if LABELS[k] == label]
            np.testing.assert_allclose(part.moments("SE_2_1").mean[label], every[own].mean(0))
        assert part.accuracy.top1 == float(correct)
    both = run.select(correct=True, rows=range(40)).select(rows=[0, 2])
    assert both.samples["path"].tolist() == ["000001.png", "000005.png"]


def test_a_selection_of_classes_has_these_alone(tmp_path: Path) -> None:
    run = made(tmp_path / "run", classes=("cat", "dog", "emu"), failed=[31])
    part = run.select(classes=["EMU", "cat"])
    assert part.classes.ids == ("cat", "emu")
    np.testing.assert_array_equal(part.labels, np.repeat([0, 1], [30, 10]))
    assert part.samples["label"].tolist() == part.labels.tolist()
    assert part.samples["class"].tolist() == ["cat"] * 30 + ["emu"] * 10
    every = run.gates("SE_3_1").astype(np.float64)
    own = [*range(30), *range(50, 60)]
    np.testing.assert_allclose(part.total("SE_3_1").mean[0], every[own].mean(0), rtol=1e-5)
    np.testing.assert_allclose(part.total("SE_3_1").variance()[0], every[own].var(0, ddof=1), rtol=1e-3)
    np.testing.assert_array_equal(part.moments("SE_3_1").mean[1], run.moments("SE_3_1").mean[2])
    smaller = part.select(classes=["emu"], rows=[3, 35])
    assert smaller.classes.ids == ("emu",)
    np.testing.assert_allclose(smaller.moments("SE_3_1").mean[0], every[55])


def test_classes_of_images_with_several(tmp_path: Path) -> None:
    members = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], bool)
    gates = np.random.default_rng(0).random((4, 3))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, members, classes="abc")
    part = run.select(classes=["a", "b"])
    np.testing.assert_array_equal(part.labels, [[1, 1], [0, 1], [1, 0]])
    assert part.samples["class"].tolist() == ["a|b", "b", "a"]
    np.testing.assert_allclose(part.moments("SE_2_1").mean, [gates[[0, 3]].mean(0), gates[[0, 1]].mean(0)], atol=1e-5)
    np.testing.assert_allclose(part.total("SE_2_1").mean[0], gates[[0, 1, 3]].mean(0), atol=1e-5)


def test_classes_as_a_whole_need_no_gates_of_images(tmp_path: Path) -> None:
    run = made(tmp_path / "run", kept=np.zeros(60, bool))
    part = run.select(classes=["class1", "class2"])
    np.testing.assert_array_equal(part.moments("SE_2_1").count, [20, 10])
    assert part.total("SE_2_1").count.tolist() == [30]
    np.testing.assert_allclose(
        part.total("SE_2_1").mean[0], (2 * run.moments("SE_2_1").mean[1] + run.moments("SE_2_1").mean[2]) / 3
    )
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        run.select(rows=[0, 1]).moments("SE_2_1")
    some = made(tmp_path / "some", kept=np.arange(60) > 9)
    with pytest.raises(MissingSignalError, match="keeps the gates of no image of this part"):
        some.select(rows=[0, 1]).gates("SE_2_1")


def test_a_selection_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with pytest.raises(OptionError, match=r"no image of <Run .*> has classes=\['class0'\], rows='...'; leave out"):
        run.select(classes=["class0"], rows=[59])
    with pytest.raises(UnknownClassError, match="no class 'fox'"):
        run.select(classes=["fox"])
    failures = made(tmp_path / "failures", failed=range(60))
    with pytest.raises(MissingSignalError, match="does not say which predictions are right"):
        failures.select(correct=True)
