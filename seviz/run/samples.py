"""The table of a run's images: one row each, on disk as Parquet with checksums."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seviz.foreign import MEGABYTE, shown
from seviz.run.chunks import Samples
from seviz.run.files import damaged
from seviz.run.forms import STATUSES
from seviz.run.manifest import Manifest
from seviz.run.parquet import read_parquet

_TEXTS = (pa.string(), pa.large_string())
_SCHEMA: tuple[tuple[str, tuple[pa.DataType, ...]], ...] = (
    ("path", _TEXTS),
    ("class", _TEXTS),
    ("label", (pa.int64(), pa.list_(pa.int64()))),
    ("status", _TEXTS),
    ("reason", _TEXTS),
    ("predicted", _TEXTS),
    ("correct", (pa.bool_(),)),
    ("in_top5", (pa.bool_(),)),
    ("kept", (pa.bool_(),)),
    ("content", _TEXTS),
)
"""The columns of the table, and what each may be; it is written as the first."""


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
            "content": pd.Series(samples.contents or [None] * len(samples.paths), dtype=object),
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
    several = len(table) > 0 and not np.isscalar(table["label"].iloc[0])
    schema = pa.schema([(name, types[several if name == "label" else 0]) for name, types in _SCHEMA])
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pandas(table, schema, preserve_index=False), buffer, write_page_checksum=True)
    return buffer.getvalue()


def read_samples(path: Path, manifest: Manifest, images: int) -> pd.DataFrame:
    """Read the table of images.

    Parameters
    ----------
    path
        Of the file.
    manifest
        Of the run.
    images
        How many the run has.

    Raises
    ------
    DamagedRunError
        If it is not what was written, or holds what no run of this manifest can.
    """
    largest = 16 * MEGABYTE + 2048 * images
    try:
        table = read_parquet(path, within=path.parent, largest=largest, rows=images, schema=_SCHEMA)
        _check(table, manifest)
    except (OSError, ValueError) as error:
        raise damaged(path, f"it cannot be read: {error}") from error
    return table


def _check(table: pd.DataFrame, manifest: Manifest) -> None:
    for name in ("path", "class", "label", "status", "reason", "kept"):
        if table[name].isna().any():
            raise ValueError(f"column {name} has a row without a value")
    statuses = set(table["status"].unique())
    if unknown := sorted(statuses - set(STATUSES)):
        raise ValueError(f"column status has {shown(unknown[0])}, expected {', '.join(STATUSES)}")
    single = manifest.data.labels == "single"
    if (table["label"].dtype == np.int64) != single and len(table):
        raise ValueError(
            f"column label is {table['label'].dtype}, expected {'one class' if single else 'classes'} an image"
        )
    lists = [table["label"].to_numpy(np.int64)] if single else table["label"].tolist()
    labels = np.concatenate([*lists, np.zeros(0, np.int64)])
    classes = len(manifest.data.class_ids)
    if len(wrong := labels[(labels < 0) | (labels >= classes)]):
        raise ValueError(f"column label has {wrong[0]}, expected 0 to {classes - 1}")
