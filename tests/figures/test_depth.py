import numpy as np
import pandas as pd

from seviz.figures.depth import depth_profile, profile
from seviz.figures.style import WIDTHS
from tests.figures.made_tables import BLOCKS, decoding, depth, saturation


def whole(run: str = "") -> pd.DataFrame:
    return profile(depth(), decoding=decoding(), saturation=saturation(), run=run)


def test_the_profile_holds_the_columns_of_its_tables() -> None:
    table = whole("mine")
    assert set(table["run"]) == {"mine"}
    assert tuple(table["block"]) == BLOCKS
    np.testing.assert_array_equal(table["omega_squared"], depth()["omega_squared"])
    np.testing.assert_array_equal(table["low"], [0.05, 0.15, 0.2, 0.55, -0.03])
    rows = decoding()[lambda d: d["decoder"] == "logistic"].set_index(["signal", "width", "block"]).sort_index()
    own, equal, squeeze = (
        rows.loc[key] for key in [("excitation", "own"), ("excitation", "pca64"), ("squeeze", "own")]
    )
    np.testing.assert_array_equal(table["accuracy"], own["accuracy"])
    np.testing.assert_array_equal(table["accuracy_low"], own["low"])
    np.testing.assert_array_equal(table["accuracy_high"], own["high"])
    np.testing.assert_array_equal(table["accuracy_equal"], equal["accuracy"])
    np.testing.assert_array_equal(table["accuracy_squeeze"], squeeze["accuracy"])
    np.testing.assert_array_equal(table["chance"], own["null"])
    np.testing.assert_array_equal(table["near_one"], saturation()["near_one"])


def test_another_decoder_can_be_asked_for() -> None:
    table = profile(depth(), decoding=decoding(), decoder="centroid")
    rows = decoding()[lambda d: (d["decoder"] == "centroid") & (d["width"] == "own") & (d["signal"] == "excitation")]
    np.testing.assert_array_equal(table["accuracy"], rows["accuracy"])


def test_lines_are_the_columns() -> None:
    table = whole()
    figure = depth_profile(table)
    drawn = [{line.get_label(): line.get_ydata() for line in axes.get_lines()} for axes in figure.axes]
    expected = [
        {"between classes (ω²)": "omega_squared", "chance": "omega_chance"},
        {
            "all channels": "accuracy",
            "equal width": "accuracy_equal",
            "of the squeeze": "accuracy_squeeze",
            "chance": "chance",
        },
        {"near 0 (below 0.05)": "near_zero", "near 1 (above 0.95)": "near_one"},
    ]
    for lines, columns in zip(drawn, expected, strict=True):
        assert set(lines) == set(columns)
        for label, column in columns.items():
            np.testing.assert_array_equal(lines[label], table[column])
    intervals = [axes.collections[0].get_segments() for axes in figure.axes[:2]]
    np.testing.assert_allclose([segment[:, 1] for segment in intervals[1]], table[["accuracy_low", "accuracy_high"]])
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == list(BLOCKS)


def test_shares_reach_from_0_to_1() -> None:
    specificity, accuracy, near = depth_profile(whole()).axes
    assert accuracy.get_ylim() == (0, 1)
    assert specificity.get_ylim()[1] == 1
    assert near.get_ylim() == (0, 1.05)
    small = whole().assign(near_zero=0.0, near_one=0.001)
    assert depth_profile(small).axes[-1].get_ylim() == (0, 0.1)


def test_two_runs_stand_side_by_side_on_the_same_scales() -> None:
    table = pd.concat([whole("trained"), whole("untrained").assign(omega_squared=0.0, near_one=0.0)])
    figure = depth_profile(table)
    grid = np.array(figure.axes).reshape(3, 2)
    assert [axes.get_title(loc="left") for axes in grid[0]] == ["trained", "untrained"]
    for left, right in grid:
        assert left.get_ylim() == right.get_ylim()
    np.testing.assert_array_equal(grid[0, 1].get_lines()[0].get_ydata(), [0] * 5)


def test_what_no_run_has_is_left_out() -> None:
    assert len(depth_profile(profile(depth())).axes) == 1
    assert len(depth_profile(profile(depth(), saturation=saturation())).axes) == 2
    assert len(depth_profile(profile(depth(), decoding=decoding().head(0))).axes) == 1
    mixed = pd.concat([profile(depth(), run="a"), profile(depth(), decoding=decoding(), run="b")])
    assert len(depth_profile(mixed).axes) == 4


def test_one_block_and_nothing_known_are_drawn() -> None:
    for width in WIDTHS:
        assert depth_profile(whole().head(1), width=width).axes
    columns = ("omega_squared", "low", "high")
    axes = depth_profile(whole().assign(**dict.fromkeys(columns, np.nan))).axes[0]
    assert axes.get_ylim() == (-0.05, 1)
    assert "not known" in {text.get_text() for text in axes.texts}


def test_chance_is_that_of_omega_squared_and_intervals_do_not_stretch_the_axis() -> None:
    """A null of eta squared of 0.4 is no line of this figure; an interval may end anywhere."""
    table = profile(depth().assign(null=0.4, low=-1e304, high=1e304))
    axes = depth_profile(table).axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["chance"], np.zeros(5))
    assert axes.get_ylim()[0] > -0.2
    permuted = profile(depth().assign(permuted_95=[0.01, 0.02, 0.03, 0.04, 0.05]))
    np.testing.assert_array_equal(permuted["omega_chance"], [0.01, 0.02, 0.03, 0.04, 0.05])
