"""What a run is: written once, when the run is created, and never changed."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from seviz.errors import DamagedRunError, OldRunError, OptionError, RunNotFoundError
from seviz.foreign import MEGABYTE, BlockName, Sha256, Text, as_type, line, matching, parse_json, read_regular, shown
from seviz.network.bounds import UNBOUNDED, Bounds, bounds_from_json, bounds_to_json
from seviz.network.settings import Settings

SCHEMA = 3
OLDER = 2
"""The schema that `seviz upgrade` brings to this one."""
LARGEST = 16 * MEGABYTE
"""Bytes that manifest.json may have: ImageNet-21k takes two million."""
LARGEST_CHUNK = 65_536
"""Images that a chunk may have."""

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Channels = Annotated[int, Meta(ge=1, le=1 << 20)]
Small = Annotated[int, Meta(ge=0, le=1 << 20)]
Classes = Annotated[tuple[Text, ...], Meta(max_length=1_000_000)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=10_000)]
_KEPT = r"^(all|none|per-class:[0-9]{1,9})( \+ (all|none|per-class:[0-9]{1,9}))*\Z"  # several of runs that were joined
Signal = Annotated[str, matching(r"^[a-z]{1,40}\Z", "a signal, such as excitation")]
LongText = Annotated[str, Meta(max_length=200_000)]
"""Such as the specs of runs that were joined."""


@dataclass(frozen=True, kw_only=True)
class ChangeRecord:
    """What was changed in Python in the network of a run, after it was loaded.

    Attributes
    ----------
    base
        The spec that it is made from.
    what
        In words; where it is not known how it was changed, says so.
    changes
        As `network.json` of a saved network has them (removed, spread, widths, shapes); None where it is not known how.
    settings
        What else is other: "input size", "preprocessing", "classes", "spec", "task".
    """

    base: LongText
    what: LongText
    changes: dict[str, Any] | None
    settings: Texts = ()


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The network of a run.

    Attributes
    ----------
    spec, weights
        As it was loaded: "timm/seresnet50"; "pretrained", "none" or a file.
    trained
        Whether the weights of the SE blocks are other than freshly drawn.
    weights_sha256
        Fingerprint of all parameters and buffers.
    input_size
        (channels, height, width).
    preprocessing
        What was done to each image.
    class_ids, class_names
        In the order of the logits; None where they are not known.
    search
        What is to be known of the search for SE blocks, such as parts that could not be looked into.
    task
        "classification"; else, as "detection", the model is the backbone of such a network and gives no logits.
    settings
        What was said of it beside spec and weights, by name, as `seviz.network.settings.Settings.given`.
    changed
        What was changed after it was loaded: then spec and weights give another network. None if nothing was.
    factory_sha256, weights_file_sha256
        SHA-256 of the Python file that makes it, and of the file that its weights were read from; None where there was
        no such file, or it was not written down.
    assumed
        What of preprocessing and weights was assumed, a sentence each.
    """

    spec: LongText
    weights: Text
    trained: bool
    weights_sha256: Sha256
    input_size: Annotated[tuple[Annotated[int, Meta(ge=1, le=1 << 20)], ...], Meta(min_length=1, max_length=8)]
    preprocessing: dict[str, Any]
    class_ids: Classes | None
    class_names: Classes | None
    task: Text = "classification"
    search: Texts = ()
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    changed: ChangeRecord | None = None
    factory_sha256: Sha256 | None = None
    weights_file_sha256: Sha256 | None = None
    assumed: Texts = ()


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """One SE block of the network, with the singular values of the product of its weights.

    What its fields mean stands at `seviz.network.blocks.SEBlock`. The bounds are those that the search found; whether
    gates kept to them is seen when they are captured: `seviz.run.store.Run.bounds`.
    `product` tells the block from others in the same module; runs that older versions made say 0 of each.
    """

    name: BlockName
    path: Text
    gate_path: Text | None
    channels: Channels
    squeezed_channels: Small
    gate: Text
    stage: Small
    block: Small
    stride: Small
    singular_values: Annotated[tuple[float, ...], Meta(max_length=1 << 20)]
    bounds: Bounds = UNBOUNDED
    product: Small = 0


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data set of a run.

    Attributes
    ----------
    spec
        As it was given: a folder, "bundled", or "batches" for images handed over in memory.
    root
        Where the files lay; None for images handed over in memory.
    class_ids, class_names
        In the order of the labels.
    model_classes
        The index of each class among the model's, or None where the two do not correspond.
    labels
        "single": one class an image; "multi": any number of classes.
    images
        Number of images; None for images handed over in memory, which are not counted beforehand.
    fingerprint
        Of relative path, size and label of each file; None for images handed over in memory.
    selection
        How it was chosen from and read, as far as it was: classes, per_class and seed, split, root, preprocess,
        label_separator, class_names.
    """

    spec: LongText
    root: Text | None
    class_ids: Classes
    class_names: Classes
    model_classes: Annotated[tuple[Count, ...], Meta(max_length=1_000_000)] | None
    labels: Literal["single", "multi"]
    images: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None
    fingerprint: Sha256 | None
    selection: dict[str, Any] = dataclasses.field(default_factory=dict)

    def split_of(self, path: str) -> str | None:
        """The split of a data set whose images are no files; older runs tell it by the path of an image."""
        if "split" in self.selection or not self.spec.startswith("cifar10:"):
            return self.selection.get("split")
        return path.partition("/")[0] or None


@dataclass(frozen=True, kw_only=True)
class _Selection:
    """What `DataRecord.selection` may hold."""

    classes: Classes | None = None
    per_class: Count | None = None
    seed: int | None = None
    split: Text | None = None
    root: Text | None = None
    preprocess: Literal["none", "model"] | None = None
    label_separator: Text | None = None
    class_names: Text | None = None


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """How the network is run: chosen when the run is created, used again when it is resumed.

    Attributes
    ----------
    name
        "eager": as it is; "folded": with its BatchNorms folded into its convolutions; "compiled".
    reason
        Why that one.
    device
        As torch calls it.
    precision
        "float32": without autocast, in the network's own dtype; or what autocast uses outside the SE blocks of a
        network in float32: "bfloat16", "float16".
    batch_size
        Images a forward pass.
    threads
        Of the CPU, in each process.
    rotate
        Whether images were rotated as their EXIF orientation says.
    """

    name: Annotated[str, matching(r"^(eager|folded|compiled)\Z", "eager, folded or compiled")]
    reason: Text
    device: Text
    precision: Text
    batch_size: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    threads: Annotated[int, Meta(ge=1, le=1 << 20)]
    rotate: bool


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that is known of a run before its first image.

    Attributes
    ----------
    schema
        Version of the format.
    created
        When, in ISO 8601.
    versions
        Of the packages that made it.
    model, blocks, data, engine
        What was run on what, and how.
    signals
        What is recorded: "excitation", and on demand "squeeze" and "response".
    keep_gates
        Of which images all gates are kept: "all", "none", or "per-class:N".
    chunk_size, chunks
        Images a chunk, and how many chunks; None for images handed over in memory.
    """

    schema: int
    created: Text
    versions: dict[str, Text]
    model: ModelRecord
    blocks: Annotated[tuple[BlockRecord, ...], Meta(min_length=1, max_length=10_000)]
    data: DataRecord
    engine: EngineRecord
    signals: Annotated[tuple[Signal, ...], Meta(min_length=1, max_length=10)]
    keep_gates: Annotated[LongText, matching(_KEPT, "all, none or per-class:N, such as per-class:50")]
    chunk_size: Annotated[int, Meta(ge=1, le=LARGEST_CHUNK)]
    chunks: Annotated[int, Meta(ge=1, le=10_000_000)] | None

    def to_json(self) -> str:
        """The text of manifest.json, with its checksum; all of it is ASCII."""
        facts = dataclasses.asdict(self)
        for block in facts["blocks"]:
            block["bounds"] = bounds_to_json(block["bounds"])
        return json.dumps({**facts, "checksum": checksum_of(facts)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, path: Path) -> "Manifest":
        """Read the text of a manifest, and check it as a whole.

        Parameters
        ----------
        text
            Of the file.
        path
            Of the file, for messages.

        Raises
        ------
        OldRunError
            If it is of an older schema.
        DamagedRunError
            If it is no manifest, of a newer schema, a field is missing, too many, of another type or outside its
            range, fields contradict each other, or it is not what was written.
        """
        facts = read_json(text, path)
        schema = facts.get("schema")
        if schema != SCHEMA or isinstance(schema, bool):
            raise _of_another(schema, path)
        checksum = facts.pop("checksum", None)
        try:
            made = as_type({**facts, "blocks": _with_bounds(facts.get("blocks"))}, cls)
            _check(made)
            if checksum != (expected := checksum_of(facts)):
                raise ValueError(
                    f"checksum is {shown(checksum)}, and that of its content is '{expected[:12]}...': something in it"
                    " was changed since it was written"
                )
        except ValueError as error:
            raise _damaged(path, error) from error
        return made

    def block(self, name: str) -> BlockRecord:
        """What is said of a block; raises KeyError if there is none of that name."""
        return {block.name: block for block in self.blocks}[name]

    def differences(self, other: "Manifest") -> list[str]:
        """What keeps `other` from continuing this run, a phrase each; empty if nothing does.

        How the network is run is not compared: a resumed run keeps its engine.
        """
        pairs = {
            "model": (self.model.spec, other.model.spec),
            "factory's file": (
                (self.model.factory_sha256 or "nothing")[:12],
                (other.model.factory_sha256 or "nothing")[:12],
            ),
            "weights": (self.model.weights_sha256[:12], other.model.weights_sha256[:12]),
            "settings": (self.model.settings, other.model.settings),
            "changed in Python": (_what(self.model), _what(other.model)),
            "preprocessing": (self.model.preprocessing, other.model.preprocessing),
            "blocks": ([b.name for b in self.blocks], [b.name for b in other.blocks]),
            "data": (self.data.spec, other.data.spec),
            "images": (self.data.images, other.data.images),
            "files": ((self.data.fingerprint or "")[:12], (other.data.fingerprint or "")[:12]),
            "classes": (list(self.data.class_ids), list(other.data.class_ids)),
            "labels": (self.data.labels, other.data.labels),
            "signals": (list(self.signals), list(other.signals)),
            "kept gates": (self.keep_gates, other.keep_gates),
            "rotation by EXIF": (self.engine.rotate, other.engine.rotate),
            "chunk size": (self.chunk_size, other.chunk_size),
        }
        # A data set that was moved is the same data set.
        same_files = self.data.fingerprint is not None and self.data.fingerprint == other.data.fingerprint
        return [
            f"{what}: {_short(mine)} there, {_short(theirs)} now"
            for what, (mine, theirs) in pairs.items()
            if mine != theirs and not (what == "data" and same_files)
        ]


def checksum_of(facts: Mapping[str, Any]) -> str:
    """The checksum of a manifest: against accidents, not against people, who can compute it as well.

    SHA-256, 64 hex digits, of the canonical JSON of all fields but `checksum`: keys sorted, no spaces, all that is not
    ASCII escaped: `json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)`.
    """
    rest = {name: value for name, value in facts.items() if name != "checksum"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def read_manifest(directory: Path) -> bytes:
    """The content of a run's manifest.json, unchecked.

    Raises
    ------
    RunNotFoundError
        If there is none.
    DamagedRunError
        If it is no regular file of the directory, or too large.
    """
    path = directory / "manifest.json"
    if not os.path.lexists(path):
        raise RunNotFoundError(
            f"no run in {str(directory)!r}: it has no manifest.json; `seviz capture MODEL DATA -o {directory}` makes"
            " one"
        )
    try:
        return read_regular(path, within=directory, largest=LARGEST)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def read_json(text: str | bytes, path: Path) -> dict[str, Any]:
    """The fields of a manifest of any schema, unchecked; raises DamagedRunError if it is no JSON object."""
    try:
        raw = parse_json(text if isinstance(text, bytes) else text.encode("utf-8"))
        if not isinstance(raw, dict):
            raise ValueError(f"it is {shown(raw)}, expected an object with the fields of a run")
    except ValueError as error:
        raise _damaged(path, error) from error
    return raw


def _damaged(path: Path, error: Exception) -> DamagedRunError:
    return DamagedRunError(
        f"{path} is damaged: {error}. The run cannot be read without it: restore the file, or capture the run again in"
        " another directory."
    )


def _of_another(schema: object, path: Path) -> OldRunError | DamagedRunError:
    if schema == OLDER:
        return OldRunError(
            f"{path}: schema is {OLDER}, that of an older seviz, and this one reads schema {SCHEMA}: `seviz upgrade"
            f" {path.parent}` brings the run along, in place"
        )
    older = isinstance(schema, int) and 1 <= schema < OLDER
    remedy = "capture the images again" if older else "use the seviz that made it, or a newer one than this"
    return DamagedRunError(f"{path}: schema is {shown(schema)}, and this seviz reads schema {SCHEMA}; {remedy}")


def _with_bounds(blocks: Any) -> Any:
    """The blocks of a manifest, infinite bounds in place of null; as they are where they have another form."""
    if not isinstance(blocks, list):
        return blocks
    infinite = (-math.inf, math.inf)
    return [
        {**block, "bounds": [known if end is None else end for end, known in zip(ends, infinite, strict=True)]}
        if isinstance(block, dict) and isinstance(ends := block.get("bounds"), list) and len(ends) == 2
        else block
        for block in blocks
    ]


def _check(made: Manifest) -> None:
    """Raise ValueError where fields contradict each other."""
    model, data = made.model, made.data
    seen = dict[str, int]()
    for number, block in enumerate(made.blocks):
        where = f"blocks[{number}]"
        if block.name in seen:
            raise ValueError(f"{where}.name is '{block.name}', as that of blocks[{seen[block.name]}]: expected another")
        seen[block.name] = number
        if block.name != (expected := f"SE_{block.stage}_{block.block}"):
            raise ValueError(f"{where}.name is '{block.name}', expected '{expected}', by its stage and block")
        try:
            bounds_from_json(block.bounds)
        except ValueError as error:
            raise ValueError(f"{where}.{error}") from error
    for name, record in (("model", model), ("data", data)):
        ids, names = record.class_ids, record.class_names
        if (ids is None) != (names is None) or (ids and names and len(ids) != len(names)):
            counts = [shown(each) for each in (names, ids)]
            raise ValueError(f"{name}.class_names is {counts[0]}, expected as many as class_ids, which is {counts[1]}")
    as_type(data.selection, _Selection, other="data.selection.")
    try:
        Settings.from_given(model.settings)
    except OptionError as error:
        raise ValueError(f"model.settings: {line(error)}") from error
    if not data.class_ids:
        raise ValueError("data.class_ids is a list of 0, expected a class or more")
    if (targets := data.model_classes) is not None:
        if len(targets) != len(data.class_ids):
            raise ValueError(f"data.model_classes is {shown(targets)}, expected one for each of data.class_ids")
        if model.class_ids is not None and max(targets) >= len(model.class_ids):
            raise ValueError(
                f"data.model_classes has {max(targets)}, expected less than {len(model.class_ids)} classes"
            )
    if made.signals[0] != "excitation" or len(set(made.signals)) < len(made.signals):
        raise ValueError(f"signals is {shown(', '.join(made.signals))}, expected excitation first, and each once")
    if (made.chunks is None) != (data.images is None):
        raise ValueError(f"chunks is {shown(made.chunks)}, expected it where data.images is, {shown(data.images)}")
    if made.chunks is not None and data.images is not None:
        least = -(-data.images // made.chunk_size)
        most = data.images if " + " in data.spec else least  # of runs that were joined, some chunks have fewer images
        if not least <= made.chunks <= most:
            raise ValueError(
                f"chunks is {made.chunks:,}, expected {least:,} for the {data.images:,} of data.images in chunks of"
                f" {made.chunk_size:,}"
            )


def _what(model: ModelRecord) -> str:
    return "nothing" if model.changed is None else model.changed.what


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
