"""WebDataset shards: tar archives of images with their labels beside them, read in place.

Nothing is extracted. A pass over the headers notes where each image lies in its shard; its bytes are read from there.
Links, devices and whatever else is no plain file in an archive are ignored, and what members are called is only told.
"""

import glob
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from seviz.capture.images import EXTENSIONS, LARGEST_FILE, Decoded, decode_bytes, decoded
from seviz.capture.indexed import Dataset, in_order, kind_of
from seviz.capture.labels import indexed_labels
from seviz.capture.specs import in_words
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from seviz.registry import layout

LABELS = ("cls", "json", "txt")
"""What a member with the label of an image may end in, the first that is there."""

KEYS = ("label", "cls", "class")
"""What the label may be called in a `.json` member, the first that is there."""

_MOST_SHARDS = 100_000
_LONGEST_LABEL = 1 << 20  # bytes of a member with a label
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")


@dataclass(frozen=True, eq=False)
class Shards(Dataset):
    """Images in tar archives.

    Attributes
    ----------
    shards
        The archives.
    places
        (image, 3) int64: of each image its archive, where in it its bytes begin, and how many there are.
    """

    shards: tuple[str, ...] = field(kw_only=True, repr=False)
    places: NDArray[np.int64] = field(kw_only=True, repr=False)

    def take(self, indices: NDArray[np.int64]) -> Self:
        """Only the images of these indices, which ascend; classes keep theirs."""
        return replace(super().take(indices), places=self.places[indices])

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        return decoded(partial(self._bytes, index), partial(decode_bytes, rotate=rotate, channels=channels))

    def _bytes(self, index: int) -> bytes:
        shard, start, size = self.places[index].tolist()
        if size > LARGEST_FILE:
            raise OSError(f"larger than {LARGEST_FILE} bytes")
        with open(self.shards[shard], "rb") as file:
            file.seek(start)
            data = file.read(size)
        if len(data) != size or not data:
            raise OSError("the archive ends before the image does" if data or size else "the file is empty")
        return data

    def _size(self, index: int) -> int:
        return int(self.places[index, 2])


@dataclass
class _Sample:
    """Consecutive members of an archive whose names go on alike: an image and what is told of it."""

    key: str
    image: tuple[str, int, int] | None = None
    label: tuple[int, bytes] | None = None
    """The place among `LABELS` of what it ends in, and the content."""


@layout(
    forms=("wds:PATTERN",),
    title="WebDataset",
    caption="webdataset shards, such as `'shards/val-{000..003}.tar'`: images beside `.cls`, `.json` or `.txt`"
    " with their label",
    packed=True,
)
def wds(spec: str, where: Path) -> Shards:
    """Open images in tar archives, as webdataset writes them.

    Members that are called alike but for what comes after the first dot are of one sample: an image, and its label as
    a number or name in `.cls` or `.txt`, or in `.json` under "label", "cls" or "class". Samples without an image or
    without a label are left out, and it is said.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        An archive, a directory of them, or several: {000..003} stands for these numbers, {a,b} for these texts, and
        `*`, `?`, `[...]` for what they stand for in a shell.

    Raises
    ------
    DataNotFoundError
        If an archive is not there.
    DataFormatError
        If one is damaged, compressed, or no tar archive, or a label cannot be read.
    EmptyDataError
        If no image with a label is in them.
    """
    shards = _shards(spec, str(where))
    names = _names(shards)
    paths, labels, places, known = [], [], [], set[str]()
    ignored, without = Counter[str](), 0
    for number, (shard, name) in enumerate(zip(shards, names, strict=True)):
        for sample in _samples(shard, ignored):
            if sample.image is None:
                ignored.update([f".{LABELS[sample.label[0]]}"] if sample.label else [])
                continue
            member, start, size = sample.image
            if sample.label is None:
                without += 1
                continue
            path = f"{name}/{member if _plain(member) else f'{start:012d}'}"
            if path in known:
                raise DataFormatError(f"{shard!r} holds {member!r} twice")
            known.add(path)
            paths.append(path)
            labels.append(_label(shard, member, *sample.label))
            places.append((number, start, size))
    if not paths:
        raise EmptyDataError(
            f"data {spec!r} holds no image with a label in {len(shards)} archives; expected members such as 0001.jpg"
            f" with 0001.cls, 0001.json or 0001.txt beside it ({without} images have none)"
        )
    classes, indices = indexed_labels(labels)
    place = {path: k for k, path in enumerate(paths)}
    ordered, indices = in_order(paths, indices)
    return Shards(
        spec=spec,
        root=None,
        classes=classes,
        paths=ordered,
        labels=indices,
        ignored=ignored,
        notes=(f"{without:,} images without a label are left out",) if without else (),
        shards=tuple(os.path.abspath(shard) for shard in shards),
        places=np.array(places, np.int64)[[place[path] for path in ordered]],
    )


