"""Verify every file of a run; exit code 1 if one is damaged."""

import json

import typer

from seviz.cli import options
from seviz.cli.reporting import put
from seviz.run.store import Run
from seviz.run.verification import verify


def command(run: options.RunPath, as_json: options.Json = False) -> None:
    opened = Run(run)
    damages = verify(opened)
    if as_json:
        found = [{"path": str(d.path), "what": d.what, "remedy": d.remedy} for d in damages]
        typer.echo(json.dumps({"run": str(run), "damaged": found}, indent=1))
    else:
        for damage in damages:
            put(f"{damage.path}: {damage.what}; {damage.remedy}")
        if not damages:
            put(f"{run}: {len(opened.chunk_paths())} chunks, {len(opened.blocks)} blocks, all as written")
    if damages:
        raise typer.Exit(1)
