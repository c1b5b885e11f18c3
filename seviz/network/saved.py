"""A changed network on disk: spec, changes and weights, read back without pickle.

network.json         the spec that it is made from, what was changed, the names of its SE blocks, the fingerprints of
                     its weights and of the Python file that makes it, if one does
weights.safetensors  its parameters and buffers
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from seviz.errors import SavedNetworkError
from seviz.foreign import (
    BlockName,
    Sha256,
    Text,
    as_type,
    line,
    regular,
    shown,
)
from seviz.network.changes import Changes
from seviz.network.naming import Place
from seviz.network.settings import Settings
from seviz.network.specs import ONNX
from seviz.network.trust import RECORD, is_saved_network, read_raw

WEIGHTS = "weights.safetensors"
FORMAT = 1
_DIGESTS = ("factory_sha256", "weights_file_sha256")
"""Of files; not in what older versions wrote."""
_LARGEST_WEIGHTS = 1 << 40

_Width = Annotated[int, Meta(ge=0, le=1 << 24)]
_Widths = Annotated[tuple[_Width, ...], Meta(max_length=1 << 20)]
_Shape = Annotated[tuple[_Width, ...], Meta(max_length=16)]


@dataclass(frozen=True, kw_only=True)
class _Changes:
    removed: tuple[Text, ...]
    spread: dict[Text, tuple[_Widths, Annotated[int, Meta(ge=1, le=1 << 16)]]]
    widths: dict[Text, dict[Text, _Width | _Shape]]
    shapes: dict[Text, _Shape]
    last: Annotated[tuple[Text, ...], Meta(max_length=10_000)] = ()


@dataclass(frozen=True, kw_only=True)
class _Name:
    name: BlockName
    path: Text
    product: _Width


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What stands in network.json; of fields that were added later, the default."""

    format: int
    base: Text
    trained: bool
    weights_sha256: Sha256
    changes: _Changes
    names: Annotated[tuple[_Name, ...], Meta(max_length=10_000)] | None = None
    factory_sha256: Sha256 | None = None
    weights_file_sha256: Sha256 | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SavedNetwork:
    """What is written down of a changed network beside its weights.

    Attributes
    ----------
    base
        The spec that it is made from.
    changes
        What was changed.
    trained
        As of the network.
    weights_sha256
        Of its parameters and buffers, as `Network.weights_sha256`.
    names
        Of its SE blocks, by place; None in files written before names were kept.
    factory_sha256
        Of the Python file that makes the base; None where none does, and in files written before it was kept.
    weights_file_sha256
        Of the file of its weights; None in files written before it was kept.
    settings
        What was said of it beside its spec.
    """

    base: str
    changes: Changes
    trained: bool
    weights_sha256: str
    names: Mapping[Place, str] | None = None
    factory_sha256: str | None = None
    weights_file_sha256: str | None = None
    settings: Settings = field(default_factory=Settings)

    def to_json(self) -> str:
        """The content of the file."""
        record: dict[str, Any] = {
            "format": FORMAT,
            "base": self.base,
            "trained": self.trained,
            "weights_sha256": self.weights_sha256,
            "changes": self.changes.to_json(),
        }
        for name in _DIGESTS:
            if (digest := getattr(self, name)) is not None:
                record[name] = digest
        if given := self.settings.given():
            record["settings"] = given
        if self.names is not None:
            record["names"] = [
                {"name": name, "path": path, "product": product} for (path, product), name in self.names.items()
            ]
        return json.dumps(record, indent=1) + "\n"


def structural_weights(spec: str) -> str:
    """The weights to load a network with where only its structure counts: none, or its own if it has no others."""
    return "pretrained" if is_saved_network(spec) or spec.startswith(ONNX) else "none"


def read_record(directory: Path) -> SavedNetwork:
    """Read what is written down of a network, and check it as a whole.

    Raises
    ------
    SavedNetworkError
        If the file cannot be read, its version is another, or a field is not what it must be; the message names it.
    """
    path = directory / RECORD
    try:
        raw = read_raw(directory)
        if (version := raw.get("format")) != FORMAT or isinstance(version, bool):
            raise SavedNetworkError(
                f"{str(path)!r} has format {shown(version)}, expected {FORMAT}: it was written by another version of"
                " seviz"
            )
        record = as_type(raw, _Record)
        _check_spread(record.changes)
        return SavedNetwork(
            base=record.base,
            changes=Changes.from_json(raw["changes"]),
            trained=record.trained,
            weights_sha256=record.weights_sha256,
            names=None if record.names is None else _names(record.names),
            factory_sha256=record.factory_sha256,
            weights_file_sha256=record.weights_file_sha256,
            settings=Settings.from_given(record.settings),
        )
    except (OSError, ValueError) as error:
        if isinstance(error, SavedNetworkError):
            raise
        raise SavedNetworkError(f"{str(path)!r} is damaged: {line(error)}") from error


def weights_path(directory: Path, record: SavedNetwork) -> Path:
    """Where the weights of a saved network lie, if they can be those of its record.

    Raises
    ------
    SavedNetworkError
        If there is no regular file in the directory, or the record speaks of more numbers than it has bytes.
    """
    path = directory / WEIGHTS
    try:
        size = regular(path, within=directory, largest=_LARGEST_WEIGHTS)
    except (OSError, ValueError) as error:
        raise SavedNetworkError(f"{str(path)!r} is damaged: {line(error)}") from error
    total = 0
    for name, shape in record.changes.shapes.items():
        total += math.prod(shape)
        if total > size:
            raise SavedNetworkError(
                f"{str(directory / RECORD)!r} is damaged: changes.shapes makes {shown(name)} {shown(shape)} of"
                f" {math.prod(shape):,} numbers, more than {WEIGHTS} has bytes ({size:,})"
            )
    return path


def _check_spread(changes: _Changes) -> None:
    for path, (kept, channels) in changes.spread.items():
        if any(b <= a for a, b in pairwise(kept)) or (kept and kept[-1] >= channels):
            raise ValueError(
                f"changes.spread of {shown(path)} has {shown(kept)}, expected ascending channels below {channels}"
            )
    if unknown := [path for path in changes.last if path not in changes.spread]:
        raise ValueError(f"changes.last has {shown(unknown[0])}, expected paths of changes.spread")


def _names(entries: tuple[_Name, ...]) -> dict[Place, str]:
    """The names of blocks by place; raises ValueError unless each name and place is there once."""
    names: dict[Place, str] = {}
    taken = set[str]()
    for number, entry in enumerate(entries):
        place = entry.path, entry.product
        if entry.name in taken or place in names:
            raise ValueError(
                f"names[{number}] repeats the name {shown(entry.name)}, or the place {shown(entry.path)},"
                f" {entry.product}"
            )
        names[place] = entry.name
        taken.add(entry.name)
    return names
