"""Which images a network is run on: those of a run, opened again, or others."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from seviz.capture.datasets import Dataset, open_dataset
from seviz.errors import OptionError
from seviz.experiments.reopening import reopen_data
from seviz.run.store import Run

Images = Dataset | str | Path | Iterable[tuple[Tensor, Any]]
"""A data set or its spec; or batches of images as the network takes them, and labels as indices of its classes."""


def images_of(
    run: Run | None, data: Images | None, *, root: str | Path | None = None, rotate: bool | None = None
) -> tuple[Images, bool]:
    """The images to run a network on, and whether they are rotated as their EXIF orientation says.

    Parameters
    ----------
    run
        Its images are opened again, unless there is `data`.
    data
        Other images.
    root
        Where the images are, if they were moved; or those of the data set that is named.
    rotate
        None for what was done in the run.

    Raises
    ------
    OptionError
        If there is neither, or what is given as a run is none.
    DataNotFoundError
        If the images of the run are not there.
    """
    if run is not None:
        require_run(run)
    if rotate is None:
        rotate = run is not None and run.manifest.engine.rotate
    if data is None:
        if run is None:
            raise OptionError("neither run nor data was given, expected a run, or images as data=...")
        return reopen_data(run, root=root), rotate
    if isinstance(data, str | Path):
        data = open_dataset(data, root=root)
    return data, rotate


def require_run(run: object) -> None:
    """Raise OptionError if what is given as a run is none."""
    if not isinstance(run, Run):
        raise OptionError(
            f"run is a {type(run).__name__}, expected a run, as seviz.open_run gives it; give images as data=..."
        )
