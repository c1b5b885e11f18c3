"""Labels that stay legible: long names are shortened, and of too many only some are written."""

import math
from collections.abc import Sequence

NAME = 24
"""Characters of a name that are written at most."""


def shortened(name: str, length: int = NAME) -> str:
    """A name of at most so many characters, with an ellipsis in place of what is left out at its end."""
    return name if len(name) <= length else f"{name[: length - 1].rstrip()}…"


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
    longest = max(map(len, labels), default=0)
    return max(min(len(labels), int(inches / (0.4 + 0.062 * longest))), 1)
