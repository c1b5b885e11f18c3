"""The frame around the pages: the demo run is made where none is given, and what cannot be opened is told."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from seviz.dashboard.jobs import Jobs, jobs
from seviz.dashboard.opening import DEMO
from seviz.run.store import Run
from tests.dashboard.drawing import Open
from tests.made_runs import make_run
from tests.run.hostile_files import CASES


@pytest.fixture
def nowhere(endless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """A folder without runs, where `seviz` is a command that does not end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEVIZ_RUNS", raising=False)
    jobs.clear()
    made = jobs()
    yield made
    made.end()
    jobs.clear()


def test_without_a_run_the_demo_run_is_made_once(open_page: Open, nowhere: Jobs) -> None:
    test = open_page("overview")
    assert any("The demo run is being made" in text.value for text in test.markdown)
    (job,) = nowhere.running
    assert job.command == ("seviz", "demo", "-o", str(DEMO))
    test.run()
    open_page("overview")
    assert nowhere.running == [job]


def test_making_it_can_be_cancelled_and_begun_again(open_page: Open, nowhere: Jobs) -> None:
    test = open_page("overview")
    (first,) = nowhere.running
    first.cancel()
    test.run()
    assert nowhere.running == []
    test.button[0].click().run()
    assert len(nowhere.running) == 1
    assert nowhere.running != [first]


def test_while_its_tables_are_computed_it_is_not_shown(open_page: Open, nowhere: Jobs) -> None:
    open_page("overview")
    DEMO.mkdir(parents=True)
    (DEMO / "samples.parquet").touch()
    test = open_page("overview")
    assert any("The demo run is being made" in text.value for text in test.markdown)
    assert not test.error


def test_one_that_was_taken_away_is_made_anew(open_page: Open, nowhere: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    first = nowhere.start("Making the demo run", ["demo"], run=DEMO, about={"kind": "demo"})
    monkeypatch.setattr(type(first), "state", property(lambda job: "done" if job is first else "running"))
    test = open_page("overview")
    assert not test.exception
    assert len(nowhere.of(DEMO, "demo")) == 2


def test_a_folder_without_a_run_is_told(open_page: Open, tmp_path: Path) -> None:
    test = open_page("overview", tmp_path)
    assert "no run in" in test.error[0].value.replace("\\", "")


def test_a_run_that_was_not_finished_is_told_and_others_can_be_chosen(
    open_page: Open, planted_run: Run, tmp_path: Path
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "manifest.json").write_bytes((planted_run.path / "manifest.json").read_bytes())
    test = open_page("overview", tmp_path / "half", planted_run)
    assert "has not finished" in test.error[0].value.replace("\\", "")
    test.selectbox(key="widget_run").set_value("planted").run()
    assert not test.error
    assert test.title[0].value == "Overview"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("json_bomb", "nested 200,000 levels deep"),
        ("block_escapes", "expected SE_stage_block"),
        ("schema_2", "seviz upgrade"),
        ("parquet_top_fifo", "expected a regular file"),
    ],
)
def test_a_run_that_is_not_to_be_believed_is_told(
    name: str, told: str, open_page: Open, planted_run: Run, tmp_path: Path
) -> None:
    gates = {block: np.linspace(0.1, 0.9, 48).reshape(12, 4) for block in ("SE_2_1", "SE_3_1", "SE_3_3")}
    CASES[name].change(make_run(tmp_path / "bad", gates, np.arange(12) % 2).path, True)
    test = open_page("overview", tmp_path / "bad", planted_run)
    assert not test.exception
    (error,) = test.error
    assert told in error.value.replace("\\", "")
    assert error.value.isprintable()


def test_it_opens_without_torch() -> None:
    """Which takes seconds to import, and which only the page of one image needs."""
    code = "import sys, seviz.dashboard.app, seviz.dashboard.thumbnails; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
