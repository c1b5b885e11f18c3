"""What is taken home from the dashboard: figures, tables and folders, as the content of files."""

import io
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from seviz.figures.album import Album, Drawing
from seviz.figures.style import save
from seviz.registry import FIGURES, TABLES
from seviz.run.parquet import read_kept
from seviz.run.store import Run
from seviz.tables.excitation import default_blocks
from seviz.texts import csv_text

# matplotlib's settings are the process's: two sessions that draw at once would mix them
_TURN = threading.Lock()


@dataclass(frozen=True, kw_only=True, eq=False)
class Sheet:
    """A figure as files, or why there is none.

    Attributes
    ----------
    name
        Of the files.
    files
        By format.
    data
        What it shows.
    reason
        Why it cannot be drawn; else empty.
    """

    name: str
    files: dict[str, bytes]
    data: pd.DataFrame
    reason: str = ""


def draw(album: Album, figure: str, formats: Sequence[str]) -> list[Sheet]:
    """A figure of an album in some formats; several where it is of single blocks."""
    sheets = []
    with _TURN, TemporaryDirectory(prefix="seviz-figure-") as place:
        for drawn in album.draw([figure]):
            if not isinstance(drawn, Drawing):
                sheets.append(Sheet(name=drawn.name, files={}, data=pd.DataFrame(), reason=drawn.reason))
                continue
            files = {}
            for kind in formats:
                file = Path(place) / f"{drawn.name}.{kind}"
                save(drawn.figure, file)
                files[kind] = file.read_bytes()
            sheets.append(Sheet(name=drawn.name, files=files, data=drawn.data))
    return sheets


def needed(run: Run, figure: str, blocks: Sequence[str]) -> list[tuple[str, str]]:
    """The tables that a figure is drawn from, each with its block, "" for those of the whole run.

    Those that are made from gates of images are left out where the run keeps none: then the album says so.
    """
    images = bool(run.samples["kept"].any())
    tables = [TABLES[name] for name in FIGURES.outline(figure).tables]
    return [
        (table.name, block)
        for table in tables
        if images or "gates" not in table.needs
        for block in ((blocks or default_blocks(run)) if table.of_block else [""])
    ]


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV, with its index where that says something."""
    return csv_text(table, index=not isinstance(table.index, pd.RangeIndex))


def tables_zip(tables: dict[str, Path]) -> bytes:
    """Kept tables as CSV in a zip file, by name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in tables.items():
            entry = zipfile.ZipInfo(f"{name}.csv", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, as_csv(read_kept(path)))
    return made.getvalue()


def zipped(folder: Path, names: Sequence[str]) -> bytes:
    """Some files of a folder as a zip file; the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            packed = Path(name).suffix in (".csv", ".json", ".md", ".svg", ".pdf")  # others are as small as they get
            entry.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
            archive.writestr(entry, (folder / name).read_bytes())
    return made.getvalue()
