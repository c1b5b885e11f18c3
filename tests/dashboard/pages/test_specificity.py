"""Specificity by depth: the profile of one run and of two, and the list of channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st

from seviz.dashboard.pages.specificity import COLUMNS, listed_channels, take_row
from seviz.dashboard.plots.charts import take_block
from seviz.run.store import Run
from seviz.tables.kept import analyse, kept_table
from tests.dashboard.drawing import Open
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two blocks of other names, whose gates do not know the class."""
    random = np.random.default_rng(5)
    gates = {block: random.uniform(0.3, 0.7, (40, 6)) for block in ("SE_2_1", "SE_9_1")}
    run = make_run(tmp_path_factory.mktemp("runs") / "second", gates, np.arange(40) % 4, trained=False)
    list(analyse(run, only=["specificity", "specificity_by_channel"]))
    return run


def drawn(test: Any, column: str, number: int = 0) -> pd.DataFrame:
    """The first table with that column that a chart of the page has."""
    chart = test.get("vega_lite_chart")[number]
    tables = [pa.ipc.open_stream(each.data.data).read_pandas() for each in chart.proto.datasets]
    return next(table for table in tables if column in table)


def said(test: Any) -> str:
    return " ".join(each.value for each in (*test.info, *test.warning, *test.markdown, *test.caption))


def test_the_profile_has_the_values_of_the_table(open_page: Open, planted_run: Run) -> None:
    test = open_page("specificity", planted_run)
    expected, found = kept_table(planted_run, "specificity"), drawn(test, "omega_squared")
    for column in ("block", "omega_squared", "low", "high"):
        assert found[column].tolist() == expected[column].tolist()
    assert "interval over images" in said(test)
    assert len(test.get("vega_lite_chart")) == 4  # profile, deviations, decoding, histogram


def test_decoding_is_shown_only_where_it_is_kept_and_not_offered(open_page: Open, second_run: Run) -> None:
    test = open_page("specificity", second_run)
    assert len(test.get("vega_lite_chart")) == 3
    assert not test.button
    assert "untrained" in said(test)


def test_a_second_run_is_drawn_beside_the_first(open_page: Open, planted_run: Run, second_run: Run) -> None:
    test = open_page("specificity", planted_run, second_run, run="planted", against="second")
    found = drawn(test, "omega_squared")
    other = found[found["run"] == "second"]
    expected = kept_table(second_run, "specificity")
    assert other["omega_squared"].tolist() == expected["omega_squared"].tolist()
    np.testing.assert_allclose(other["place"], [0.08, 2.08])  # the last of two blocks stands at the last of three
    assert "Without counterpart in" in said(test)
    assert "stand at their relative depth" in said(test)
    assert test.query_params["against"] == "second"


def test_a_second_run_without_its_table_is_offered_and_the_first_still_drawn(
    open_page: Open, planted_run: Run, bundled_run: Run
) -> None:
    test = open_page("specificity", planted_run, bundled_run, run="planted", against="bundled")
    assert "second run" in said(test)
    assert [button.label for button in test.button] == ["Compute"]
    assert set(drawn(test, "omega_squared")["run"]) == {"planted"}


def test_a_run_without_tables_offers_them_together(open_page: Open, bundled_run: Run) -> None:
    test = open_page("specificity", bundled_run)
    assert "specificity, specificity by channel" in said(test)
    assert [button.label for button in test.button] == ["Compute"]
    assert not test.dataframe


