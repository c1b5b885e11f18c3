"""What a run is: written once, when the run is created, and never changed."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seviz.errors import DamagedRunError
from seviz.network.bounds import UNBOUNDED, Bounds, bounds_from_json, bounds_of, bounds_to_json

SCHEMA = 2


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

    base: str
    what: str
    changes: dict[str, Any] | None
    settings: tuple[str, ...] = ()


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
    changed
        What was changed after it was loaded: then spec and weights give another network. None if nothing was.
    """

    spec: str
    weights: str
    trained: bool
    weights_sha256: str
    input_size: tuple[int, ...]
    preprocessing: dict[str, Any]
    class_ids: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    task: str = "classification"
    search: tuple[str, ...] = ()
    changed: ChangeRecord | None = None


@dataclass(frozen=True, kw_only=True)
class BlockRecord:
    """One SE block of the network, with the singular values of the product of its weights.

    What its fields mean stands at `seviz.network.blocks.SEBlock`. The bounds are those that the search found; whether
    gates kept to them is seen when they are captured: `seviz.run.store.Run.bounds`.
    `product` tells the block from others in the same module; runs that older versions made say 0 of each.
    """

    name: str
    path: str
    gate_path: str | None
    channels: int
    squeezed_channels: int
    gate: str
    stage: int
    block: int
    stride: int
    singular_values: tuple[float, ...]
    bounds: Bounds = UNBOUNDED
    product: int = 0


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

    spec: str
    root: str | None
    class_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    model_classes: tuple[int, ...] | None
    labels: str
    images: int | None
    fingerprint: str | None
    selection: dict[str, Any] = dataclasses.field(default_factory=dict)


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

    name: str
    reason: str
    device: str
    precision: str
    batch_size: int
    threads: int
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
    created: str
    versions: dict[str, str]
    model: ModelRecord
    blocks: tuple[BlockRecord, ...]
    data: DataRecord
    engine: EngineRecord
    signals: tuple[str, ...]
    keep_gates: str
    chunk_size: int
    chunks: int | None

    def to_json(self) -> str:
        """The text of manifest.json."""
        facts = dataclasses.asdict(self)
        for block in facts["blocks"]:
            block["bounds"] = bounds_to_json(block["bounds"])
        return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Manifest":
        """Read the text of a manifest.

        Raises
        ------
        DamagedRunError
            If it is no manifest, of another schema, or a field is missing or too many.
        """
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise DamagedRunError(f"{path} is not JSON ({error}); the run cannot be read without it") from error
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if schema != SCHEMA:
            raise DamagedRunError(
                f"{path} has schema {schema!r}, this seviz reads schema {SCHEMA}; capture the images again, or use the"
                " seviz that made it"
            )
        try:
            return cls(
                **{
                    **raw,
                    "model": _model(raw["model"]),
                    "blocks": tuple(_block(block) for block in raw["blocks"]),
                    "data": DataRecord(**_tuples(raw["data"])),
                    "engine": EngineRecord(**raw["engine"]),
                    "signals": tuple(raw["signals"]),
                }
            )
        except (TypeError, KeyError) as error:
            raise DamagedRunError(f"{path} has a missing or unknown field: {error}") from error
        except ValueError as error:
            raise DamagedRunError(f"{path} has a field that cannot be read: {error}") from error

    def differences(self, other: "Manifest") -> list[str]:
        """What keeps `other` from continuing this run, a phrase each; empty if nothing does.

        How the network is run is not compared: a resumed run keeps its engine.
        """
        pairs = {
            "model": (self.model.spec, other.model.spec),
            "weights": (self.model.weights_sha256[:12], other.model.weights_sha256[:12]),
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


def _block(record: dict[str, Any]) -> BlockRecord:
    """A block as it stands in a manifest; where its bounds were not written down yet, those of the named function."""
    raw = record.get("bounds")
    bounds = bounds_of(record["gate"]) if raw is None else bounds_from_json(raw)
    return BlockRecord(**{**_tuples(record), "bounds": bounds})


def _model(raw: dict[str, Any]) -> ModelRecord:
    changed = raw.get("changed")
    return ModelRecord(**_tuples({**raw, "changed": None if changed is None else ChangeRecord(**_tuples(changed))}))


def _what(model: ModelRecord) -> str:
    return "nothing" if model.changed is None else model.changed.what


def _tuples(record: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
