"""The charts of the excitation page: what they hold, and what their image shows."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seviz.dashboard.plots.charts import MARKS, levels, marks
from seviz.dashboard.plots.excitation import TOLD, legend, lines, strips
from seviz.dashboard.tables.excitation import class_means
from seviz.run.store import Run


def test_lines_have_a_layer_for_all_classes_one_for_each_and_the_selected_channel(planted_run: Run) -> None:
    channels = np.array([9, 2, 5])
    means = class_means(planted_run["SE_4_1"], {"cat": "cat", "dog": "dog"}, channels)
    chart = lines(
        means, labels=["cat", "dog"], channels=channels, title="channel", span=(0, 1), spread=True, selected=5
    )
    everyone, selected, band, line, points = chart.layer
    assert len(everyone.data) == 3
    assert selected.data["position"].tolist() == [2]
    for layer in (band, line, points):
        assert set(layer.data["class"]) == {"cat", "dog"}
        assert layer.data.groupby("channel")["position"].first().to_dict() == {9: 0, 2: 1, 5: 2}


def test_a_selected_channel_that_is_not_drawn_is_not_marked(planted_run: Run) -> None:
    channels = np.array([0, 1])
    means = class_means(planted_run["SE_4_1"], {"cat": "cat"}, channels)
    chart = lines(means, labels=["cat"], channels=channels, title="channel", span=(0, 1), selected=7)
    assert len(chart.layer) == 3


def test_single_images_are_lines_of_their_own(planted_run: Run) -> None:
    channels = np.arange(2)
    means = class_means(planted_run["SE_4_1"], {"cat": "cat"}, channels)
    images = pd.DataFrame(
        {"class": "cat", "image": ["cat · 1"] * 2, "path": "x.png", "channel": channels, "gate": [0.25, 0.5]}
    )
    chart = lines(means, labels=["cat"], channels=channels, title="channel", span=(0, 1), images=images)
    assert chart.layer[1].data["gate"].tolist() == [0.25, 0.5]
    assert chart.layer[1].to_dict()["encoding"]["detail"]["field"] == "image"


@pytest.mark.parametrize("rows", [2, 30])
def test_strips_are_few_marks_and_an_image_with_a_pixel_for_each_value(rows: int) -> None:
    values = np.random.default_rng(0).uniform(0, 1, (rows, 2048))
    values[1, 5] = np.nan
    table = pd.DataFrame(values, index=[f"class {k}" for k in range(rows)], columns=np.arange(2048))
    chart = strips(table, title="channel", span=(0, 1), selected=700)
    assert marks(chart) <= MARKS
    names, image, mark, bars = chart.layer
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.data["url"].iloc[0].split(",")[1]))))
    np.testing.assert_array_equal(picture, levels(values, low=0, high=1))
    assert picture[1, 5, 3] == 0
    assert names.data["row"].tolist() == list(table.index)
    assert mark.data["position"].tolist() == [700]
    np.testing.assert_array_equal(bars.data["v0"], values[0])
    told = [each["title"] for each in bars.to_dict()["encoding"]["tooltip"]]
    assert told == ["channel", *table.index[:TOLD]]


def test_the_axis_of_strips_tells_channels_in_their_order() -> None:
    channels = np.array([40, 10, 30])
    chart = strips(pd.DataFrame(np.eye(3), columns=channels, index=list("abc")), title="channel", span=(0, 1))
    axis = chart.layer[2].to_dict()["encoding"]["x"]["axis"]
    assert axis["labelExpr"] == '{"0": "40", "1": "10", "2": "30"}[datum.value]'
    assert chart.layer[2].data["channel"].tolist() == [40, 10, 30]


def test_the_legend_has_the_classes_in_their_order() -> None:
    assert legend(["b", "a"]).to_dict()["encoding"]["color"]["scale"]["domain"] == ["b", "a"]
