"""Labels that stay legible: names from data are drawn literally, long ones shortened, of too many only some written."""

import math
import re
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from rich.cells import cell_len

from seviz.texts import named

NAME = 24
"""Columns of a name that are written at most; a Chinese character takes two."""
# Three marks on one letter are all that a script needs; more would grow out of the line.
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILES = re.compile(f"({_MARK}{{3}}){_MARK}+")
_GUARD = "\N{ZERO WIDTH SPACE}"


def shortened(name: str, length: int = NAME) -> str:
    """A name as it is drawn: in one line, at most so wide, with an ellipsis in place of what is left out at its end.

    Parameters
    ----------
    name
        From data: any string. What it holds of control characters is written, see `seviz.texts.named`.
    length
        How many columns it takes at most; a Chinese character takes two, a combining mark none.
    """
    text = _PILES.sub(r"\1", named(name))
    cut = text[: 4 * length]  # marks without width may be as many
    if cut == text and cell_len(text) <= length:
        return text
    while cell_len(cut) > length - 1:
        cut = cut[:-1]
    return f"{cut.rstrip()}…"


def entry(name: str, length: int = NAME) -> str:
    """The same for the `label` of an artist, of which matplotlib leaves out those that begin with an underscore."""
    text = shortened(name, length)
    return f"{_GUARD}{text}" if text.startswith("_") else text


def entries(axes: Axes) -> tuple[list[Artist], list[str]]:
    """The artists that have a label, and the labels, as a legend takes them."""
    handles, labels = axes.get_legend_handles_labels()
    return handles, [label.replace(_GUARD, "") for label in labels]


def thinned(number: int, most: float) -> list[int]:
    """Which of so many labels are written: every one, or every second, third ... so that there are at most `most`.

    Parameters
    ----------
    number
        Of labels.
    most
        How many are legible; at least one is written, if there is any.
    """
    step = max(math.ceil(number / max(most, 1)), 1)
    return list(range(0, number, step))


def legend_columns(labels: Sequence[str], inches: float) -> int:
    """How many columns of a legend with these labels fit into so many inches; at least one."""
    longest = max(map(cell_len, labels), default=0)
    return max(min(len(labels), int(inches / (0.4 + 0.062 * longest))), 1)
