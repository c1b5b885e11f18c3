"""`seviz scan`: check a data set without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seviz.cli.printing import print_grid
from seviz.cli.reporting import progress, put, reported, say

if TYPE_CHECKING:
    import pandas as pd

LISTED = 20
"""Failed files named one by one, unless JSON is wanted."""


@reported
def scan(
    data: Annotated[
        str,
        typer.Argument(help="a folder, imagenet:ROOT, cifar10:ROOT, places365:ROOT, coco:ROOT, csv:FILE, or bundled"),
    ],
    split: Annotated[str | None, typer.Option(help="of the data set, such as train; val or test by default")] = None,
    root: Annotated[Path | None, typer.Option(help="where the images lie, if they were moved")] = None,
    workers: Annotated[int, typer.Option(help="processes that decode images; 0 for this one")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all files of note")] = False,
) -> None:
    """Decode every image of a data set, and tell which are not in order; exit code 1 if any failed."""
    import json

    from seviz.capture.datasets import open_dataset
    from seviz.capture.scan import STATUSES, reasons, scan
    from seviz.texts import path_text

    opened = open_dataset(data, split=split, root=root)
    try:
        with progress(path_text(data)) as step:
            scanned = scan(opened, workers=workers, progress=step)
    except KeyboardInterrupt as error:
        say("interrupted; a scan begins anew")
        raise typer.Exit(130) from error
    counts = {status: int((scanned["status"] == status).sum()) for status in STATUSES}
    if as_json:
        told = scanned[(scanned["status"] != "ok") | (scanned["reason"] != "")]
        facts = {"data": path_text(data), "classes": len(opened.classes), "found": len(scanned), **counts}
        lists = {"reasons": reasons(scanned).to_dict("records"), "files": told.to_dict("records")}
        typer.echo(json.dumps({**facts, "ignored": opened.ignored, **lists}, indent=1))
    else:
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        put(f"data: {path_text(data)} ({len(opened.classes)} classes)")
        put(f"images: {len(scanned)} found ({listed}); {opened.ignored} other files ignored")
        _tell_reasons(reasons(scanned))
        _tell_failed(scanned[scanned["status"] == "failed"])
    if counts["failed"]:
        raise typer.Exit(1)


def _tell_reasons(table: "pd.DataFrame") -> None:
    if table.empty:
        return
    columns = ["status", "images", "reason", "example"]
    put("")
    print_grid(columns, table[columns].to_numpy(), right=(1,))


def _tell_failed(failed: "pd.DataFrame") -> None:
    if failed.empty:
        return
    put("")
    put("failed:")
    for row in failed[:LISTED].itertuples():
        put(f"{row.path}: {row.reason}")
    if len(failed) > LISTED:
        put(f"... and {len(failed) - LISTED} more; --json lists all")
