"""`seviz fold`: the SE blocks of a network become constants in its weights."""

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
from seviz.cli.printing import with_remarks
from seviz.cli.reporting import Listed, progress, reported, split_list
from seviz.cli.trusting import Trust, trusting
from seviz.errors import FoldingError, OptionError
from seviz.lists import HOW

if TYPE_CHECKING:
    import pandas as pd

    from seviz.compression.planning import Gates


@reported
@trusting
def fold(
    run: RunPath,
    out: Out,
    blocks: Annotated[Listed, typer.Option(help=f"these blocks: {HOW}. By default all that can be")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="so many, those missed least first")] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="as many as cost no more accuracy than this, such as 0.01")
    ] = None,
    order: Annotated[
        str, typer.Option(help="which are missed least: by variance, predicted, measured, or greedy")
    ] = "measured",
    classes: Classes = None,
    remove: Annotated[bool, typer.Option("--remove", help="gates become 1 instead of their means")] = False,
    recalibrate: Recalibrate = False,
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
    """Replace the gates of SE blocks by constants, folded into the weights: the blocks are gone, at no other cost.

    Writes the smaller network, its measurements and a card to a directory, and prints the measurements.
    """
    from seviz.compression import folding
    from seviz.compression.directory import Compression
    from seviz.compression.recalibration import recalibrate as recalibrated
    from seviz.experiments.measure import measure
    from seviz.figures.compression import folding_front as drawn

    if sum(each is not None for each in (blocks, count, max_drop)) > 1:
        raise OptionError("of --blocks, --count and --max-drop more than one was given, expected one or none")
    check_before(out, onnx=onnx)
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
    gates = _constants(made, split_list(blocks), wanted, remove=remove)
    front: pd.DataFrame | None = None
    if blocks is None:
        gates, front = _chosen(made, gates, order, count, max_drop, wanted)
    smaller = folding.remove(network, list(gates)) if remove else folding.fold_to(network, gates)
    networks = {"original": network, "folded": smaller}
    if recalibrate:
        reading = {name: value for name, value in made.reading.items() if name != "rotate"}
        with progress("recalibrate") as step:
            smaller = recalibrated(smaller, made.split.score, progress=step, **reading)
        networks["folded, recalibrated"] = smaller
    with progress("measure") as step:
        measured = measure(networks, made.split.final, classes=wanted, progress=step, **made.reading)
    table = with_remarks(measured.side_by_side(latency=latency), network.remarks)
    places = folding.foldable(network)
    places["folded"] = places["block"].isin(list(gates))
    tables = {
        "results": ("Original and result", table),
        "classes": ("By class", measured.by_class()),
        "blocks": ("SE blocks", places),
    }
    figures = {}
    if front is not None:
        tables["front"] = ("With more and more blocks folded", front)
        figures["front"] = drawn(front)
    what = "taken out (gates of 1)" if remove else "folded (gates held at their means)"
    compression = Compression(
        title=f"{network.spec} with {len(gates)} of {len(network.blocks)} SE blocks {what}",
        made=(
            _sentence(len(gates), order if front is not None else None, wanted, remove, recalibrate),
            *network.remarks,
        ),
        settings={
            "run": run,
            "network": network.spec,
            "blocks": ", ".join(gates),
            "order": order if front is not None else "as given",
            "max_drop": max_drop,
            "count": count,
            "classes": classes or "all",
            "recalibrated": recalibrate,
        },
        split=made.split.record,
        tables=tables,
        figures=figures,
        network=smaller,
    )
    write(compression, out, table, program=program, onnx=onnx, as_json=as_json, as_csv=as_csv)


def _constants(made: Setting, blocks: list[str] | None, classes: list[str] | None, *, remove: bool) -> "dict[str, Any]":
    """What the gates of the blocks become, (channels) each."""
    import numpy as np

    from seviz.compression.folding import constant_gates, foldable

    if not remove:
        return dict(constant_gates(made.network, made.split.run, blocks, classes=classes))
    table = foldable(made.network)
    if blocks is None:
        blocks = table.loc[table["removable"], "block"].tolist()
    if unknown := [name for name in blocks if name not in made.network.blocks]:
        raise OptionError(f"blocks has {unknown[0]!r}, expected some of {', '.join(made.network.blocks)}")
    if not blocks:
        raise FoldingError(f"no SE block of {made.network.spec} can be taken out: {table['reason'].iloc[0]}")
    return {name: np.ones(made.network.blocks[name].channels) for name in blocks}


def _chosen(
    made: Setting,
    gates: "Gates",
    order: str,
    count: int | None,
    max_drop: float | None,
    classes: list[str] | None,
) -> "tuple[dict[str, Any], pd.DataFrame]":
    """The blocks to be folded, and the front that is measured with images that had no part in the choice."""
    from seviz.compression.planning import folding_front, folding_order
    from seviz.compression.splitting import of_classes

    if count is not None and count > len(gates):
        raise OptionError(f"count is {count}, expected at most {len(gates)}: so many can be folded")
    network, split = made.network, made.split
    choose, final = of_classes(split.choose, classes), of_classes(split.final, classes)
    with progress(f"order by {order}") as step:
        ordered = folding_order(
            network,
            split.run,
            gates,
            order,  # type: ignore[arg-type]
            data=choose,
            progress=step,
            **made.reading,
        )
    number = len(ordered) if count is None else count
    if max_drop is not None:
        with progress("choose") as step:
            tried = folding_front(network, gates, {order: ordered}, choose, progress=step, **made.reading).table()
        fits = tried[tried["drop"] <= max_drop]
        number = int(fits["folded"].max())
        if not number:
            least = tried[tried["folded"] > 0]["drop"].min()
            raise FoldingError(
                f"no SE block of {network.spec} can be folded for {max_drop:.3g} of accuracy: the least costs"
                f" {least:.3g} on the {tried['images'].iloc[0]} images to choose with"
            )
    with progress("front") as step:
        front = folding_front(network, gates, {order: ordered}, final, progress=step, **made.reading).table()
    return {name: gates[name] for name in network.blocks if name in ordered[:number]}, front


def _sentence(folded: int, order: str | None, classes: list[str] | None, remove: bool, recalibrate: bool) -> str:
    constant = "1" if remove else "their means over images"
    of = f" of {', '.join(classes)}" if classes and not remove else ""
    chosen = f", those that are missed least by the order {order!r}" if order is not None else ""
    again = " BatchNorm statistics were estimated anew afterwards." if recalibrate else ""
    return (
        f"The gates of {folded} SE blocks{chosen} became {constant}{of}, multiplied into the layers before or behind"
        f" them; the blocks themselves are gone.{again}"
    )
