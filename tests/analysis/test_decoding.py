from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.proportion import proportion_confint

from seviz.analysis import decoding as module
from seviz.analysis.decoding import (
    DECODERS,
    Scatter,
    best_of,
    class_means,
    decode,
    decoding,
    discriminants,
    held_out,
    linear_discriminant,
    logistic_regression,
    nearest_centroid,
    score,
)
from seviz.errors import MissingSignalError, OptionError
from tests.made_runs import make_run

LABELS = np.repeat(range(4), (30, 12, 45, 13))
FOLDS = 5


def values(effect: float, channels: int = 8, labels: NDArray[np.int64] = LABELS, seed: int = 0) -> NDArray[np.float64]:
    """Gates around one half, those of a class around a mean of its own."""
    random = np.random.default_rng(seed)
    means = effect * random.normal(size=(labels.max() + 1, channels))
    noise = random.normal(size=(len(labels), channels)) @ random.normal(size=(channels, channels))
    x: NDArray[np.float64] = 1 / (1 + np.exp(-(means[labels] + noise / np.sqrt(channels))))
    return x


def splits(labels: NDArray[np.int64], seed: int = 0) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels))


def test_class_means_are_numpys() -> None:
    x = values(1)
    expected = [x[k == LABELS].mean(0) for k in range(4)]
    np.testing.assert_allclose(class_means(x, LABELS), expected, rtol=1e-12)


def test_nearest_centroid_is_sklearns() -> None:
    x = values(0.7)
    expected = NearestCentroid().fit(x[::2], LABELS[::2]).predict(x[1::2])
    np.testing.assert_array_equal(nearest_centroid(x[::2], LABELS[::2], x[1::2]), expected)


@pytest.mark.parametrize("shrinkage", [0.05, 0.5, 1.0])
def test_a_discriminant_is_sklearns(shrinkage: float) -> None:
    x = values(0.7)
    ((weights, offset),) = discriminants(Scatter.of(x, LABELS, 4), [shrinkage])
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x, LABELS)
    np.testing.assert_allclose(weights, theirs.coef_, rtol=1e-8)
    np.testing.assert_allclose(offset, theirs.intercept_, rtol=1e-8)


def test_every_fifth_image_of_each_class_is_held_out() -> None:
    held = held_out(np.array([0, 1, 1, 0, 1, 2, 1, 1, 1, 1]))
    assert np.flatnonzero(held).tolist() == [2, 3, 9]  # the second of 0; the second and seventh of 1


def test_the_strongest_penalty_of_the_best_is_taken() -> None:
    asked = []

    def scores(*means: float) -> Iterator[NDArray[np.float64]]:
        for mean in means:
            asked.append(mean)
            yield mean + np.array([0.1, -0.1, 0.1, -0.1])

    assert best_of("abcde", scores(1, 2, 3, 3, 1)) == "c"
    assert best_of("abcde", scores(1, 2, 2 - 1e-9, 4, 3)) == "b"  # what follows a clear fall is not asked for
    assert asked[-1] == 2 - 1e-9
    unsure = [np.array([1.0, 0, 1, 0]), np.array([0.0, 1, 0, 0]), np.array([1.0, 1, 1, 0])]
    assert best_of("abc", unsure) == "c"  # a fall that may be chance is
    assert best_of("abcde", []) == "c"


def test_the_discriminant_takes_the_shrinkage_that_finds_most_held_out_images() -> None:
    x = values(0.6, 20)
    held = held_out(LABELS)
    models = [LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s) for s in module.SHRINKAGES]
    found = [m.fit(x[~held], LABELS[~held]).score(x[held], LABELS[held]) for m in models]
    assert 0 < np.argmax(found) < 4, found
    expected = models[int(np.argmax(found))].fit(x, LABELS).predict(x + 0.01)
    np.testing.assert_array_equal(linear_discriminant(x, LABELS, x + 0.01), expected)


