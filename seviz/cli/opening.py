"""What the commands that take a data set share: their options, and opening it with what there is to say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seviz.cli.reporting import say

if TYPE_CHECKING:
    from seviz.capture.datasets import Dataset

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
