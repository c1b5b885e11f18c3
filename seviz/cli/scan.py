"""`seviz scan`: check a data set without a network."""

from typing import TYPE_CHECKING, Annotated

import typer

from seviz.capture.grammar import HELP
from seviz.cli.opening import ClassNames, LabelSeparator, Root, Split, open_data
from seviz.cli.printing import print_grid
from seviz.cli.reporting import put, reported, say
from seviz.progress import bar as progress

if TYPE_CHECKING:
    import pandas as pd

LISTED = 20
"""Failed files named one by one, unless JSON is wanted."""


@reported
def scan(
    data: Annotated[
        str,
        typer.Argument(help=HELP),
    ],
    split: Split = None,
    root: Root = None,
    label_separator: LabelSeparator = None,
    class_names: ClassNames = None,
    workers: Annotated[int, typer.Option(help="processes that decode images; 0 for this one")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all files of note")] = False,
) -> None:
    """Decode every image of a data set, and tell which are not in order; exit code 1 if any failed."""
    import json

    from seviz.capture.indexed import kinds_in_words
    from seviz.capture.scan import STATUSES, reasons, scan
    from seviz.texts import path_text

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
