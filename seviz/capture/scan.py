"""Check a data set without a network: decode every image, and tell which are not in order."""

from functools import partial

import numpy as np
import pandas as pd

from seviz.capture.indexed import Dataset
from seviz.capture.workers import KILLED, read_in_order
from seviz.errors import OptionError
from seviz.progress import Progress
from seviz.texts import path_text

STATUSES = ("ok", "coerced", "failed")
_AT_ONCE = 32  # images handed to a worker


def scan(data: Dataset, *, workers: int = 0, rotate: bool = False, progress: Progress | None = None) -> pd.DataFrame:
    """Decode every image of a data set.

    Parameters
    ----------
    data
        From `seviz.capture.datasets.open_dataset`.
    workers
        Processes that decode; 0 for this one. An image that has its process killed does not end the scan: those it
        was with are decoded one by one, and it has failed.
    rotate
        As in `seviz.capture.images.decode`.
    progress
        Told after each step: images done, and of how many.

    Returns
    -------
    pandas.DataFrame
        A row for each image, in the order of the data set. Columns: path; class (its name; several names are joined
        by "|"); status ("ok", "coerced", "failed") and reason.

    Raises
    ------
    OptionError
        If there are to be less than 0 workers.
    WorkerError
        If the processes cannot be started.
    """
    if workers < 0:
        raise OptionError(f"workers is {workers}, expected a number of processes, or 0 for this one")
    steps = [range(k, min(k + _AT_ONCE, len(data))) for k in range(0, len(data), _AT_ONCE)]
    read = partial(_read, data, rotate=rotate)
    found: list[tuple[str, str]] = []
    for some in read_in_order(read, steps, workers=workers, lost=("failed", KILLED), together=list):
        found += some
        if progress:
            progress(len(found), len(data))
    return pd.DataFrame(
        {
            "path": [path_text(path) for path in data.paths],
            "class": _class_names(data),
            "status": [status for status, _ in found],
            "reason": [reason for _, reason in found],
        }
    )


def reasons(scanned: pd.DataFrame) -> pd.DataFrame:
    """How often there is what to say of images.

    Parameters
    ----------
    scanned
        As `scan` returns it.

    Returns
    -------
    pandas.DataFrame
        A row for each status and reason, failures first, the most frequent first. Columns: status, reason, images,
        and example, a path. Images of which there is nothing to say are left out.
    """
    told = scanned[(scanned["status"] != "ok") | (scanned["reason"] != "")]
    grouped = told.groupby(["status", "reason"], sort=False)["path"].agg(images="size", example="first").reset_index()
    grouped["rank"] = [-STATUSES.index(status) for status in grouped["status"]]
    ordered = grouped.sort_values(["rank", "images"], ascending=[True, False], kind="stable", ignore_index=True)
    return ordered.drop(columns="rank")


def _class_names(data: Dataset) -> list[str]:
    names = np.array(data.classes.names, dtype=object)
    if data.multi:
        return ["|".join(names[row]) for row in data.labels]
    return list(names[data.labels])


def _read(data: Dataset, index: int, *, rotate: bool) -> tuple[str, str]:
    decoded = data.read(index, rotate=rotate)
    return decoded.status, decoded.reason
