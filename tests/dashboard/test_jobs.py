"""Jobs: processes that tell how far they are, can be cancelled with all they have started, and end with the server."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seviz.dashboard.jobs import Job, Jobs
from seviz.errors import OptionError
from seviz.run.store import Run

RUN = Path("run")


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(tmp_path / "jobs", limit=2)
    yield jobs
    jobs.end()


def wait(until: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_is_run_and_its_output_kept(work: Jobs, planted_run: Run) -> None:
    job = work.start("Blocks", ["specificity", str(planted_run.path), "--json"], run=planted_run.path)
    wait(lambda: job.state != "running")
    assert job.state == "done"
    assert [row["block"] for row in json.loads(job.output)] == ["SE_2_1", "SE_3_1", "SE_4_1"]
    assert job.shown == f"seviz specificity {planted_run.path} --json"
    assert 0 < job.seconds < 60


def test_a_package_that_lies_where_we_are_is_not_run(
    work: Jobs, planted_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seviz").mkdir()
    (tmp_path / "seviz" / "__main__.py").write_text("print('not this')")
    monkeypatch.chdir(tmp_path)
    job = work.start("Version", ["--version"], run=planted_run.path)
    wait(lambda: job.state != "running")
    assert job.output.startswith("seviz 0.")


def test_a_command_that_fails_says_why_in_any_script(
    work: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # as consoles of Windows are, which have no omega
    job = work.start("Nothing", ["specificity", str(tmp_path / "nowhere \u03c9")], run=tmp_path)
    wait(lambda: job.state != "running")
    assert job.state == "failed"
    assert "no run in" in job.messages[-1]
    assert "nowhere \u03c9" in job.messages[-1]


@pytest.mark.usefixtures("endless")
def test_progress_is_read_and_cancelling_ends_all_that_was_started(work: Jobs) -> None:
    job = work.start("Work", [], run=RUN)
    wait(lambda: job.progress is not None and job.output.strip())
    assert job.progress is not None
    assert (job.progress.label, job.progress.share) == ("half", 0.5)
    assert job.messages == ["begun"]
    child = int(job.output)
    assert alive(child)
    job.cancel()
    assert job.state == "cancelled"
    wait(lambda: not alive(child) and not alive(job.process.pid))
    job.cancel()  # again does nothing


@pytest.mark.usefixtures("endless")
def test_no_more_run_at_once_than_may(work: Jobs) -> None:
    first = work.start("Work", [], run=RUN, about={"kind": "a"})
    second = work.start("Work", [], run=RUN, about={"kind": "b"})
    with pytest.raises(OptionError, match="2 jobs are running, as many as may at once"):
        work.start("Work", [], run=RUN)
    assert work.of(RUN) == [second, first]
    assert work.of(RUN, "a") == [first]
    assert work.of(Path("other")) == []
    first.cancel()
    third = work.start("Work", [], run=RUN)
    assert work.running == [second, third]


@pytest.mark.usefixtures("endless")
def test_all_end_with_the_server(work: Jobs) -> None:
    jobs = [work.start("Work", [], run=RUN) for _ in range(2)]
    work.end()
    assert [job.process.poll() is not None for job in jobs] == [True, True]
    assert not work.directory.exists()


@pytest.mark.usefixtures("endless")
def test_old_jobs_are_forgotten(work: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seviz.dashboard.jobs.KEPT", 1)
    ended: list[Job] = []
    for _ in range(3):
        job = work.start("Work", [], run=RUN)
        job.cancel()
        ended.append(job)
    last = work.start("Work", [], run=RUN)
    assert work.of(RUN) == [last, ended[-1]]
    assert sorted(os.listdir(work.directory)) == [ended[-1].directory.name, last.directory.name]
