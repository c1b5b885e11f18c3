import itertools

import pandas as pd
import pytest
from matplotlib.figure import Figure

from seviz.figures.blocks import axis_of_depth, whiskers


def blocks(number: int) -> pd.DataFrame:
    stages = [2 + 4 * k // number for k in range(number)]
    return pd.DataFrame({"block": [f"SE_{stage}_{k}" for k, stage in enumerate(stages)], "stage": stages})


@pytest.mark.parametrize("number", [1, 5, 16, 55, 200])
@pytest.mark.parametrize("inches", [1.0, 2.9, 6.4])
def test_names_of_blocks_never_overlap(number: int, inches: float) -> None:
    figure = Figure(figsize=(inches, 3))
    axes = figure.add_axes((0, 0.4, 1, 0.5))
    axes.tick_params(labelsize=6.5)
    axis_of_depth([axes], blocks(number), inches=inches)
    figure.draw_without_rendering()
    labels = axes.get_xticklabels()
    assert labels
    slanted = labels[0].get_rotation() == 45
    boxes = [label.get_window_extent() for label in labels]
    for left, right in itertools.pairwise(boxes):
        assert right.x1 - left.x1 > 0.8 * labels[0].get_fontsize() * 100 / 72 if slanted else left.x1 <= right.x0
    for label in labels:
        assert label.get_text() == blocks(number)["block"].iloc[int(label.get_position()[0])]


def test_every_second_stage_is_shaded_in_all_panels() -> None:
    figure = Figure()
    panels = list(figure.subplots(2, 1))
    axis_of_depth(panels, blocks(16), inches=6.4)
    for axes in panels:
        assert [(shade.get_x(), shade.get_width()) for shade in axes.patches] == [(-0.5, 4), (7.5, 4)]
        assert axes.get_xlim() == (-0.5, 15.5)
    assert [text.get_text() for text in panels[0].texts] == ["stage 2", "stage 3", "stage 4", "stage 5"]
    assert [text.xy[0] for text in panels[0].texts] == [1.5, 5.5, 9.5, 13.5]
    assert not panels[1].texts
    assert {label.get_text() for label in panels[0].get_xticklabels()} == {""}


def test_narrow_stages_are_named_by_their_number() -> None:
    axes = Figure().subplots()
    axis_of_depth([axes], blocks(16), inches=1.5)
    assert [text.get_text() for text in axes.texts] == ["2", "3", "4", "5"]


def test_whiskers_hold_the_value_and_leave_out_what_is_not_known() -> None:
    axes = Figure().subplots()
    value, low, high = (pd.Series(x) for x in ([1.0, 2.0, 3.0], [1.5, 1.0, float("nan")], [2.0, 1.5, 4.0]))
    whiskers(axes, value, low, high, color="black")
    (lines,) = axes.collections
    assert [segment.tolist() for segment in lines.get_segments()] == [[[0, 1], [0, 2]], [[1, 1], [1, 2]]]