@pytest.mark.parametrize("effect", [0.1, 2])
def test_the_logistic_regression_takes_the_penalty_that_makes_held_out_images_likeliest(effect: float) -> None:
    x = StandardScaler().fit_transform(values(effect, 20))
    held = held_out(LABELS)
    models = [LogisticRegression(C=c, max_iter=3000, tol=1e-6) for c in module.PENALTIES]
    losses = [log_loss(LABELS[held], m.fit(x[~held], LABELS[~held]).predict_proba(x[held])) for m in models]
    expected = models[int(np.argmin(losses))].fit(x, LABELS).predict(x + 0.3)
    np.testing.assert_array_equal(logistic_regression(x, LABELS, x + 0.3), expected)


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_reads_what_is_there_and_gives_one_of_the_classes(name: str) -> None:
    labels = np.repeat(range(3), (9, 4, 1))  # of the last class none can be held out
    x = np.random.default_rng(0).normal(size=(14, 5)) + 20 * np.eye(5)[labels]
    np.testing.assert_array_equal(DECODERS[name](x, labels, x)[:13], labels[:13])
    same = np.eye(5)[labels]  # nothing varies within classes
    np.testing.assert_array_equal(DECODERS[name](same, labels, same)[:13], labels[:13])
    assert set(DECODERS[name](np.zeros((14, 5)), labels, x)) <= {0, 1, 2}
    np.testing.assert_array_equal(DECODERS[name](np.eye(5)[:3], np.arange(3), np.eye(5)[:3]), range(3))


@pytest.mark.parametrize("width", ["own", "pca"])
def test_decoding_in_folds_is_sklearns_pipeline(width: str) -> None:
    x = values(0.8, 12)
    found = decode(x, LABELS, splits(LABELS), decoders=["centroid"], components=3)
    steps = [StandardScaler(), *([PCA(3, svd_solver="full")] if width == "pca" else []), NearestCentroid()]
    expected = cross_val_predict(make_pipeline(*steps), x, LABELS, cv=splits(LABELS))
    np.testing.assert_array_equal(found[width, "centroid"], expected)


def test_no_image_tells_of_another_that_is_tested_with_it() -> None:
    x, folds = values(0.5, 30), splits(LABELS)
    options = {"decoders": list(DECODERS), "components": 4}
    before = decode(x, LABELS, folds, **options)
    tested = folds[2][1]
    moved, spoilt = x.copy(), LABELS.copy()
    moved[tested[0]] = 1e3 * np.random.default_rng(1).normal(size=30)
    spoilt[tested[1:]] = 0
    for name, after in (
        ("values", decode(moved, LABELS, [folds[2]], **options)),
        ("labels", decode(x, spoilt, [folds[2]], **options)),
    ):
        for key, predicted in after.items():
            np.testing.assert_array_equal(predicted[tested[1:]], before[key][tested[1:]], err_msg=f"{name} {key}")


@pytest.mark.parametrize("name", DECODERS)
def test_random_labels_are_decoded_at_chance(name: str) -> None:
    random, found = np.random.default_rng(3), []
    for seed in range(8):
        labels = random.permutation(np.repeat(range(4), 40))
        x = random.normal(size=(160, 50)).astype(np.float32)
        found.append(decode(x, labels, splits(labels, seed), decoders=[name], components=10))
    for width in ("own", "pca"):
        accuracy = np.mean([(f[width, name] == np.repeat(range(4), 40)).mean() for f in found])
        assert accuracy == pytest.approx(0.25, abs=0.04)  # against labels in another order, to be sure of the check


@pytest.mark.parametrize("name", DECODERS)
def test_accuracy_without_effect_lies_at_its_null(name: str) -> None:
    random, differences = np.random.default_rng(4), []
    for seed in range(20):
        labels = np.repeat(range(3), (40, 20, 10))
        x = random.normal(size=(70, 90)).astype(np.float32)  # more channels than images
        predicted = decode(x, labels, splits(labels, seed), decoders=[name], components=10)
        for labels_found in predicted.values():
            result = score(labels, labels_found)
            differences.append(result["accuracy"] - result["null"])
    assert np.mean(differences) == pytest.approx(0, abs=0.03)


def test_the_score_is_sklearns_and_statsmodels() -> None:
    random = np.random.default_rng(0)
    predicted = np.where(random.random(100) < 0.6, LABELS, random.integers(0, 4, 100))
    result = score(LABELS, predicted)
    assert result["accuracy"] == pytest.approx(accuracy_score(LABELS, predicted))
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LABELS, predicted))
    low, high = proportion_confint((predicted == LABELS).sum(), 100, 0.05, method="wilson")
    assert (result["low"], result["high"]) == (pytest.approx(low), pytest.approx(high))
    shuffled = [(random.permutation(LABELS) == predicted).mean() for _ in range(4000)]
    assert result["null"] == pytest.approx(np.mean(shuffled), abs=0.003)
    assert result["majority"] == 0.45


