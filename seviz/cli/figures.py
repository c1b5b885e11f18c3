"""`seviz figures`: the paper's figures from a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from seviz.cli.reporting import reported, split_list
from seviz.errors import OptionError

if TYPE_CHECKING:
    from seviz.run.store import Run

FORMATS = ("png", "pdf", "svg")


@reported
def figures(
    run: Annotated[Path, typer.Argument(help="the run's directory")],
    out: Annotated[Path, typer.Option("-o", "--out", help="where the files go")],
    classes: Annotated[str | None, typer.Option(help="classes drawn, by id or name; with commas")] = None,
    blocks: Annotated[str | None, typer.Option(help="blocks drawn, such as SE_2_3,SE_5_1")] = None,
    channels: Annotated[str, typer.Option(help="how many channels of each block, or 'all'")] = "50",
    seed: Annotated[int, typer.Option(help="of the draw of channels")] = 0,
    width: Annotated[str, typer.Option(help="page or column of a paper")] = "page",
    formats: Annotated[str, typer.Option("--format", help="of png, pdf, svg; with commas")] = "png,pdf",
) -> None:
    """Draw the paper's figures, each with the data it shows as CSV."""
    import seviz

    if width not in ("page", "column"):
        raise OptionError(f"width is {width!r}, expected page or column")
    if channels != "all" and not channels.isdecimal():
        raise OptionError(f"channels is {channels!r}, expected a number, or all")
    wanted = split_list(formats) or []
    if not wanted or set(wanted) - set(FORMATS):
        raise OptionError(f"format is {formats!r}, expected some of {', '.join(FORMATS)}")
    draw(
        seviz.open_run(run),
        out,
        classes=split_list(classes),
        blocks=split_list(blocks),
        channels="all" if channels == "all" else int(channels),
        seed=seed,
        width=width,
        formats=wanted,
    )


def draw(
    run: "Run",
    out: Path,
    *,
    classes: list[str] | None = None,
    blocks: list[str] | None = None,
    channels: int | Literal["all"] = 50,
    seed: int = 0,
    width: Any = "page",
    formats: list[str],
) -> None:
    """Compute the tables, draw the figures, write both, and print the paths."""
    from seviz.analysis.excitation import default_classes, excitation
    from seviz.analysis.specificity import specificity
    from seviz.figures.excitation import excitation_by_depth, spread_by_depth
    from seviz.figures.specificity import specificity_by_depth
    from seviz.figures.style import save

    remark = "" if run.manifest.model.trained else "untrained SE weights"
    table = excitation(run, classes=classes, blocks=blocks, channels=channels, seed=seed)
    two = (classes or default_classes(run, 4))[:2]
    pair = excitation(run, classes=two, blocks=blocks, channels=channels, seed=seed)
    depth = specificity(run)
    drawn = {
        "excitation": (table, excitation_by_depth(table, width=width, remark=remark)),
        "spread": (pair, spread_by_depth(pair, width=width, remark=remark)),
        "specificity": (depth, specificity_by_depth(depth, width=width, remark=remark)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, (data, figure) in drawn.items():
        data.to_csv(out / f"{name}.csv", index=False)
        typer.echo(out / f"{name}.csv")
        for kind in formats:
            save(figure, out / f"{name}.{kind}")
            typer.echo(out / f"{name}.{kind}")