def _shards(spec: str, pattern: str) -> list[str]:
    """The archives that a pattern means, in order."""
    shards = list[str]()
    for name in [pattern] if os.path.exists(pattern) else _expanded(spec, pattern):
        if os.path.isdir(name):
            found = sorted(glob.glob(f"{glob.escape(name)}/*.tar"))
        elif os.path.exists(name):
            found = [name]
        else:
            found = sorted(glob.glob(name))
        if not found:
            raise DataNotFoundError(f"data {spec!r}: there is no archive {name!r}; expected {in_words()}")
        shards += found
    return list(dict.fromkeys(shards))


def _names(shards: list[str]) -> list[str]:
    """What archives are called below the folder that holds them all."""
    absolute = [os.path.abspath(shard) for shard in shards]
    try:
        top = os.path.commonpath([os.path.dirname(shard) for shard in absolute])
    except ValueError:  # on several drives
        return [f"{number}/{os.path.basename(shard)}" for number, shard in enumerate(absolute)]
    return [Path(os.path.relpath(shard, top)).as_posix() for shard in absolute]


def _expanded(spec: str, pattern: str) -> list[str]:
    """What the braces of a pattern stand for."""
    done, waiting = list[str](), [pattern]
    while waiting:
        text = waiting.pop()
        match = _BRACES.search(text)
        if match is None:
            done.append(text)
            continue
        span = _RANGE.fullmatch(match[1])
        first, last = (int(span[1]), int(span[2])) if span else (0, match[1].count(","))
        if len(waiting) + len(done) + abs(last - first) >= _MOST_SHARDS:
            raise DataFormatError(f"data {spec!r} names more than {_MOST_SHARDS:,} archives; give fewer")
        step = 1 if last >= first else -1
        width = len(span[1]) if span else 0
        inner = [f"{k:0{width}d}" for k in range(first, last + step, step)] if span else match[1].split(",")
        waiting += [f"{text[: match.start()]}{part}{text[match.end() :]}" for part in reversed(inner)]
    return done


def _samples(shard: str, ignored: Counter[str]) -> Iterator[_Sample]:
    """The samples of an archive; of what belongs to none the kinds are counted."""
    sample = _Sample("")
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, extension = name.partition(".")
                extension = extension.lower()
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse() or not stem:
                    ignored[kind_of(name) if member.isreg() else "link or device"] += 1
                    continue
                if (key := f"{folder}/{stem}") != sample.key:
                    yield sample
                    sample = _Sample(key)
                if f".{extension}" in EXTENSIONS and sample.image is None:
                    sample.image = (member.name, member.offset_data, member.size)
                elif extension in LABELS and member.size <= _LONGEST_LABEL:
                    rank = LABELS.index(extension)
                    if sample.label is None or rank < sample.label[0]:
                        file = archive.extractfile(member)
                        sample.label = rank, b"" if file is None else file.read()
                else:
                    ignored[kind_of(name)] += 1
    except (tarfile.TarError, OSError, ValueError, ArithmeticError) as error:
        raise DataFormatError(
            f"{shard!r} cannot be read as a tar archive ({' '.join(str(error).split())}); expected one, whole and"
            " not compressed"
        ) from error
    yield sample


def _label(shard: str, member: str, rank: int, content: bytes) -> str:
    """The label that a member tells."""
    kind = LABELS[rank]
    try:
        text = content.decode("utf-8-sig").strip()
        if kind == "json":
            held: Any = json.loads(text)
            if isinstance(held, dict):
                held = next((held[key] for key in KEYS if key in held), None)
            text = str(held).strip() if isinstance(held, str | int) and not isinstance(held, bool) else ""
        text.encode()  # JSON can hold halves of characters
    except (ValueError, RecursionError) as error:
        raise DataFormatError(f"{shard!r}: the label of {member!r} cannot be read from .{kind} ({error})") from error
    if not text:
        keys = f" under {', '.join(KEYS)}" if kind == "json" else ""
        raise DataFormatError(f"{shard!r}: the .{kind} of {member!r} tells no label{keys}")
    return text


def _plain(name: str) -> bool:
    """Whether a member's name can stand in the path of an image."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part not in ("", ".", "..") for part in parts)
