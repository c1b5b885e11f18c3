"""Capture the bundled network on the bundled images, draw its figures and write its report. Works offline."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

import seviz
from seviz.cli.commands.capture import record, tell
from seviz.cli.commands.figures import draw
from seviz.cli.reporting import put, say
from seviz.dashboard.opening import DEMO
from seviz.progress import bar as progress
from seviz.report.page import report
from seviz.tables.kept import analyse, tables_of_run
from seviz.tables.specificity import specificity
from seviz.texts import command_line


def command(
    out: Annotated[Path, typer.Option("-o", "--out", help="the run's directory")] = Path("runs/demo"),
) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    run = record(network, "bundled", out=out, signals=["excitation", "squeeze", "response"])
    tell(run)
    table = specificity(run).set_index("block")["omega_squared"]
    shares = ", ".join(f"{table[name]:.2f} at {name}" for name in ("SE_2_3", "SE_3_4", "SE_4_6", "SE_5_3"))
    put(f"share of the gates' variance that lies between classes: {shares}")
    with progress("analyse", unit="tables") as step:  # those that the dashboard shows
        number = sum(len(run.blocks) if each.of_block else 1 for each in tables_of_run().values())
        for done, _ in enumerate(analyse(run), start=1):
            step(done, number)
    put(report(run, out / "report.html", tell=say))
    draw(run, out / "figures", formats=["png", "pdf"])
    say(f"to explore it in the browser: {_dashboard(out)}")


def _dashboard(out: Path) -> str:
    """The command that shows the run, as it can be typed here."""
    program = "seviz" if shutil.which("seviz") else sys.argv[0]
    return command_line([program, "dashboard", *([] if out == DEMO else [str(out)])])
