"""Take the channels that are worth least out of a network for good, down to a budget.

Writes the smaller network, its measurements and a card to a directory, and prints the measurements.
"""

from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.compressing import check_before, check_room_of, write
from seviz.cli.opening import network_and_run, open_data
from seviz.cli.reporting import say
from seviz.cli.trusting import Trust, trusting
from seviz.compression.criteria import known_criteria
from seviz.compression.recipes import prune_run
from seviz.errors import OptionError, RenamedError
from seviz.lists import split_list


@trusting
def command(
    run: options.RunPath,
    out: options.Out,
    flops: Annotated[float | None, typer.Option(help="share of the multiply-adds to keep")] = None,
    parameters: Annotated[float | None, typer.Option(help="share of the parameters to keep")] = None,
    keep_channels: Annotated[float | None, typer.Option(help="share of the scored channels to keep")] = None,
    channels: Annotated[float | None, typer.Option(hidden=True)] = None,
    kind: Annotated[
        str, typer.Option(help="what goes: gated, inner, branch or stream; auto takes gated where it fits, else inner")
    ] = "auto",
    criterion: Annotated[
        str, typer.Option(help=f"what a channel is worth: {', '.join(known_criteria())}")
    ] = "gate_mean",
    scope: Annotated[str, typer.Option(help="channels compete over global, stage or block")] = "global",
    round_to: Annotated[int, typer.Option(min=1, help="layers keep a multiple of this many channels")] = 1,
    max_share: Annotated[float, typer.Option(help="the most that a layer loses of its channels")] = 0.9,
    recalibrate: options.Recalibrate = True,
    epochs: Annotated[int, typer.Option(min=0, help="of fine-tuning")] = 0,
    train: Annotated[str | None, typer.Option(help="images to fine-tune with: a folder, cifar10:ROOT, ...")] = None,
    train_split: Annotated[str | None, typer.Option(help="of those images, such as train")] = None,
    learning_rate: Annotated[float, typer.Option(help="of fine-tuning, at its start")] = 0.01,
    classes: options.Classes = None,
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
    if channels is not None:
        raise RenamedError(
            f"--channels {channels:g}, the share to remove, is --keep-channels {1 - channels:g} now, the share to keep"
        )
    if sum(each is not None for each in (flops, parameters, keep_channels)) != 1:
        raise OptionError("of --flops, --parameters and --keep-channels exactly one is to be given")
    if (epochs > 0) != (train is not None):
        raise OptionError("--epochs and --train go together: so many epochs on those images")
    check_before(out, prunes=True, onnx=onnx)
    network, opened = network_and_run(run, weights, trust)
    check_room_of(network, out, files=1 + program + onnx)
    made = prune_run(
        network,
        opened,
        flops=flops,
        parameters=parameters,
        keep_channels=keep_channels,
        kind=kind,  # type: ignore[arg-type]
        criterion=criterion,
        scope=scope,  # type: ignore[arg-type]
        round_to=round_to,
        max_share=max_share,
        recalibrate=recalibrate,
        epochs=epochs,
        train=None if train is None else open_data(train, split=train_split),
        learning_rate=learning_rate,
        classes=split_list(classes),
        latency=latency,
        data=None if data is None else open_data(data),
        root=root,
        seed=seed,
        batch_size=batch_size,
        device=device,
        workers=workers,
        tell=say,
    )
    write(made, out, program=program, onnx=onnx, as_json=as_json, as_csv=as_csv)
