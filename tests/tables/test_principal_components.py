import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list
from scipy.spatial.distance import pdist, squareform
from sklearn.decomposition import PCA

from seviz.errors import MissingPackageError, MissingSignalError, OptionError
from seviz.stats import distances as of_distances
from seviz.stats.distances import distances, leaf_order, tree
from seviz.stats.principal import principal_axes
from seviz.tables.neighbour_map import neighbour_map
from seviz.tables.principal_components import principal_components
from seviz.tables.similarity import order_of_channels
from tests.made_runs import make_run

LABELS = np.repeat(range(3), 10)


def gates(channels: int = 7) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    x: NDArray[np.float64] = random.uniform(0.1, 0.9, (30, channels)) ** np.arange(1, channels + 1)
    return x


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_distances_are_scipys(metric: Any) -> None:
    x = gates()
    found = distances(x, metric=metric)
    np.testing.assert_allclose(found, squareform(pdist(x, metric)), atol=1e-12)
    assert (found == found.T).all()
    assert not np.diag(found).any()


def test_a_vector_without_direction_has_no_distance() -> None:
    x = np.array([[0.1, 0.2, 0.3], [0.7, 0.7, 0.7], [0, 0, 0], [0.3, 0.1, 0.1]])
    assert np.isnan(distances(x)).any(0).tolist() == [True] * 4
    assert np.isnan(np.diag(distances(x))).tolist() == [False, True, True, False]
    assert np.isnan(np.diag(distances(x, metric="cosine"))).tolist() == [False, False, True, False]
    assert distances(np.zeros((0, 3))).shape == (0, 0)


def test_another_metric_is_refused() -> None:
    metric: Any = "euclidean"
    with pytest.raises(OptionError, match="metric is 'euclidean', expected 'correlation' or 'cosine'"):
        distances(gates(), metric=metric)


def test_leaves_lie_beside_what_is_like_them() -> None:
    position = np.array([5.0, 0.0, 5.2, 0.3, 9.0, 0.2, 5.1])
    apart = np.abs(position[:, None] - position)
    order = leaf_order(apart)
    assert list(position[order]) in (sorted(position), sorted(position, reverse=True))
    assert order.tolist() == leaves_list(tree(apart)).tolist()
    assert order.tolist() == leaf_order(pd.DataFrame(apart)).tolist()


def test_what_has_no_distance_joins_last() -> None:
    apart = np.array([[0, 1, np.nan, 2], [1, 0, np.nan, 2], [np.nan] * 4, [2, 2, np.nan, 0.0]])
    linkage = tree(apart)
    assert np.isfinite(linkage).all()
    assert linkage[0, :2].tolist() == [0, 1]
    assert linkage[:, 2].tolist() == [1, 2, 2]
    assert sorted(leaf_order(np.full((3, 3), np.nan))) == [0, 1, 2]
    assert leaf_order(np.zeros((1, 1))).tolist() == [0]
    assert leaf_order(np.zeros((0, 0))).tolist() == []
    assert tree(np.zeros((1, 1))).shape == (0, 4)


def test_many_items_are_ordered_by_the_tree_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = distances(gates())
    best = leaf_order(apart)
    monkeypatch.setattr(of_distances, "_MOST_ORDERED", 29)
    plain = leaf_order(apart)

    def length(order: NDArray[np.int64]) -> float:
        return float(apart[order[1:], order[:-1]].sum())

    assert sorted(plain) == sorted(best)
    assert length(best) < length(plain)


def test_channels_that_move_together_lie_together_and_fixed_ones_last(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    patterns = random.uniform(0.2, 0.8, (2, 6))
    labels = np.repeat(range(6), 4)
    kinds = np.array([0, 1, 2, 0, 1, 0, 2, 1])
    x = np.where(kinds == 2, 0.5, patterns[np.minimum(kinds, 1)].T[labels] + 0.001 * random.normal(size=(24, 8)))
    order = order_of_channels(make_run(tmp_path / "run", {"SE_2_1": x}, labels), "SE_2_1")
    assert kinds[order].tolist() in ([0] * 3 + [1] * 3 + [2] * 2, [1] * 3 + [0] * 3 + [2] * 2)
    one = make_run(tmp_path / "one", {"SE_2_1": x}, np.zeros(24, np.int64))
    assert order_of_channels(one, "SE_2_1").tolist() == list(range(8))


def test_images_with_gates_know_their_row(tmp_path: Path) -> None:
    x = gates()
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, failed=[4, 11], kept=np.arange(30) % 3 != 0)
    images = run.kept
    expected = [k for k in range(30) if k % 3 and k not in (4, 11)]
    assert images.index.tolist() == expected
    np.testing.assert_allclose(run.gates("SE_2_1")[images["row"]], x[expected], atol=1e-5)


