import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import dendrogram

from seviz.errors import OptionError
from seviz.figures.similarity import classes_across_depth
from seviz.stats.distances import tree
from tests.figures.made_tables import BLOCKS, NAMES, distances


def panels(tables: dict[str, pd.DataFrame], **options: object) -> list[tuple[str, object, object]]:
    """Block, tree and matrix of each panel."""
    figure = classes_across_depth(tables, **options)
    above = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    figure.draw_without_rendering()
    result = []
    for block, axes in above.items():
        box = axes.get_position()
        beneath = [
            other
            for other in figure.axes
            if other is not axes and other.get_position().y1 < box.y0 and abs(other.get_position().x0 - box.x0) < 1e-6
        ]
        result.append((block, axes, max(beneath, key=lambda other: other.get_position().y1)))
    return result


def test_matrices_are_the_tables_in_the_order_of_their_trees() -> None:
    tables = distances(7)
    found = panels(tables, names=NAMES)
    assert [block for block, _, _ in found] == list(BLOCKS)
    for block, _, axes in found:
        order = dendrogram(tree(tables[block]), no_plot=True)["leaves"]
        mesh = axes.collections[0]
        np.testing.assert_array_equal(mesh.get_array(), tables[block].iloc[order, order])
        names = [NAMES.get(tables[block].index[k], tables[block].index[k]) for k in order]
        assert [label.get_text() for label in axes.get_yticklabels()] == names
        assert mesh.get_clim() == (0, max(table.max(axis=None) for table in tables.values()))
        assert mesh.get_rasterized()


def test_trees_are_as_scipy_draws_them() -> None:
    tables = distances(9)
    for block, axes, _ in panels(tables):
        expected = dendrogram(tree(tables[block]), no_plot=True)
        corners = [
            list(zip(np.array(x) / 10, y, strict=True))
            for x, y in zip(expected["icoord"], expected["dcoord"], strict=True)
        ]
        segments = [[tuple(point) for point in segment] for segment in axes.collections[0].get_segments()]
        np.testing.assert_allclose(sorted(segments), sorted(corners))


def test_one_class_two_classes_and_distances_that_are_not_known_are_drawn() -> None:
    for classes in (1, 2):
        assert len(panels(distances(classes))) == len(BLOCKS)
    unknown = {"SE_2_1": distances(3)["SE_2_1"] * np.nan}
    ((_, _, axes),) = panels(unknown)
    assert np.ma.getmaskarray(axes.collections[0].get_array()).all()


def test_many_classes_of_long_names_stay_legible() -> None:
    tables = {"SE_2_1": distances(300)["SE_2_1"]}
    names = {name: f"{name} and a lot more of a name" for name in tables["SE_2_1"].index}
    ((_, _, axes),) = panels(tables, names=names)
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert 5 < len(boxes) < 40
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(boxes))
    assert all(len(label.get_text()) <= 12 for label in axes.get_yticklabels())


def test_no_block_and_no_class_are_errors() -> None:
    with pytest.raises(OptionError, match="tables is of no block, expected some, each of one class or more"):
        classes_across_depth({})
    with pytest.raises(OptionError, match="tables is of SE_2_1, expected some, each of one class"):
        classes_across_depth({"SE_2_1": pd.DataFrame()})
