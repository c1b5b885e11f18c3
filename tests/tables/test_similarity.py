from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kstest, spearmanr
from sklearn.metrics import confusion_matrix

from seviz.classes import CIFAR10
from seviz.errors import DataNotFoundError, MissingSignalError, OptionError, UnknownClassError
from seviz.stats.mantel import mantel
from seviz.tables.agreement import agreement
from seviz.tables.confusion import confusion
from seviz.tables.similarity import similarity
from tests.animals import ANIMAL, LABELS, noise, structured
from tests.made_runs import make_run

NAMES = CIFAR10.names


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
@pytest.mark.parametrize("centred", [False, True])
def test_distances_are_those_of_class_means(tmp_path: Path, metric: Any, centred: bool) -> None:
    x = structured(LABELS)
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, classes=NAMES)
    table = similarity(run, "SE_2_1", metric=metric, centred=centred)
    means = np.stack([x[k == LABELS].mean(0) for k in range(10)])
    expected = squareform(pdist(means - means.mean(0) * centred, metric))
    np.testing.assert_allclose(table.loc[list(NAMES), list(NAMES)], expected, atol=1e-6)
    assert list(table.index) == list(table.columns)
    kinds = ANIMAL[[NAMES.index(name) for name in table.index]]
    assert (np.diff(kinds) != 0).sum() == 1  # animals beside animals
    expected = {"block": "SE_2_1", "signal": "excitation", "metric": metric, "centred": centred, "remarks": []}
    assert table.attrs == expected


def test_classes_without_images_are_left_out_and_fixed_gates_have_no_distance(tmp_path: Path) -> None:
    labels = np.repeat([0, 2, 3], 5)
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((15, 6), 0.7), "SE_3_1": noise(labels)}, labels)
    table = similarity(run, "SE_2_1")
    assert set(table.index) == {"class0", "class2", "class3"}
    assert table.isna().all(axis=None)
    assert table.attrs["remarks"] == [
        "1 classes are left out, which have no images.",
        "The excitation of 3 classes has no direction in SE_2_1: their distances are NaN.",
    ]
    assert similarity(run, "SE_2_1", metric="cosine").eq(0).all(axis=None)
    assert similarity(run, "SE_2_1", metric="cosine", centred=True).isna().all(axis=None)
    assert len(similarity(run, "SE_3_1").attrs["remarks"]) == 1
    one = make_run(tmp_path / "one", {"SE_2_1": noise(labels)}, np.zeros(15, np.int64))
    assert similarity(one, "SE_2_1").to_numpy().tolist() == [[0]]
    assert similarity(one, "SE_2_1", centred=True).isna().all(axis=None)
    failed = make_run(tmp_path / "failed", {"SE_2_1": noise(labels)}, labels, failed=range(15))
    assert similarity(failed, "SE_2_1", centred=True).empty
    with pytest.raises(MissingSignalError, match="no block 'SE_9_9'"):
        similarity(run, "SE_9_9")


