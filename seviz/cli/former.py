"""Commands and options that are called otherwise now."""

import re
from collections.abc import Sequence
from itertools import pairwise

from seviz.errors import OptionError

FORMER = (
    ("components", "", "`seviz principal-components RUN BLOCK`, or for --umap `seviz neighbour-map RUN BLOCK`"),
    ("redundancy", r"SE_\d+_\d+", "`seviz redundant-channels RUN BLOCK`"),
    ("convergence", "--by-size", "--by size"),
    ("specificity", "--from-moments", "--no-over-images"),
)
"""A command, which word of it went (by a regular expression; the command itself where empty), and what to give now."""


def refuse_former(words: Sequence[str]) -> None:
    """Raise OptionError for a command line as it was written formerly, with what to write now."""
    values = {after for before, after in pairwise(words) if before.startswith("-")}
    for command, gone, now in FORMER:
        found = [word for word in words[1:] if re.fullmatch(gone, word) and word not in values] if gone else ["it"]
        if words[:1] == [command] and found:
            raise OptionError(f"{found[0] if gone else command} is gone from the command line; give {now}")
