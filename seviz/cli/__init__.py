"""The `seviz` command: parse, call, print."""

import sys
from typing import Annotated

import typer

import seviz
from seviz.cli import reporting
from seviz.cli.index import Lazy
from seviz.run.system import heed_breaks

app = typer.Typer(
    name="seviz",
    cls=Lazy,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seviz {seviz.__version__}")
        raise typer.Exit


@app.callback()
def _globally(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show with an error all that led to it.")] = False,
) -> None:
    """See what the Squeeze-and-Excitation blocks of a network do, class by class and block by block."""
    reporting.SHOWN["traceback"] = traceback


def main() -> None:
    """Run the command line."""
    reporting.encode_all(sys.stdout, sys.stderr)
    heed_breaks()
    app()
