"""One image among the classes of a run: which are nearest to it, what they are to it, and which image is the next."""

from typing import Any

import numpy as np
import pandas as pd

from seviz.dashboard.escaping import escaped
from seviz.run.store import Run

KINDS = ("what it is taken for", "its class", "another class")
"""What a class is to an image."""


def nearest_classes(likeness: pd.Series, predicted: int | None, own: tuple[int, ...]) -> pd.DataFrame:
    """Classes by their distance to an image in one block, the nearest first.

    Columns: index; distance; rank, from 1; what, one of `KINDS`. Classes without a distance are left out.
    """
    apart = (1 - likeness).dropna().sort_values(kind="stable")
    return pd.DataFrame(
        {
            "index": apart.index.astype(int),
            "distance": apart.to_numpy(),
            "rank": np.arange(1, len(apart) + 1),
            "what": [KINDS[0] if k == predicted else KINDS[1] if k in own else KINDS[2] for k in apart.index],
        }
    )


def place_in_words(likeness: pd.Series, labels: list[str], predicted: int | None, own: tuple[int, ...]) -> str:
    """Which place the prediction and its own classes have among all, in a sentence; Markdown."""
    table = nearest_classes(likeness, predicted, own).set_index("index")
    told = [
        f"{escaped(labels[k])} is number {table['rank'][k]:,}"
        for k in dict.fromkeys([*([] if predicted is None else [predicted]), *own])
        if k in table.index
    ]
    return f"Of {len(table):,} classes, {' and '.join(told)}." if told else f"There are {len(table):,} classes."


def another(row: int, number: int) -> int:
    """The image after this one, in an order of all that is drawn once."""
    order = np.random.default_rng(0).permutation(number)
    return int(order[(int(np.flatnonzero(order == row)[0]) + 1) % number])


def label_of(run: Run, number: int | None) -> int | None:
    """The label in the run of a class of the network; None where it is none."""
    targets = run.manifest.data.model_classes
    return targets.index(number) if number is not None and targets is not None and number in targets else None


def number_of(run: Run, predicted: Any) -> int | None:
    """The number of a class among the network's, as `samples` has it; None where nothing was predicted."""
    ids = run.manifest.model.class_ids
    if not isinstance(predicted, str) or not predicted:
        return None
    if ids is None:
        return int(predicted) if predicted.isdecimal() else None
    return ids.index(predicted) if predicted in ids else None