def test_the_interval_covers_the_accuracy_on_new_images() -> None:
    random = np.random.default_rng(5)
    means = 0.35 * random.normal(size=(3, 6))
    labels, new = np.repeat(range(3), 100), np.repeat(range(3), 1500)
    new_x = means[new] + random.normal(size=(len(new), 6))

    def accuracy(x: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        scaler = StandardScaler().fit(x)
        return float((nearest_centroid(scaler.transform(x), labels, scaler.transform(new_x)) == new).mean())

    covered = []
    for seed in range(200):
        x = means[labels] + random.normal(size=(300, 6))
        folds = splits(labels, seed)
        result = score(labels, decode(x, labels, folds, decoders=["centroid"], components=6)["own", "centroid"])
        truth = np.mean([accuracy(x[train], labels[train]) for train, _ in folds])
        covered.append(result["low"] <= truth <= result["high"])
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def gates(labels: NDArray[np.int64], channels: int = 10) -> Mapping[str, NDArray[np.floating]]:
    """A block of noise, and one that tells classes apart."""
    random = np.random.default_rng(0)
    x = random.uniform(0.2, 0.8, (len(labels), channels))
    y = 0.05 * random.normal(size=x.shape) + random.uniform(0.3, 0.7, (labels.max() + 1, channels))[labels]
    return {"SE_2_1": x, "SE_5_2": y}


def test_the_class_is_read_in_the_block_where_it_was_planted_and_at_chance_elsewhere(tmp_path: Path) -> None:
    labels = np.repeat(range(5), 40)
    blocks = gates(labels)
    squeeze = {"SE_2_1": blocks["SE_5_2"], "SE_5_2": blocks["SE_2_1"]}  # the other way about
    run = make_run(tmp_path / "run", blocks, labels, signals={"squeeze": squeeze})
    table = decoding(run, components=3, decoders=list(DECODERS))
    assert table.attrs["remarks"] == []
    assert list(table.columns) == [
        *("block", "stage", "signal", "width", "features", "decoder", "accuracy", "low", "high"),
        *("balanced_accuracy", "null", "majority", "uniform", "classes", "images"),
    ]
    assert len(table) == 2 * 2 * 2 * 3  # block, signal, width, decoder
    own = table[table["width"] == "own"]
    planted = (own["block"] == "SE_5_2") == (own["signal"] == "excitation")
    assert (own.loc[planted, "accuracy"] == 1).all()
    assert own.loc[~planted, "accuracy"].between(0.1, 0.3).all()
    assert set(table["width"]) == {"own", "pca3"}
    assert table.groupby("width")["features"].unique().map(list).to_dict() == {"own": [10], "pca3": [3]}
    assert (table[["uniform", "majority"]] == 0.2).all(axis=None)
    np.testing.assert_allclose(table["null"], 0.2)
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert ((table["classes"] == 5) & (table["images"] == 200)).all()


def test_where_no_components_are_left_out_both_widths_are_the_same(tmp_path: Path) -> None:
    labels = np.repeat(range(3), 12)
    table = decoding(make_run(tmp_path / "run", gates(labels), labels), against=None)
    own, pca = (table[table["width"] == width].reset_index(drop=True) for width in ("own", "pca64"))
    assert (pca["features"] == 10).all()
    assert own.drop(columns="width").equals(pca.drop(columns="width"))
    x = gates(labels)["SE_2_1"].astype(np.float32)
    turned = cross_val_predict(
        make_pipeline(StandardScaler(), PCA(svd_solver="full"), NearestCentroid()), x, labels, cv=splits(labels)
    )
    assert pca["accuracy"][0] == pytest.approx((turned == labels).mean())


def test_above_a_hundred_classes_the_discriminant_stands_in(tmp_path: Path) -> None:
    labels = np.repeat(range(101), 5)
    table = decoding(make_run(tmp_path / "run", gates(labels, 20), labels), against=None)
    assert set(table["decoder"]) == {"centroid", "discriminant"}
    assert (table.loc[table["block"] == "SE_5_2", "accuracy"] > 0.95).all()
    assert (table.loc[table["block"] == "SE_2_1", "accuracy"] < 0.05).all()


def test_images_and_classes_are_drawn_and_left_out_with_a_remark(tmp_path: Path) -> None:
    labels = np.repeat(range(6), (20, 4, 30, 8, 0, 9))
    run = make_run(
        tmp_path / "run", gates(labels), labels, failed=(0, 1, 62), kept=np.arange(71) != 70, classes=list("abcdef")
    )
    table = decoding(run, per_class=12, against=None)
    assert table.attrs["remarks"] == [
        "2 classes are left out, which have fewer than 5 images: b, e.",
        "At most 12 images of each class were drawn.",
    ]
    assert (table["images"] == 12 + 12 + 8 - 1 + 8).all()
    assert (table["classes"] == 4).all()
    assert (table["majority"] == 12 / 39).all()
    few = decoding(run, classes=2, seed=1, against=None)
    assert few.attrs["remarks"][1] == "2 of 4 classes were drawn."
    assert (few["classes"] == 2).all()
    assert few.equals(decoding(run, classes=2, seed=1, against=None))


def test_without_a_number_the_images_are_budgeted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(range(3), 30)
    run = make_run(tmp_path / "run", gates(labels), labels)
    monkeypatch.setattr(module, "LOGISTIC_IMAGES", 60)
    monkeypatch.setattr(module, "IMAGES", 30)
    assert (decoding(run, against=None)["images"] == 60).all()
    monkeypatch.setattr(module, "LOGISTIC_CLASSES", 2)
    assert (decoding(run, against=None)["images"] == 30).all()
    monkeypatch.setattr(module, "IMAGES", 6)
    assert (decoding(run, against=None)["images"] == 15).all()  # at least one image for each fold


def test_of_images_with_several_classes_those_with_one_are_decoded(tmp_path: Path) -> None:
    labels = np.repeat(range(3), 20)
    members = np.eye(3, dtype=bool)[labels]
    members[3] = [True, True, False]
    members[25] = False
    table = decoding(make_run(tmp_path / "run", gates(labels), members), against=None)
    assert table.attrs["remarks"] == ["2 images are left out, which have several classes or none."]
    assert (table["images"] == 58).all()
    assert (table.loc[table["block"] == "SE_5_2", "accuracy"] == 1).all()


def test_gates_that_are_the_same_for_all_images_are_decoded_at_chance(tmp_path: Path) -> None:
    labels = np.repeat(range(4), 10)
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((40, 6), 0.7)}, labels)
    table = decoding(run, decoders=list(DECODERS), components=3, against=None)
    assert table.attrs["remarks"] == ["SE_2_1: the excitation is the same for all images."]
    assert (table["accuracy"] == 0.25).all()
    assert (table["balanced_accuracy"] == 0.25).all()


