"""Run the network of a run again with the gates of each block replaced: what becomes of its accuracy."""

from typing import Annotated, Any

import typer

from seviz.cli import options
from seviz.cli.figure_files import check_figure
from seviz.cli.opening import network_and_run, open_data
from seviz.cli.printing import print_table
from seviz.cli.trusting import Trust, trusting
from seviz.errors import OptionError
from seviz.experiments import causal
from seviz.figures.causal import intervention_by_depth, swap_matrix
from seviz.figures.style import save
from seviz.lists import HOW, split_list
from seviz.progress import bar as progress

_BY_DEFAULT = ["identity", "constant", "within", "across"]


@trusting
def command(
    run: options.RunPath,
    by: Annotated[str, typer.Option(help="block or class")] = "block",
    swap: Annotated[
        str | None, typer.Option(metavar="BLOCK", help="instead, give images the mean gates of other classes there")
    ] = None,
    blocks: options.Blocks = None,
    interventions: Annotated[
        options.Listed,
        typer.Option(help=f"of identity, zero, constant, within, across: {HOW}; all but zero by default"),
    ] = None,
    classes: Annotated[options.Listed, typer.Option(help=f"of a swap: only these, by id or name: {HOW}")] = None,
    data: options.Data = None,
    root: options.Root = None,
    weights: options.Weights = None,
    per_class: options.PerClass = None,
    seed: Annotated[int, typer.Option(help="of the draw of donors")] = 0,
    batch_size: options.BatchSize = 64,
    device: options.Device = "auto",
    workers: options.Workers = None,
    figure: options.FigurePath = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    *,
    trust: Trust,
) -> None:
    if by not in ("block", "class"):
        raise OptionError(f"by is {by!r}, expected block or class")
    if swap is not None and (blocks or by == "class"):
        raise OptionError("--swap is of one block and all its classes; leave out --blocks and --by class")
    if classes is not None and swap is None:
        raise OptionError("--classes is for --swap; --by class gives all classes")
    if figure is not None and by == "class":
        raise OptionError("--figure is for --by block and --swap")
    check_figure(figure)
    network, opened = network_and_run(run, weights, trust)
    images = None if data is None else open_data(data, root=root)
    with progress("swap" if swap else "intervene") as step:
        reading: dict[str, Any] = {
            "data": images,
            "root": root,
            "per_class": per_class,
            "batch_size": batch_size,
            "device": device,
            "workers": workers,
            "progress": step,
        }
        if swap is not None:
            table = causal.swap(network, opened, swap, classes=split_list(classes), **reading)
        else:
            some = _BY_DEFAULT if interventions is None else split_list(interventions) or []
            outcomes = causal.intervene(
                network,
                opened,
                blocks=split_list(blocks),
                interventions=some,  # type: ignore[arg-type]
                seed=seed,
                **reading,
            )
            table = outcomes.by_block() if by == "block" else outcomes.by_class()
    if figure is not None:
        save(intervention_by_depth(table) if swap is None else swap_matrix(table, block=swap), figure)
    print_table(table, as_json=as_json, as_csv=as_csv)
