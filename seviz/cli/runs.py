"""`seviz verify`, `seviz upgrade` and `seviz merge`: is a run whole, of this format, and several as one."""

from pathlib import Path
from typing import Annotated

import typer

from seviz.cli.capture import tell
from seviz.cli.reporting import put, reported, say


@reported
def verify(
    run: Annotated[Path, typer.Argument(help="a run's directory")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Verify every file of a run; exit code 1 if one is damaged."""
    import json

    from seviz.run.store import Run
    from seviz.run.verification import verify

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


@reported
def upgrade(
    run: Annotated[Path, typer.Argument(help="a run's directory")],
) -> None:
    """Bring a run of an older seviz to this one's format, in place."""
    from seviz.run.upgrading import upgrade

    say(f"{run}: {'upgraded' if upgrade(run) else 'is of this format already; nothing was changed'}")


@reported
def merge(
    runs: Annotated[list[Path], typer.Argument(help="directories of runs of one network on disjoint data")],
    out: Annotated[Path, typer.Option("-o", "--out", help="the joined run's directory")],
) -> None:
    """Join runs of one network on disjoint data to one run."""
    from seviz.run.joining import join

    tell(join(runs, out))
    say(f"figures: seviz figures {out} -o {out / 'figures'}")
