"""Work that takes longer than a page may: commands of `seviz` in processes of their own.

A job is a subprocess, never a thread: it blocks no page, and to cancel it is to end all that it started. What it says
of its progress is read from its stderr, which it writes to a file. Jobs are of one server; at most `LIMIT` run at once.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from seviz.errors import OptionError
from seviz.run import system
from seviz.texts import command_line

LIMIT = 2
"""Jobs that run at once."""
KEPT = 50
"""Jobs that are remembered after they have ended."""
PATIENCE = 5.0
"""Seconds from the request to end to the end by force."""

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Progress:
    """How far a job is: what it does, and how much of it, in [0, 1]; None where that is not known."""

    label: str
    share: float | None


@dataclass
class Job:
    """A command under way, or ended.

    Attributes
    ----------
    number
        Of the job, from 1.
    title
        For a person.
    command
        What runs, without the interpreter: "seviz", "fold", ...
    run
        The path of the run that it is of.
    directory
        Where its output goes: `stdout`, `stderr`.
    result
        Where the command writes what it makes, if anywhere.
    about
        What a page wants to know again of its own job.
    """

    number: int
    title: str
    command: tuple[str, ...]
    run: Path
    directory: Path
    process: subprocess.Popen[bytes]
    result: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    cancelled: bool = False
    ended: float | None = None

    @property
    def state(self) -> State:
        """Where it stands."""
        code = self.process.poll()
        if code is None:
            return "running"
        self.ended = self.ended or time.time()
        if self.cancelled:
            return "cancelled"
        return "done" if code == 0 else "failed"

    @property
    def seconds(self) -> float:
        """How long it has run, or ran until it was seen to have ended."""
        last = time.time() if self.state == "running" or self.ended is None else self.ended
        return last - self.started

    @property
    def output(self) -> str:
        """What it printed, with --json JSON."""
        return (self.directory / "stdout").read_text(encoding="utf-8", errors="replace")

    @property
    def messages(self) -> list[str]:
        """What it said, line by line, without progress."""
        return [line for line in self._said() if line.strip() and _progress(line) is None]

    @property
    def progress(self) -> Progress | None:
        """The last that it told of its progress."""
        for line in reversed(self._said()):
            told = _progress(line)
            if told is not None:
                return told
        return None

    @property
    def shown(self) -> str:
        """The command as one would type it."""
        return command_line(self.command)

    def cancel(self) -> None:
        """End it, and whatever it started; returns when it has ended."""
        if self.process.poll() is not None:
            return
        self.cancelled = True
        system.end(self.process, PATIENCE)

    def _said(self) -> list[str]:
        text = (self.directory / "stderr").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()


class Jobs:
    """The jobs of one server.

    Parameters
    ----------
    directory
        For their output.
    limit
        How many run at once.
    """

    def __init__(self, directory: Path, limit: int = LIMIT) -> None:
        self.directory, self.limit = directory, limit
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._number = 0

    @property
    def running(self) -> list[Job]:
        """Those under way."""
        return [job for job in self._jobs if job.state == "running"]

    def of(self, run: Path, kind: str | None = None) -> list[Job]:
        """Those of a run, the newest first; only of one kind, which is `about["kind"]`, if given."""
        jobs = [job for job in reversed(self._jobs) if job.run == run]
        return jobs if kind is None else [job for job in jobs if job.about.get("kind") == kind]

    def start(
        self,
        title: str,
        arguments: Sequence[str],
        *,
        run: Path,
        result: Path | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Job:
        """Start `seviz ARGUMENTS`.

        Raises
        ------
        OptionError
            If as many jobs run as may.
        """
        with self._lock:
            if len(self.running) >= self.limit:
                raise OptionError(
                    f"{self.limit} jobs are running, as many as may at once: wait for one to end, or cancel one"
                )
            self._number += 1
            place = self.directory / f"{self._number:04d}"
            place.mkdir(parents=True)
            environment = os.environ | {
                "SEVIZ_PROGRESS": "json",
                "PYTHONUNBUFFERED": "1",
                "PYTHONIOENCODING": "utf-8",  # as it is read
            }
            with (place / "stdout").open("wb") as out, (place / "stderr").open("wb") as err:
                process = system.start_apart(
                    [sys.executable, "-P", "-m", "seviz", *arguments],  # -P: not a seviz that lies where we are
                    out=out,
                    err=err,
                    environment=environment,
                )
            job = Job(self._number, title, ("seviz", *arguments), run, place, process, result, dict(about or {}))
            self._jobs.append(job)
            for old in [each for each in self._jobs if each.state != "running"][:-KEPT]:
                self._jobs.remove(old)
                shutil.rmtree(old.directory, ignore_errors=True)
            return job

    def end(self) -> None:
        """End all that run, and take their output away."""
        for job in self.running:
            job.cancel()
        shutil.rmtree(self.directory, ignore_errors=True)


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The jobs of this server; they end with it."""
    made = Jobs(Path(tempfile.mkdtemp(prefix="seviz-jobs-")))
    atexit.register(made.end)
    return made


def _progress(line: str) -> Progress | None:
    """A line of `SEVIZ_PROGRESS=json`; None if it is another."""
    if not line.startswith('{"progress"'):
        return None
    try:
        told = json.loads(line)
    except ValueError:  # not written whole yet
        return Progress("", None)
    done, total = told["done"], told["total"]
    return Progress(str(told["progress"]), min(done / total, 1.0) if total else None)