def test_the_confusion_is_sklearns(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    predictions = np.where(random.random(80) < 0.5, LABELS, random.integers(0, 10, 80))
    run = make_run(
        tmp_path / "run", {"SE_2_1": noise(LABELS)}, LABELS, classes=NAMES, predictions=predictions, failed=[3, 9]
    )
    good = ~np.isin(range(80), [3, 9])
    table = confusion(run)
    np.testing.assert_allclose(table, confusion_matrix(LABELS[good], predictions[good], normalize="true"))
    assert (table.index.name, table.columns.name) == ("class", "predicted")
    assert table.attrs["remarks"] == []


def test_a_class_without_images_has_no_confusion_and_one_unknown_to_the_data_is_not_counted(tmp_path: Path) -> None:
    labels = np.array([0, 0, 2, 2])
    run = make_run(tmp_path / "run", {"SE_2_1": noise(labels)}, labels, predictions=np.array([0, 1, 2, 2]))
    assert confusion(run).loc["class0"].tolist() == [0.5, 0.5, 0]
    assert confusion(run).loc["class1"].isna().all()
    data = run.manifest.data
    names = ("class0", "class2")  # the network has the class between them too, the data do not
    narrow = make_run(
        tmp_path / "narrow", {"SE_2_1": noise(labels)}, labels // 2, classes=names, predictions=labels // 2
    )
    object.__setattr__(narrow.manifest.model, "class_ids", data.class_ids)
    object.__setattr__(narrow.manifest.data, "model_classes", (0, 2))
    narrow.samples["predicted"] = ["class0", "class1", "class2", "class2"]
    assert confusion(narrow).to_numpy().tolist() == [[0.5, 0], [0, 1]]
    object.__setattr__(narrow.manifest.model, "class_ids", None)  # then a prediction is a number
    narrow.samples["predicted"] = ["0", "1", "2", "0"]
    assert confusion(narrow).to_numpy().tolist() == [[0.5, 0], [0.5, 0.5]]


def test_where_there_is_no_confusion_a_remark_says_why(tmp_path: Path) -> None:
    several = make_run(tmp_path / "several", {"SE_2_1": noise(LABELS)}, np.eye(10, dtype=bool)[LABELS])
    assert confusion(several).isna().all(axis=None)
    assert confusion(several).attrs["remarks"] == [
        "Images have several classes: there is no confusion of one with another."
    ]
    foreign = make_run(tmp_path / "foreign", {"SE_2_1": noise(LABELS)}, LABELS)
    object.__setattr__(foreign.manifest.data, "model_classes", None)
    assert confusion(foreign).isna().all(axis=None)
    (remark,) = confusion(foreign).attrs["remarks"]
    assert remark == "The network's predictions are not of the classes of the data: there is no confusion."
    table = agreement(foreign, permutations=9)
    assert table.attrs["remarks"] == [remark, "confusion has classes without distance: it is compared with nothing."]
    assert table["correlation"].isna().all()


def random_distances(items: int, matrices: int, random: np.random.Generator) -> NDArray[np.float64]:
    return np.stack([squareform(pdist(random.normal(size=(items, 3)))) for _ in range(matrices)])


def test_correlations_are_scipys() -> None:
    random = np.random.default_rng(0)
    ones, others = random_distances(9, 3, random), random_distances(9, 2, random).round(0)  # with ties
    correlations, p = mantel(ones, others, permutations=0)
    upper = np.triu_indices(9, 1)
    expected = [[spearmanr(one[upper], other[upper]).statistic for other in others] for one in ones]
    np.testing.assert_allclose(correlations, expected, atol=1e-12)
    assert np.isnan(p).all()


def test_p_is_the_share_of_all_orders_that_correlate_as_much() -> None:
    random = np.random.default_rng(1)
    one, other = random_distances(5, 2, random)
    other = 0.4 * other + one
    upper = np.triu_indices(5, 1)
    orders = [np.array(order) for order in permutations(range(5))]
    all_of_them = np.array([spearmanr(one[np.ix_(o, o)][upper], other[upper]).statistic for o in orders])
    expected = (all_of_them >= all_of_them[0] - 1e-9).mean()
    assert 0.01 < expected < 0.5
    _, p = mantel(one[None], other[None], permutations=4000)
    assert p[0, 0] == pytest.approx(expected, abs=0.02)


def test_p_is_uniform_where_nothing_agrees_and_least_where_all_does() -> None:
    random = np.random.default_rng(2)
    p = [mantel(*(random_distances(8, 1, random) for _ in range(2)), permutations=99, seed=k)[1] for k in range(300)]
    assert kstest(np.ravel(p), "uniform").pvalue > 0.01
    assert np.mean(np.ravel(p) <= 0.05) == pytest.approx(0.05, abs=0.03)
    same = random_distances(8, 1, random)
    correlations, p = mantel(same, same**2, permutations=199)
    assert correlations[0, 0] == pytest.approx(1)
    assert p[0, 0] == 1 / 200


def test_without_others_each_is_tested_with_those_after_it() -> None:
    some = random_distances(7, 4, np.random.default_rng(4))
    some[3] += some[1]
    correlations, p = mantel(some, permutations=99)
    all_correlations, all_p = mantel(some, some.copy(), permutations=99)
    np.testing.assert_array_equal(correlations, all_correlations)
    after = np.triu_indices(4, 1)
    np.testing.assert_array_equal(p[after], all_p[after])
    assert np.isnan(p[np.tril_indices(4)]).all()
    for one in (some[:1], some[:0]):
        correlations, p = mantel(one, permutations=9)
        assert correlations.shape == p.shape == (len(one), len(one))
        assert np.isnan(p).all()


def test_what_cannot_be_ranked_correlates_with_nothing() -> None:
    random = np.random.default_rng(3)
    some = random_distances(6, 1, random)
    gap, flat = some.copy(), 1 - np.eye(6)[None]
    gap[0, 2, 3] = gap[0, 3, 2] = np.nan
    for other in (gap, flat):
        for result in (*mantel(some, other, permutations=9), *mantel(other, some, permutations=9)):
            assert np.isnan(result).all()
    for items in range(3):
        few = np.zeros((1, items, items))
        few[:, range(items), range(items)[::-1]] = 1
        for result in mantel(few, few, permutations=9):
            assert np.isnan(result).all()


def test_blocks_agree_with_each_other_with_predictions_and_with_the_hierarchy(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    same_kind = [random.choice(np.flatnonzero(ANIMAL[label] == ANIMAL)) for label in LABELS]
    predictions = np.where(random.random(80) < 0.3, LABELS, same_kind)
    blocks = {"SE_2_1": noise(LABELS), "SE_4_1": structured(LABELS), "SE_5_1": structured(LABELS, seed=5)}
    run = make_run(tmp_path / "run", blocks, LABELS, classes=NAMES, predictions=predictions)
    table = agreement(run, hierarchy="cifar10", permutations=199)
    assert list(table.columns) == ["one", "other", "correlation", "p", "classes"]
    assert table.attrs["remarks"] == []
    names = ["SE_2_1", "SE_4_1", "SE_5_1", "confusion", "hierarchy"]
    assert list(zip(table["one"], table["other"], strict=True)) == [
        (one, other) for k, one in enumerate(names) for other in names[k + 1 :]
    ]
    assert (table["classes"] == 10).all()
    found = table.set_index(["one", "other"])
    for pair in (("SE_4_1", "SE_5_1"), ("SE_4_1", "hierarchy"), ("SE_5_1", "hierarchy"), ("confusion", "hierarchy")):
        assert found.loc[pair, "correlation"] > 0.6
        assert found.loc[pair, "p"] <= 0.02
    assert abs(found.loc[("SE_2_1", "hierarchy"), "correlation"]) < 0.4
    assert found.loc[("SE_2_1", "hierarchy"), "p"] > 0.02

    def upper(x: Any) -> NDArray[np.float64]:
        return np.asarray(x)[np.triu_indices(10, 1)]

    share = confusion_matrix(LABELS, predictions, normalize="true")
    one = upper(similarity(run, "SE_4_1").loc[list(NAMES), list(NAMES)])
    for other, expected in (("confusion", upper(-share - share.T)), ("hierarchy", upper(ANIMAL[:, None] != ANIMAL))):
        assert found.loc[("SE_4_1", other), "correlation"] == pytest.approx(spearmanr(one, expected).statistic)


def test_runs_agree_over_the_classes_they_have_in_common(tmp_path: Path) -> None:
    few = LABELS[LABELS != 3]  # of the second run no cat, and the order turned about
    one = make_run(tmp_path / "one", {"SE_2_1": noise(LABELS), "SE_3_1": structured(LABELS)}, LABELS, classes=NAMES)
    turned = structured(few, seed=0, channels=12)
    other = make_run(
        tmp_path / "other", {"SE_2_1": turned, "SE_2_2": np.full((72, 4), 0.5)}, 9 - few, classes=NAMES[::-1]
    )
    table = agreement(one, other, permutations=99)
    assert list(zip(table["one"], table["other"], strict=True)) == [
        (a, b) for a in ("SE_2_1", "SE_3_1") for b in ("SE_2_1", "SE_2_2")
    ]
    assert (table["classes"] == 9).all()
    assert table["correlation"][2] > 0.9
    assert table["p"][2] == pytest.approx(0.01)
    assert table["correlation"][0] < 0.4
    assert table["correlation"].isna().tolist() == [False, True, False, True]
    assert table.attrs["remarks"] == [
        "SE_2_2 of the other run has classes without distance: it is compared with nothing.",
        f"Without counterpart in {str(other.path)!r}: SE_3_1 of {str(one.path)!r}.",
        f"Without counterpart in {str(one.path)!r}: SE_2_2 of {str(other.path)!r}.",
    ]
    assert table["paired_by"].tolist() == ["path", "", "", ""]


def test_degenerate_runs_agree_on_nothing(tmp_path: Path) -> None:
    labels = np.repeat([0, 1], 4)
    run = make_run(tmp_path / "run", {"SE_2_1": noise(labels), "SE_2_2": noise(labels, seed=2)}, labels)
    table = agreement(run, permutations=9)
    assert table[["correlation", "p"]].isna().all(axis=None)
    assert table.attrs["remarks"] == [
        f"{name} has the same distance between all classes." for name in ("SE_2_1", "SE_2_2", "confusion")
    ]
    failed = make_run(tmp_path / "failed", {"SE_2_1": noise(labels)}, labels, failed=range(8))
    table = agreement(failed, permutations=9)
    assert table[["correlation", "p"]].isna().all(axis=None)
    assert (table["classes"] == 0).all()


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": noise(LABELS)}, LABELS, classes=NAMES)
    other = make_run(tmp_path / "other", {"SE_2_1": noise(LABELS)}, LABELS)
    with pytest.raises(UnknownClassError, match="have images of no class in common; classes are matched by id"):
        agreement(run, other)
    with pytest.raises(OptionError, match="hierarchy is 'cifar10', expected none with two runs"):
        agreement(run, run, hierarchy="cifar10")
    with pytest.raises(OptionError, match="permutations is -1, expected 0 or more"):
        agreement(run, permutations=-1)
    with pytest.raises(UnknownClassError, match="has no superclass for 'class0'"):
        agreement(other, hierarchy="cifar10")
    with pytest.raises(DataNotFoundError, match=r"no file 'none\.csv'"):
        agreement(run, hierarchy="none.csv")
    with pytest.raises(MissingSignalError, match="holds no 'squeeze'"):
        agreement(run, signal="squeeze")
