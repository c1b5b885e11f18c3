"""`seviz intervene` and `seviz attribute`: what the network of a run does with its gates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.opening import network_and_run, open_data
from seviz.cli.printing import print_table
from seviz.cli.reporting import Listed, reported, split_list
from seviz.cli.trusting import Trust, trusting
from seviz.errors import OptionError
from seviz.lists import HOW
from seviz.progress import bar as progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="a run's directory")]
Data = Annotated[str | None, typer.Option(help="other images than those of the run: a folder, imagenet:ROOT, ...")]
Root = Annotated[Path | None, typer.Option(help="where the images lie, if they were moved")]
Weights = Annotated[str | None, typer.Option(help="where the weights of the run's network are, if they were moved")]
Blocks = Annotated[Listed, typer.Option(help=f"only these blocks: {HOW}")]
PerClass = Annotated[int | None, typer.Option(min=1, help="only so many images of each class, drawn at random")]
BatchSize = Annotated[int, typer.Option(min=1, help="images a forward pass")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
Workers = Annotated[int | None, typer.Option(help="processes that decode images")]
FigurePath = Annotated[Path | None, typer.Option(help="also draw it, to a file that ends in .png, .pdf or .svg")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]
_BY_DEFAULT = ["identity", "constant", "within", "across"]


@reported
@trusting
def intervene(
    run: RunPath,
    by: Annotated[str, typer.Option(help="block or class")] = "block",
    swap: Annotated[
        str | None, typer.Option(metavar="BLOCK", help="instead, give images the mean gates of other classes there")
    ] = None,
    blocks: Blocks = None,
    interventions: Annotated[
        Listed, typer.Option(help=f"of identity, zero, constant, within, across: {HOW}; all but zero by default")
    ] = None,
    classes: Annotated[Listed, typer.Option(help=f"of a swap: only these, by id or name: {HOW}")] = None,
    data: Data = None,
    root: Root = None,
    weights: Weights = None,
    per_class: PerClass = None,
    seed: Annotated[int, typer.Option(help="of the draw of donors")] = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = None,
    figure: FigurePath = None,
    as_json: Json = False,
    as_csv: Csv = False,
    *,
    trust: Trust,
) -> None:
    """Run the network of a run again with the gates of each block replaced: what becomes of its accuracy."""
    from seviz.experiments import causal
    from seviz.figures.causal import intervention_by_depth, swap_matrix

    if by not in ("block", "class"):
        raise OptionError(f"by is {by!r}, expected block or class")
    if swap is not None and (blocks or by == "class"):
        raise OptionError("--swap is of one block and all its classes; leave out --blocks and --by class")
    if classes is not None and swap is None:
        raise OptionError("--classes is for --swap; --by class gives all classes")
    if figure is not None and by == "class":
        raise OptionError("--figure is for --by block and --swap")
    _check_figure(figure)
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
        _draw(intervention_by_depth(table) if swap is None else swap_matrix(table, block=swap), figure)
    print_table(table, as_json=as_json, as_csv=as_csv)


@reported
@trusting
def attribute(
    run: RunPath,
    by: Annotated[str, typer.Option(help="block, channel or image")] = "block",
    method: Annotated[
        str, typer.Option(help="gradient_x_activation, integrated_gradients or conductance")
    ] = "gradient_x_activation",
    target: Annotated[str, typer.Option(help="whose logit: label, predicted, or a class by id or name")] = "label",
    baseline: Annotated[str, typer.Option(help="what gates are counted from: zero, identity or mean")] = "zero",
    steps: Annotated[int, typer.Option(min=1, help="of the sum that stands for an integral")] = 32,
    blocks: Blocks = None,
    data: Data = None,
    root: Root = None,
    weights: Weights = None,
    per_class: PerClass = None,
    batch_size: BatchSize = 16,
    device: Device = "auto",
    workers: Workers = None,
    figure: FigurePath = None,
    as_json: Json = False,
    as_csv: Csv = False,
    *,
    trust: Trust,
) -> None:
    """Attribute the logit of a class to the gates of each block, of the images of a run."""
    from seviz.experiments import attribution
    from seviz.figures.causal import attribution_by_depth

    if by not in ("block", "channel", "image"):
        raise OptionError(f"by is {by!r}, expected block, channel or image")
    if figure is not None and by != "block":
        raise OptionError("--figure is for --by block")
    _check_figure(figure)
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
        _draw(attribution_by_depth(table), figure)
    print_table(table, as_json=as_json, as_csv=as_csv)


def _check_figure(path: Path | None) -> None:
    from seviz.run.places import check_file

    if path is not None and path.suffix not in (".png", ".pdf", ".svg"):
        raise OptionError(f"figure is {str(path)!r}, expected a file that ends in .png, .pdf or .svg")
    if path is not None:
        check_file(path)


def _draw(figure: "Figure", path: Path) -> None:
    from seviz.figures.style import save

    save(figure, path)
