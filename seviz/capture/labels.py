"""From labels as text to classes and their indices: classes in the order of numbers, or of text."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from seviz.classes import Classes


def indexed_labels(texts: Sequence[str]) -> tuple[Classes, NDArray[np.int64]]:
    """Classes whose ids are the labels that occur, and the index of each label among them.

    Parameters
    ----------
    texts
        A label of each image. Where all are whole numbers, classes are in the order of the numbers, else of the text.
    """
    distinct = sorted(set(texts))
    if all(text.isascii() and text.isdecimal() for text in distinct):
        distinct.sort(key=lambda text: (len(text.lstrip("0")), text.lstrip("0"), text))
    index = {text: label for label, text in enumerate(distinct)}
    return Classes(tuple(distinct), tuple(distinct)), np.array([index[text] for text in texts], np.int64)


def several_labels(rows: Sequence[Sequence[int]], classes: int) -> NDArray[np.bool_]:
    """Labels (image, class) of the indices of each image."""
    labels = np.zeros((len(rows), classes), bool)
    lengths = [len(row) for row in rows]
    labels[np.repeat(np.arange(len(rows)), lengths), list(chain.from_iterable(rows))] = True
    return labels
