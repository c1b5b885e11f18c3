"""The `seviz` command: parse, call, print."""

import sys
from typing import Annotated

import typer

from seviz.cli import (
    blocks,
    capture,
    check,
    complexity,
    curve,
    dashboard,
    demo,
    figures,
    fold,
    intervene,
    prune,
    report,
    reporting,
    runs,
    scan,
    tables,
    zoo,
)
from seviz.cli.reporting import encode_all
from seviz.run.system import heed_breaks

app = typer.Typer(
    name="seviz",
    help="See what the Squeeze-and-Excitation blocks of a network do, class by class and block by block.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("dashboard")(dashboard.dashboard)
app.command("blocks")(blocks.blocks)
app.command("check")(check.check)
app.command("zoo")(zoo.zoo)
app.command("complexity")(complexity.complexity)
app.command("scan")(scan.scan)
app.command("capture")(capture.capture)
app.command("figures")(figures.figures)
app.command("report")(report.report)
app.command("intervene")(intervene.intervene)
app.command("attribute")(intervene.attribute)
app.command("verify")(runs.verify)
app.command("upgrade")(runs.upgrade)
app.command("merge")(runs.merge)
app.command("analyse")(tables.analyse)
app.command("curve", rich_help_panel="Smaller networks")(curve.curve)
app.command("fold", rich_help_panel="Smaller networks")(fold.fold)
app.command("prune", rich_help_panel="Smaller networks")(prune.prune)
for table in (
    tables.specificity,
    tables.selectivity,
    tables.decoding,
    tables.channels,
    tables.similarity,
    tables.agreement,
    tables.confusion,
    tables.cka,
    tables.saturation,
    tables.redundancy,
    tables.convergence,
    tables.components,
    tables.compare,
):
    app.command(rich_help_panel="Tables of a run")(table)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"seviz {metadata.version('seviz')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show with an error all that led to it.")] = False,
) -> None:
    """See what the Squeeze-and-Excitation blocks of a network do, class by class and block by block."""
    reporting.SHOWN["traceback"] = traceback


def main() -> None:
    """Run the command line."""
    encode_all(sys.stdout, sys.stderr)
    heed_breaks()
    app()
