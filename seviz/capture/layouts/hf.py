"""Data sets of Hugging Face, of the hub or of a directory; no script of a data set is executed.

The columns are found by what the data set says that they hold. Images are read as bytes and decoded by seviz, with the
same checks as every other.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import Decoded, decode_bytes, decoded, read_file
from seviz.capture.indexed import Dataset, in_order
from seviz.capture.labels import indexed_labels, several_labels
from seviz.capture.splits import choose_split, default_split, said
from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from seviz.extras import needing
from seviz.registry import layout

_LABELS = ("label", "labels")
_IMAGES = ("image", "img", "images")
_SAVED = ("dataset_dict.json", "state.json")


@dataclass(frozen=True, eq=False)
class Rows(Dataset):
    """Images in the rows of a table.

    Attributes
    ----------
    table
        A `datasets.Dataset` whose only column, "image", holds encoded images: bytes, or a path.
    rows
        (image) int64: the row of each.
    below
        Directories that a path may lead into.
    """

    table: Any = field(kw_only=True, repr=False)
    rows: NDArray[np.int64] = field(kw_only=True, repr=False)
    below: tuple[str, ...] = field(kw_only=True, repr=False)

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Only the images of these indices, which ascend; classes keep theirs."""
        return replace(super().take(indices), rows=self.rows[indices])

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        return decoded(partial(self._bytes, index), partial(decode_bytes, rotate=rotate, channels=channels))

    def _bytes(self, index: int) -> bytes:
        held = self.table[int(self.rows[index])]["image"]
        if held is None:
            raise OSError("there is no image in this row")
        if held["bytes"] is not None:
            return bytes(held["bytes"])
        return read_file(Path(self._inside(held["path"])))

    def _inside(self, path: str | None) -> str:
        """A path that leads into the data set, or raises OSError: what a table names is opened nowhere else."""
        absolute = os.path.abspath(path or "")
        if not path or not any(absolute.startswith(os.path.join(os.path.abspath(top), "")) for top in self.below):
            raise OSError("the row names a file outside of the data set")
        return absolute

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        """Bytes in each row of the table, -1 where it has none; read off the offsets, not the bytes."""
        import pyarrow.compute as pc

        batches = self.table.with_format("arrow").iter(batch_size=1024)
        sizes = (pc.binary_length(pc.struct_field(batch["image"], "bytes")).fill_null(-1) for batch in batches)
        return np.concatenate([each.to_numpy() for each in sizes]).astype(np.int64)

    def _size(self, index: int) -> int:
        row = int(self.rows[index])
        if self._sizes[row] >= 0:
            return int(self._sizes[row])
        try:
            return os.stat(self._inside((self.table[row]["image"] or {"path": None})["path"])).st_size
        except (OSError, ValueError):
            return -1


