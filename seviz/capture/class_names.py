"""What the classes of a data set are to be called: names in their order, or by their ids."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError

ClassNames = str | Path | Sequence[str] | Mapping[str, str]
"""A file, names in the order of the classes, or names by the ids of the classes."""

_HEADER = ["id", "name"]


def named_classes(classes: Classes, names: ClassNames, where: str) -> Classes:
    """Classes with other names and the same ids.

    Parameters
    ----------
    classes
        As they are.
    names
        In the order of the classes, one for each; or by their ids, where ids of no class do no harm. A file has a name
        on each line in the order of the classes, or is a CSV file with the columns `id` and `name`; UTF-8, and empty
        lines do not count.
    where
        What the classes are of, for messages.

    Raises
    ------
    DataNotFoundError
        If the file is not there.
    DataFormatError
        If it cannot be read, or there is not a name for each class.
    """
    given = _read(Path(names)) if isinstance(names, str | Path) else names
    source = f"file {str(names)!r}" if isinstance(names, str | Path) else "list"
    if isinstance(given, Mapping):
        missing = [class_id for class_id in classes.ids if class_id not in given]
        if missing:
            raise DataFormatError(
                f"class_names, {source}: {len(missing)} of the {len(classes)} classes of {where} have no name there,"
                f" the first {missing[0]!r}. Give a name for each id."
            )
        given = [given[class_id] for class_id in classes.ids]
    if len(given) != len(classes):
        raise DataFormatError(
            f"class_names, {source}: {len(given)} names for the {len(classes)} classes of {where}. Give one for each,"
            f" in the order of the classes, of which the first is {classes.ids[0]!r}; or a CSV file with the columns"
            " id and name."
        )
    return replace(classes, names=tuple(given))


def is_by_id(names: ClassNames) -> bool:
    """Whether names are given by the ids of the classes."""
    return isinstance(_read(Path(names)) if isinstance(names, str | Path) else names, Mapping)


def listed_names(names: ClassNames) -> list[str]:
    """Names in the order of the classes; raises DataFormatError if they are given by id."""
    given = _read(Path(names)) if isinstance(names, str | Path) else names
    if isinstance(given, Mapping):
        raise DataFormatError(
            "class_names: names are given by the ids of classes, and these have none; give them in the order of the"
            " classes"
        )
    return list(given)


def _read(file: Path) -> Sequence[str] | Mapping[str, str]:
    if not file.is_file():
        raise DataNotFoundError(f"class_names: there is no file {str(file)!r}; give one with a name on each line")
    try:
        lines = file.read_text("utf-8-sig").splitlines()
        if not lines or [column.strip() for column in lines[0].split(",")] != _HEADER:
            return [line.strip() for line in lines if line.strip()]
        rows = [row for row in csv.reader(lines[1:], skipinitialspace=True, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFormatError(
            f"class_names: file {str(file)!r} cannot be read as UTF-8 text or CSV ({error})"
        ) from error
    names: dict[str, str] = {}
    for row in rows:
        if len(row) != len(_HEADER) or not row[1].strip() or row[0].strip() in names:
            raise DataFormatError(
                f"class_names: file {str(file)!r} has the row {','.join(row)!r}, expected an id that was not there"
                " before, and a name; put what has a comma in quotes"
            )
        names[row[0].strip()] = row[1].strip()
    return names
