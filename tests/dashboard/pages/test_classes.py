"""Classes: distances, tree and pairs are those of the run, and every view of them is an address."""

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st

from seviz.dashboard import selection
from seviz.dashboard.pages import classes as page
from seviz.run.store import Run
from seviz.tables.kept import keep_table
from tests.dashboard.drawing import Open
from tests.made_runs import make_run


def charts(test: Any) -> dict[str, list[pd.DataFrame]]:
    """The data of each chart, as the browser gets them, by the first words of its alt text."""
    return {
        " ".join(chart.proto.alt.split()[:3]): [
            pa.ipc.open_stream(io.BytesIO(each.data.data)).read_pandas() for each in chart.proto.datasets
        ]
        for chart in test.get("vega_lite_chart")
    }


def texts(test: Any) -> str:
    return "\n".join(str(each.value) for kind in ("markdown", "caption", "info") for each in getattr(test, kind))


def means_of(run: Run, block: str) -> np.ndarray:
    gates = run.gates(block).astype(float)
    return np.array([gates[run.labels == k].mean(0) for k in range(len(run.classes))])


def test_the_matrix_has_the_distances_in_the_order_of_the_tree(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, block="SE_4_1")
    [matrix] = charts(test)["Distances between the"]
    r = np.corrcoef(means_of(planted_run, "SE_4_1"))
    names = list(planted_run.classes.names)
    for row in matrix.itertuples():
        assert row.value == pytest.approx(1 - r[names.index(row.row), names.index(row.column)], abs=1e-3)
    assert len(matrix) == 16
    trees = [chart for chart in test.get("vega_lite_chart") if chart.proto.alt.startswith("Tree")]
    label = json.loads(trees[0].proto.spec)["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert json.loads(label.removesuffix("[datum.value]")) == matrix["row"].drop_duplicates().tolist()
    joins = next(table for table in charts(test)["Tree of 4"] if "classes" in table)
    assert joins["x"].iloc[0] == pytest.approx((1 - r)[np.triu_indices(4, 1)].min(), abs=1e-3)
    assert all(chart.proto.alt for chart in test.get("vega_lite_chart"))


def test_two_classes_are_chosen_and_in_the_address(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, block="SE_4_1", one="dog", other="ship")
    assert (test.selectbox(key="widget_one").value, test.selectbox(key="widget_other").value) == ("dog", "ship")
    test.selectbox(key="widget_other").set_value("cat").run()
    assert test.query_params["other"] == "cat"
    points = next(table for table in charts(test)["Mean gate of"] if "channel" in table).set_index("channel")
    means = means_of(planted_run, "SE_4_1")
    assert points["mean_one"].sort_index().to_numpy() == pytest.approx(means[1], abs=1e-5)
    assert points["mean_other"].sort_index().to_numpy() == pytest.approx(means[0], abs=1e-5)
    [bars] = charts(test)["The channels of"]
    assert len(bars) == page.BARS
    assert bars["d_prime"].abs().is_monotonic_decreasing
    for row in bars.itertuples():
        assert row.toward == ("dog" if row.mean_one > row.mean_other else "cat")


def test_the_classes_of_other_pages_are_the_first_pair(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, classes="truck|dog|cat")
    assert (test.selectbox(key="widget_one").value, test.selectbox(key="widget_other").value) == ("truck", "dog")
    alone = open_page("classes", planted_run, classes="truck", one="dog")
    assert alone.selectbox(key="widget_one").value == "dog"
    assert alone.selectbox(key="widget_other").value != "dog"


def test_a_class_beside_itself_is_said(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, one="dog", other="dog")
    assert "Choose two different classes" in texts(test)


def test_odd_addresses(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, one="<b>", other="../..", near="x", classes="|||", channel="-7")
    assert test.selectbox(key="widget_one").value != test.selectbox(key="widget_other").value


def test_the_channel_selected_is_told_and_linked(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, block="SE_4_1", one="cat", other="dog", channel="6")
    means = means_of(planted_run, "SE_4_1")
    assert f"Channel 6: mean gate {means[0, 6]:.3f} for cat, {means[1, 6]:.3f} for dog." in texts(test)
    links = {each.proto.label: parse_qs(each.proto.query_string) for each in test.get("page_link")}
    assert links["Channel 6 of SE_4_1"]["channel"] == ["6"]
    points = next(table for table in charts(test)["Mean gate of"] if "channel" in table)
    assert points.loc[points["chosen"], "channel"].tolist() == [6]


def test_all_channels_are_in_the_table_the_most_different_first(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, block="SE_4_1", one="cat", other="dog")
    table = test.dataframe[0].value
    gap = means_of(planted_run, "SE_4_1")
    assert len(table) == 16
    expected = dict(enumerate(gap[0] - gap[1]))
    assert table.set_index("channel")["difference"].to_dict() == pytest.approx(expected, abs=1e-5)


def test_the_course_with_depth(open_page: Open, planted_run: Run) -> None:
    test = open_page("classes", planted_run, one="cat", other="truck")
    tables = charts(test)["mean |difference| of"]
    table = next(each for each in tables if "pair" in each)
    own = table[table["pair"] == "cat, truck"].set_index("block")
    assert own.index.tolist() == list(planted_run.blocks)
    for block in planted_run.blocks:
        means = means_of(planted_run, block)
        assert own.loc[block, "difference"] == pytest.approx(np.abs(means[0] - means[3]).mean(), abs=1e-5)
        assert own.loc[block, "distance"] == pytest.approx(1 - np.corrcoef(means[[0, 3]])[0, 1], abs=1e-3)
    assert own["difference"].is_monotonic_increasing  # as planted


def test_without_the_table_it_is_offered_and_pairs_are_shown(open_page: Open, bundled_run: Run) -> None:
    test = open_page("classes", bundled_run, block="SE_5_1")
    assert "**Not computed yet: similarity.**" in texts(test)
    assert "Mean gate of" in charts(test)
    assert "distance (1 −" in charts(test)


def test_of_many_classes_the_nearest_are_listed(open_page: Open, tmp_path: Path) -> None:
    random, number = np.random.default_rng(0), 90
    means = random.uniform(0.2, 0.8, (number, 12))
    labels = np.repeat(np.arange(number), 3)
    gates = np.clip(means[labels] + random.normal(0, 0.02, (len(labels), 12)), 0, 1)
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, labels)
    keep_table(run, "similarity", block="SE_2_1")
    test = open_page("classes", run, near="class7")
    assert "90 classes from top to bottom, 90 classes from left to right, a pixel each" in texts(test)
    [bars] = charts(test)["The 15 classes"]
    apart = 1 - np.corrcoef(np.array([run.gates("SE_2_1")[labels == k].mean(0) for k in range(number)]))[7]
    expected = [f"class{k}" for k in np.argsort(apart) if k != 7][:15]
    assert bars["class"].tolist() == expected
    assert bars["distance"].to_numpy() == pytest.approx(np.sort(np.delete(apart, 7))[:15], abs=1e-3)
    test.selectbox(key="widget_near").set_value("class20").run()
    assert test.query_params["near"] == "class20"


