"""Draw the figures of a run, each with the data it shows as CSV, and say which cannot be drawn."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import seviz
from seviz.cli import options
from seviz.cli.reporting import put, say
from seviz.errors import OptionError
from seviz.figures.album import Album, LeftOut
from seviz.figures.style import save
from seviz.lists import HOW, split_list
from seviz.run.files import write_atomically
from seviz.run.places import check_directory
from seviz.run.store import Run
from seviz.texts import csv_text

FORMATS = ("png", "pdf", "svg")


def command(
    run: options.RunPath,
    out: Annotated[Path, typer.Option("-o", "--out", help="where the files go")],
    only: Annotated[options.Listed, typer.Option(help=f"which figures, such as excitation,depth: {HOW}")] = None,
    against: Annotated[
        Path | None, typer.Option(help="another run, drawn beside this one and compared with it")
    ] = None,
    classes: Annotated[options.Listed, typer.Option(help=f"classes drawn, by id or name: {HOW}")] = None,
    blocks: Annotated[options.Listed, typer.Option(help=f"blocks drawn, such as SE_2_3,SE_5_1: {HOW}")] = None,
    channels: Annotated[str, typer.Option(help="how many channels of each block, or 'all'")] = "50",
    seed: Annotated[int, typer.Option(help="of the draw of channels")] = 0,
    width: Annotated[str, typer.Option(help="page or column of a paper")] = "page",
    formats: Annotated[
        options.Listed, typer.Option("--format", help=f"of png, pdf, svg: {HOW}; png and pdf by default")
    ] = None,
) -> None:
    if width not in ("page", "column"):
        raise OptionError(f"width is {width!r}, expected page or column")
    if channels != "all" and not channels.isdecimal():
        raise OptionError(f"channels is {channels!r}, expected a number, or all")
    wanted = ["png", "pdf"] if formats is None else split_list(formats) or []
    if not wanted or set(wanted) - set(FORMATS):
        raise OptionError(f"format is {','.join(formats or ())!r}, expected some of {', '.join(FORMATS)}")
    draw(
        seviz.open_run(run),
        out,
        only=split_list(only),
        other=None if against is None else seviz.open_run(against),
        classes=split_list(classes),
        blocks=split_list(blocks),
        channels="all" if channels == "all" else int(channels),
        seed=seed,
        width=width,
        formats=wanted,
    )


def draw(
    run: Run,
    out: Path,
    *,
    formats: list[str],
    only: list[str] | None = None,
    other: Run | None = None,
    classes: list[str] | None = None,
    blocks: list[str] | None = None,
    channels: int | Literal["all"] = 50,
    seed: int = 0,
    width: Any = "page",
) -> None:
    """Draw the figures, write them and their data, print the paths, and say what is left out."""
    check_directory(out)
    album = Album(run=run, other=other, classes=classes, blocks=blocks, channels=channels, seed=seed, width=width)
    for drawn in album.draw(only):
        if isinstance(drawn, LeftOut):
            say(f"{drawn.name} is left out: {drawn.reason}")
            continue
        write_atomically(out / f"{drawn.name}.csv", csv_text(drawn.data).encode())
        put(out / f"{drawn.name}.csv")
        for kind in formats:
            save(drawn.figure, out / f"{drawn.name}.{kind}")
            put(out / f"{drawn.name}.{kind}")
