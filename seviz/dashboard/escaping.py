"""Text from data, class names and paths, as Markdown shows it and does not read it."""

import re

from seviz.texts import visible

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def escaped(text: str) -> str:
    """The text with a backslash before each mark that Markdown, or Streamlit in it, could read as its own."""
    return _PUNCTUATION.sub(r"\\\1", visible(" ".join(text.split())))


def listed(names: list[str], most: int = 5) -> str:
    """Names one after another, escaped; of many only the first, and how many more there are."""
    shown = ", ".join(map(escaped, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
