"""What the commands that make networks smaller share: their options, what is checked before, and the result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seviz.cli.printing import print_table
from seviz.cli.reporting import Listed, say
from seviz.lists import HOW

if TYPE_CHECKING:
    from seviz.compression.result import Compression
    from seviz.network.networks import Network

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
    *,
    program: bool = False,
    onnx: bool = False,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Write a result, and print its measurements; exit code 1 if the network could not be exported as asked."""
    failures: list[str] = []
    written = compression.write(out, program=program, onnx=onnx, tell=failures.append)
    say(f"written: {written}")
    print_table(compression.measurements, as_json=as_json, as_csv=as_csv)
    for failure in failures:
        say(f"error: {failure}. All else is written; seviz.load({str(written)!r}) gives the network.")
    if failures:
        raise typer.Exit(1)
