"""Write a page that shows the run: one file, without network access, to read, print or send."""

from pathlib import Path
from typing import Annotated

import typer

import seviz
from seviz.cli import options
from seviz.cli.reporting import put, say
from seviz.report.page import report


def command(
    run: options.RunPath,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="the file; report.html by default")] = None,
    title: Annotated[str | None, typer.Option(help="of the page; by default network and data")] = None,
) -> None:
    put(report(seviz.open_run(run), out, title=title, tell=say))
