"""The gate of one channel, image by image."""

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.tables.channel_by_class import check_channel
from seviz.tables.columns import CLASSES, NUMBER, SIGNAL, TEXT


@table(
    title="One channel by image",
    caption="The gate of one channel, image by image.",
    needs=("gates",),
    cost="gates",
    columns={
        "image": NUMBER,
        "path": TEXT,
        **CLASSES,
        "excitation": SIGNAL,
    },
)
def channel_by_image(run: Run, block: str, channel: int) -> pd.DataFrame:
    """The gate of one channel, image by image.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    channel
        Channel number, from 0.

    Returns
    -------
    pandas.DataFrame
        A row an image that did not fail and whose gates are kept, for each of its classes: image, its row in
        `run.samples`; path, class, class_name, excitation.

    Raises
    ------
    MissingSignalError
        If the run holds no such block, or keeps no gates of images.
    OptionError
        If there is no such channel.

    Examples
    --------
    >>> seviz.channel_by_image(run, "SE_5_1", 7).shape
    (60, 5)
    """
    check_channel(run, block, channel)
    sample = run.sample(block)
    rows, labels = sample.rows, sample.labels
    image, label = np.nonzero(labels) if labels.ndim == 2 else (np.arange(len(rows)), labels)
    ids, names = (np.array(texts, dtype=object)[label] for texts in (run.classes.ids, run.classes.names))
    paths = run.samples["path"].to_numpy(object)[rows][image]
    columns = {"path": paths, "class": ids, "class_name": names, "excitation": sample.gates[image, channel]}
    table = pd.DataFrame({"image": rows[image], **columns})
    table.attrs["remarks"] = unresolved(run, [block])
    return table
