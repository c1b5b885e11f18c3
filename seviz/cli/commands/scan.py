"""Decode every image of a data set, and tell which are not in order; exit code 1 if any failed."""

import json
from typing import Annotated

import pandas as pd
import typer

from seviz.capture.indexed import kinds_in_words
from seviz.capture.scan import STATUSES, reasons, scan
from seviz.capture.specs import in_words
from seviz.cli import options
from seviz.cli.opening import open_data
from seviz.cli.printing import print_grid
from seviz.cli.reporting import put, say
from seviz.progress import bar as progress
from seviz.texts import path_text

LISTED = 20
"""Failed files named one by one, unless JSON is wanted."""


def command(
    data: Annotated[
        str,
        typer.Argument(help=in_words()),
    ],
    split: options.Split = None,
    root: options.Root = None,
    label_separator: options.LabelSeparator = None,
    class_names: options.ClassNames = None,
    workers: Annotated[int, typer.Option(help="processes that decode images; 0 for this one")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all files of note")] = False,
) -> None:
    opened = open_data(data, split=split, root=root, label_separator=label_separator, class_names=class_names)
    others = sum(opened.ignored.values())
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
        typer.echo(json.dumps({**facts, "ignored": others, "ignored_kinds": dict(opened.ignored), **lists}, indent=1))
    else:
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        put(f"data: {path_text(data)} ({len(opened.classes)} classes)")
        kinds = f": {kinds_in_words(opened.ignored)}" if others else ""
        put(f"images: {len(scanned)} found ({listed}); {others} other files ignored{kinds}")
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
