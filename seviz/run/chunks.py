"""One chunk of a run: gates of every image, moments of its classes, prediction and status of each sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seviz.foreign import as_type, shown
from seviz.moments import Moments
from seviz.network.bounds import Bounds
from seviz.run.files import UNREADABLE, damaged, read_arrays, write_arrays
from seviz.run.forms import ChunkFacts, form_of_chunk
from seviz.run.manifest import Manifest

FIRST = 5
"""Of how many classes with the greatest logits an image's predictions are."""

_CODES = 65534  # between the code of exactly 0 and the code of exactly 1
STEP = 1 / _CODES
"""Between neighbouring codes of gates that are stored in 16 bits: their error is at most half of it."""


def in_16_bits(bounds: Bounds) -> bool:
    """Whether gates with these bounds are stored in 16 bits, wherever their values keep to them."""
    low, high = bounds
    return low >= 0 and high <= 1


def encode_gates(gates: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Gates in [0, 1] as 16-bit fixed point: 0 is exactly 0, 65535 exactly 1, the rest linear between.

    The error is below 8e-6 everywhere, also near 0 and 1, where float16 would lose what saturation is about.

    Raises
    ------
    ValueError
        If a gate lies outside [0, 1] or is NaN: nothing is clipped.
    """
    if gates.size and not (gates.min() >= 0 and gates.max() <= 1):
        raise ValueError(f"gates lie from {gates.min()} to {gates.max()}, expected [0, 1]; store them as float32")
    scaled = np.multiply(gates, _CODES, dtype=np.float64)
    codes: NDArray[np.uint16] = scaled.astype(np.uint16)  # rounded down
    codes += 1  # exactly 1 gets its own code by this
    codes *= gates > 0
    return codes


def decode_gates(stored: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Gates as they are stored, in 16-bit codes or as float32, as float32; in `out`, of that shape, where it is given.

    Of one block, chunks can be stored either way.
    """
    gates: NDArray[np.float32] = np.empty(stored.shape, np.float32) if out is None else out
    if stored.dtype != np.uint16:
        gates[...] = stored
        return gates
    np.subtract(stored, np.float32(0.5), dtype=np.float32, out=gates)  # exact: it takes 17 bits
    gates /= np.float32(_CODES)
    return np.clip(gates, 0, 1, out=gates)  # the codes of 0 and 1 lie outside


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The images of a chunk, in the order of the data set.

    Attributes
    ----------
    paths
        Relative to the root of the data set; percent-encoded where they are no UTF-8.
    labels
        (image) int64 where an image has one class, else (image, class) bool.
    statuses
        Of each image one of "ok", "coerced", "failed".
    reasons
        What was done to a coerced image, or why one failed; else empty.
    predictions
        The five classes of the model with the greatest logits (fewer if it has fewer), best first,
        (image, 5) int32; -1 for a failed image, and where the network gives no logits.
    kept
        Of which images the gates are kept, (image) bool.
    contents
        Of each image, a hash of what it was made from: the first 32 hex digits of the SHA-256 of the file's bytes, or
        of an image in memory as `seviz.capture.content` has it. None where it could not be read; None in
        place of all of them where they are not known, as in chunks of an older seviz.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    statuses: tuple[str, ...]
    reasons: tuple[str, ...]
    predictions: NDArray[np.int32]
    kept: NDArray[np.bool_]
    contents: tuple[str | None, ...] | None = None

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which images have gates, (image)."""
        return np.array([status != "failed" for status in self.statuses], dtype=bool)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The result of one chunk.

    Attributes
    ----------
    index
        Its number in the run, from 0.
    samples
        Its images.
    gates
        By signal and block, (image, channel) of the images whose gates are kept, as stored: uint16 codes for gates
        whose function is bounded by 0 and 1 and that all keep to its bounds, else float32; `decode_gates` reads both.
        Rows of failed images hold 0.
    classes
        The classes that occur, each once, (class) int64; ascending but in joined runs.
    moments
        By signal and block, of the classes that occur.
    totals
        By signal and block, of all images together, as a single class.
    outside
        Blocks of which a gate lies outside of the bounds of its function, whether it is kept or not.
    """

    index: int
    samples: Samples
    gates: Mapping[tuple[str, str], NDArray[Any]]
    classes: NDArray[np.int64]
    moments: Mapping[tuple[str, str], Moments]
    totals: Mapping[tuple[str, str], Moments]
    outside: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        index: int,
        samples: Samples,
        values: Mapping[tuple[str, str], NDArray[np.float32]],
        bounds: Mapping[str, Bounds],
    ) -> "Chunk":
        """Make a chunk out of the values of its images.

        Parameters
        ----------
        index, samples
            As in the attributes.
        values
            By signal and block, (image, channel), with a row for each image; rows of failed images are ignored.
        bounds
            By block, the bounds of its gate function. They are compared with the gates, which are never clipped.
        """
        good = samples.good
        labels = samples.labels[good]
        if labels.ndim == 2:
            classes = np.flatnonzero(labels.any(0))
            members: NDArray[Any] = labels[:, classes]
        else:
            classes, members = np.unique(labels, return_inverse=True)
        gates, moments, totals, outside = {}, {}, {}, []
        for (signal, block), value in values.items():
            kept = value if samples.kept.all() else value[samples.kept]
            of_good = value
            if not good.all():
                of_good, kept = value[good], np.where(good[samples.kept, None], kept, 0)
            moments[signal, block] = Moments.of(of_good, members, len(classes))
            totals[signal, block] = Moments.of_all(of_good)
            encoded = False
            if signal == "excitation":
                inside = totals[signal, block].within(bounds[block])
                encoded = inside and in_16_bits(bounds[block])
                outside += [] if inside else [block]
            gates[signal, block] = encode_gates(kept) if encoded else kept.astype(np.float32)
        return cls(
            index=index,
            samples=samples,
            gates=gates,
            classes=classes,
            moments=moments,
            totals=totals,
            outside=tuple(outside),
        )

    def write(self, path: Path) -> None:
        """Write the chunk; when this returns it is on the disk, whole."""
        arrays: dict[str, NDArray[Any]] = {
            "samples/label": self.samples.labels,
            "samples/prediction": self.samples.predictions,
            "samples/kept": self.samples.kept,
            "classes": self.classes,
        }
        for (signal, block), codes in self.gates.items():
            arrays[f"gates/{signal}/{block}"] = codes
        for kind, table in (("moments", self.moments), ("totals", self.totals)):
            for (signal, block), moments in table.items():
                arrays |= moments.to_arrays(f"{kind}/{signal}/{block}/")
        texts = {name: list(getattr(self.samples, name)) for name in ("paths", "statuses", "reasons")}
        outside = {"outside": list(self.outside)} if self.outside else {}
        contents = {} if self.samples.contents is None else {"contents": list(self.samples.contents)}
        write_arrays(path, arrays, {"chunk": self.index, **texts, **contents, **outside})

    @classmethod
    def read(cls, path: Path, manifest: Manifest | None = None) -> "Chunk":
        """Read a chunk and verify it.

        Parameters
        ----------
        path
            Of its file, in the folder `chunks` of its run.
        manifest
            Of the run, which says what the chunk must hold; None for a chunk by itself, of which only the checksum is
            verified.

        Raises
        ------
        DamagedRunError
            If it is not what was written, or holds what no chunk of the run can.
        """
        form = None if manifest is None else form_of_chunk(manifest)
        arrays, raw = read_arrays(path, within=path.parent.parent, form=form)
        try:
            chunk = _chunk(arrays, as_type(raw, ChunkFacts))
            if manifest is not None:
                _check(chunk, manifest)
        except UNREADABLE as error:
            raise damaged(path, str(error)) from error
        return chunk


