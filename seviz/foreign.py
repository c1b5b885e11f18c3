"""Files that someone else may have made: read only where they are what they should be.

A run or a network that is opened may come from a stranger, or from a disk that has gone bad. Its files are read only if
they are regular files within its directory, of a plausible size; JSON only if it is of bounded depth, has each key
once and finite numbers. It is compared with a type before it is used, so that no number in a file decides how much
memory is taken. All that is wrong is a ValueError or an OSError in one line of printable text; whoever reads a file
makes an error of seviz out of it that names the file.
"""

import dataclasses
import errno
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

MEGABYTE = 1 << 20
DEEPEST = 32
"""Levels of nesting that JSON may have."""
MOST = 1_000_000
"""Lists and objects that JSON may have."""
_DIGITS = 30  # that an integer may have
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_FIELD = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")

_WORDS: dict[str, str] = {}


def matching(pattern: str, words: str) -> msgspec.Meta:
    """What a text must look like: a regular expression, and the same in words for messages."""
    _WORDS[pattern] = words
    return msgspec.Meta(pattern=pattern)


Text = Annotated[str, msgspec.Meta(max_length=10_000)]
"""A text of a file, such as a name or a path."""
Sha256 = Annotated[str, matching(r"^[0-9a-f]{64}\Z", "64 hex digits")]
BlockName = Annotated[str, matching(r"^SE_[0-9]{1,6}_[0-9]{1,6}\Z", "SE_stage_block, such as SE_2_1")]


def shown(value: object, longest: int = 60) -> str:
    """A value out of a file as a message shows it: on one line, printable and short."""
    if isinstance(value, str):
        text = value[:longest]
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
        cut = len(value) > longest or len(text) > longest
        return f"'{text[: longest - 5]}...'" if cut else f"'{text}'"
    if isinstance(value, list | tuple):
        text = f"a list of {len(value):,}"
    elif isinstance(value, dict):
        text = f"an object of {len(value):,} fields"
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def line(error: object) -> str:
    """What an error of a library says, which may quote the file: on one line, printable and short."""
    return shown(" ".join(str(error).split()), 200)[1:-1] or type(error).__name__


def regular(path: Path, *, within: Path, largest: int) -> int:
    """Check that a file may be read; nothing is opened.

    Parameters
    ----------
    path
        Of the file.
    within
        The directory that it must lie in: a link may not lead out of it.
    largest
        Bytes that it may have.

    Returns
    -------
    int
        How many it has.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it lies outside, is no regular file (but a directory, a FIFO, a device), or is too large.
    OSError
        If it cannot be looked at.
    """
    try:
        where = path.resolve(strict=True)
    except RuntimeError as error:  # Python 3.12 and before say so of links that lead to each other
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if not where.is_relative_to(within.resolve()):
        raise ValueError(f"it is a link that leads out of {within}, expected a file in it")
    status = os.lstat(where)
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for name, test in _KINDS.items() if test(status.st_mode)), "no regular file")
        raise ValueError(f"it is {kind}, expected a regular file")
    if status.st_size > largest:
        raise ValueError(f"it has {status.st_size:,} bytes, expected at most {largest:,}")
    return status.st_size


_KINDS: dict[str, Callable[[int], bool]] = {
    "a directory": stat.S_ISDIR,
    "a FIFO": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}


def read_regular(path: Path, *, within: Path, largest: int) -> bytes:
    """Read a file whole; parameters and errors are those of `regular`."""
    size = regular(path, within=within, largest=largest)
    with path.open("rb") as file:
        return file.read(size)  # no more than was checked, should it grow meanwhile


def parse_json(content: bytes) -> Any:
    """What JSON holds.

    Parameters
    ----------
    content
        UTF-8, without byte-order mark. Lone surrogates may stand in it, escaped.

    Raises
    ------
    ValueError
        If it is no JSON, nested deeper than 32 levels, has more than a million lists and objects, a key twice, an
        integer of more than 30 digits, or a number that is not finite.
    """
    depth = deepest = 0
    brackets = _STRING.sub(b"", content).translate(None, _NO_BRACKETS)
    if len(brackets) > 2 * MOST:
        raise ValueError(f"it has {len(brackets) // 2:,} lists and objects, expected at most {MOST:,}")
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise ValueError(f"it is nested {deepest:,} levels deep, expected at most {DEEPEST}")
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start:,})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({line(error)})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {shown(name)} twice in one object")
        found[name] = value
    return found


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"it has an integer of {len(digits):,} digits, expected at most {_DIGITS}")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {shown(text)[1:-1]}, expected finite ones")
    return number


def as_type(raw: Any, kind: type[T], *, other: str = "") -> T:
    """What JSON holds, as a type.

    Parameters
    ----------
    raw
        From `parse_json`.
    kind
        A dataclass, or whatever `msgspec.convert` takes. A field that it has not is an error.
    other
        What stands before the name of a field in messages, such as "data.".

    Raises
    ------
    ValueError
        If it does not fit; the message names the field, what it is, and what was expected.
    """
    try:
        made = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        expected, _, place = str(error).partition(" - at ")
        raise ValueError(_unfit(raw, expected.replace("`", ""), place.strip("`"), other)) from error
    for field in _unknown(raw, made):
        raise ValueError(f"{other}{field} is no field that is known")
    return made


def _unfit(raw: Any, expected: str, place: str, other: str) -> str:
    value, name = raw, ""
    if "key" in place:  # of a dict
        return f"a {place.replace('`', '').replace('$.', other)} does not fit: {_worded(_lower(expected))}"
    for key, index in _FIELD.findall(place):
        if not key and not index:  # which entry of a dict it is, is not said
            return f"{other}{name.lstrip('.')} has an entry that does not fit: {_lower(expected)}"
        value = value[key] if key else value[int(index)]
        name += f"[{index}]" if index else f".{key}"
    name = f"{other}{name.lstrip('.')}".rstrip(".") or "its content"
    if expected.startswith("Object missing required field"):
        missing = f"{name}.{expected.split()[-1]}" if place not in ("", "$") else f"{other}{expected.split()[-1]}"
        return f"{missing} is missing"
    wanted = re.sub(r"^Expected (.*?)(, got .*)?$", r"expected \1", expected)
    if wanted == expected:  # such as "Number out of range"
        wanted = f"expected something else ({_lower(expected)})"
    wanted = _worded(wanted)
    size = f" of length {len(value):,}" if isinstance(value, str) and "length" in wanted else ""
    return f"{name} is {shown(value)}{size}, {wanted}"


def _worded(wanted: str) -> str:
    """What is expected, without regular expressions."""
    for pattern, words in _WORDS.items():
        wanted = wanted.replace(f"str matching regex {pattern!r}", words)
    return wanted


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _unknown(raw: Any, made: Any, name: str = "") -> Iterator[str]:
    """Fields of JSON objects that the dataclass made of them has not."""
    if dataclasses.is_dataclass(made) and isinstance(raw, dict):
        known = {field.name for field in dataclasses.fields(made)}
        for key, value in raw.items():
            if key not in known:
                yield f"{name}{shown(key)[1:-1]}"
            elif isinstance(value, dict | list):
                yield from _unknown(value, getattr(made, key), f"{name}{key}.")
    elif isinstance(made, tuple) and isinstance(raw, list):
        for number, (value, one) in enumerate(zip(raw, made, strict=True)):
            if not dataclasses.is_dataclass(one):
                return
            yield from _unknown(value, one, f"{name.removesuffix('.')}[{number}].")
