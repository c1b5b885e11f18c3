"""The table of a run's images: one row each, on disk as Parquet with checksums."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seviz.run.chunks import Samples
from seviz.run.files import damaged
from seviz.run.manifest import Manifest


def samples_table(samples: Samples, manifest: Manifest) -> pd.DataFrame:
    """The rows of some images; see `seviz.run.store.Run.samples`."""
    data, good = manifest.data, samples.good
    several = samples.labels.ndim == 2
    classes: list[Any] = (
        [np.flatnonzero(row) for row in samples.labels] if several else samples.labels[:, None].tolist()
    )
    frame = pd.DataFrame(
        {
            "path": list(samples.paths),
            "class": ["|".join(data.class_ids[label] for label in labels) for labels in classes],
            "label": classes if several else samples.labels,
            "status": list(samples.statuses),
            "reason": list(samples.reasons),
            **_predictions(samples, manifest),
            "kept": samples.kept,
        }
    )
    told = good & (samples.predictions[:, 0] >= 0)  # what cannot be predicted is not wrong
    frame.loc[~told, ["predicted", "correct", "in_top5"]] = pd.NA
    return frame


def _predictions(samples: Samples, manifest: Manifest) -> dict[str, Any]:
    model, targets = manifest.model, manifest.data.model_classes
    first = samples.predictions[:, 0]
    names = np.array([*(model.class_ids or ()), ""], dtype=object)  # -1, no prediction, is the last
    unknown = pd.Series(pd.NA, range(len(first)), dtype="boolean")
    if model.task != "classification":
        return {"predicted": pd.Series(pd.NA, range(len(first)), dtype=object), "correct": unknown, "in_top5": unknown}
    predicted = names[first] if model.class_ids else first.astype(str).astype(object)
    if targets is None:
        return {"predicted": predicted, "correct": unknown, "in_top5": unknown}
    if samples.labels.ndim == 2:  # right is any of the image's classes
        right = np.zeros((len(first), len(model.class_ids or ()) + 1), dtype=bool)
        right[:, list(targets)] = samples.labels
        hits = np.take_along_axis(right, samples.predictions, axis=1)
    else:
        hits = samples.predictions == np.asarray(targets)[samples.labels][:, None]
    return {
        "predicted": predicted,
        "correct": pd.Series(hits[:, 0]).astype("boolean"),
        "in_top5": pd.Series(hits.any(1)).astype("boolean"),
    }


def samples_bytes(table: pd.DataFrame) -> bytes:
    """The file of a table: same table, same bytes."""
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), buffer, write_page_checksum=True)
    return buffer.getvalue()


def read_samples(path: Path) -> pd.DataFrame:
    """Read the table of images; raises DamagedRunError if it is not what was written."""
    try:
        table: pd.DataFrame = pq.read_table(path, page_checksum_verification=True).to_pandas()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, f"it cannot be read: {error}") from error
    return table
