"""What commands share: errors become one line and an exit code, progress goes to stderr."""

import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import typer

from seviz.errors import SevizError, SevizWarning
from seviz.texts import command_line, visible

SHOWN = {"traceback": False}
"""Whether errors are shown with all that led to them, as --traceback asks for."""


@contextmanager
def reported() -> Iterator[None]:
    """Errors of seviz are told in one line on stderr: exit code 2 for wrong use, 1 for failed work.

    Warnings of seviz are notes there, a line each.
    """
    try:
        with warnings_as_notes():
            yield
    except SevizError as error:
        if SHOWN["traceback"]:
            traceback.print_exception(error)
        say(f"error: {error}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        say(f"interrupted; what is done is kept. To continue: {command_line(['seviz', *sys.argv[1:]])}")
        raise typer.Exit(130) from error


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """What seviz warns of is told as a line on stderr, without the place in its code."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, SevizWarning):
                say(f"note: {message}")
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", SevizWarning)
        warnings.showwarning = tell
        yield


def say(message: str) -> None:
    """A message for a person, on stderr: one line, in which what a terminal would obey is written out."""
    typer.echo(visible(message), err=True)


def put(result: object) -> None:
    """A line of what was asked for, on stdout, for a person; what is exact goes out by `--json` and `--csv`."""
    typer.echo(visible(str(result)))


def encode_all(*streams: TextIO) -> None:
    """Write a character that the encoding of a stream lacks as its escape, where it would be an error."""
    for stream in streams:
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def progress(label: str, unit: str = "images") -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr with images (or another unit), so many a second, and the time left; gives what to call each step.

    With SEVIZ_PROGRESS=json in the environment, lines of JSON instead, for a program that watches.
    """
    if os.environ.get("SEVIZ_PROGRESS") == "json":
        yield _lines(label)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: "object") -> Text:
            speed = getattr(task, "finished_speed", None) or getattr(task, "speed", None)
            return Text(f"{speed:.0f} {unit}/s" if speed else "", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(visible(label), total=None)

    def step(done: int, total: int | None) -> None:
        bar.start()  # not before there is something to show: an error comes first, and alone
        bar.update(task, completed=done, total=total)

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


def _lines(label: str) -> Callable[[int, int | None], None]:
    """Tells the steps as lines of JSON on stderr, at most ten a second, and the last."""
    told = 0.0

    def step(done: int, total: int | None) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > 0.1:
            told = time.monotonic()
            typer.echo(json.dumps({"progress": label, "done": done, "total": total}), err=True)

    return step
