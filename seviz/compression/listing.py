"""The compressions of a run, or in a folder, side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seviz.compression.result import Compression, Kind, read, reason, said
from seviz.errors import ResultError
from seviz.run.store import Run
from seviz.showing import brief
from seviz.texts import path_text, visible

FOLDER = "compressions"
"""Of a run, where the dashboard puts them."""


@dataclass(frozen=True)
class Results:
    """Compressions by their directories' names, and why other directories are left out.

    Attributes
    ----------
    compressions
        In the order of their names.
    remarks
        A sentence for each directory that is left out.
    """

    compressions: tuple[Compression, ...]
    remarks: tuple[str, ...] = ()

    __repr__ = brief

    def __iter__(self) -> Iterator[Compression]:
        return iter(self.compressions)

    def __len__(self) -> int:
        return len(self.compressions)

    def of(self, *kinds: Kind) -> tuple[Compression, ...]:
        """Those of some kinds."""
        return tuple(each for each in self.compressions if each.kind in kinds)

    def networks(self) -> pd.DataFrame:
        """What smaller networks reach and cost, each beside its original; see `compared`."""
        return _with_remarks(compared(self.of("fold", "prune")), self.remarks)

    def curves(self) -> pd.DataFrame:
        """The accuracy with channels masked; see `curves`."""
        return _with_remarks(curves(self.of("curve")), self.remarks)


def results(where: Run | str | Path) -> Results:
    """The compressions of a run, or in a folder.

    Parameters
    ----------
    where
        A run or its directory, whose compressions lie in `compressions`; or a folder of such as commands have written.
        What is hidden is under way, and left out in silence, as are links.

    Raises
    ------
    ResultError
        If there is no such directory.

    Examples
    --------
    >>> len(seviz.results(run).compressions)
    0
    """
    folder = Path(where.path if isinstance(where, Run) else where)
    if not folder.is_dir():
        raise ResultError(f"there is no directory {str(folder)!r}, expected a run, or a folder of compressions")
    if (folder / "manifest.json").exists():
        folder = folder / FOLDER
    return results_in(folder)


def results_in(folder: Path, read: Callable[[Path], Compression] = read) -> Results:
    """The compressions in a folder, which need not be there, each read by `read`."""
    try:
        places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    except OSError:
        places = []
    found, remarks = list[Compression](), list[str]()
    for place in places:
        if place.is_symlink() or not place.is_dir():
            continue
        try:
            found.append(read(place))
        except (OSError, ValueError) as error:
            remarks.append(f"{path_text(place.name)} is left out: {reason(error)}")
    return Results(tuple(found), tuple(remarks))


def name_of(compression: Compression) -> str:
    """What a compression is called beside others: its directory, as it is shown."""
    return "" if compression.path is None else visible(path_text(compression.path.name))


def number_of(compression: Compression) -> str:
    """What that name begins with, up to a hyphen, or all of it."""
    return name_of(compression).partition("-")[0]


def classes_of(compression: Compression) -> str:
    """The classes whose images judge it, with commas; "all" for all."""
    return said(compression.settings.get("classes") or "all")


def compared(compressions: Sequence[Compression]) -> pd.DataFrame:
    """What smaller networks reach and cost, each beside its original.

    Columns: result; network; number, of the result; classes, those whose images count; and of `seviz fold` and
    `seviz prune` images, accuracy with low and high, drop with drop_low and drop_high, blocks, parameters,
    multiply_adds, bytes, and where it was measured latency_ms with its interval and latency_ratio; and of parameters,
    multiply_adds and bytes the share that is left, share_parameters and so on; original and last, whether it is the
    first and the last network of its result.
    """
    frames = [pd.DataFrame()]
    for each in compressions:
        rows = each.measurements
        shares = {f"share_{cost}": rows[cost] / rows[cost].iloc[0] for cost in ("parameters", "multiply_adds", "bytes")}
        frames.append(
            rows.assign(
                result=name_of(each),
                number=number_of(each),
                classes=classes_of(each),
                original=np.arange(len(rows)) == 0,
                last=np.arange(len(rows)) == len(rows) - 1,
                **shares,
            )
        )
    return pd.concat(frames[1:] or frames, ignore_index=True)


def curves(compressions: Sequence[Compression]) -> pd.DataFrame:
    """The masking curves of several results.

    The columns of their means, with result, number, and curve: the criterion, and where several results have it also
    the number of its result.
    """
    frames = [each.measurements.assign(result=name_of(each), number=number_of(each)) for each in compressions]
    if not frames:
        return pd.DataFrame()
    table = pd.concat(frames, ignore_index=True)
    several = table.groupby("criterion")["result"].transform("nunique") > 1
    return table.assign(curve=table["criterion"].where(~several, table["criterion"] + " (" + table["number"] + ")"))


def _with_remarks(table: pd.DataFrame, remarks: Sequence[str]) -> pd.DataFrame:
    table.attrs["remarks"] = list(remarks)
    return table
