"""What the network takes the images of each class for."""

import numpy as np
import pandas as pd

from seviz.registry import EACH, table
from seviz.run.store import Run
from seviz.tables.columns import KEY, SHARE


@table(
    title="Confusion of classes",
    caption="Share of the images of each class that the network predicts as each other class.",
    needs=("predictions",),
    columns={
        "class": KEY,
        EACH: SHARE,
    },
)
def confusion(run: Run) -> pd.DataFrame:
    """What the network takes the images of each class for.

    Parameters
    ----------
    run
        A finished run.

    Returns
    -------
    pandas.DataFrame
        (class, predicted), by id, in the order of the labels: the share of the images of a class that are taken for
        another. Rows sum to less than 1 where some are taken for a class that the data do not have, and are NaN for
        a class without images. All NaN, with a remark in `attrs`, where the classes of the data are not those of the
        network, where the network gives no predictions, and where images have several classes.

    Examples
    --------
    >>> seviz.confusion(run).shape
    (10, 10)
    """
    model, targets, number = run.manifest.model, run.manifest.data.model_classes, len(run.classes)
    counts, remarks = np.full((number, number), np.nan), []
    if targets is None or model.task != "classification":
        remarks.append("The network's predictions are not of the classes of the data: there is no confusion.")
    elif run.manifest.data.labels != "single":
        remarks.append("Images have several classes: there is no confusion of one with another.")
    else:
        names = [model.class_ids[target] if model.class_ids else str(target) for target in targets]
        place = {name: k for k, name in enumerate(names)}
        good = (run.samples["status"] != "failed").to_numpy()
        labels = run.labels[good]
        predicted = np.array([place.get(name, number) for name in run.samples.loc[good, "predicted"]], np.int64)
        cells = np.bincount(labels * (number + 1) + predicted, minlength=number * (number + 1))
        counts = cells.reshape(number, number + 1)[:, :number].astype(np.float64)
        images = np.bincount(labels, minlength=number).astype(np.float64)[:, None]
        counts = np.divide(counts, images, out=np.full_like(counts, np.nan), where=images > 0)
    ids = run.classes.ids
    table = pd.DataFrame(counts, index=pd.Index(ids, name="class"), columns=pd.Index(ids, name="predicted"))
    table.attrs = {"remarks": remarks}
    return table
