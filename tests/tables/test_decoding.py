from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.proportion import proportion_confint

from seviz.errors import MissingSignalError, OptionError
from seviz.stats.decoders import DECODERS, decode, nearest_centroid
from seviz.stats.proportions import score
from seviz.tables.decoding import decoding
from tests.labelled_values import LABELS, splits
from tests.made_runs import make_run


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
    module = import_module("seviz.tables.decoding")
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
