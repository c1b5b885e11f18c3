"""What the files of arrays of a run hold, by its manifest; compared with a file's header before its arrays are read.

The header of a safetensors file names each array with its type and its shape. So a file with other arrays than those
of the run, or with larger ones, is told from its first bytes, and no array is made whose size only that file says.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from seviz.foreign import MEGABYTE, Sha256, Text, as_type, matching, parse_json, regular, shown
from seviz.moments import FIELDS, Moments
from seviz.run.manifest import LARGEST_CHUNK, Manifest

LARGEST_HEADER = 64 * MEGABYTE
"""Bytes that a header may have."""
LARGEST_FILE = 1 << 40
"""Bytes that a file of arrays may have."""

_TYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "uint16": "U16", "bool": "BOOL"}
"""What safetensors calls the types of numbers."""

Status = Literal["ok", "coerced", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""What can have become of an image."""

Content = Annotated[str, matching(r"^[0-9a-f]{32}\Z", "32 hex digits")]
"""A hash of what an image was made from."""

Sizes = tuple[int | str, ...]
"""A shape: numbers, and letters for sizes that the manifest does not fix."""


@dataclass(frozen=True)
class Form:
    """The arrays of a file.

    Attributes
    ----------
    arrays
        By name, the types that an array may have and its shape. Sizes that are called by one letter are equal.
    largest
        How large the size of a letter may be.
    """

    arrays: Mapping[str, tuple[tuple[str, ...], Sizes]]
    largest: Mapping[str, int] = field(default_factory=dict)

    def check(self, found: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        """Raise ValueError, which names the array, if there are others than these, or of another type or shape.

        Parameters
        ----------
        found
            By name, type as safetensors calls it, and shape.
        """
        if missing := next((name for name in self.arrays if name not in found), None):
            raise ValueError(f"{missing} is missing")
        sizes = dict[str, int]()
        for name, (kind, shape) in found.items():
            if name not in self.arrays:
                raise ValueError(f"{shown(name)} is no array of this run")
            types, expected = self.arrays[name]
            if kind not in (wanted := [_TYPES[each] for each in types]):
                raise ValueError(f"{name} is of type {shown(kind)}, expected {' or '.join(wanted)}")
            sizes |= {
                letter: size
                for letter, size in zip(expected, shape, strict=False)
                if isinstance(letter, str) and letter not in sizes and size <= self.largest[letter]
            }
            if shape != (known := tuple(sizes.get(each, each) if isinstance(each, str) else each for each in expected)):
                text = ", ".join(
                    f"at most {self.largest[each]:,}" if isinstance(each, str) else f"{each:,}" for each in known
                )
                raise ValueError(
                    f"{name} is of shape {shown(list(shape)) if len(shape) > 8 else shape}, expected ({text})"
                )


def form_of_moments(manifest: Manifest, block: str) -> Form:
    """The file of a block's moments."""
    channels = manifest.block(block).channels
    arrays: dict[str, tuple[tuple[str, ...], Sizes]] = {}
    for signal in manifest.signals:
        arrays |= _moments(f"moments/{signal}/", len(manifest.data.class_ids), channels)
        arrays |= _moments(f"totals/{signal}/", 1, channels)
    return Form(arrays)


def form_of_chunk(manifest: Manifest) -> Form:
    """A chunk: n images, k of which are kept, of c classes."""
    classes = len(manifest.data.class_ids)
    single = manifest.data.labels == "single"
    arrays: dict[str, tuple[tuple[str, ...], Sizes]] = {
        "samples/label": (("int64",), ("n",)) if single else (("bool",), ("n", classes)),
        "samples/prediction": (("int32",), ("n", "predictions")),
        "samples/kept": (("bool",), ("n",)),
        "classes": (("int64",), ("c",)),
    }
    for block in manifest.blocks:
        for signal in manifest.signals:
            types = ("uint16", "float32") if signal == "excitation" else ("float32",)
            arrays[f"gates/{signal}/{block.name}"] = types, ("k", block.channels)
            arrays |= _moments(f"moments/{signal}/{block.name}/", "c", block.channels)
            arrays |= _moments(f"totals/{signal}/{block.name}/", 1, block.channels)
    size = manifest.chunk_size
    return Form(arrays, {"n": size, "k": size, "c": classes, "predictions": 5})


def _moments(prefix: str, classes: int | str, channels: int) -> dict[str, tuple[tuple[str, ...], Sizes]]:
    count, *others = Moments.names(prefix)
    found: dict[str, tuple[tuple[str, ...], Sizes]] = {count: (("int64",), (classes,))}
    return found | {
        name: ((kind.__name__,), (classes, channels)) for name, kind in zip(others, FIELDS.values(), strict=True)
    }


@dataclass(frozen=True, kw_only=True)
class ChunkFacts:
    """What stands in a chunk beside its arrays; see `seviz.run.chunks.Samples`.

    Attributes
    ----------
    chunk
        Its number.
    paths, statuses, reasons, contents
        Of each image; contents is None in chunks of an older seviz.
    outside
        Blocks of which gates lie outside of their bounds.
    """

    chunk: Annotated[int, Meta(ge=0)]
    paths: Annotated[tuple[Text, ...], Meta(max_length=LARGEST_CHUNK)]
    statuses: Annotated[tuple[Status, ...], Meta(max_length=LARGEST_CHUNK)]
    reasons: Annotated[tuple[Text, ...], Meta(max_length=LARGEST_CHUNK)]
    contents: Annotated[tuple[Content | None, ...], Meta(max_length=LARGEST_CHUNK)] | None = None
    outside: Annotated[tuple[Text, ...], Meta(max_length=10_000)] = ()


@dataclass(frozen=True, kw_only=True)
class MomentsFacts:
    """What stands in a file of moments beside its arrays.

    Attributes
    ----------
    block
        Which.
    outside
        The chunks in which its gates lie outside of their bounds.
    """

    block: Text
    outside: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=10_000_000)] = ()


