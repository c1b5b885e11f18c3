"""Of which images the gates are kept one by one, and what that takes."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seviz.capture.datasets import Dataset
from seviz.errors import OptionError
from seviz.run.chunks import in_16_bits
from seviz.run.manifest import BlockRecord

LIMIT = 8e9
"""Bytes of gates up to which those of all images are kept by default."""
BY_DEFAULT_PER_CLASS = 50
"""Images of each class whose gates are kept by default where all would be too much; the paper looks at as many."""


def check_keep_gates(keep_gates: str) -> None:
    """Raise OptionError unless it is "auto", "all", "none" or "per-class:N"."""
    if keep_gates not in ("auto", "all", "none") and not re.fullmatch(r"per-class:[1-9]\d*", keep_gates):
        raise OptionError(
            f"keep_gates is {keep_gates!r}, expected auto, all, none or per-class:N, such as per-class:50"
        )


def bytes_per_image(blocks: Sequence[BlockRecord], signals: Sequence[str]) -> int:
    """What the gates of one image take on the disk, if they keep to the bounds of their functions."""
    excitation = sum(block.channels * (2 if in_16_bits(block.bounds) else 4) for block in blocks)
    return excitation + 4 * (len(signals) - 1) * sum(block.channels for block in blocks)


def kept(data: Dataset, keep_gates: str) -> NDArray[np.bool_]:
    """Of which images the gates are kept, (image). Some of a class are drawn at random, the same at every call."""
    if not keep_gates.startswith("per-class:"):
        return np.full(len(data), keep_gates == "all")
    count = int(keep_gates.partition(":")[2])
    chosen = np.zeros(len(data), dtype=bool)
    random = np.random.default_rng(0)
    if not data.multi:
        order = np.argsort(data.labels, kind="stable")
        groups = np.split(order, np.cumsum(np.bincount(data.labels, minlength=len(data.classes)))[:-1])
    else:
        groups = [np.flatnonzero(column) for column in data.labels.T]
    for members in groups:
        chosen[members if len(members) <= count else random.choice(members, count, replace=False)] = True
    return chosen
