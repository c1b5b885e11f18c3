"""What commands share: errors become one line and an exit code, progress goes to stderr."""

import sys
import traceback
import warnings
from collections.abc import Iterator
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