@dataclass(frozen=True)
class Header:
    """The header of a file of arrays.

    Attributes
    ----------
    arrays
        By name, type and shape.
    facts
        What else stands in it, unchecked.
    sha256
        The checksum of the file's content.
    """

    arrays: dict[str, tuple[str, tuple[int, ...]]]
    facts: dict[str, Any]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class _Ours:
    facts: dict[str, Any]
    sha256: Sha256


_Size = Annotated[int, Meta(ge=0, le=2**62)]


@dataclass(frozen=True)
class _Array:
    dtype: str
    shape: Annotated[tuple[_Size, ...], Meta(max_length=64)]
    data_offsets: tuple[_Size, _Size]


def read_header(path: Path, *, within: Path) -> Header:
    """Read the header of a file of arrays that seviz wrote, and nothing else of the file.

    Parameters
    ----------
    path
        Of a safetensors file.
    within
        The directory that it must lie in.

    Raises
    ------
    ValueError, OSError
        If there is no such file, it is no regular one, or its header is longer than the file or than is plausible,
        or not what seviz writes.
    """
    size = regular(path, within=within, largest=LARGEST_FILE)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise ValueError(f"its header is to have {length:,} bytes, and the file has {size:,}")
        if length > LARGEST_HEADER:
            raise ValueError(f"its header is to have {length:,} bytes, expected at most {LARGEST_HEADER:,}")
        raw = parse_json(file.read(length))
    if not isinstance(raw, dict):
        raise ValueError(f"its header is {shown(raw)}, expected an object")
    text = as_type(raw.pop("__metadata__", {}), dict[str, str], other="__metadata__.").get("seviz")
    if text is None:
        raise ValueError("its header has no field 'seviz'")
    ours = as_type(parse_json(text.encode("utf-8", "surrogatepass")), _Ours)
    arrays = {name: as_type(entry, _Array, other=f"{shown(name)[1:-1]}.") for name, entry in raw.items()}
    return Header({name: (one.dtype, one.shape) for name, one in arrays.items()}, ours.facts, ours.sha256)


def header_text(facts: Mapping[str, Any], sha256: str) -> str:
    """What stands in a header beside the arrays."""
    return json.dumps({"facts": facts, "sha256": sha256}, sort_keys=True)
