"""The tree of classes, the nearest of one, and class means by depth, against values computed a second way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import dendrogram

from seviz.dashboard.reading import fingerprint
from seviz.dashboard.tables.class_pairs import branches, class_means, nearest
from seviz.run.store import Run
from seviz.stats.distances import tree
from seviz.tables.class_pair_by_depth import ALL, by_depth
from tests.made_runs import make_run


def distances_of(number: int, seed: int = 0) -> pd.DataFrame:
    points = np.random.default_rng(seed).random((number, 4))
    apart = np.sqrt(np.square(points[:, None] - points[None]).sum(-1))
    names = [f"c{k}" for k in range(number)]
    return pd.DataFrame(apart, index=names, columns=names)


@pytest.mark.parametrize("number", [2, 3, 17, 60])
def test_the_tree_is_scipys_dendrogram(number: int) -> None:
    apart = distances_of(number)
    leaves, lines, joins = branches(apart)
    drawn = dendrogram(tree(apart), no_plot=True)
    assert leaves == [f"c{k}" for k in drawn["leaves"]]
    expected = set()
    for places, heights in zip(np.array(drawn["icoord"]), np.array(drawn["dcoord"]), strict=True):
        y = (places - 5) / 10
        expected |= {
            (heights[0], heights[1], y[0], y[0]),
            (heights[3], heights[2], y[3], y[3]),
            (heights[1], heights[2], y[0], y[3]),
        }
    rounded = {tuple(np.round(row, 9)) for row in expected}
    found = {(x, x2, min(y, y2), max(y, y2)) for x, x2, y, y2 in np.round(lines.to_numpy(), 9)}
    assert found == {(x, x2, min(y, y2), max(y, y2)) for x, x2, y, y2 in rounded}
    assert joins["number"].iloc[-1] == number
    assert set(joins["classes"].iloc[-1].split(", ")) == set(leaves)


def test_a_tree_with_a_class_that_has_no_distance() -> None:
    apart = distances_of(4)
    apart.loc["c2"] = np.nan
    apart["c2"] = np.nan
    leaves, lines, _ = branches(apart)
    assert sorted(leaves) == ["c0", "c1", "c2", "c3"]
    assert np.isfinite(lines.to_numpy()).all()


def test_the_nearest_come_first_without_the_class_itself() -> None:
    apart = distances_of(30)
    apart.loc["c3", "c7"] = np.nan
    found = nearest(apart, "c3", 15)
    expected = sorted((apart.loc["c3", other], other) for other in apart.index if other not in ("c3", "c7"))[:15]
    assert list(zip(found["distance"], found["class"], strict=True)) == expected


def test_distance_with_depth(planted_run: Run) -> None:
    means, usually, number = class_means(planted_run.path, fingerprint(planted_run.path), planted_run)
    table = by_depth(means, 0, 2).set_index("block")
    assert tuple(table.index) == planted_run.blocks
    assert number == 4
    for block in planted_run.blocks:
        gates, labels = planted_run.gates(block).astype(float), planted_run.labels
        of = np.array([gates[labels == k].mean(0) for k in range(4)])
        assert table.loc[block, "difference"] == pytest.approx(np.abs(of[0] - of[2]).mean(), abs=1e-5)
        assert table.loc[block, "distance"] == pytest.approx(1 - np.corrcoef(of[0], of[2])[0, 1], abs=1e-3)
        pairs = [(i, j) for i in range(4) for j in range(i)]
        row = usually.set_index("block").loc[block]
        assert row["difference"] == pytest.approx(np.median([np.abs(of[i] - of[j]).mean() for i, j in pairs]), abs=1e-5)
        apart = 1 - np.corrcoef(of)
        assert row["distance"] == pytest.approx(np.median([apart[i, j] for i, j in pairs]), abs=1e-3)


def test_what_is_usual_of_many_classes_is_of_some_of_them(tmp_path: Path) -> None:
    labels = np.arange(90)
    run = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).random((90, 5))}, labels)
    _, usually, number = class_means(run.path, fingerprint(run.path), run)
    assert number == ALL
    assert usually["difference"].notna().all()
