"""Images listed in a CSV file, each with its label or labels."""

import os
import re
from collections.abc import Iterator
from csv import Error, reader
from pathlib import Path

import numpy as np

from seviz.capture.indexed import Dataset, in_order
from seviz.capture.specs import existing
from seviz.classes import Classes
from seviz.errors import DataFormatError, EmptyDataError, OptionError
from seviz.registry import layout

BETWEEN = "|"
"""What stands between several labels of an image, by default."""


@layout(
    forms=("csv:FILE",),
    title="List of images",
    caption="columns `path` and `label`, several labels with a bar between (cat\\|dog) or what"
    " `--label-separator` says; a backslash before it makes it part of a label",
)
def csv(spec: str, where: Path, *, root: Path | None = None, label_separator: str | None = None) -> Dataset:
    """Open the images that a CSV file lists: UTF-8, with a header that has the columns `path` and `label`.

    Several labels of an image stand in one field, with a separator between them; if there is any such field, the data
    set is one of several labels an image. What is listed is taken to be there.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        The file.
    root
        What the paths are relative to; None for the folder of the file.
    label_separator
        What stands between labels, "|" for None; empty if a field is always one label. After a backslash it is
        part of a label, and so is a backslash.

    Raises
    ------
    OptionError
        If the separator is a backslash, a quote or white space.
    DataFormatError
        If the file is not as described, or a row lacks a path or a label, or has the path of another.
    EmptyDataError
        If there is no row.
    """
    separator = BETWEEN if label_separator is None else label_separator
    if separator and (not separator.strip() or "\\" in separator or '"' in separator):
        raise OptionError(
            f"label_separator is {separator!r}, expected text without backslashes and quotes that is no white space,"
            " or nothing"
        )
    file = existing(spec, where, file=True)
    root = root or file.parent
    lines: dict[str, int] = {}
    listed, parts = [], []
    for line, path, label in _rows(file):
        if os.path.isabs(path):
            path = _below(file, line, path, root)
        path = path.replace(os.sep, "/")  # as runs have it on every system
        plain = os.path.normpath(path)
        if plain in lines:
            raise DataFormatError(f"{str(file)!r}, line {line}: {path!r} stands in line {lines[plain]} already")
        several = _parts(label, separator)
        if not all(several):
            raise DataFormatError(f"{str(file)!r}, line {line}: label {label!r} has an empty part")
        lines[plain] = line
        listed.append(path)
        parts.append(several)
    if not listed:
        raise EmptyDataError(f"data {spec!r} lists no image: {str(file)!r} has a header and no row")
    ids = tuple(sorted({part for several in parts for part in several}))
    index = {class_id: label for label, class_id in enumerate(ids)}
    if any(len(several) > 1 for several in parts):
        labels = np.zeros((len(parts), len(ids)), bool)
        for row, several in enumerate(parts):
            labels[row, [index[part] for part in several]] = True
    else:
        labels = np.array([index[part] for (part,) in parts], np.int64)
    paths, labels = in_order(listed, labels)
    return Dataset(spec, root, Classes(ids, ids), paths, labels)


def _parts(label: str, separator: str) -> list[str]:
    """The labels in a field."""
    if not separator:
        return [label.strip()]
    parts = [""]
    for escaped, between, other in re.findall(
        rf"\\(\\|{re.escape(separator)})|({re.escape(separator)})|(.)", label, re.S
    ):
        if between:
            parts.append("")
        else:
            parts[-1] += escaped or other
    return [part.strip() for part in parts]


def _rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """Line, path and label of each row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = reader(lines, skipinitialspace=True)
            columns = [column.strip() for column in next(rows, [])]
            for column in ("path", "label"):
                if columns.count(column) != 1:
                    raise DataFormatError(
                        f"{str(file)!r} has {columns.count(column) or 'no'} columns {column!r}, expected one; its"
                        f" first line is {','.join(columns)!r}"
                    )
            wanted = columns.index("path"), columns.index("label")
            for row in rows:
                if len(row) > len(columns):
                    raise DataFormatError(
                        f"{str(file)!r}, line {rows.line_num}: more fields than the {len(columns)} of the header; put"
                        " a field with a comma in quotes"
                    )
                if not row:
                    continue
                for field in wanted:
                    if field >= len(row) or not row[field].strip():
                        raise DataFormatError(f"{str(file)!r}, line {rows.line_num}: no {columns[field]}")
                yield rows.line_num, row[wanted[0]], row[wanted[1]]
    except (UnicodeDecodeError, Error) as error:
        raise DataFormatError(f"{str(file)!r} is no CSV file in UTF-8 ({error})") from error


def _below(file: Path, line: int, path: str, root: Path) -> str:
    """An absolute path, relative to the root that it lies in."""
    try:
        relative = os.path.relpath(path, root)
    except ValueError:  # on another drive of Windows
        relative = os.pardir
    if relative.split(os.sep)[0] == os.pardir:
        raise DataFormatError(
            f"{str(file)!r}, line {line}: {path!r} does not lie in {str(root)!r}, which paths are relative to; give a"
            " folder that holds all images as root"
        )
    return relative
