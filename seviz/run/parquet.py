"""Tables on disk as Parquet. A few bytes of it can stand for a billion rows, which are counted before they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seviz.foreign import MEGABYTE, line, regular

_CELLS_FOR_A_BYTE = 256  # of the file: a column of one value is packed far smaller than one of numbers
_FEW_CELLS = 1 << 20  # are read however small the file is
_MOST_CELLS = 1 << 27
_LONGEST = 10_000  # characters of a text
_TEXT_FOR_A_ROW = 1024  # characters, on average

_LARGEST_KEPT = 1 << 30

UNREADABLE = (OSError, ValueError, TypeError, KeyError, MemoryError, pa.ArrowException)
"""What reading a table may raise that is not what was written."""


def read_parquet(
    path: Path,
    *,
    within: Path,
    largest: int,
    rows: int | None = None,
    schema: Sequence[tuple[str, tuple[pa.DataType, ...]]] | None = None,
) -> pd.DataFrame:
    """Read a table that seviz wrote.

    Parameters
    ----------
    path
        Of the file.
    within
        The directory that it must lie in.
    largest
        Bytes that the file may have.
    rows
        How many rows it must have; None for any number that is plausible for the size of the file.
    schema
        Its columns, in order, with the types that each may have; None for any.

    Raises
    ------
    ValueError
        If it is no such table: told in one line, from what the file says of itself, before anything of it is read,
        and for texts before they are made.
    FileNotFoundError
        If it is not there.
    """
    size = regular(path, within=within, largest=largest)
    try:
        # As files, since pyarrow takes no path that is not UTF-8.
        with path.open("rb") as source, pq.ParquetFile(source, page_checksum_verification=True) as file:
            _check(file, size, rows, schema)
            schema_of_file = file.schema_arrow
            texts = [field.name for field in schema_of_file if _is_text(field.type)]
        options: dict[str, Any] = {"page_checksum_verification": True, "read_dictionary": texts}
        with path.open("rb") as source, pq.ParquetFile(source, **options) as file:
            table = file.read()
        for name in texts:
            _check_texts(name, table[name])
        frame: pd.DataFrame = table.cast(schema_of_file.with_metadata(table.schema.metadata)).to_pandas()
    except UNREADABLE as error:
        raise ValueError(line(error)) from error
    return frame


def _check(
    file: pq.ParquetFile, size: int, rows: int | None, schema: Sequence[tuple[str, tuple[pa.DataType, ...]]] | None
) -> None:
    meta, found = file.metadata, file.schema_arrow
    if schema is not None:
        names = [name for name, _ in schema]
        if found.names != names:
            raise ValueError(f"its columns are {', '.join(found.names)[:200]}; expected {', '.join(names)}")
        for field, (name, types) in zip(found, schema, strict=True):
            if field.type not in types:
                raise ValueError(f"column {name} is {field.type}, expected {' or '.join(map(str, types))}")
    if rows is not None and meta.num_rows != rows:
        raise ValueError(f"it has {meta.num_rows:,} rows, expected {rows:,}")
    cells = meta.num_rows * max(1, meta.num_columns)
    largest = min(_MOST_CELLS, max(_FEW_CELLS, size * _CELLS_FOR_A_BYTE))
    groups = [meta.row_group(k) for k in range(meta.num_row_groups)]
    if cells > largest or sum(group.num_rows for group in groups) != meta.num_rows:
        raise ValueError(f"it has {meta.num_rows:,} rows in {size:,} bytes, expected at most {largest:,} values in all")
    columns = [group.column(k) for group in groups for k in range(group.num_columns)]
    unpacked = sum(max(0, column.total_uncompressed_size) for column in columns)
    if unpacked > 64 * MEGABYTE + 16 * cells + _TEXT_FOR_A_ROW * meta.num_rows:
        raise ValueError(f"it has {unpacked:,} bytes when it is unpacked, in {meta.num_rows:,} rows")
    values = sum(column.num_values for column in columns)
    if values > 16 * cells + _FEW_CELLS:  # lists, such as the labels of an image
        raise ValueError(f"it has {values:,} values in {meta.num_rows:,} rows")


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _check_texts(name: str, column: pa.ChunkedArray) -> None:
    """Raise ValueError if a column of texts is far larger than its file."""
    total = 0
    for piece in column.chunks:
        if not pa.types.is_dictionary(piece.type):
            raise ValueError(f"column {name} is {piece.type}, expected texts")
        lengths = pc.binary_length(piece.dictionary)
        if (pc.max(lengths).as_py() or 0) > 4 * _LONGEST:
            raise ValueError(f"column {name} has a text of {pc.max(lengths).as_py():,} bytes")
        total += pc.sum(pc.take(lengths, piece.indices)).as_py() or 0
    if total > 64 * MEGABYTE + _TEXT_FOR_A_ROW * len(column):
        raise ValueError(f"column {name} has {total:,} bytes of text in {len(column):,} rows")


def read_kept(path: Path) -> pd.DataFrame:
    """Read a table that is kept in the folder `tables` of a run; raises what `read_parquet` raises."""
    return read_parquet(path, within=path.parent.parent, largest=_LARGEST_KEPT)
