"""Join runs of one network on disjoint data to one run."""

from pathlib import Path
from typing import Annotated

import typer

from seviz.cli.commands.capture import tell
from seviz.cli.reporting import say
from seviz.run.joining import merge


def command(
    runs: Annotated[list[Path], typer.Argument(help="directories of runs of one network on disjoint data")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the joined run's directory")],
) -> None:
    tell(merge(runs, out))
    say(f"figures: seviz figures {out} -o {out / 'figures'}")
