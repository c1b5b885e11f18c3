"""`seviz prune`: channels taken out of a network for good."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.compressing import (
    BatchSize,
    Classes,
    Csv,
    Data,
    Device,
    Json,
    Latency,
    Onnx,
    Out,
    Program,
    Recalibrate,
    Root,
    RunPath,
    Seed,
    Setting,
    Weights,
    Workers,
    check_before,
    check_room_of,
    setting,
    write,
)
from seviz.cli.opening import open_data
from seviz.cli.printing import with_remarks
from seviz.cli.reporting import progress, reported, say, split_list
from seviz.cli.trusting import Trust, trusting
from seviz.errors import OptionError, PruningError

if TYPE_CHECKING:
    import pandas as pd

    from seviz.network.networks import Network

KINDS = ("gated", "inner", "branch", "stream")


@reported
@trusting
def prune(
    run: RunPath,
    out: Out,
    flops: Annotated[float | None, typer.Option(help="the share of multiply-adds that shall remain")] = None,
    parameters: Annotated[float | None, typer.Option(help="the share of parameters that shall remain")] = None,
    channels: Annotated[float | None, typer.Option(help="the share of scored channels that shall go")] = None,
    kind: Annotated[
        str, typer.Option(help="what goes: gated, inner, branch or stream; auto takes gated where it fits, else inner")
    ] = "auto",
    criterion: Annotated[str, typer.Option(help="what a channel is worth: gate_mean, taylor, l1, ...")] = "gate_mean",
    scope: Annotated[str, typer.Option(help="channels compete over global, stage or block")] = "global",
    round_to: Annotated[int, typer.Option(min=1, help="layers keep a multiple of this many channels")] = 1,
    max_share: Annotated[float, typer.Option(help="the most that a layer loses of its channels")] = 0.9,
    recalibrate: Recalibrate = True,
    epochs: Annotated[int, typer.Option(min=0, help="of fine-tuning")] = 0,
    train: Annotated[str | None, typer.Option(help="images to fine-tune with: a folder, cifar10:ROOT, ...")] = None,
    train_split: Annotated[str | None, typer.Option(help="of those images, such as train")] = None,
    learning_rate: Annotated[float, typer.Option(help="of fine-tuning, at its start")] = 0.01,
    classes: Classes = None,
    latency: Latency = True,
    program: Program = True,
    onnx: Onnx = False,
    data: Data = None,
    root: Root = None,
    weights: Weights = None,
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = None,
    as_json: Json = False,
    as_csv: Csv = False,
    *,
    trust: Trust,
) -> None:
    """Take the channels that are worth least out of a network for good, down to a budget.

    Writes the smaller network, its measurements and a card to a directory, and prints the measurements.
    """
    from seviz.compression import pruning
    from seviz.compression.directory import Compression
    from seviz.compression.recalibration import recalibrate as recalibrated
    from seviz.experiments.measure import measure
    from seviz.figures.compression import removed_by_block

    if sum(each is not None for each in (flops, parameters, channels)) != 1:
        raise OptionError("of --flops, --parameters and --channels exactly one is to be given")
    if (epochs > 0) != (train is not None):
        raise OptionError("--epochs and --train go together: so many epochs on those images")
    check_before(out, prunes=True, onnx=onnx)
    made = setting(
        run,
        data=data,
        root=root,
        weights=weights,
        seed=seed,
        batch_size=batch_size,
        device=device,
        workers=workers,
        trust=trust,
    )
    network, wanted = made.network, split_list(classes)
    check_room_of(network, out, files=1 + program + onnx)
    criterion = _of_classes(criterion, wanted)
    kinds = ["gated", "inner"] if kind == "auto" else [kind]
    for number, each in enumerate(kinds):
        try:
            scores = _scores(made, each, criterion)
            smaller = pruning.prune(
                network,
                scores,
                kind=each,  # type: ignore[arg-type]
                flops=flops,
                parameters=parameters,
                channels=channels,
                scope=scope,  # type: ignore[arg-type]
                round_to=round_to,
                max_share=max_share,
            )
        except PruningError as error:
            if number + 1 == len(kinds):
                raise
            say(f"note: not of kind {each!r}: {error}")
        else:
            kind = each
            break
    networks = {"original": network, "pruned": smaller}
    if recalibrate:
        reading = {name: value for name, value in made.reading.items() if name != "rotate"}
        with progress("recalibrate") as step:
            smaller = recalibrated(smaller, made.split.score, progress=step, **reading)
        networks["pruned, recalibrated"] = smaller
    if train is not None:
        smaller = _tuned(made, smaller, train, train_split, epochs, learning_rate)
        networks["pruned, fine-tuned"] = smaller
    with progress("measure") as step:
        measured = measure(networks, made.split.final, classes=wanted, progress=step, **made.reading)
    table = with_remarks(measured.side_by_side(latency=latency), network.remarks)
    removed = pruning.pruning_table(network, smaller)
    budget = next(
        f"{value:g} of the {name} {'go' if name == 'channels' else 'remain'}"
        for name, value in (("multiply-adds", flops), ("parameters", parameters), ("channels", channels))
        if value is not None
    )
    compression = Compression(
        title=f"{network.spec} pruned: {budget}",
        made=(
            f"Channels of kind {kind!r} were taken out for good, those with the least {criterion} first, until"
            f" {budget}.",
            *network.remarks,
        ),
        settings={
            "run": run,
            "network": network.spec,
            "kind": kind,
            "criterion": criterion,
            "budget": budget,
            "scope": scope,
            "round_to": round_to,
            "max_share": max_share,
            "recalibrated": recalibrate,
            "epochs of fine-tuning": epochs,
            "fine-tuned with": train or "nothing",
            "classes": classes or "all",
        },
        split=made.split.record,
        tables={
            "results": ("Original and result", table),
            "classes": ("By class", measured.by_class()),
            "removed": ("What was removed, by block", removed),
        },
        figures={"removed": removed_by_block(removed)} if len(removed) else {},
        network=smaller,
    )
    write(compression, out, table, program=program, onnx=onnx, as_json=as_json, as_csv=as_csv)


def _of_classes(criterion: str, classes: list[str] | None) -> str:
    """For some classes, the mean gate over their images takes the place of that over all."""
    return f"gate_class:{','.join(classes)}" if classes and criterion == "gate_mean" else criterion


def _scores(made: Setting, kind: str, criterion: str) -> "pd.DataFrame":
    import seviz
    from seviz.compression.inner import inner_scores
    from seviz.compression.stages import stage_importance

    if kind not in KINDS:
        raise OptionError(f"kind is {kind!r}, expected auto or one of {', '.join(KINDS)}")
    network, split = made.network, made.split
    with progress(f"score by {criterion}") as step:
        if kind == "inner":
            return inner_scores(network, split.run, criterion, data=split.score, progress=step, **made.reading)
        reading: dict[str, Any] = {name: value for name, value in made.reading.items() if name != "rotate"}
        scores = seviz.importance(network, split.run, criterion, data=split.score, progress=step, **reading)
        return stage_importance(scores, network) if kind == "stream" else scores


def _tuned(
    made: Setting, network: "Network", train: str, part: str | None, epochs: int, learning_rate: float
) -> "Network":
    from seviz.compression.masking import check_disjoint
    from seviz.compression.splitting import files
    from seviz.compression.tuning import fine_tune

    images = open_data(train, split=part)
    check_disjoint(files(images), files(made.split.final))
    reading = {name: value for name, value in made.reading.items() if name in ("device", "workers")}
    return fine_tune(
        network,
        images,
        epochs=epochs,
        learning_rate=learning_rate,
        progress=lambda epoch: say(
            f"fine-tuning, epoch {epoch.number} of {epoch.epochs}: loss {epoch.loss:.3f}, {epoch.accuracy:.1%} right"
        ),
        **reading,
    )
