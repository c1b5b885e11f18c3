"""`seviz zoo`: which architectures of timm and torchvision have SE blocks."""

from typing import Annotated

import typer

from seviz.cli.reporting import reported


@reported
def zoo(
    name: Annotated[str, typer.Argument(help="only architectures whose name contains this")] = "",
    everything: Annotated[bool, typer.Option("--all", help="also those without SE blocks")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, as JSON.")] = False,
) -> None:
    """List the architectures of timm and torchvision that have SE blocks, as a survey found them."""
    import csv
    import json
    import sys
    from importlib import resources

    text = (resources.files("seviz.network") / "zoo.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if name in row["model"]]
    if as_json:
        typer.echo(json.dumps([{k: int(v) if v.isdecimal() else v for k, v in row.items()} for row in rows], indent=1))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table("model", "blocks", "channels", "gate", "first", "last", box=None, pad_edge=False)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for row in rows:
        if everything or row["blocks"] not in ("", "0"):
            table.add_row(*(row[key] for key in ("model", "blocks", "channels", "gates", "first", "last")))
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
    found = sum(row["blocks"] not in ("", "0") for row in rows)
    typer.echo(f"{found} of {len(rows)} architectures have SE blocks", err=True)
