"""Excitation: panels of mean gates, and what is selected for them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st

from seviz.dashboard.pages.excitation import POINTS, Panel, matrix, ordered, span_of, take, too_dense
from seviz.dashboard.plots.charts import MARKS
from seviz.run.store import Run
from seviz.tables.excitation import ALL_CLASSES, sampled_channels
from seviz.tables.kept import kept_table
from tests.dashboard.drawing import Open
from tests.made_runs import make_run


def panels(test: Any) -> dict[str, list[pd.DataFrame]]:
    """The tables of each panel's chart, by the key of the chart."""
    found = {}
    for chart in test.get("vega_lite_chart"):
        tables = [pa.ipc.open_stream(each.data.data).read_pandas() for each in chart.proto.datasets]
        found[chart.proto.id.rsplit("-", 1)[-1]] = tables
    return found


def means(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The table with the points of the classes."""
    return next(table for table in tables if "mean" in table and ALL_CLASSES not in set(table["class"]))


def specifications(test: Any) -> list[dict[str, Any]]:
    """The charts, as the browser gets them."""
    return [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]


def said(test: Any) -> str:
    return " ".join(each.value for each in (*test.info, *test.warning, *test.markdown, *test.caption))


def test_a_panel_for_each_block_has_the_means_of_its_gates(open_page: Open, planted_run: Run) -> None:
    drawn = panels(open_page("excitation", planted_run))
    assert {key for key in drawn if key} == {f"lines_{block}" for block in planted_run.blocks}
    for block in planted_run.blocks:
        gates, labels = planted_run.gates(block), planted_run.labels
        table = means(drawn[f"lines_{block}"])
        for k, name in enumerate(planted_run.classes.names):
            own = table[table["class"] == name]
            np.testing.assert_allclose(own["mean"], gates[labels == k].mean(0)[own["channel"]], atol=2e-5)


def test_classes_and_blocks_are_those_of_the_address(open_page: Open, planted_run: Run) -> None:
    ids = planted_run.classes.ids
    test = open_page(
        "excitation", planted_run, classes=f"{ids[2]}|{ids[0]}", panels="SE_4_1", block="SE_4_1", number="5", seed="3"
    )
    drawn = panels(test)
    assert [key for key in drawn if key] == ["lines_SE_4_1"]
    table = means(drawn["lines_SE_4_1"])
    assert set(table["class"]) == {"ship", "cat"}
    assert sorted(set(table["channel"])) == sampled_channels(16, 5, 3).tolist()
    assert test.query_params["panels"] == "SE_4_1"
    assert test.query_params["classes"] == f"{ids[2]}|{ids[0]}"
    assert (test.query_params["number"], test.query_params["seed"]) == ("5", "3")


def test_what_is_chosen_is_drawn_and_written_to_the_address(open_page: Open, planted_run: Run) -> None:
    test = open_page("excitation", planted_run, block="SE_3_1")
    ids = planted_run.classes.ids
    test.multiselect(key="widget_classes").set_value([ids[1]]).run()
    test.multiselect(key="widget_panels").set_value(["SE_2_1"]).run()
    test.number_input(key="widget_number").set_value(4).run()
    assert not test.exception
    drawn = panels(test)
    assert [key for key in drawn if key] == ["lines_SE_3_1", "lines_SE_2_1"]  # the selected one first
    assert set(means(drawn["lines_SE_2_1"])["class"]) == {"dog"}
    assert len(means(drawn["lines_SE_2_1"])) == 4
    assert test.query_params["number"] == "4"


def test_the_form_is_a_button_that_stays_in_the_address(open_page: Open, planted_run: Run) -> None:
    test = open_page("excitation", planted_run)
    test.button_group(key="widget_form").set_value("heatmap").run()
    assert not test.exception
    assert test.query_params["form"] == "heatmap"
    assert {chart["mark"]["type"] for chart in specifications(test)} == {"rect"}


def test_a_heatmap_has_a_row_for_each_class(open_page: Open, planted_run: Run) -> None:
    drawn = heat(open_page("excitation", planted_run, form="heatmap", panels="SE_4_1", block="SE_4_1", pick="all"))
    gates, labels = planted_run.gates("SE_4_1"), planted_run.labels
    assert set(drawn.index) == {ALL_CLASSES, *planted_run.classes.names}
    for k, name in enumerate(planted_run.classes.names):
        np.testing.assert_allclose(drawn.loc[name], gates[labels == k].mean(0), atol=2e-5)


def test_a_heatmap_of_the_spread_has_standard_deviations(open_page: Open, planted_run: Run) -> None:
    test = open_page(
        "excitation", planted_run, form="heatmap", shown="spread", panels="SE_4_1", block="SE_4_1", pick="all"
    )
    drawn, gates, labels = heat(test), planted_run.gates("SE_4_1"), planted_run.labels
    assert set(drawn.index) == set(planted_run.classes.names)
    np.testing.assert_allclose(drawn.loc["dog"], gates[labels == 1].std(0, ddof=1), atol=2e-5)


def heat(test: Any) -> pd.DataFrame:
    """The matrix of the only heatmap."""
    (chart,) = test.get("vega_lite_chart")
    long = pa.ipc.open_stream(chart.proto.datasets[0].data.data if chart.proto.datasets else chart.proto.data.data)
    table = long.read_pandas()
    return table.assign(column=table["column"].astype(int)).pivot_table(index="row", columns="column", values="value")


def test_the_spread_is_a_band_of_one_standard_deviation(open_page: Open, planted_run: Run) -> None:
    test = open_page("excitation", planted_run, shown="spread", panels="SE_4_1", block="SE_4_1", pick="all")
    (chart,) = [each for each in test.get("vega_lite_chart") if each.proto.id]
    layers = json.loads(chart.proto.spec)["layer"]
    (band,) = [each for each in layers if each["mark"]["type"] == "area"]
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    table = means(panels(test)["lines_SE_4_1"])
    own, gates = table[table["class"] == "cat"], planted_run.gates("SE_4_1")[planted_run.labels == 0]
    np.testing.assert_allclose(own["high"], gates.mean(0) + gates.std(0, ddof=1), atol=5e-5)
    assert "Bands" in said(test)


def test_single_images_are_images_of_the_class(open_page: Open, planted_run: Run) -> None:
    ids = planted_run.classes.ids
    test = open_page(
        "excitation", planted_run, shown="images", apiece="2", classes=ids[3], panels="SE_3_1", block="SE_3_1"
    )
    (single,) = [table for table in panels(test)["lines_SE_3_1"] if "gate" in table]
    rows = planted_run.samples.reset_index(drop=True).reset_index().set_index("path")["index"]
    gates = planted_run.gates("SE_3_1")
    assert single["image"].nunique() == 2
    for path, of in single.groupby("path"):
        assert planted_run.labels[rows[path]] == 3
        np.testing.assert_allclose(of["gate"], gates[rows[path]][of["channel"]], atol=1e-6)


def test_the_most_specific_channels_come_first(open_page: Open, planted_run: Run) -> None:
    test = open_page("excitation", planted_run, pick="specific", number="3", panels="SE_4_1", block="SE_4_1")
    table = kept_table(planted_run, "specificity_by_channel")
    best = table[table["block"] == "SE_4_1"].nlargest(3, "omega_squared")["channel"].tolist()
    drawn = means(panels(test)["lines_SE_4_1"])
    assert drawn.sort_values("position")["channel"].drop_duplicates().tolist() == best


def test_without_its_table_the_most_specific_are_offered_and_a_sample_is_drawn(
    open_page: Open, bundled_run: Run
) -> None:
    test = open_page("excitation", bundled_run, pick="specific", number="7")
    assert "Not computed yet" in said(test)
    assert "uniform sample" in said(test)
    assert [button.label for button in test.button] == ["Compute"]
    drawn = {key: tables for key, tables in panels(test).items() if key}
    assert drawn
    for tables in drawn.values():
        assert means(tables)["channel"].nunique() == 7


def test_too_many_points_are_drawn_in_colours(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).uniform(0, 1, (12, 2048))
    run = make_run(tmp_path / "wide", {"SE_2_1": gates[:, :64], "SE_5_1": gates}, np.arange(12) % 3)
    test = open_page("excitation", run, pick="all", block="SE_5_1", panels="SE_2_1|SE_5_1")
    assert {key for key in panels(test) if key} == {"lines_SE_2_1", "strips_SE_5_1"}
    assert "Too many points for lines" in said(test)
    dense = open_page("excitation", run, pick="all", block="SE_5_1", panels="SE_5_1", form="heatmap")
    assert set(panels(dense)) == {"strips_SE_5_1"}


def test_more_classes_than_colours_are_drawn_as_a_heatmap(open_page: Open, bundled_run: Run) -> None:
    test = open_page("excitation", bundled_run, classes="|".join(bundled_run.classes.ids), panels="SE_5_1", number="9")
    assert "at most 7 classes" in said(test)
    assert {chart["mark"]["type"] for chart in specifications(test)} == {"rect"}


def test_a_run_without_gates_of_images_draws_means_and_says_so(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(
        tmp_path / "moments", {"SE_2_1": random.uniform(0, 1, (20, 8))}, np.arange(20) % 2, kept=np.zeros(20, bool)
    )
    test = open_page("excitation", run, shown="images")
    assert "keeps the gates of no image" in said(test)
    assert len(means(panels(test)["lines_SE_2_1"])) == 16


def test_classes_without_images_are_named(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1])
    run = make_run(
        tmp_path / "few", {"SE_2_1": random.uniform(0, 1, (4, 8))}, labels, classes=("a", "b", "*c*"), trained=False
    )
    test = open_page("excitation", run, classes="|".join(run.classes.ids), shown="spread")
    assert r"no image of \*c\*" in said(test)
    assert "one image of b" in said(test)
    assert "untrained" in said(test)
    drawn = pd.concat([each for each in panels(test)["lines_SE_2_1"] if "mean" in each])
    assert set(drawn["class"]) == {"a", "b", ALL_CLASSES}
    heatmap = open_page("excitation", run, classes=run.classes.ids[2], shown="spread", form="heatmap")
    assert "nothing to draw" in said(heatmap)
    images = open_page("excitation", run, classes=run.classes.ids[2], shown="images")
    assert r"gates of no image of \*c\*" in said(images)


def test_images_of_several_classes_and_failed_ones(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(
        tmp_path / "several",
        {"SE_2_1": random.uniform(0, 1, (30, 8))},
        random.uniform(size=(30, 3)) < 0.5,
        failed=[0, 5],
    )
    test = open_page("excitation", run, shown="images", apiece="5")
    (single,) = [table for table in panels(test)["lines_SE_2_1"] if "gate" in table]
    assert single["gate"].notna().all()
    assert not {"000000.png", "000005.png"} & set(single["path"])


@pytest.mark.parametrize(
    "address",
    [
        {"form": "x", "shown": "<script>", "pick": "-1", "range": "0"},
        {"number": "99999", "seed": "-3", "apiece": "200", "shown": "images"},
        {"panels": "SE_9_9|<b>", "classes": "nobody", "channel": "100000"},
    ],
)
def test_what_the_address_says_that_is_not_there_is_dropped(
    address: dict[str, str], open_page: Open, planted_run: Run
) -> None:
    test = open_page("excitation", planted_run, **address)
    assert {key for key in panels(test) if key} == {f"lines_{block}" for block in planted_run.blocks}


def test_a_click_selects_the_channel_of_the_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: dict[str, Any] = {}
    monkeypatch.setattr("seviz.dashboard.pages.excitation.select", lambda **changes: chosen.update(changes))
    monkeypatch.setattr(
        st, "session_state", {"a": {"selection": {"channel": [{"channel": 7}]}}, "b": {"selection": {}}}
    )
    take("b", "SE_2_1")
    take("missing", "SE_2_1")
    assert chosen == {}
    take("a", "SE_5_1")
    assert chosen == {"block": "SE_5_1", "channel": 7}


def test_the_selected_block_comes_first_unless_it_is_among_the_others() -> None:
    blocks = ["a", "b", "c", "d"]
    assert ordered(blocks, ["d", "b"], "b") == ["b", "d"]
    assert ordered(blocks, ["b", "d"], "c") == ["c", "b", "d"]
    assert ordered(blocks, [], "c") == ["c"]


def test_panels_are_too_dense_alone_or_together_the_largest_first() -> None:
    assert too_dense({"a": MARKS, "b": MARKS + 1, "c": 10}) == ["b"]
    assert too_dense({f"{k}": MARKS - k for k in range(6)}) == ["0", "1"]
    assert sum(MARKS - k for k in range(2, 6)) <= POINTS


def panel(values: list[float], images: pd.DataFrame | None = None) -> Panel:
    channels = np.arange(len(values))
    parts = [
        pd.DataFrame({"class": name, "channel": channels, "mean": values, "std": 0.5, "images": 3})
        for name in (ALL_CLASSES, "a")
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(low=table["mean"] - table["std"], high=table["mean"] + table["std"])
    return Panel(block="SE_2_1", channels=channels, means=table, images=images)


def test_the_scale_is_from_0_to_1_unless_gates_leave_it() -> None:
    assert span_of([panel([0.2, 0.4])], spread=True, unit=True) == (0.0, 1.0)
    low, high = span_of([panel([0.2, 0.4]), panel([3.0])], spread=False, unit=True)
    assert low < 0.2
    assert high > 3.0
    low, high = span_of([panel([0.2, 0.4])], spread=True, unit=False)
    assert low < -0.3
    assert high > 0.9
    assert span_of([panel([float("nan")])], spread=False, unit=False) == (0.0, 1.0)


def test_the_matrix_of_a_panel_has_classes_or_images_as_rows() -> None:
    assert matrix(panel([0.2, 0.4]), spread=False).to_dict("index") == {
        ALL_CLASSES: {0: 0.2, 1: 0.4},
        "a": {0: 0.2, 1: 0.4},
    }
    assert matrix(panel([0.2, 0.4]), spread=True).to_dict("index") == {"a": {0: 0.5, 1: 0.5}}
    images = pd.DataFrame({"image": ["a · 1", "a · 1", "a · 2", "a · 2"], "gate": [0.1, 0.2, 0.3, 0.4]})
    assert matrix(panel([0.2, 0.4], images), spread=True).to_dict("index") == {
        "a · 1": {0: 0.1, 1: 0.2},
        "a · 2": {0: 0.3, 1: 0.4},
    }
