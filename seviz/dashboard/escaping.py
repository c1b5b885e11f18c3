"""Text from data, class names and paths: as Markdown shows it and does not read it, and as options are told apart."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from seviz.texts import named, visible

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def escaped(text: str) -> str:
    """The text with a backslash before each mark that Markdown, or Streamlit in it, could read as its own."""
    return _PUNCTUATION.sub(r"\\\1", visible(" ".join(text.split())))


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels as they are shown, each unlike all others: those that would look alike are numbered."""
    shown = [named(label) for label in labels]
    taken, result = Counter(shown), list[str]()
    for label in shown:
        if taken[label] > 1 and label in result:
            number = next(n for n in range(2, len(shown) + 2) if f"{label} [{n}]" not in taken)
            label = f"{label} [{number}]"
            taken[label] += 1
        result.append(label)
    return result


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table as `st.dataframe` shows it: texts, index and headings one line each, without what would be obeyed."""
    shown = table.copy()
    for column in table.select_dtypes(["object", "string", "category"]):
        shown[column] = table[column].map(_shown).astype(object)
    return shown.rename(index=_shown, columns=_shown)


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value


def listed(names: list[str], most: int = 5) -> str:
    """Names one after another, escaped; of many only the first, and how many more there are."""
    shown = ", ".join(map(escaped, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
