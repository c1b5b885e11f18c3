"""How a list stands in one option of a command: with commas, as in CSV, or in a file.

cat,dog                 two parts
"crane, bird",cat       two parts, the first with a comma
@classes.txt            the lines of a file
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from seviz.errors import OptionError

HOW = "with commas, several times, or @FILE with one a line"
"""How things are listed, for the help of an option."""


def split_list(given: Sequence[str] | str | None) -> list[str] | None:
    """The parts of an option that lists things.

    Parameters
    ----------
    given
        Its values, for it may be given several times. Each has commas between the parts, as in CSV: a part with a
        comma stands in quotes. "@FILE" stands for the lines of a text file in UTF-8, as they are; empty lines do not
        count. None if the option was not given.

    Raises
    ------
    OptionError
        If a value is no CSV, or a file cannot be read.

    Examples
    --------
    >>> split_list(['"crane, bird",cat', "dog"])
    ['crane, bird', 'cat', 'dog']
    """
    if given is None:
        return None
    parts: list[str] = []
    for value in [given] if isinstance(given, str) else given:
        parts += _lines_of(value) if value.startswith("@") else fields_of(value)
    return [part.strip() for part in parts if part.strip()]


def joined_list(parts: Iterable[str]) -> str:
    """The parts of a list as one value, which `split_list` takes apart again.

    Examples
    --------
    >>> joined_list(["crane, bird", "cat"])
    '"crane, bird",cat'
    """
    listed = list(parts)
    file = io.StringIO()
    at = bool(listed) and listed[0].startswith("@")
    csv.writer(file, lineterminator="", quoting=csv.QUOTE_ALL if at else csv.QUOTE_MINIMAL).writerow(listed)
    return file.getvalue()


def fields_of(value: str) -> list[str]:
    """The parts of one value with commas, as in CSV; raises OptionError if it is no CSV."""
    try:
        return [part for row in csv.reader([value], skipinitialspace=True, strict=True) for part in row]
    except csv.Error as error:
        raise OptionError(
            f"list {value!r} cannot be read ({error}). Put commas between its parts, and a part with a comma in quotes:"
            " '\"crane, bird\",cat'"
        ) from error


def _lines_of(value: str) -> list[str]:
    file = Path(value[1:]).expanduser()
    try:
        return file.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no text in UTF-8"
        raise OptionError(
            f"list {value!r}: the file {str(file)!r} cannot be read ({reason}). After @ give a text file with one part"
            " a line; a part that begins with @ stands in quotes, '\"@home\"'"
        ) from error
