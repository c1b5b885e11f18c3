"""Text that comes from data (class names, paths, specs) made fit to be shown, and to be written as UTF-8.

Each medium has one function that such text is led through, and all of these begin with `visible`:
`seviz.figures.labels.shortened` for figures, `seviz.cli.reporting` and `seviz.cli.printing` for the terminal,
`seviz.report.markup.text` for HTML, `seviz.dashboard.escaping` for Markdown and charts. Stored text is made UTF-8 by
`as_utf8`, paths by `path_text`.
"""

import csv
import os
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_NONCHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
# Invisible marks are the soft hyphen, zero-width spaces, the byte order mark, and all that set the direction of text.
# Joiners and variation selectors are none of these: emoji, Persian and Indic scripts are written with them.
_MARKS = "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_HIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}{_MARKS}]")
# What can begin something in Markdown wherever it stands; an underscore only where a word begins or ends.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])|^[#+-]|(?<=^\d)[.)]|:(?=\w+:)")
_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(text: str, *, keep: str = "") -> str:
    r"""One line without anything that is obeyed instead of shown; all else is as it was.

    Parameters
    ----------
    text
        Any string, lone surrogates included.
    keep
        Characters that stay as they are all the same, such as a line break.

    Returns
    -------
    str
        Control characters, line breaks, invisible marks and those that set the direction of text, lone surrogates and
        noncharacters are written as Python would: ``\n``, ``\x1b``, ``\u202e``, ``\udc80``. It can be encoded as UTF-8.

    Examples
    --------
    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _HIDDEN.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def named(text: str) -> str:
    """The same for a name, which also is to be seen where it is empty or blank: then it stands in quotes."""
    shown = visible(text)
    return shown if shown.strip() else f"'{shown}'"


def markdown_text(text: str) -> str:
    """A text that Markdown shows as it is, in a line or in the cell of a table."""
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def command_line(arguments: Iterable[str]) -> str:
    """A command as it can be typed into a shell, in one line; what is not shown is written as $'...' takes it."""
    if os.name == "nt":
        return subprocess.list2cmdline([visible(argument) for argument in arguments])
    return " ".join(map(_quoted, arguments))


def as_utf8(text: str) -> str:
    """A text as it is stored: itself, or percent-encoded where it holds lone surrogates, which UTF-8 has no place for.

    Applied again it changes nothing. Surrogates that stand for bytes of a file's name become those bytes.
    """
    return text if _is_utf8(text) else urllib.parse.quote_from_bytes(_bytes(text))


def path_text(path: str) -> str:
    """A path as text from which `path_of` finds it again: itself, or percent-encoded where it is no UTF-8.

    A path that looks as if it had been encoded so, such as "%FF.png", is encoded as well.
    """
    return as_utf8(path) if not _is_utf8(path) else urllib.parse.quote(path) if _encoded(path) else path


def path_of(text: str) -> str:
    """The path that `path_text` wrote, as the operating system knows it."""
    return os.fsdecode(urllib.parse.unquote_to_bytes(text)) if _encoded(text) else text


def csv_text(table: "pd.DataFrame", *, index: bool = False) -> str:
    """A table as comma-separated values in full precision, from which each text is read again as it was.

    Texts are quoted where they need it; all of them where one holds a carriage return, which pandas does not quote.
    """
    text: str = table.to_csv(index=index, lineterminator="\n")
    if "\r" in text:
        text = table.to_csv(index=index, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


def _encoded(text: str) -> bool:
    """Whether a text is what `path_text` makes of another."""
    while "%" in text and _is_utf8(text):
        content = urllib.parse.unquote_to_bytes(text)
        if urllib.parse.quote_from_bytes(content) != text:
            return False
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return True
    return False


def _quoted(argument: str) -> str:
    if visible(argument) == argument:
        return shlex.quote(argument)
    shown = "".join(c if visible(c) == c else "".join(f"\0{byte:02x}" for byte in _bytes(c)) for c in argument)
    return "$'{}'".format(shown.replace("\\", r"\\").replace("'", r"\'").replace("\0", r"\x"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bytes(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "surrogatepass")


def _escape(character: str) -> str:
    number = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
