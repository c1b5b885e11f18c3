"""Replace the gates of SE blocks by constants, folded into the weights: the blocks are gone, at no other cost.

Writes the smaller network, its measurements and a card to a directory, and prints the measurements.
"""

from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.compressing import check_before, check_room_of, write
from seviz.cli.opening import network_and_run, open_data
from seviz.cli.trusting import Trust, trusting
from seviz.compression.recipes import fold_run
from seviz.errors import OptionError
from seviz.lists import HOW, split_list


@trusting
def command(
    run: options.RunPath,
    out: options.Out,
    blocks: Annotated[options.Listed, typer.Option(help=f"these blocks: {HOW}. By default all that can be")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="so many, those missed least first")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="as many as cost no more accuracy than this, such as 0.01")
    ] = None,
    order: Annotated[
        str, typer.Option(help="which are missed least: by variance, predicted, measured, or greedy")
    ] = "measured",
    classes: options.Classes = None,
    remove: Annotated[bool, typer.Option("--remove", help="gates become 1 instead of their means")] = False,
    recalibrate: options.Recalibrate = False,
    latency: options.Latency = True,
    program: options.Program = True,
    onnx: options.Onnx = False,
    data: options.DataOfChoice = None,
    root: options.RootOfRun = None,
    weights: options.Weights = None,
    seed: options.DrawOfParts = 0,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    workers: options.Workers = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    *,
    trust: Trust,
) -> None:
    if sum(each is not None for each in (blocks, count, max_drop)) > 1:
        raise OptionError("of --blocks, --count and --max-drop more than one was given, expected one or none")
    check_before(out, onnx=onnx)
    network, opened = network_and_run(run, weights, trust)
    check_room_of(network, out, files=1 + program + onnx)
    made = fold_run(
        network,
        opened,
        blocks=split_list(blocks),
        count=count,
        max_drop=max_drop,
        order=order,  # type: ignore[arg-type]
        classes=split_list(classes),
        remove=remove,
        recalibrate=recalibrate,
        latency=latency,
        data=None if data is None else open_data(data),
        root=root,
        seed=seed,
        batch_size=batch_size,
        device=device,
        workers=workers,
    )
    write(made, out, program=program, onnx=onnx, as_json=as_json, as_csv=as_csv)
