import numpy as np

from seviz.figures.specificity import specificity_by_depth
from tests.figures.test_style import depth


def test_lines_are_the_columns() -> None:
    table = depth()
    share, size = specificity_by_depth(table).axes
    lines = {line.get_label(): line.get_ydata() for axes in (share, size) for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["bias-corrected (ω²)"], table["omega_squared"])
    np.testing.assert_array_equal(lines["chance level, uncorrected"], table["null"])
    np.testing.assert_array_equal(lines["between classes"], table["std_between"])
    np.testing.assert_array_equal(lines["over all images"], table["std_total"])


def test_blocks_are_on_the_axis_and_stages_marked() -> None:
    share, size = specificity_by_depth(depth()).axes
    assert [label.get_text() for label in size.get_xticklabels()] == list(depth()["block"])
    assert [text.get_text() for text in share.texts] == ["stage 2", "3", "stage 4"]
    assert share.get_ylim()[1] == 1
    assert share.get_ylim()[0] < -0.01  # a share below zero is shown


def test_gates_that_never_move_are_drawn() -> None:
    table = depth().assign(omega_squared=np.nan, std_between=0.0, std_total=0.0)
    assert specificity_by_depth(table).axes[1].get_ylim()[1] > 0