def test_images_of_several_classes_and_odd_names(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    members = random.random((80, 3)) < 0.5
    gates = random.random((80, 6))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, members, classes=["a*b*", "[c](http://d)", '"]+alert(1)//'])
    keep_table(run, "similarity", block="SE_2_1")
    test = open_page("classes", run, one="a*b*", other='"]+alert(1)//', channel="2")
    assert r"for a\*b\*" in texts(test)
    points = next(table for table in charts(test)["Mean gate of"] if "channel" in table).set_index("channel")
    assert points["mean_one"][2] == pytest.approx(gates[members[:, 0], 2].mean(), abs=2e-5)
    trees = [chart for chart in test.get("vega_lite_chart") if chart.proto.alt.startswith("Tree")]
    label = json.loads(trees[0].proto.spec)["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert sorted(json.loads(label.removesuffix("[datum.value]"))) == sorted(run.classes.names)


def test_no_gates_kept_failed_images_and_classes_without_images(open_page: Open, tmp_path: Path) -> None:
    gates, labels = np.random.default_rng(0).random((60, 6)), np.repeat(np.arange(3), 20)
    run = make_run(
        tmp_path / "run",
        {"SE_2_1": gates},
        labels,
        kept=np.zeros(60, bool),
        failed=[0, 25],
        classes=["a", "b", "c", "none"],
        trained=False,
    )
    keep_table(run, "similarity", block="SE_2_1")
    test = open_page("classes", run, one="a", other="none")
    assert "none" not in test.selectbox(key="widget_one").options
    assert test.selectbox(key="widget_other").value != "none"
    assert len(charts(test)["Distances between the"][0]) == 9
    course = next(table for table in charts(test)["distance (1 −"] if "pair" in table)
    assert set(course["pair"]) == {f"a, {test.selectbox(key='widget_other').value}", "median pair of 3 classes"}


def test_fewer_than_two_classes(open_page: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).random((9, 4))}, np.zeros(9, np.int64))
    assert "there is nothing to compare" in texts(open_page("classes", run))


def test_gates_that_are_all_the_same(open_page: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((20, 4), 0.5)}, np.arange(20) % 2)
    keep_table(run, "similarity", block="SE_2_1")
    test = open_page("classes", run)
    assert "have no direction" in texts(test)
    assert "d′) are not known" in texts(test)
    assert "there is no correlation" in texts(test)


def test_a_class_of_one_image_is_compared_by_means(open_page: Open, tmp_path: Path) -> None:
    gates = np.random.default_rng(0).random((3, 5))
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.array([0, 1, 2]))
    test = open_page("classes", run, one="class0", other="class1")
    [bars] = charts(test)["The channels of"]
    order = np.argsort(-np.abs(gates[0] - gates[1]))
    assert bars["channel"].tolist() == order.tolist()


def test_a_click_selects_what_was_clicked(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", state)
    changed = page.on_click("points", "channel", lambda channel: selection.select(channel=int(channel)))
    state["points"] = {"selection": {"channel": [{"channel": 4}]}}
    changed()
    assert selection.value("channel") == "4"
    state["points"] = {"selection": {"channel": []}}
    changed()
    assert selection.value("channel") == "4"
