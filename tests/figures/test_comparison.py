import numpy as np

from seviz.figures.comparison import ALARM, shift_by_depth
from tests.figures.made_tables import BLOCKS, comparison


def test_points_and_lines_are_the_columns() -> None:
    table = comparison()
    shift, share, size = shift_by_depth(table, names=("clean", "blurred")).axes
    lines = {(axes, line.get_label()): line.get_ydata() for axes in (shift, share, size) for line in axes.get_lines()}
    for axes, label, column in (
        (shift, "of a class (root mean square)", "shift"),
        (shift, "mean, with its sign", "difference"),
        (share, "clean", "omega_squared_one"),
        (share, "blurred", "omega_squared_other"),
        (size, "clean", "std_total_one"),
        (size, "blurred", "std_total_other"),
    ):
        np.testing.assert_array_equal(lines[axes, label], table[column])
    assert [label.get_text() for label in size.get_xticklabels()] == list(BLOCKS)


def test_intervals_hold_their_values() -> None:
    shift, share, _ = shift_by_depth(comparison()).axes
    of_shift, of_difference = shift.collections
    np.testing.assert_allclose(
        [[segment[0, 0], *segment[:, 1]] for segment in of_shift.get_segments()],
        [[0, 0.08, 0.12], [1, 0.15, 0.25], [3, 0.05, 0.07]],  # the last lies beneath its interval
    )
    np.testing.assert_allclose(
        [segment[:, 1] for segment in of_difference.get_segments()], [[-0.06, -0.04], [0.05, 0.15], [0, 0.02]]
    )
    (of_change,) = share.collections
    np.testing.assert_allclose(
        [segment[:, 1] for segment in of_change.get_segments()], [[0.15, 0.25], [0, 0.2], [0.3, 0.4], [0.4, 0.6]]
    )


def test_collapsed_gates_are_marked() -> None:
    size = shift_by_depth(comparison(), names=("clean", "blurred")).axes[2]
    (alarm,) = (line for line in size.get_lines() if line.get_color() == ALARM)
    np.testing.assert_array_equal(alarm.get_xydata(), [[1, 0.005], [4, 0.0]])
    assert alarm.get_label() == "collapsed (blurred)"


def test_both_can_collapse_and_none() -> None:
    both = shift_by_depth(comparison().assign(collapsed="both")).axes[2].get_lines()[-1]
    assert both.get_label() == "collapsed (one and other)"
    assert len(both.get_xdata()) == 10
    none = shift_by_depth(comparison().assign(collapsed="neither")).axes[2]
    assert all(line.get_color() != ALARM for line in none.get_lines())


def test_one_block_and_nothing_known_are_drawn() -> None:
    assert len(shift_by_depth(comparison().head(1)).axes) == 3
    table = comparison()
    unknown = table.assign(**dict.fromkeys(set(table.columns) - {"block", "stage", "collapsed"}, np.nan))
    assert len(shift_by_depth(unknown).axes) == 3
