"""List the SE blocks of a network, in order of depth."""

import dataclasses
import json
from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.printing import print_grid
from seviz.cli.reporting import say
from seviz.cli.settings import load, with_settings
from seviz.cli.trusting import Trust, trusting
from seviz.network.bounds import bounds_to_json
from seviz.network.saved import structural_weights
from seviz.network.settings import Settings


@trusting
@with_settings
def command(
    model: Annotated[str, typer.Argument(help="timm/NAME, torchvision/NAME, seviz/NAME, or a saved network")],
    weights: Annotated[
        str | None, typer.Option(help="pretrained, none, or a file; by default none, and of a saved network its own")
    ] = None,
    as_json: options.Json = False,
    *,
    settings: Settings,
    trust: Trust,
) -> None:
    network = load(model, structural_weights(model) if weights is None else weights, settings, trust)
    found = network.require_blocks().values()
    if as_json:
        facts = [{**dataclasses.asdict(block), "bounds": bounds_to_json(block.bounds)} for block in found]
        typer.echo(json.dumps(facts, indent=1))
        return

    rows = []
    for block in found:
        gate = block.gate if block.gate_path else f"{block.gate} (a function call)"
        rows.append((block.name, block.channels, block.squeezed_channels, gate, block.stride, block.path))
    print_grid(("block", "channels", "squeezed to", "gate", "stride", "module"), rows, right=(1, 2, 4))
    for remark in network.survey.remarks():
        say(remark)
