"""The classes whose mean gates are most like those of one."""

import numpy as np
import pandas as pd

from seviz.errors import OptionError
from seviz.registry import Column, table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.distances import distances
from seviz.tables.class_pair import labels_with_images
from seviz.tables.columns import CLASSES, COUNT


@table(
    title="Nearest classes",
    caption="The classes whose mean gates in a block are most like those of one.",
    columns={
        **CLASSES,
        "images": COUNT,
        "distance": Column(low=0, high=2),
    },
)
def nearest_classes(run: Run, block: str, one: str, *, number: int = 10) -> pd.DataFrame:
    """The classes whose mean gates are most like those of one, the nearest first.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    one
        A class, by id or name, with images in the run.
    number
        Greatest number of classes.

    Returns
    -------
    pandas.DataFrame
        Columns: class, class_name; images; distance, one minus the correlation of mean gates over channels, in [0, 2].
        Without classes that have no image or the same mean gate in all channels.

    Raises
    ------
    UnknownClassError, OptionError
        As in `class_pair`, and if `number` is less than 1.

    Examples
    --------
    >>> len(seviz.nearest_classes(run, "SE_5_1", "cat", number=3))
    3
    """
    if number < 1:
        raise OptionError(f"number is {number}, expected at least 1")
    (label,) = labels_with_images(run, one)
    moments = run.moments(block)
    seen = np.flatnonzero(moments.count)
    apart = distances(moments.mean[seen])[np.flatnonzero(seen == label)[0]]
    table = pd.DataFrame(
        {
            "class": [run.classes.ids[each] for each in seen],
            "class_name": [run.classes.names[each] for each in seen],
            "images": moments.count[seen],
            "distance": apart,
        }
    )
    others = table[seen != label].dropna(subset="distance").sort_values("distance", kind="stable", ignore_index=True)
    nearest: pd.DataFrame = others.head(number)
    nearest.attrs["remarks"] = unresolved(run, [block])
    return nearest
