"""Check that the gates of a network can be read and forced.

Exit code 1 if a block cannot be vouched for, if there is none, or if something was left out that may be one.
"""

import dataclasses
import json
from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.printing import print_grid
from seviz.cli.reporting import put, say
from seviz.cli.settings import load, with_settings
from seviz.cli.trusting import Trust, trusting
from seviz.compression.checking import check
from seviz.network.saved import structural_weights
from seviz.network.settings import Settings


@trusting
@with_settings
def command(
    model: Annotated[str, typer.Argument(help="timm/NAME, torchvision/NAME, FILE.py:FUNCTION or a directory")],
    weights: Annotated[
        str | None, typer.Option(help="pretrained, none, or a file; by default none, and of a saved network its own")
    ] = None,
    as_json: options.Json = False,
    *,
    settings: Settings,
    trust: Trust,
) -> None:
    checked = check(load(model, structural_weights(model) if weights is None else weights, settings, trust))
    remarks = checked.survey.remarks()
    if as_json:
        record = {
            "vouched": checked.vouched,
            "blocks": [dataclasses.asdict(each) | {"vouched": each.vouched} for each in checked.blocks.values()],
            "other": [dataclasses.asdict(each) for each in checked.survey.other],
            "remarks": remarks,
        }
        typer.echo(json.dumps(record, indent=1).replace("-Infinity", "null").replace("Infinity", "null"))
    else:
        rows = []
        for name, each in checked.blocks.items():
            formula = "-" if each.formula is None else _yes(each.formula)
            gate = each.block.gate if each.within_bounds else f"{each.block.gate}, out of its bounds"
            rows.append(
                (
                    *(name, each.block.path, gate, each.reading, _yes(each.kept), _yes(each.set), formula),
                    "yes" if each.folds else f"no: {each.why_not}",
                )
            )
        if checked.blocks:
            print_grid(("block", "module", "gate", "read", "kept", "set", "formula", "folds"), rows)
        for other in (each for each in checked.survey.other if each.path not in checked.survey.opaque):
            put(f"{other.path or 'the network itself'}: a feature map is scaled {other.kind}")
    if not checked.blocks:
        say("no SE block was found")
    for remark in remarks:
        say(remark)
    if not checked.vouched:
        raise typer.Exit(1)


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
