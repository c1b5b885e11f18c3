"""`seviz report`: one HTML page from a run."""

from pathlib import Path
from typing import Annotated

import typer

from seviz.cli.reporting import put, reported, say


@reported
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run's directory")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the file")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="of the page; by default network and data")] = None,
) -> None:
    """Write a page that shows the run: one file, without network access, to read, print or send."""
    import seviz
    from seviz.report.page import write_report

    put(write_report(seviz.open_run(run), out, title=title, tell=say))