def test_principal_axes_are_those_of_a_singular_value_decomposition() -> None:
    x = gates() - gates().mean(0)
    axes, variances, total = principal_axes(x, 3)
    _, values, vectors = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(np.abs(axes.T @ vectors[:3].T), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(variances, values[:3] ** 2)
    assert total == pytest.approx((values**2).sum())
    assert (np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0) > 0).all()
    assert principal_axes(x, 20)[0].shape == (7, 7)


@pytest.mark.parametrize("scaled", [False, True])
def test_principal_components_are_sklearns(tmp_path: Path, scaled: bool) -> None:
    x = gates()
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, failed=[5], classes=["cat", "dog", "eel"])
    table = principal_components(run, "SE_2_1", components=3, scaled=scaled)
    good = np.arange(30) != 5
    wanted = x[good] / (x[good].std(0, ddof=1) if scaled else 1)
    pca = PCA(3, svd_solver="full").fit(wanted)
    found, expected = table[["pc1", "pc2", "pc3"]].to_numpy(), pca.transform(wanted)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-3 if scaled else 5e-5)
    np.testing.assert_allclose(table.attrs["explained_variance"], pca.explained_variance_ratio_, atol=1e-4)
    assert list(table.columns) == ["image", "path", "class", "pc1", "pc2", "pc3"]
    assert table["path"].tolist() == [f"{k:06d}.png" for k in range(30) if k != 5]
    assert table["class"].tolist() == ["cat"] * 9 + ["dog"] * 10 + ["eel"] * 10
    assert table.attrs["remarks"] == ["1 images that failed are left out."]


def test_where_nothing_varies_nothing_is_explained(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((30, 4), 0.3)}, LABELS)
    for scaled in (False, True):
        table = principal_components(run, "SE_2_1", scaled=scaled)
        assert (table[["pc1", "pc2"]] == 0).all(axis=None)
        assert np.isnan(table.attrs["explained_variance"]).all()
        assert table.attrs["remarks"] == ["The excitation of SE_2_1 is the same for all images."]
    none = make_run(tmp_path / "none", {"SE_2_1": np.full((30, 4), 0.3)}, LABELS, failed=range(30))
    table = principal_components(none, "SE_2_1")
    assert table.empty
    assert list(table.columns) == ["image", "path", "class", "pc1", "pc2"]


def test_components_out_of_range_and_missing_gates_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS, kept=np.zeros(30, bool))
    for components in (0, 8):
        with pytest.raises(OptionError, match=f"components is {components}, expected 1 to 7, the channels of SE_2_1"):
            principal_components(run, "SE_2_1", components=components)
    with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
        principal_components(run, "SE_2_1")


class Flat:
    """In UMAP's place: the first two channels."""

    def __init__(self, **options: Any) -> None:
        assert options == {"n_neighbors": 5, "random_state": 1, "n_jobs": 1}

    def fit_transform(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values[:, :2]


def test_a_neighbour_map_is_umaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    umap = ModuleType("umap")
    umap.UMAP = Flat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "umap", umap)
    run = make_run(tmp_path / "run", {"SE_2_1": gates()}, LABELS, failed=[0])
    table = neighbour_map(run, "SE_2_1", neighbours=5, seed=1)
    assert list(table.columns) == ["image", "path", "class", "x", "y"]
    np.testing.assert_allclose(table[["x", "y"]], gates()[1:, :2], atol=1e-5)
    for neighbours in (1, 29):
        with pytest.raises(OptionError, match=f"neighbours is {neighbours}, expected at least 2 and fewer than the 29"):
            neighbour_map(run, "SE_2_1", neighbours=neighbours)
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        MissingPackageError, match=r"a neighbour map needs umap-learn .*'seviz\[umap\]'\. principal_comp"
    ):
        neighbour_map(run, "SE_2_1")
