import numpy as np
import pytest
from matplotlib.colors import to_rgb

from seviz.errors import OptionError
from seviz.figures.distribution import gate_by_class
from seviz.figures.style import COLOURS
from tests.figures.made_tables import one_channel


def test_a_violin_per_class_from_the_highest_mean_down() -> None:
    table = one_channel()
    (axes,) = gate_by_class(table, "SE_4_1", 7).axes
    means = table.groupby("class_name")["excitation"].mean().sort_values(ascending=False)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(means.index)
    low, high = axes.get_ylim()
    assert low > high  # the first is above
    violins = [c for c in axes.collections if hasattr(c, "get_facecolor") and len(c.get_facecolor())]
    assert len(violins) == 4
    for k, (name, violin) in enumerate(zip(means.index, violins, strict=True)):
        own = table.loc[table["class_name"] == name, "excitation"]
        x, y = violin.get_paths()[0].vertices.T
        assert (x.min(), x.max()) == pytest.approx((own.min(), own.max()))  # they end with the data
        assert (y.min(), y.max()) == pytest.approx((k - 0.45, k + 0.45))
        np.testing.assert_allclose(violin.get_facecolor()[0][:3], to_rgb(COLOURS[4]), atol=1e-6)
    assert axes.get_title(loc="left") == "SE_4_1, channel 7"


def test_few_images_are_sticks_and_many_are_quartiles() -> None:
    table = one_channel(2, 25)
    sticks = [c for c in gate_by_class(table, "SE_4_1", 7).axes[0].collections if hasattr(c, "get_segments")]
    means = table.groupby("class")["excitation"].mean().sort_values(ascending=False)
    for name, layer in zip(means.index, sticks, strict=True):
        at = sorted(segment[0, 0] for segment in layer.get_segments())
        np.testing.assert_allclose(at, sorted(table.loc[table["class"] == name, "excitation"]), rtol=1e-5)
        assert layer.get_rasterized()
    many = one_channel(2, 100)
    axes = gate_by_class(many, "SE_4_1", 7).axes[0]
    own = many.loc[many["class"] == many.groupby("class")["excitation"].mean().idxmax(), "excitation"]
    quartiles = sorted(line.get_xdata()[0] for line in axes.get_lines()[:3])
    np.testing.assert_allclose(quartiles, np.percentile(own, [25, 50, 75]), rtol=1e-5)


def test_the_mean_over_images_is_marked() -> None:
    axes = gate_by_class(one_channel(), "SE_4_1", 7).axes[0]
    assert any(
        np.allclose(line.get_xdata(), one_channel()["excitation"].mean()) and len(set(line.get_ydata())) == 2
        for line in axes.get_lines()
    )


def test_of_many_classes_the_highest_and_the_lowest_are_drawn() -> None:
    table = one_channel(1000, 5)
    figure = gate_by_class(table, "SE_4_1", 7)
    order = list(table.groupby("class_name", sort=False)["excitation"].mean().sort_values(ascending=False).index)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [*order[:10], *order[-10:]]
    assert "980 classes between not drawn" in figure.axes[0].get_title(loc="left")
    assert figure.get_size_inches()[1] < 7


def test_classes_of_one_name_stay_apart_and_long_names_are_shortened() -> None:
    table = one_channel(3).assign(class_name="a name that goes on and on and on and on")
    labels = [label.get_text() for label in gate_by_class(table, "SE_4_1", 7).axes[0].get_yticklabels()]
    assert len(labels) == 3
    assert all(len(label) <= 24 for label in labels)


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("images", [1, 2])
def test_one_class_one_image_and_a_constant_gate_are_drawn(classes: int, images: int) -> None:
    assert gate_by_class(one_channel(classes, images), "SE_4_1", 7).axes
    assert gate_by_class(one_channel(classes, images).assign(excitation=0.5), "SE_4_1", 7).axes


def test_gates_that_are_not_finite_are_left_out() -> None:
    table = one_channel(2)
    table.loc[table["class"] == "n_pug", "excitation"] = np.nan
    labels = gate_by_class(table, "SE_4_1", 7).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["goldfish"]


def test_no_gates_and_less_than_two_classes_are_errors() -> None:
    with pytest.raises(OptionError, match="table has 0 finite gates and most is 20, expected gates, and at least 2"):
        gate_by_class(one_channel().assign(excitation=np.nan), "SE_4_1", 7)
    with pytest.raises(OptionError, match="most is 1, expected gates, and at least 2"):
        gate_by_class(one_channel(), "SE_4_1", 7, most=1)
