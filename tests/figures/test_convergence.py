import numpy as np
import pytest

from seviz.errors import OptionError
from seviz.figures.convergence import convergence_curves
from seviz.stats.reliability import RELIABLE, SPREAD
from tests.figures.made_tables import BLOCKS, convergence


@pytest.mark.parametrize("width", ["page", "column"])
def test_a_curve_per_block_and_the_thresholds(width: str) -> None:
    table = convergence()
    panels = convergence_curves(table, width=width).axes
    columns = ("mean_order", "omega_order", "omega_squared_std")
    for axes, column, threshold in zip(panels, columns, (RELIABLE, RELIABLE, SPREAD), strict=True):
        *curves, line = axes.get_lines()
        assert [curve.get_label() for curve in curves] == list(BLOCKS)
        for curve in curves:
            rows = table[table["block"] == curve.get_label()]
            np.testing.assert_array_equal(curve.get_xdata(), rows["size"])
            np.testing.assert_array_equal(curve.get_ydata(), rows[column])
        assert set(line.get_ydata()) == {threshold}
        assert axes.get_xscale() == "log"
        low, high = sorted((axes.patches[0].get_y(), axes.patches[0].get_y() + axes.patches[0].get_height()))
        assert threshold in (low, high)
        assert (high > threshold) == (threshold == RELIABLE)


def test_stages_share_a_colour_and_are_in_the_legend() -> None:
    figure = convergence_curves(convergence())
    colours = [line.get_color() for line in figure.axes[0].get_lines()[:5]]
    assert colours[0] == colours[1]
    assert len(set(colours)) == 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["stage 2", "stage 3", "stage 4", "stable from here"]


def test_one_block_one_size_and_unknown_figures_are_drawn() -> None:
    table = convergence()
    assert convergence_curves(table[(table["block"] == BLOCKS[0]) & (table["size"] == 1)]).axes
    nothing = table.assign(mean_order=np.nan, omega_order=np.nan, omega_squared_std=np.nan)
    assert convergence_curves(nothing).axes[2].get_ylim() == (0, 2 * SPREAD)


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(OptionError, match="table has no rows, expected a size for which some class has images enough"):
        convergence_curves(convergence().head(0))