def _chunk(arrays: Mapping[str, NDArray[Any]], facts: ChunkFacts) -> Chunk:
    keys: dict[str, list[tuple[str, str]]] = {"gates": [], "moments": [], "totals": []}
    for name in arrays:
        kind, *key = name.split("/")
        if kind == "gates" or key[2:] == ["count"]:
            keys[kind].append((key[0], key[1]))
    samples = Samples(
        paths=facts.paths,
        labels=arrays["samples/label"],
        statuses=facts.statuses,
        reasons=facts.reasons,
        predictions=arrays["samples/prediction"],
        kept=arrays["samples/kept"],
        contents=facts.contents,
    )
    return Chunk(
        index=facts.chunk,
        samples=samples,
        gates={(signal, block): arrays[f"gates/{signal}/{block}"] for signal, block in keys["gates"]},
        classes=arrays["classes"],
        moments={k: Moments.from_arrays(arrays, f"moments/{k[0]}/{k[1]}/") for k in keys["moments"]},
        totals={k: Moments.from_arrays(arrays, f"totals/{k[0]}/{k[1]}/") for k in keys["totals"]},
        outside=facts.outside,
    )


def _check(chunk: Chunk, manifest: Manifest) -> None:
    """Raise ValueError if no chunk of a run can hold that; types and shapes were checked before."""
    samples, classes = chunk.samples, len(manifest.data.class_ids)
    images = len(samples.kept)
    for name in ("paths", "statuses", "reasons", "contents"):
        texts = getattr(samples, name)
        if texts is not None and len(texts) != images:
            raise ValueError(f"{name} is {shown(texts)}, expected one for each of {images:,} images")
    if samples.labels.ndim == 1:
        _refuse("samples/label", samples.labels, 0, classes - 1)
    known = manifest.model.class_ids
    _refuse("samples/prediction", samples.predictions, -1, 2**31 - 1 if known is None else len(known) - 1)
    _refuse("classes", chunk.classes, 0, classes - 1)
    if len(np.unique(chunk.classes)) < len(chunk.classes):
        raise ValueError("classes has a class twice, expected each once")
    blocks = {block.name for block in manifest.blocks}
    if unknown := next((block for block in chunk.outside if block not in blocks), None):
        raise ValueError(f"outside has {shown(unknown)}, expected blocks of the run")
    good, kept = int(samples.good.sum()), int(samples.kept.sum())
    for (signal, block), gates in chunk.gates.items():
        if len(gates) != kept:
            raise ValueError(f"gates/{signal}/{block} has {len(gates):,} images, expected the {kept:,} that are kept")
        if gates.dtype != np.uint16 and not np.isfinite(gates).all():
            raise ValueError(f"gates/{signal}/{block} has a number that is not finite")
        if gates.dtype == np.uint16 and not in_16_bits(manifest.block(block).bounds):
            raise ValueError(
                f"gates/{signal}/{block} is in 16 bits, expected float32: its gates have other bounds than 0 and 1"
            )
    for kind, table in (("moments", chunk.moments), ("totals", chunk.totals)):
        for (signal, block), moments in table.items():
            try:
                moments.check(good)
                if kind == "totals" and moments.count[0] != good:
                    raise ValueError(f"count is {moments.count[0]}, expected {good}, as many as did not fail")
            except ValueError as error:
                raise ValueError(f"{kind}/{signal}/{block}: {error}") from error


def _refuse(name: str, numbers: NDArray[np.integer], least: int, most: int) -> None:
    wrong = numbers[(numbers < least) | (numbers > most)]
    if len(wrong):
        raise ValueError(f"{name} has {wrong[0]}, expected numbers from {least} to {most}")
