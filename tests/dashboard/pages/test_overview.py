"""Overview: what the run is, and its blocks coloured by a measure."""

import json
from typing import Any

import pytest

from seviz.run.store import Run
from tests.dashboard.drawing import Open


def drawn(test: Any) -> dict[str, Any]:
    """The specification of the page's chart, as the browser gets it."""
    chart = test.get("vega_lite_chart")[0].proto
    return json.loads(chart.spec)


def test_it_tells_the_run_in_figures(open_page: Open, planted_run: Run) -> None:
    test = open_page("overview", planted_run)
    figures = {metric.label: metric.value for metric in test.metric}
    assert figures == {
        "Images": "200",
        "Classes": "4",
        "SE blocks": "3",
        "Top-1": "100.0%",
        "Top-5": "not known",
    }
    assert test.metric[0].delta == "0 failed"
    assert test.title[0].value == "Overview"


@pytest.mark.parametrize("measure", ["specificity", "saturation", "gate"])
def test_blocks_are_coloured_by_a_measure(measure: str, open_page: Open, planted_run: Run) -> None:
    test = open_page("overview", planted_run, measure=measure)
    assert "layer" in drawn(test)
    assert test.query_params["measure"] == measure


def test_the_address_has_run_and_block_and_brings_them_back(
    open_page: Open, planted_run: Run, bundled_run: Run
) -> None:
    test = open_page("overview", planted_run, bundled_run, run="bundled", block="SE_5_1")
    assert test.query_params["run"] == "bundled"
    assert test.query_params["block"] == "SE_5_1"
    assert {box.label: box.value for box in test.selectbox}["SE block"] == "SE_5_1"


def test_what_the_address_says_that_is_not_there_is_dropped(open_page: Open, planted_run: Run) -> None:
    test = open_page("overview", planted_run, run="../../etc", block="<script>", measure="x")
    assert test.query_params["run"] == planted_run.path.name
    assert test.query_params["block"] in planted_run.blocks


def test_a_run_without_tables_offers_to_compute_them(open_page: Open, bundled_run: Run) -> None:
    test = open_page("overview", bundled_run)
    assert any("Not computed yet" in text.value for text in test.markdown)
    assert [button.label for button in test.button] == ["Compute"]
