"""`seviz blocks`: list the SE blocks of a network."""

from typing import TYPE_CHECKING, Annotated

import typer

from seviz.cli.reporting import reported, say
from seviz.cli.settings import load, with_settings

if TYPE_CHECKING:
    from seviz.network.settings import Settings


@reported
@with_settings
def blocks(
    model: Annotated[str, typer.Argument(help="timm/NAME, torchvision/NAME, seviz/NAME, or a saved network")],
    weights: Annotated[
        str | None, typer.Option(help="pretrained, none, or a file; by default none, and of a saved network its own")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    settings: "Settings",
) -> None:
    """List the SE blocks of a network, in order of depth."""
    import dataclasses
    import json
    import sys

    from seviz.network.bounds import bounds_to_json
    from seviz.network.saved import structural_weights

    network = load(model, structural_weights(model) if weights is None else weights, settings)
    found = network.require_blocks().values()
    if as_json:
        facts = [{**dataclasses.asdict(block), "bounds": bounds_to_json(block.bounds)} for block in found]
        typer.echo(json.dumps(facts, indent=1))
        return

    from rich.console import Console
    from rich.table import Table

    table = Table("block", "channels", "squeezed to", "gate", "stride", "module", box=None, pad_edge=False)
    for column in (1, 2, 4):
        table.columns[column].justify = "right"
    for block in found:
        gate = block.gate if block.gate_path else f"{block.gate} (a function call)"
        table.add_row(
            block.name, str(block.channels), str(block.squeezed_channels), gate, str(block.stride), block.path
        )
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
    for remark in network.survey.remarks():
        say(remark)
