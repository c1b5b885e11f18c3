"""How far work is: as bars on stderr, or to a program or function that watches."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from seviz.texts import visible

Progress = Callable[[int, int | None], None]
"""Called with what is done, and of how much, if known."""
Steps = Callable[[str], AbstractContextManager[Progress]]
"""Called with the name of each step of the work; gives a context in which progress is told."""


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} {self._unit}/s" if speed else "", style="progress.data.speed")


@contextmanager
def bar(label: str, unit: str = "images") -> Iterator[Progress]:
    """A bar on stderr with images (or another unit), so many a second, and the time left; gives what to call each step.

    With SEVIZ_PROGRESS=json in the environment, lines of JSON instead, for a program that watches.
    """
    if os.environ.get("SEVIZ_PROGRESS") == "json":
        yield _lines(label)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(unit),
        TimeRemainingColumn(),
    )
    shown = Bar(*columns, console=Console(stderr=True))
    task = shown.add_task(visible(label), total=None)

    def step(done: int, total: int | None) -> None:
        shown.start()  # not before there is something to show: an error comes first, and alone
        shown.update(task, completed=done, total=total)

    try:
        yield step
    finally:
        if shown.live.is_started:
            shown.stop()


def step_of(progress: bool | Progress, label: str) -> AbstractContextManager[Progress]:
    """What is called at each step of one piece of work: a bar (True), nothing (False), or what was given."""
    return nullcontext(progress) if callable(progress) else steps_of(progress)(label)


def steps_of(progress: bool | Steps) -> Steps:
    """What tells the progress of each step: a bar (True), nothing (False), or what was given."""
    if isinstance(progress, bool):
        return bar if progress else _silent
    return progress


@contextmanager
def _silent(_: str) -> Iterator[Progress]:
    yield lambda done, total: None


def _lines(label: str) -> Progress:
    """Tells the steps as lines of JSON on stderr, at most ten a second, and the last."""
    told = 0.0

    def step(done: int, total: int | None) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > 0.1:
            told = time.monotonic()
            sys.stderr.write(json.dumps({"progress": label, "done": done, "total": total}) + "\n")
            sys.stderr.flush()

    return step
