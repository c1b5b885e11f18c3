"""How a network was made smaller and what was measured of it: as a recipe gives it, or as it lies on disk.

`seviz.compression.directory` writes it. `result.json` in its directory holds all but the network, the figures and the
tables beside the main one: kind, title, settings, which images were used for what, measurements. A directory may come
from a stranger: what is read is checked as `seviz.foreign` says, and the network in it is opened by `seviz.load` alone.
"""

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
import numpy as np
import pandas as pd

from seviz.errors import ResultError
from seviz.foreign import MEGABYTE, Text, as_type, line, matching, parse_json, read_regular, regular, shown
from seviz.texts import path_text, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seviz.network.networks import Network

Kind = Literal["curve", "fold", "prune"]
"""What was done: channels masked, SE blocks folded or taken out, channels pruned."""
Table = tuple[str, pd.DataFrame]
"""A title and a table."""

RECORD = "result.json"
CARD = "README.md"
FORMAT = 1
LARGEST = 64 * MEGABYTE
"""Bytes of a file that is read."""

_MAIN: dict[Kind, str] = {"curve": "mean", "fold": "results", "prune": "results"}
_NETWORK = ("network.json", "weights.safetensors")
_LONGEST_LINE = 100_000  # bytes, of the names of columns
_INTEGER = 2**63 - 1
_MEASURED: dict[str, tuple[str, ...]] = {
    "mean": ("fraction", "accuracy", "low", "high"),
    "results": (
        *("images", "accuracy", "low", "high", "drop", "drop_low", "drop_high"),
        *("parameters", "multiply_adds", "bytes", "blocks"),
    ),
}
"""Columns of numbers that a main table must have."""
_NAMED = {"mean": ("criterion", "scope"), "results": ("network",)}
"""Columns of text that it must have."""
# a class may be called NA, or 7
_TEXTS = ("criterion", "scope", "network", "block", "side", "layers", "reason", "order", "class", "class_name")

