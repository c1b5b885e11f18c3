from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seviz.stats import decoders
from seviz.stats.decoders import (
    DECODERS,
    Scatter,
    best_of,
    class_means,
    decode,
    discriminants,
    held_out,
    linear_discriminant,
    logistic_regression,
    nearest_centroid,
)
from tests.labelled_values import LABELS, splits, values


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
    models = [LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s) for s in decoders.SHRINKAGES]
    found = [m.fit(x[~held], LABELS[~held]).score(x[held], LABELS[held]) for m in models]
    assert 0 < np.argmax(found) < 4, found
    expected = models[int(np.argmax(found))].fit(x, LABELS).predict(x + 0.01)
    np.testing.assert_array_equal(linear_discriminant(x, LABELS, x + 0.01), expected)


@pytest.mark.parametrize("effect", [0.1, 2])
def test_the_logistic_regression_takes_the_penalty_that_makes_held_out_images_likeliest(effect: float) -> None:
    x = StandardScaler().fit_transform(values(effect, 20))
    held = held_out(LABELS)
    models = [LogisticRegression(C=c, max_iter=3000, tol=1e-6) for c in decoders.PENALTIES]
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


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("only", [None, 3])
def test_folds_from_shared_products_are_each_fold_by_itself(kind: type, only: int | None) -> None:
    x = values(0.8, 30).astype(kind)
    x[:, 4], x[:, 7] = 0.3, x[:, 6]  # a feature that is the same for all images, and one that is another
    x[np.flatnonzero(LABELS == 2)[1], 9] += 50  # what one fold tests is far from what it knows
    folds = splits(LABELS)[:only]
    names = ["centroid", "discriminant"]
    found = decode(x, LABELS, folds, decoders=names, components=5)
    for train, test in folds:
        scaler = StandardScaler().fit(x[train].astype(np.float64))
        known, asked = scaler.transform(x[train]), scaler.transform(x[test])
        pca = PCA(5, svd_solver="full").fit(known)
        for width, (one, two) in {"own": (known, asked), "pca": (pca.transform(known), pca.transform(asked))}.items():
            for name in names:
                expected = DECODERS[name](one, LABELS[train], two)
                np.testing.assert_array_equal(found[width, name][test], expected, err_msg=f"{width} {name}")
    rest = np.setdiff1d(np.arange(len(LABELS)), np.concatenate([test for _, test in folds]))
    assert all((predicted[rest] == -1).all() for predicted in found.values())


def test_a_feature_that_varies_in_tested_images_alone_tells_nothing() -> None:
    x, labels = values(0.8, 6).astype(np.float32), LABELS
    folds = splits(labels)
    odd = x.copy()
    odd[:, 2] = 0.7
    before = decode(odd, labels, folds, decoders=["centroid", "discriminant"], components=6)
    odd[folds[1][1], 2] += np.float32(1e-3)
    after = decode(odd, labels, folds, decoders=["centroid", "discriminant"], components=6)
    for key, predicted in after.items():
        np.testing.assert_array_equal(predicted[folds[1][1]], before[key][folds[1][1]], err_msg=str(key))


def test_a_covariance_that_is_lost_in_rounding_leaves_the_distance() -> None:
    count, sums = np.array([4, 4]), np.array([[4, 0], [0, 4]], np.float32)

    def weights(together: float) -> NDArray[np.floating]:
        products = np.array([[12, together], [together, 12]], np.float32)
        ((found, _),) = discriminants(Scatter(count, sums, products), [0.05])
        return found

    np.testing.assert_allclose(weights(20), np.eye(2), rtol=1e-6)  # no images have such products
    covariance = np.array([[1, 0.25 * 0.95], [0.25 * 0.95, 1]])
    np.testing.assert_allclose(weights(2), np.linalg.inv(covariance), rtol=1e-5)
