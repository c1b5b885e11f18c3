"""Text that comes from data (class names, paths, specs) made fit to be shown, and to be written as UTF-8.

Each medium has one function that such text is led through, and all of these begin with `visible`:
`seviz.figures.labels.shortened` for figures, `seviz.cli.reporting` and `seviz.cli.printing` for the terminal,
`seviz.report.markup.text` for HTML, `seviz.dashboard.escaping` for Markdown and charts. Stored text is made UTF-8 by
`as_utf8`, paths by `path_text`.
"""

import os
import re
import urllib.parse

_NONCHARACTERS = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
# Invisible marks are the soft hyphen, zero-width spaces, the byte order mark, and all that set the direction of text.
# Joiners and variation selectors are none of these: emoji, Persian and Indic scripts are written with them.
_MARKS = "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_HIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}{_MARKS}]")
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


def _encoded(text: str) -> bool:
    """Whether a text is what `path_text` makes of another."""
    if "%" not in text or not _is_utf8(text):
        return False
    content = urllib.parse.unquote_to_bytes(text)
    if urllib.parse.quote_from_bytes(content) != text:
        return False
    try:
        return _encoded(content.decode())
    except UnicodeDecodeError:
        return True


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