@layout(
    forms=("hf:NAME", "hf:NAME#CONFIG", "hf:DIR"),
    title="Hugging Face",
    caption='a data set of the Hugging Face hub, or a directory of one; needs `pip install "seviz[hf]"`',
    packed=True,
)
def hf(spec: str, where: Path, *, split: str | None = None) -> Rows:
    """Open a data set with the `datasets` package.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        A directory that `save_to_disk` wrote, or of images or parquet files; else a data set of the hub, "OWNER/NAME",
        with a configuration after "#" where it has several. With HF_DATASETS_OFFLINE=1 nothing is fetched.
    split
        Which part; None for the first that is there of val, valid, validation, test, train.

    Raises
    ------
    MissingPackageError
        If `datasets` is not installed.
    DataNotFoundError
        If it cannot be opened, or has no such split.
    DataFormatError
        If it has no column of images or none of labels, or labels are out of their range.
    EmptyDataError
        If no row has a label.
    """
    name = where.as_posix()
    with needing("hf", "a Hugging Face data set"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
    parts: Mapping[str, Any] = _parts(datasets, spec, name)
    chosen = choose_split(spec, split, default_split(list(parts)), parts)
    table = parts[chosen]
    images = _column(spec, table.features, "images", _IMAGES, lambda f: isinstance(f, datasets.Image))
    column = _column(
        spec,
        {other: feature for other, feature in table.features.items() if other != images},
        "labels",
        _LABELS,
        lambda f: isinstance(_inner(f), datasets.ClassLabel),
    )
    classes, labels, rows = _labels(datasets, spec, table, column)
    notes = [
        said(chosen, list(parts)) if split is None else "",
        f"images are in column {images!r}, labels in {column!r}",
    ]
    if missing := len(table) - len(rows):
        notes.append(f"{missing:,} images without a label are left out")
    table = table.select_columns([images])
    table = table if images == "image" else table.rename_column(images, "image")
    names = [f"{chosen}/{row:08d}" for row in rows]
    place = dict(zip(names, rows, strict=True))
    paths, labels = in_order(names, labels)
    return Rows(
        spec=spec,
        root=None,
        classes=classes,
        paths=paths,
        labels=labels,
        split=chosen,
        notes=tuple(filter(None, notes)),
        table=table.cast_column("image", datasets.Image(decode=False)),
        rows=np.array([place[path] for path in paths], np.int64),
        below=(name,) if os.path.isdir(name) else _caches(datasets),
    )


def _parts(datasets: Any, spec: str, name: str) -> Mapping[str, Any]:
    """The tables of a data set by split."""
    try:
        if any(os.path.isfile(os.path.join(name, file)) for file in _SAVED):
            held = datasets.load_from_disk(name)
        elif os.path.isdir(name):
            held = datasets.load_dataset(os.path.abspath(name))
        else:
            owner, _, configuration = name.partition("#")
            held = datasets.load_dataset(owner, configuration or None)
    except Exception as error:  # of any of the packages that `datasets` rests on
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataNotFoundError(
            f"data {spec!r} cannot be opened ({type(error).__name__}: {reason}). Expected a data set of the hub, or a"
            " directory that save_to_disk wrote, or one of images or parquet files"
        ) from error
    parts = dict(held) if isinstance(held, datasets.DatasetDict) else {str(held.split or "train"): held}
    if not parts:
        raise EmptyDataError(f"data {spec!r} has no split")
    return parts


def _column(spec: str, features: Mapping[str, Any], what: str, usual: tuple[str, ...], fits: Any) -> str:
    """The column that holds images or labels: by its type, the usual name first; labels also by the name alone."""
    found = [name for name, feature in features.items() if fits(feature)]
    named = [name for name in usual if name in features and (not found or name in found)]
    if found or (named and what == "labels"):
        return next(iter([*named, *found]))
    columns = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    raise DataFormatError(f"data {spec!r} has no column of {what}, expected one such as {usual[0]!r}; it has {columns}")


def _inner(feature: Any) -> Any:
    """What a list is of, of a column that holds lists; else the column itself."""
    return getattr(feature, "feature", feature)


def _labels(datasets: Any, spec: str, table: Any, column: str) -> tuple[Classes, NDArray[Any], list[int]]:
    """The classes, the labels of the rows that have one, and these rows."""
    feature = table.features[column]
    values = list(table.select_columns([column]).with_format("arrow")[:][column].to_pylist())
    several = hasattr(feature, "feature")
    rows = [row for row, value in enumerate(values) if value is not None and (several or value != -1)]
    if not rows:
        raise EmptyDataError(f"data {spec!r} has {len(values)} rows, but none with a label in column {column!r}")
    given = [values[row] for row in rows]
    if not isinstance(_inner(feature), datasets.ClassLabel):
        if not all(isinstance(value, str | int) for value in given):
            kind = type(next(value for value in given if not isinstance(value, str | int))).__name__
            raise DataFormatError(f"data {spec!r}: column {column!r} holds {kind}, expected class labels")
        return *indexed_labels([str(value) for value in given]), rows
    names = tuple(map(str, _inner(feature).names))
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise DataFormatError(f"data {spec!r}: a class of column {column!r} has a name that is no text") from error
    classes = Classes(names, names)
    flat = [label for value in given for label in (value if several else [value])]
    if wrong := [label for label in flat if label is None or not 0 <= label < len(names)]:
        raise DataFormatError(
            f"data {spec!r}: column {column!r} holds the label {wrong[0]}, expected 0 to {len(names) - 1}"
        )
    return classes, several_labels(given, len(names)) if several else np.array(given, np.int64), rows


def _caches(datasets: Any) -> tuple[str, ...]:
    """Where `datasets` keeps what it has fetched."""
    from huggingface_hub import constants

    return (str(datasets.config.HF_CACHE_HOME), str(datasets.config.HF_DATASETS_CACHE), str(constants.HF_HUB_CACHE))
