"""Export: figures, tables and the report as files."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from seviz.dashboard.jobs import Job, jobs
from seviz.dashboard.pages.export import described
from seviz.figures.album import figures
from seviz.registry import TABLES
from seviz.run.store import Run, open_run
from seviz.tables.kept import kept_table, table_path, tables_of_run
from tests.dashboard.drawing import Open
from tests.made_runs import make_run


def labels(test: AppTest) -> list[str]:
    """What can be downloaded."""
    return [button.label for button in test.get("download_button")]


@pytest.fixture
def run(planted_run: Run, tmp_path: Path) -> Run:
    """A copy of its own, so that what is written to it is of one test."""
    shutil.copytree(planted_run.path, tmp_path / "planted")
    return open_run(tmp_path / "planted")


def test_every_table_says_what_it_is() -> None:
    for name in TABLES:
        assert described(name).endswith(".")


@pytest.mark.parametrize("figure", [name for name in figures() if name not in ("gallery", "comparison")])
def test_each_figure_is_shown_and_can_be_saved(figure: str, open_page: Open, planted_run: Run) -> None:
    test = open_page("export", planted_run, figure=figure, formats="svg|pdf")
    assert test.query_params["figure"] == figure
    assert labels(test)[:3] == ["PDF", "SVG", "Data (CSV)"]
    assert len(test.get("image")) == 1


def test_figures_of_images_are_drawn_from_the_images(open_page: Open, bundled_run: Run) -> None:
    test = open_page("export", bundled_run, figure="gallery", block="SE_5_1")
    assert labels(test) == ["PNG", "PDF", "Data (CSV)"]
    assert test.multiselect(key="widget_blocks").value == ["SE_5_1"]


def test_a_comparison_takes_a_second_run(open_page: Open, planted_run: Run, moments_only: Run) -> None:
    test = open_page("export", planted_run, moments_only, run="planted", figure="comparison")
    assert any("second run" in info.value for info in test.info)
    test.selectbox(key="widget_against").set_value("moments").run()
    assert labels(test)[:3] == ["PNG", "PDF", "Data (CSV)"]
    assert any("--against" in code.value for code in test.code)


def test_choices_change_the_figure_and_the_address(open_page: Open, planted_run: Run) -> None:
    test = open_page("export", planted_run)
    test.multiselect(key="widget_formats").set_value(["svg"]).run()
    test.selectbox(key="widget_figure").set_value("heatmap").run()
    test.multiselect(key="widget_blocks").set_value(["SE_4_1", "SE_2_1"]).run()
    assert test.query_params["figure"] == "heatmap"
    assert test.query_params["blocks"] == "SE_4_1|SE_2_1"
    assert labels(test)[:4] == ["SVG", "Data (CSV)", "SVG", "Data (CSV)"]
    again = open_page("export", planted_run, figure="heatmap", blocks="SE_4_1|SE_2_1", formats="svg", width="column")
    assert labels(again)[:4] == ["SVG", "Data (CSV)", "SVG", "Data (CSV)"]
    assert any("--format svg --width column" in code.value for code in again.code)


def test_odd_addresses_are_dropped(open_page: Open, planted_run: Run) -> None:
    odd = {"figure": "../x", "formats": "exe", "width": "mile", "blocks": "SE_9_9", "table": "passwords"}
    test = open_page("export", planted_run, **odd)
    assert labels(test)[:3] == ["PNG", "PDF", "Data (CSV)"]
    assert test.selectbox(key="widget_figure").value == "excitation"
    assert test.selectbox(key="widget_table").value == "agreement"  # the first by name


def test_more_than_a_figure_has_room_for(open_page: Open, tmp_path: Path) -> None:
    classes = [f"class {k}" for k in range(12)]
    gates = {f"SE_2_{k}": np.random.default_rng(k).uniform(size=(24, 4)) for k in range(1, 9)}
    run = make_run(tmp_path / "many", gates, np.arange(24) % 12, classes=classes)
    test = open_page("export", run, classes="|".join(classes), blocks="|".join(gates))
    said = [caption.value for caption in test.caption]
    assert any("first 10 of 12 classes" in each for each in said)
    assert any("first 6 of 8 SE blocks" in each for each in said)


def test_a_missing_table_is_offered(open_page: Open, bundled_run: Run) -> None:
    test = open_page("export", bundled_run, figure="depth")
    assert any("Not computed yet: specificity, saturation, decoding" in text.value for text in test.markdown)
    assert [button.label for button in test.button] == [
        "Compute",
        "Draw all",
        "Write the report",
        "Compute what is missing",
    ]
    tables = sum(len(bundled_run.blocks) if table.of_block else 1 for table in tables_of_run().values())
    assert any(f"keeps 0 of {tables} tables" in text.value for text in test.markdown)


def test_a_run_without_gates_says_what_it_cannot_show(open_page: Open, moments_only: Run) -> None:
    for figure in ("distribution", "embedding", "gallery"):
        test = open_page("export", moments_only, figure=figure)
        assert any("It cannot be drawn" in info.value for info in test.info)
    assert labels(open_page("export", moments_only, figure="excitation"))[:1] == ["PNG"]


def test_a_large_run_is_drawn_when_asked(open_page: Open, planted_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seviz.dashboard.pages.export.AT_ONCE", (100, 100))
    test = open_page("export", planted_run)
    assert not test.get("image")
    test.button(key="draw_figure").click().run()
    assert len(test.get("image")) == 1
    test.selectbox(key="widget_figure").set_value("depth").run()
    assert not test.get("image")


def test_tables_are_shown_and_can_be_saved(open_page: Open, planted_run: Run) -> None:
    test = open_page("export", planted_run, table="similarity", block="SE_4_1")
    expected = kept_table(planted_run, "similarity", block="SE_4_1")
    np.testing.assert_allclose(test.dataframe[0].value.to_numpy(), expected.to_numpy())
    assert labels(test)[-2:] == ["This table (CSV)", "All of them (zip)"]
    test.selectbox(key="widget_table").set_value("confusion").run()
    assert test.query_params["table"] == "confusion"


def test_a_table_of_another_block_is_not_taken_for_it(open_page: Open, run: Run) -> None:
    table_path(run, "similarity", block="SE_4_1").unlink()
    test = open_page("export", run, table="similarity", block="SE_4_1")
    assert any("It is not kept of" in info.value for info in test.info)
    assert [button.label for button in test.button][-1] == "Compute what is missing"


@pytest.mark.parametrize(("key", "command"), [("start_figures", "figures"), ("start_report", "report")])
def test_all_figures_and_the_report_are_jobs(
    key: str, command: str, open_page: Open, run: Run, finish: Callable[[Job], None]
) -> None:
    test = open_page("export", run, figure="saturation", formats="png")
    test.button(key=key).click().run()
    (job,) = jobs().of(run.path, command)
    assert any(button.label == "Cancel" for button in test.button)
    finish(job)
    assert job.state == "done", job.messages
    test.run()
    assert job.result is not None
    if command == "figures":
        assert shlex.join(job.command).endswith("--format png")
        names = sorted(file.name for file in job.result.iterdir())
        assert f"All figures (zip, {len(names)} files)" in labels(test)
        assert {"depth.png", "depth.csv"} <= set(names)
        assert any("comparison is left out" in caption.value.replace("\\", "") for caption in test.caption)
    else:
        assert "Report (HTML)" in labels(test)
        assert job.result.read_text().startswith("<!DOCTYPE html>")
    test.button(key=key).click().run()
    assert not job.result.exists()  # the next one takes its place
    jobs().of(run.path, command)[0].cancel()


def test_missing_tables_are_computed_as_a_job(open_page: Open, run: Run) -> None:
    path = table_path(run, "saturation")
    path.unlink()
    test = open_page("export", run)
    test.button(key="compute_all").click().run()
    (job,) = jobs().of(run.path, "analyse")
    job.process.wait(120)
    test.run()
    assert path.is_file()
    assert "compute_all" not in [button.key for button in test.button]
