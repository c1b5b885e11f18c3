"""`seviz complexity`: what networks cost with and without their SE blocks."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.reporting import reported, say
from seviz.cli.settings import load, with_settings

if TYPE_CHECKING:
    from seviz.network.complexity import Complexity, Cost
    from seviz.network.settings import Settings


@reported
@with_settings
def complexity(
    model: Annotated[list[str], typer.Argument(help="timm/NAME, torchvision/NAME or seviz/NAME; several, if wanted")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    input_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image in pixels.", show_default="that of the network")
    ] = None,
    *,
    settings: "Settings",
) -> None:
    """Count parameters, multiply-adds and element-wise work, with and without SE blocks, for one image.

    Multiply-adds are what the paper calls FLOPs. Not in them is element-wise work: values read by pooling (pooled),
    written by multiplication (scaled), and by activations, sums and normalisations (pointwise).
    """
    import json
    import sys

    from seviz.network.complexity import complexity
    from seviz.network.saved import structural_weights

    counts = {}
    for spec in model:
        network = load(spec, structural_weights(spec), settings)
        size = network.input_size if input_size is None else (network.input_size[0], input_size, input_size)
        counts[spec] = complexity(network.model, size, blocks=network.blocks)
    if as_json:
        typer.echo(json.dumps([_record(spec, count) for spec, count in counts.items()], indent=1))
        return

    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)
    for spec, count in counts.items():
        title = f"{spec} at {count.input_size[1]}x{count.input_size[2]}"
        table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.add_column()
        for header in ("parameters", "multiply-adds", "pooled", "scaled", "pointwise"):
            table.add_column(header, justify="right", no_wrap=True)
        table.add_row("without SE", *_numbers(count.without_se))
        for stage, cost in count.stages.items():
            table.add_row(f"SE stage {stage}", *_numbers(cost))
        if count.blocks:
            table.add_row("SE blocks", *_numbers(count.se))
            table.add_row("that is", *_percentages(count.se, count.without_se))
            table.add_row("with SE", *_numbers(count.with_se))
        else:
            say(f"{spec} has no SE block")
        console.print(table)


def _numbers(cost: "Cost") -> list[str]:
    from dataclasses import astuple

    return [f"{number:,}" for number in astuple(cost)]


def _percentages(part: "Cost", whole: "Cost") -> list[str]:
    from dataclasses import astuple

    pairs = zip(astuple(part), astuple(whole), strict=True)
    return [f"{100 * x / of:.3f} %" if of else "-" for x, of in pairs]


def _record(spec: str, count: "Complexity") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "model": spec,
        "input_size": count.input_size,
        "without_se": asdict(count.without_se),
        "se": asdict(count.se),
        "with_se": asdict(count.with_se),
        "stages": {stage: asdict(cost) for stage, cost in count.stages.items()},
        "blocks": {name: asdict(cost) for name, cost in count.blocks.items()},
    }
