"""What commands open: data sets, with their options and what there is to say, and the network of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.reporting import say
from seviz.cli.trusting import Trust

if TYPE_CHECKING:
    from seviz.capture.datasets import Dataset
    from seviz.network.networks import Network
    from seviz.run.store import Run

Split = Annotated[str | None, typer.Option(help="of the data set, such as train; val or test by default")]
Root = Annotated[Path | None, typer.Option(help="where the images lie, if they were moved")]
Preprocess = Annotated[
    str | None, typer.Option(help="of arrays: none takes them as they are (the default), model as images are")
]
LabelSeparator = Annotated[
    str | None, typer.Option(help="of csv: what stands between several labels, '|' by default; '' for one label")
]
ClassNames = Annotated[
    Path | None,
    typer.Option(help="a file of what the classes are to be called: a name a line, or CSV with id and name"),
]


def open_data(data: str, **options: Any) -> "Dataset":
    """Open a data set as `seviz.capture.datasets.open_dataset` does, and say what there is to know of it."""
    from seviz.capture.datasets import open_dataset

    opened = open_dataset(data, **options)
    for note in opened.notes:
        say(f"note: {note}")
    return opened


def network_and_run(run: Path, weights: str | None, trust: Trust) -> "tuple[Network, Run]":
    """The network of a run, and the run."""
    import seviz
    from seviz.experiments.reopening import reopen_network

    opened = seviz.open_run(run)
    return reopen_network(opened, weights=weights, **trust), opened
