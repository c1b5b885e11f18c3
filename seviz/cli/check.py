"""`seviz check`: what can be vouched for in a network, block by block."""

from typing import TYPE_CHECKING, Annotated

import typer

from seviz.cli.reporting import reported, say
from seviz.cli.settings import load, with_settings

if TYPE_CHECKING:
    from seviz.network.settings import Settings


@reported
@with_settings
def check(
    model: Annotated[str, typer.Argument(help="timm/NAME, torchvision/NAME, FILE.py:FUNCTION or a directory")],
    weights: Annotated[str, typer.Option(help="pretrained, none, or a file")] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    *,
    settings: "Settings",
) -> None:
    """Check that the gates of a network can be read and forced.

    Exit code 1 if a block cannot be vouched for, if there is none, or if something was left out that may be one.
    """
    import dataclasses
    import json
    import sys

    from seviz.compression.checking import check

    checked = check(load(model, weights, settings))
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
        from rich.console import Console
        from rich.table import Table

        table = Table("block", "module", "gate", "read", "kept", "set", "formula", "folds", box=None, pad_edge=False)
        for name, each in checked.blocks.items():
            formula = "-" if each.formula is None else _yes(each.formula)
            gate = each.block.gate if each.within_bounds else f"{each.block.gate}, out of its bounds"
            table.add_row(
                *(name, each.block.path, gate, each.reading, _yes(each.kept), _yes(each.set), formula),
                "yes" if each.folds else f"no: {each.why_not}",
            )
        if checked.blocks:
            Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
        for other in (each for each in checked.survey.other if each.path not in checked.survey.opaque):
            typer.echo(f"{other.path or 'the network itself'}: a feature map is scaled {other.kind}")
    if not checked.blocks:
        say("no SE block was found")
    for remark in remarks:
        say(remark)
    if not checked.vouched:
        raise typer.Exit(1)


def _yes(value: bool) -> str:
    return "yes" if value else "NO"