@pytest.mark.parametrize(("sizes", "left"), [((20,), 1), ((20, 4), 1), ((3, 3), 0)])
def test_with_fewer_than_two_classes_nothing_is_decoded(tmp_path: Path, sizes: tuple[int, ...], left: int) -> None:
    labels = np.repeat(range(len(sizes)), sizes)
    table = decoding(make_run(tmp_path / "run", gates(labels), labels), against=None)
    assert table.attrs["remarks"][-1] == f"Nothing can be decoded: {left} classes are left."
    assert len(table) == 8
    assert table[["accuracy", "low", "high", "balanced_accuracy", "null", "majority"]].isna().all(axis=None)
    assert (table["classes"] == left).all()


def test_values_that_are_not_finite_are_not_decoded(tmp_path: Path) -> None:
    labels = np.repeat(range(3), 10)
    blocks = dict(gates(labels))
    blocks["SE_2_1"][4, 2] = np.nan
    table = decoding(make_run(tmp_path / "run", blocks, labels, gate="relu"), against=None)
    assert table.attrs["remarks"] == ["SE_2_1: the excitation of some images is not finite."]
    assert table.loc[table["block"] == "SE_2_1", "accuracy"].isna().all()
    assert (table.loc[table["block"] == "SE_5_2", "accuracy"] == 1).all()


def test_a_signal_to_compare_with_may_be_missing_the_signal_may_not(tmp_path: Path) -> None:
    labels = np.repeat(range(3), 10)
    run = make_run(tmp_path / "run", gates(labels), labels)
    table = decoding(run)
    assert set(table["signal"]) == {"excitation"}
    (remark,) = table.attrs["remarks"]
    assert remark.startswith("The squeeze is left out: ")
    assert "holds no 'squeeze'" in remark
    assert decoding(run, against="excitation").equals(table)
    with pytest.raises(MissingSignalError, match="holds no 'squeeze'; it holds excitation"):
        decoding(run, signal="squeeze")
    none = make_run(tmp_path / "none", gates(labels), labels, kept=np.zeros(30, bool))
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        decoding(none)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoders": ["centroid", "forest"]}, "decoders has 'forest', expected some of centroid, logistic, discr"),
        ({"folds": 1}, "folds is 1, expected at least 2"),
        ({"components": 0}, "components is 0, expected at least 1"),
        ({"classes": 1}, "classes is 1, expected at least 2"),
        ({"per_class": 4}, "per_class is 4, expected at least one image for each of 5 folds"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    labels = np.repeat(range(2), 5)
    run = make_run(tmp_path / "run", gates(labels), labels)
    with pytest.raises(OptionError, match=message):
        decoding(run, **options)
