"""Attribute the logit of a class to the gates of each block, of the images of a run."""

from typing import Annotated

import typer

from seviz.cli import options
from seviz.cli.figure_files import check_figure
from seviz.cli.opening import network_and_run, open_data
from seviz.cli.printing import print_table
from seviz.cli.trusting import Trust, trusting
from seviz.errors import OptionError
from seviz.experiments import attribution
from seviz.figures.causal import attribution_by_depth
from seviz.figures.style import save
from seviz.lists import split_list
from seviz.progress import bar as progress


@trusting
def command(
    run: options.RunPath,
    by: Annotated[str, typer.Option(help="block, channel or image")] = "block",
    method: Annotated[
        str, typer.Option(help="gradient_x_activation, integrated_gradients or conductance")
    ] = "gradient_x_activation",
    target: Annotated[str, typer.Option(help="whose logit: label, predicted, or a class by id or name")] = "label",
    baseline: Annotated[str, typer.Option(help="what gates are counted from: zero, identity or mean")] = "zero",
    steps: Annotated[int, typer.Option(min=1, help="of the sum that stands for an integral")] = 32,
    blocks: options.Blocks = None,
    data: options.Data = None,
    root: options.Root = None,
    weights: options.Weights = None,
    per_class: options.PerClass = None,
    batch_size: options.BatchSize = 16,
    device: options.Device = "auto",
    workers: options.Workers = None,
    figure: options.FigurePath = None,
    as_json: options.Json = False,
    as_csv: options.Csv = False,
    *,
    trust: Trust,
) -> None:
    if by not in ("block", "channel", "image"):
        raise OptionError(f"by is {by!r}, expected block, channel or image")
    if figure is not None and by != "block":
        raise OptionError("--figure is for --by block")
    check_figure(figure)
    attribution.check_method(method)
    attribution.check_baseline(baseline)
    network, opened = network_and_run(run, weights, trust)
    with progress("attribute") as step:
        found = attribution.attribute(
            network,
            opened,
            data=None if data is None else open_data(data, root=root),
            root=root,
            method=method,  # type: ignore[arg-type]
            target=target,
            blocks=split_list(blocks),
            baseline=baseline,
            steps=steps,
            per_class=per_class,
            batch_size=batch_size,
            device=device,
            workers=workers,
            progress=step,
        )
    table = {"block": found.by_block, "channel": found.by_channel, "image": found.by_image}[by]()
    if figure is not None:
        save(attribution_by_depth(table), figure)
    print_table(table, as_json=as_json, as_csv=as_csv)
