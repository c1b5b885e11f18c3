"""List the architectures of timm and torchvision that have SE blocks, as a survey found them."""

import csv
import json
from importlib import resources
from typing import Annotated

import typer

from seviz.cli.printing import print_grid
from seviz.cli.reporting import say


def command(
    name: Annotated[str, typer.Argument(help="only architectures whose name contains this")] = "",
    everything: Annotated[bool, typer.Option("--all", help="also those without SE blocks")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known, as JSON.")] = False,
) -> None:
    text = (resources.files("seviz.network") / "zoo.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if name in row["model"]]
    if as_json:
        typer.echo(json.dumps([{k: int(v) if v.isdecimal() else v for k, v in row.items()} for row in rows], indent=1))
        return

    shown = [
        [row[key] for key in ("model", "blocks", "channels", "gates", "first", "last")]
        for row in rows
        if everything or row["blocks"] not in ("", "0")
    ]
    print_grid(("model", "blocks", "channels", "gate", "first", "last"), shown, right=(1, 2))
    found = sum(row["blocks"] not in ("", "0") for row in rows)
    say(f"{found} of {len(rows)} architectures have SE blocks")
