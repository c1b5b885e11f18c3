import numpy as np
import pytest

from seviz.figures.specificity import specificity_by_depth, specificity_interval
from tests.figures.made_tables import depth


def test_lines_are_the_columns() -> None:
    table = depth()
    share, size = specificity_by_depth(table).axes
    lines = {line.get_label(): line.get_ydata() for axes in (share, size) for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["bias-corrected (ω²)"], table["omega_squared"])
    np.testing.assert_array_equal(lines["mean by chance"], np.zeros(5))
    np.testing.assert_array_equal(lines["between classes"], table["std_between"])
    np.testing.assert_array_equal(lines["over all images"], table["std_total"])


def test_the_interval_over_images_is_drawn_and_else_that_over_classes() -> None:
    (lines,) = (c for c in specificity_by_depth(depth()).axes[0].collections if c.get_label().startswith("interval"))
    assert lines.get_label() == "interval over images or over classes"
    ends = [[0.05, 0.15], [0.15, 0.25], [0.2, 0.4], [0.55, 0.65], [-0.03, 0.02]]
    np.testing.assert_allclose([path[:, 1] for path in lines.get_segments()], ends)
    np.testing.assert_allclose([path[:, 0] for path in lines.get_segments()], [[k, k] for k in range(5)])


def test_an_interval_always_holds_its_value() -> None:
    table = depth().assign(low=0.35, high=0.4)
    (lines,) = (c for c in specificity_by_depth(table).axes[0].collections if c.get_label() == "interval over images")
    for value, segment in zip(table["omega_squared"], lines.get_segments(), strict=True):
        assert segment[0, 1] <= value <= segment[1, 1]


@pytest.mark.parametrize("ends", [("low", "high"), ("low_classes", "high_classes")])
def test_the_interval_is_named_for_what_it_is(ends: tuple[str, str]) -> None:
    missing = {"low", "high", "low_classes", "high_classes"} - set(ends)
    low, high, what = specificity_interval(depth().assign(**dict.fromkeys(missing, np.nan)))
    assert what == ("interval over images" if ends[0] == "low" else "interval over classes")
    np.testing.assert_array_equal(low, depth()[ends[0]])
    np.testing.assert_array_equal(high, depth()[ends[1]])


def test_without_intervals_none_is_drawn() -> None:
    table = depth().assign(**dict.fromkeys(("low", "high", "low_classes", "high_classes"), np.nan))
    share = specificity_by_depth(table).axes[0]
    assert [text.get_text() for text in share.get_legend().get_texts()] == [
        "bias-corrected (ω²)",
        "mean by chance",
    ]


def test_blocks_are_on_the_axis_and_stages_marked() -> None:
    share, size = specificity_by_depth(depth()).axes
    assert [label.get_text() for label in size.get_xticklabels()] == list(depth()["block"])
    assert [text.get_text() for text in share.texts] == ["stage 2", "stage 3", "stage 4"]
    assert share.get_ylim()[1] == 1
    assert share.get_ylim()[0] <= -0.03  # a share below zero is shown, and its interval


def test_gates_that_never_move_are_drawn() -> None:
    columns = ("omega_squared", "low", "high", "low_classes", "high_classes")
    table = depth().assign(**dict.fromkeys(columns, np.nan), std_between=0.0, std_total=0.0)
    share, size = specificity_by_depth(table).axes
    assert size.get_ylim() == (0, 1)
    assert share.get_ylim() == (-0.05, 1)
    assert "not known" in {text.get_text() for text in share.texts}


def test_the_quantile_over_permutations_is_drawn_where_it_is_known() -> None:
    share = specificity_by_depth(depth().assign(permuted_95=0.07)).axes[0]
    (line,) = (line for line in share.get_lines() if line.get_label() == "95 % quantile by chance")
    np.testing.assert_array_equal(line.get_ydata(), [0.07] * 5)


def test_ends_of_intervals_do_not_make_the_limits() -> None:
    share, size = specificity_by_depth(depth().assign(low=-1e304, high=1e304, std_total=1e-9)).axes
    assert -0.2 < share.get_ylim()[0] < share.get_ylim()[1] == 1
    assert 0 < size.get_ylim()[1] < 1e-8


def test_one_block_is_drawn() -> None:
    assert len(specificity_by_depth(depth().head(1)).axes[1].get_xticklabels()) == 1
