"""Count parameters, multiply-adds and element-wise work, with and without SE blocks, for one image.

Multiply-adds are what the paper calls FLOPs. Not in them is element-wise work: values read by pooling (pooled),
written by multiplication (scaled), and by activations, sums and normalisations (pointwise).
"""

import json
from dataclasses import asdict, astuple
from typing import Annotated, Any

import typer

from seviz.cli import options
from seviz.cli.printing import print_grid
from seviz.cli.reporting import say
from seviz.cli.settings import load, with_settings
from seviz.cli.trusting import Trust, trusting
from seviz.network.complexity import Complexity, Cost, complexity
from seviz.network.saved import structural_weights
from seviz.network.settings import Settings


@trusting
@with_settings
def command(
    model: Annotated[list[str], typer.Argument(help="timm/NAME, torchvision/NAME or seviz/NAME; several, if wanted")],
    as_json: options.Json = False,
    input_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the image, along each axis.", show_default="that of the network")
    ] = None,
    *,
    settings: Settings,
    trust: Trust,
) -> None:
    counts = {}
    for spec in model:
        network = load(spec, structural_weights(spec), settings, trust)
        size = None if input_size is None else _sided(network.input_size, input_size)
        counts[spec] = complexity(network, input_size=size)
    if as_json:
        typer.echo(json.dumps([_record(spec, count) for spec, count in counts.items()], indent=1))
        return

    for spec, count in counts.items():
        title = f"{spec} at {'x'.join(map(str, count.input_size[1:]))}"
        columns = ("", "parameters", "multiply-adds", "pooled", "scaled", "pointwise")
        rows = [("without SE", *_numbers(count.without_se))]
        rows += [(f"SE stage {stage}", *_numbers(cost)) for stage, cost in count.stages.items()]
        if count.blocks:
            rows.append(("SE blocks", *_numbers(count.se)))
            rows.append(("that is", *_percentages(count.se, count.without_se)))
            rows.append(("with SE", *_numbers(count.with_se)))
        else:
            say(f"{spec} has no SE block")
        print_grid(columns, rows, right=range(1, 6), whole=range(1, 6), title=title)


def _sided(size: tuple[int, ...], side: int) -> tuple[int, ...]:
    return (size[0], *[side] * len(size[1:]))


def _numbers(cost: Cost) -> list[str]:
    return [f"{number:,}" for number in astuple(cost)]


def _percentages(part: Cost, whole: Cost) -> list[str]:
    pairs = zip(astuple(part), astuple(whole), strict=True)
    return [f"{100 * x / of:.3f} %" if of else "-" for x, of in pairs]


def _record(spec: str, count: Complexity) -> dict[str, Any]:
    return {
        "model": spec,
        "input_size": count.input_size,
        "without_se": asdict(count.without_se),
        "se": asdict(count.se),
        "with_se": asdict(count.with_se),
        "stages": {stage: asdict(cost) for stage, cost in count.stages.items()},
        "blocks": {name: asdict(cost) for name, cost in count.blocks.items()},
    }
