"""What the commands that make networks smaller share: what is checked before, and the result."""

from pathlib import Path

import typer

from seviz.cli.printing import print_table
from seviz.cli.reporting import say
from seviz.compression.coupling import require_pruning
from seviz.compression.directory import check_free
from seviz.compression.export import require_onnx
from seviz.compression.result import Compression
from seviz.network.networks import Network
from seviz.run.places import check_room


def check_before(out: Path, *, prunes: bool = False, onnx: bool = False) -> None:
    """What can be known before the work: that the result has a place, and that the packages are there.

    Raises
    ------
    OptionError, WriteError
        If there is something in the directory, or it cannot be written.
    MissingPackageError
        If a package that is needed is not installed.
    """
    check_free(out)
    if prunes:
        require_pruning()
    if onnx:
        require_onnx()


def check_room_of(network: Network, out: Path, *, files: int) -> None:
    """Raise WriteError if there is no room for so many files with all weights of a network."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.model.state_dict().values())
    fewer = ", or write fewer files of it (--no-program, no --onnx)" if files > 1 else ""
    check_room(out, files * weights, "the network", fewer)


def write(
    compression: Compression,
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