_Name = Annotated[str, matching(r"^[a-z][a-z0-9_]{0,60}\Z", "a name of small letters, such as results")]
_Whole = Annotated[int, msgspec.Meta(ge=-_INTEGER, le=_INTEGER)]
_Value = bool | _Whole | float | Text | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Compression:
    """How a network was made smaller, and what was measured of it.

    Attributes
    ----------
    kind
        What was done.
    title
        Of the card, such as "timm/seresnet50 with 12 SE blocks folded".
    made
        How it was made, sentences.
    settings
        By name, all that was set: texts, numbers, or lists of them; None for what was not.
    split
        Which images were used for what, by name.
    tables
        By name, a title and a table each. Read when they are asked for, where it lies on disk.
    figures
        By name; empty where it lies on disk, as `figures/NAME.png`.
    network
        The smaller network; None where there is none, as of curves, and where it lies on disk: `seviz.load(path)`.
    path
        The directory that it was read from; else None.
    """

    kind: Kind
    title: str
    made: tuple[str, ...]
    settings: Mapping[str, Any]
    split: Mapping[str, Any]
    tables: Mapping[str, Table]
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    network: "Network | None" = None
    path: Path | None = None

    def __repr__(self) -> str:
        return f"<Compression {self.kind}: {self.title}>"

    @property
    def measurements(self) -> pd.DataFrame:
        """A row for each network, the original first; of curves for each criterion and share of channels masked."""
        return self.tables[_MAIN[self.kind]][1]

    def write(
        self,
        directory: str | Path,
        *,
        program: bool = True,
        onnx: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Path:
        """Write it to a directory; see `seviz.compression.directory.write_compression`."""
        from seviz.compression.directory import write_compression  # it imports torch, which to read one does not

        return write_compression(self, directory, program=program, onnx=onnx, tell=tell)

    @classmethod
    def open(cls, directory: str | Path) -> "Compression":
        """Read what a command or `write` has left.

        Parameters
        ----------
        directory
            That was written.

        Raises
        ------
        ResultError
            If there is none, it is not whole, or a file of it is not what was written; the message says which.
        """
        place = Path(directory)
        try:
            return read(place)
        except (OSError, ValueError) as error:
            raise ResultError(f"{str(place)!r} is no compression that was written whole: {reason(error)}") from error


def recorded(compression: Compression) -> str:
    """What `result.json` holds of a compression."""
    table = compression.measurements
    rows = [dict(zip(table, row, strict=True)) for row in table.itertuples(index=False, name=None)]
    record = {
        "format": FORMAT,
        "kind": compression.kind,
        "title": compression.title,
        "made": compression.made,
        "settings": compression.settings,
        "split": compression.split,
        "tables": {name: title for name, (title, _) in compression.tables.items()},
        "measurements": rows,
        "remarks": table.attrs.get("remarks", []),
    }
    return json.dumps(_plain(record), indent=1, allow_nan=False) + "\n"


def said(value: Any) -> str:
    """A setting in words: lists with commas, or with semicolons where one has commas of its own."""
    if not isinstance(value, list | tuple):
        return visible(str(value))
    words = [visible(f"{each:g}" if isinstance(each, float) else str(each)) for each in value]
    return ("; " if any("," in word for word in words) else ", ").join(words)


@dataclass(frozen=True, kw_only=True)
class _Record:
    format: int
    kind: Text
    title: Text
    made: tuple[Text, ...]
    settings: dict[Text, _Value | tuple[_Value, ...]]
    split: dict[Text, _Value]
    tables: dict[_Name, Text]
    measurements: tuple[dict[Text, _Value], ...]
    remarks: tuple[Text, ...]


class _Tables(Mapping[str, Table]):
    """Tables in a directory, read when they are asked for; the main one is known already."""

    def __init__(self, place: Path, titles: Mapping[str, str], main: str, table: pd.DataFrame) -> None:
        self._place, self._titles, self._main, self._table = place, titles, main, table

    def __getitem__(self, name: str) -> Table:
        title = self._titles[name]
        try:
            return title, self._table if name == self._main else _read_csv(self._place, name)
        except (OSError, ValueError) as error:
            raise ResultError(f"{str(self._place / f'{name}.csv')!r} cannot be read: {reason(error)}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._titles)

    def __len__(self) -> int:
        return len(self._titles)


def read(place: Path) -> Compression:
    """Like `Compression.open`, for a caller that names the directory; raises OSError or ValueError."""
    if not place.is_dir():
        raise ValueError("there is no such directory")
    for name in (CARD, RECORD):
        if not (place / name).exists():
            raise ValueError(f"it has no {name}, so it was not written to its end")
    with _of_file(RECORD):
        record = as_type(parse_json(read_regular(place / RECORD, within=place, largest=LARGEST)), _Record)
        if record.format != FORMAT:
            raise ValueError(f"format is {shown(record.format)}, expected {FORMAT}, as this seviz writes it")
        kind = next((kind for kind in get_args(Kind) if kind == record.kind), None)
        if kind is None:
            raise ValueError(f"kind is {shown(record.kind)}, expected one of {', '.join(get_args(Kind))}")
        main = _MAIN[kind]
        if main not in record.tables:
            raise ValueError(f"tables has no {main!r}, which a compression of kind {kind!r} has")
        measured = _measured(record.measurements, main)
    measured.attrs["remarks"] = list(record.remarks)
    for file in (CARD, *(f"{name}.csv" for name in record.tables), *(_NETWORK if kind != "curve" else ())):
        with _of_file(file):
            regular(place / file, within=place, largest=1 << 50 if file == _NETWORK[1] else LARGEST)
    if kind != "curve":
        with _of_file(_NETWORK[0]):
            if not isinstance(parse_json(read_regular(place / _NETWORK[0], within=place, largest=LARGEST)), dict):
                raise ValueError("it is no object")
    return Compression(
        kind=kind,
        title=record.title,
        made=record.made,
        settings=record.settings,
        split=record.split,
        tables=_Tables(place, record.tables, main, measured),
        path=place,
    )


def _measured(rows: Sequence[Mapping[str, Any]], main: str) -> pd.DataFrame:
    """The main table; raises ValueError if it is not as it is written."""
    if len(rows) < 2:
        raise ValueError(f"measurements has {len(rows)} rows, expected the original and another")
    if odd := [row for row in rows if list(row) != list(rows[0])]:
        raise ValueError(f"measurements has rows of {len(rows[0])} and of {len(odd[0])} columns, or in another order")
    table = pd.DataFrame({name: _column([row[name] for row in rows]) for name in rows[0]})
    for columns, kind, what in ((_MEASURED[main], "if", "numbers"), (_NAMED[main], "O", "texts")):
        for column in columns:
            if column not in table:
                raise ValueError(f"measurements has no column {column!r}")
            if table[column].dtype.kind not in kind or (
                kind == "O" and not all(isinstance(x, str) for x in table[column])
            ):
                raise ValueError(f"column {column!r} of measurements has other things than {what}")
    return table


def _column(values: list[Any]) -> pd.Series:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pd.Series(values, dtype=bool)
    if kinds == {int}:
        return pd.Series(values, dtype=np.int64)
    if kinds <= {int, float, type(None)}:
        return pd.Series(values, dtype=np.float64)
    return pd.Series(values, dtype=object)


def _read_csv(place: Path, name: str) -> pd.DataFrame:
    content = read_regular(place / f"{name}.csv", within=place, largest=LARGEST)
    if content.find(b"\n", 0, _LONGEST_LINE) < 0 and len(content) >= _LONGEST_LINE:
        raise ValueError(f"it begins with a line of more than {_LONGEST_LINE:,} bytes")
    try:
        table = pd.read_csv(
            io.BytesIO(content), dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=[""]
        )
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"it is no table ({line(error)})") from error
    return table.fillna(dict.fromkeys([column for column in _TEXTS if column in table], ""))


@contextmanager
def _of_file(name: str) -> Iterator[None]:
    """What is wrong inside is of a file, whose name is said first."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read ({reason(error)})") from error


def reason(error: Exception) -> str:
    """What is wrong, without the path, which is said beside."""
    return (error.strerror or line(error)) if isinstance(error, OSError) else line(error)


def _plain(value: Any) -> Any:
    """A value as JSON has it: what is not finite is null, a path is text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return path_text(str(value))
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value
