"""Which images a network is run on: those of a run, opened again, or others."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from seviz.capture.datasets import Dataset, open_dataset
from seviz.errors import OptionError
from seviz.experiments.reopening import reopen_data
from seviz.options import Reading
from seviz.run.store import Run

Images = Dataset | str | Path | Iterable[tuple[Tensor, Any]]
"""A data set or its spec; or batches of images as the network takes them, and labels as indices of its classes."""


def images_of(
    run: Run | None, data: Images | None, reading: Reading, *, root: str | Path | None = None
) -> tuple[Images, Reading]:
    """The images to run a network on, and how they are read: rotated as in the run unless that was said.

    Parameters
    ----------
    run
        Its images are opened again, unless there is `data`.
    data
        Other images.
    reading
        As a person asked for it.
    root
        Where the images are, if they were moved; or those of the data set that is named.

    Raises
    ------
    OptionError
        If there is neither, or what is given as a run is none.
    DataNotFoundError
        If the images of the run are not there.
    """
    if run is not None:
        require_run(run)
    if reading.rotate is None:
        reading = replace(reading, rotate=run is not None and run.manifest.engine.rotate)
    if data is None:
        if run is None:
            raise OptionError("neither run nor data was given, expected a run, or images as data=...")
        return reopen_data(run, root=root), reading
    if isinstance(data, str | Path):
        data = open_dataset(data, root=root)
    return data, reading


def require_run(run: object) -> None:
    """Raise OptionError if what is given as a run is none."""
    if not isinstance(run, Run):
        raise OptionError(
            f"run is a {type(run).__name__}, expected a run, as seviz.open_run gives it; give images as data=..."
        )
