import numpy as np
import pytest
from matplotlib.colors import to_rgb

from seviz.errors import OptionError
from seviz.figures.embedding import gates_on_a_plane
from seviz.figures.style import COLOURS
from tests.figures.made_tables import CLASSES, IDS, NAMES, components


def test_a_point_per_image_in_the_colour_of_its_class() -> None:
    tables = components()
    figure = gates_on_a_plane(tables, names=NAMES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(tables)
    for axes, table in zip(figure.axes, tables.values(), strict=True):
        assert [layer.get_label() for layer in axes.collections] == list(CLASSES)
        for k, (class_id, layer) in enumerate(zip(IDS, axes.collections, strict=True)):
            own = table[table["class"] == class_id]
            np.testing.assert_array_equal(layer.get_offsets(), own[["pc1", "pc2"]])
            np.testing.assert_allclose(layer.get_facecolor()[0][:3], to_rgb(COLOURS[k]))
            assert layer.get_rasterized()
        assert axes.get_xlabel() == "PC 1: 50% of variance"
        assert axes.get_ylabel() == "PC 2: 25% of variance"
        assert axes.get_aspect() == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(CLASSES)


def test_of_many_classes_a_few_are_coloured() -> None:
    figure = gates_on_a_plane(components(1000, 1))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "other classes"
    assert len(labels) == 8
    assert sum(len(layer.get_offsets()) for layer in figure.axes[0].collections) == 1000


def test_classes_that_were_chosen_are_coloured_and_all_look_different() -> None:
    figure = gates_on_a_plane(components(20), classes=[IDS[2], IDS[0]], names=NAMES)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["other classes", "plane", "goldfish"]
    figure = gates_on_a_plane(components(12))
    looks = {
        (c.get_facecolor().tobytes(), c.get_edgecolor().tobytes(), c.get_paths()[0].vertices.tobytes())
        for c in figure.axes[0].collections
    }
    assert len(looks) == 12


def test_a_neighbour_map_has_no_units() -> None:
    table = components()["SE_2_1"].rename(columns={"pc1": "x", "pc2": "y"})
    table.attrs = {}
    (axes,) = gates_on_a_plane({"SE_2_1": table}).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert not len(axes.get_xticks())


def test_gates_that_never_vary_are_drawn() -> None:
    table = components()["SE_2_1"].assign(pc1=0.0, pc2=0.0)
    table.attrs = {"explained_variance": [float("nan")] * 2}
    (axes,) = gates_on_a_plane({"SE_2_1": table}).axes
    assert axes.get_xlabel() == "PC 1"


def test_no_block_and_no_image_are_errors() -> None:
    with pytest.raises(OptionError, match="tables is of no block, expected some, each of one image or more"):
        gates_on_a_plane({})
    with pytest.raises(OptionError, match="tables is of SE_2_1, expected some, each of one image"):
        gates_on_a_plane({"SE_2_1": components()["SE_2_1"].head(0)})


@pytest.mark.parametrize("width", ["page", "column"])
def test_long_names_stay_within_the_figure(width: str) -> None:
    names = {f"n_{k}": f"a very long name of a class, or several, number {k}" for k in range(12)}
    figure = gates_on_a_plane(components(12), names=names, width=width)
    figure.draw_without_rendering()
    for text in figure.legends[0].get_texts():
        assert len(text.get_text()) <= 24
        assert figure.bbox.fully_containsx(text.get_window_extent().x0)
        assert figure.bbox.fully_containsx(text.get_window_extent().x1)
