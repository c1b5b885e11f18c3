"""What the commands that make networks smaller share: their options, and the images parted."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.opening import open_data
from seviz.cli.printing import print_table
from seviz.cli.reporting import Listed, say
from seviz.cli.trusting import Trust
from seviz.lists import HOW

if TYPE_CHECKING:
    import pandas as pd

    from seviz.compression.directory import Compression
    from seviz.compression.splitting import Split
    from seviz.network.networks import Network
    from seviz.run.store import Run

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="a run's directory")]
Out = Annotated[Path, typer.Option("-o", "--out", help="the directory of the result; empty, or not there yet")]
Data = Annotated[
    str | None, typer.Option(help="choose and judge with other images than the run's: a folder, imagenet:ROOT, ...")
]
Root = Annotated[Path | None, typer.Option(help="where the run's images lie, if they were moved")]
Weights = Annotated[str | None, typer.Option(help="where the weights of the run's network are, if they were moved")]
Seed = Annotated[int, typer.Option(help="of the draw that parts the images")]
BatchSize = Annotated[int, typer.Option(min=1, help="images a forward pass")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps, ...")]
Workers = Annotated[int | None, typer.Option(help="processes that decode images")]
Classes = Annotated[Listed, typer.Option(help=f"for images of these classes only, by id or name: {HOW}")]
Recalibrate = Annotated[
    bool, typer.Option(help="estimate the BatchNorm statistics anew, on the images that scores come from")
]
Latency = Annotated[bool, typer.Option(help="time the result beside the original")]
Program = Annotated[bool, typer.Option(help="write a torch.export program too")]
Onnx = Annotated[bool, typer.Option("--onnx", help="write ONNX too")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Csv = Annotated[bool, typer.Option("--csv", help="print CSV")]


@dataclass(frozen=True)
class Setting:
    """A run, its network, and its images parted."""

    run: "Run"
    network: "Network"
    split: "Split"
    reading: dict[str, Any]
    """How images are read and where they go: batch_size, device, rotate, workers."""


def setting(
    run: Path,
    *,
    data: str | None,
    root: Path | None,
    weights: str | None,
    seed: int,
    batch_size: int,
    device: str,
    workers: int | None,
    trust: Trust,
) -> Setting:
    """Open a run and what it was made from, and part its images."""
    import seviz
    from seviz.compression.splitting import split
    from seviz.experiments.reopening import reopen_data, reopen_network

    opened = seviz.open_run(run)
    network = reopen_network(opened, weights=weights, **trust)
    images = reopen_data(opened, root=root)
    other = None if data is None else open_data(data)
    reading = {
        "batch_size": batch_size,
        "device": device,
        "rotate": opened.manifest.engine.rotate,
        "workers": workers,
    }
    return Setting(opened, network, split(opened, images, other=other, seed=seed), reading)


def check_before(out: Path, *, prunes: bool = False, onnx: bool = False) -> None:
    """What can be known before the work: that the result has a place, and that the packages are there.

    Raises
    ------
    OptionError, WriteError
        If there is something in the directory, or it cannot be written.
    MissingPackageError
        If a package that is needed is not installed.
    """
    from seviz.compression.coupling import require_pruning
    from seviz.compression.directory import check_free
    from seviz.compression.export import require_onnx

    check_free(out)
    if prunes:
        require_pruning()
    if onnx:
        require_onnx()


def check_room_of(network: "Network", out: Path, *, files: int) -> None:
    """Raise WriteError if there is no room for so many files with all weights of a network."""
    from seviz.run.places import check_room

    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.model.state_dict().values())
    fewer = ", or write fewer files of it (--no-program, no --onnx)" if files > 1 else ""
    check_room(out, files * weights, "the network", fewer)


def write(
    compression: "Compression",
    out: Path,
    table: "pd.DataFrame",
    *,
    program: bool = False,
    onnx: bool = False,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Write a result, and print its measurements; exit code 1 if the network could not be exported as asked."""
    from seviz.compression.directory import write_compression

    failures: list[str] = []
    written = write_compression(compression, out, program=program, onnx=onnx, tell=failures.append)
    say(f"written: {written}")
    print_table(table, as_json=as_json, as_csv=as_csv)
    for failure in failures:
        say(f"error: {failure}. All else is written; seviz.load({str(written)!r}) gives the network.")
    if failures:
        raise typer.Exit(1)