def test_what_is_kept_is_shown_where_another_table_is_missing(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(tmp_path / "half", {"SE_2_1": random.uniform(0, 1, (20, 8))}, np.arange(20) % 2)
    list(analyse(run, only=["specificity_by_channel"]))
    test = open_page("specificity", run)
    assert [button.label for button in test.button] == ["Compute"]
    assert len(test.dataframe[0].value) == 8


def test_the_list_has_the_channels_of_the_selected_block(open_page: Open, planted_run: Run) -> None:
    test = open_page("specificity", planted_run, block="SE_4_1")
    table = kept_table(planted_run, "specificity_by_channel")
    expected = table[table["block"] == "SE_4_1"].sort_values("omega_squared", ascending=False)
    found = test.dataframe[0].value
    assert list(found.columns) == list(COLUMNS.values())
    assert found["channel"].tolist() == expected["channel"].tolist()
    assert found["ω²"].tolist() == expected["omega_squared"].tolist()
    assert drawn(test, "channels", 3)["channels"].sum() == 16


def test_the_list_of_all_blocks_is_filtered_by_omega_squared(open_page: Open, planted_run: Run) -> None:
    test = open_page("specificity", planted_run, of="all", least="60")
    table = kept_table(planted_run, "specificity_by_channel")
    expected = table[table["omega_squared"] >= 0.6]
    found = test.dataframe[0].value
    assert set(zip(found["block"], found["channel"], strict=True)) == set(
        zip(expected["block"], expected["channel"], strict=True)
    )
    assert found["ω²"].is_monotonic_decreasing
    assert f"{len(expected)} of 36 channels" in said(test)
    test.number_input(key="widget_least").set_value(100).run()
    assert not test.exception
    assert test.query_params["least"] == "100"
    assert "No channel has" in said(test)


def test_the_block_of_the_side_is_that_of_the_list(open_page: Open, planted_run: Run) -> None:
    test = open_page("specificity", planted_run, block="SE_4_1")
    test.selectbox(key="widget_block").set_value("SE_2_1").run()
    assert not test.exception
    assert len(test.dataframe[0].value) == 8
    assert "Median ω² of SE" in " ".join(metric.label for metric in test.metric)
    values = kept_table(planted_run, "specificity_by_channel").query("block == 'SE_2_1'")["omega_squared"]
    assert test.metric[0].value == f"{values.median():.3f}"


def test_images_of_several_classes(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(tmp_path / "several", {"SE_2_1": random.uniform(0, 1, (60, 8))}, random.uniform(size=(60, 3)) < 0.5)
    list(analyse(run, only=["specificity", "specificity_by_channel"]))
    test = open_page("specificity", run)
    assert "several classes" in said(test)
    assert test.dataframe[0].value["from"].isna().all()
    assert "on average where classes make no difference" in said(test)


def test_a_run_without_gates_of_images_has_the_interval_over_classes(open_page: Open, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    run = make_run(
        tmp_path / "moments", {"SE_2_1": random.uniform(0, 1, (60, 8))}, np.arange(60) % 3, kept=np.zeros(60, bool)
    )
    list(analyse(run, only=["specificity", "specificity_by_channel"]))
    test = open_page("specificity", run)
    assert "interval over classes" in said(test)
    expected = kept_table(run, "specificity")["low_classes"].tolist()
    assert drawn(test, "omega_squared")["low"].tolist() == expected


def test_gates_that_say_nothing_are_said_to(open_page: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "single", {"SE_2_1": np.full((3, 4), 0.5)}, np.arange(3), failed=[2])
    list(analyse(run, only=["specificity", "specificity_by_channel"]))
    test = open_page("specificity", run)
    assert "No share of variance is known" in said(test)
    assert "Nothing is known of the channels" in said(test)
    assert len(test.dataframe[0].value) == 4


@pytest.mark.parametrize("address", [{"of": "x", "least": "-1"}, {"least": "101"}, {"least": "<b>", "channel": "x"}])
def test_what_the_address_says_that_is_not_there_is_dropped(
    address: dict[str, str], open_page: Open, planted_run: Run
) -> None:
    test = open_page("specificity", planted_run, block="SE_3_1", **address)
    assert len(test.dataframe[0].value) == 12


def test_rows_are_those_of_a_block_or_of_all_the_most_specific_first() -> None:
    table = pd.DataFrame(
        {"block": ["a", "a", "b", "b"], "channel": [0, 1, 0, 1], "omega_squared": [0.2, np.nan, 0.9, 0.5]}
    )
    assert listed_channels(table, block="a", least=0)["channel"].tolist() == [0, 1]
    assert listed_channels(table, block=None, least=0.5)[["block", "channel"]].to_numpy().tolist() == [
        ["b", 0],
        ["b", 1],
    ]
    assert listed_channels(table, block="a", least=0.3).empty


def test_a_click_selects_the_block_and_a_row_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[dict[str, Any]] = []
    for module in ("pages.specificity", "plots.charts"):
        monkeypatch.setattr(f"seviz.dashboard.{module}.select", lambda **changes: chosen.append(changes))
    state = {
        "profile": {"selection": {"block": [{"block": "SE_3_1"}]}},
        "other": {"selection": {"block": [{"block": "SE_9_1"}]}},
        "list": {"selection": {"rows": [1], "columns": []}},
        "none": {"selection": {"rows": [], "columns": []}},
    }
    monkeypatch.setattr(st, "session_state", state)
    rows = pd.DataFrame({"block": ["SE_2_1", "SE_4_1"], "channel": [3, 11]})
    take_block("other", ("SE_2_1", "SE_3_1"))
    take_row("none", rows)
    take_row("missing", rows)
    assert chosen == []
    take_block("profile", ("SE_2_1", "SE_3_1"))
    take_row("list", rows)
    assert chosen == [{"block": "SE_3_1", "channel": None}, {"block": "SE_4_1", "channel": 11}]
