"""Runs made of gates that are given, without a network: for tables whose answer is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.classes import Classes
from seviz.network.bounds import bounds_of
from seviz.run.chunks import Chunk, Samples
from seviz.run.manifest import SCHEMA, BlockRecord, DataRecord, EngineRecord, Manifest, ModelRecord
from seviz.run.merging import merge_chunks
from seviz.run.store import Run
from seviz.texts import path_text


def make_run(
    path: Path,
    gates: Mapping[str, NDArray[np.floating]],
    labels: NDArray[np.int64] | NDArray[np.bool_],
    *,
    classes: Sequence[str] | None = None,
    paths: Sequence[str] | None = None,
    predictions: NDArray[np.integer] | None = None,
    signals: Mapping[str, Mapping[str, NDArray[np.floating]]] | None = None,
    gate: str = "sigmoid",
    failed: Sequence[int] = (),
    kept: NDArray[np.bool_] | None = None,
    trained: bool = True,
    singular_values: Mapping[str, Sequence[float]] | None = None,
    chunk_size: int = 64,
) -> Run:
    """Write a finished run.

    Parameters
    ----------
    path
        Its directory.
    gates
        By block ("SE_2_1", ...), the excitation (image, channel).
    labels
        (image), or (image, class) bool.
    classes
        Names; "class0", ... by default.
    paths
        Of the images, as the operating system gives them; "000000.png", ... by default.
    predictions
        The class that the network takes each image for, (image); the label by default, or class 0 with several.
    signals
        Other signals, as gates.
    gate
        The activation of all blocks.
    failed
        Images that failed.
    kept
        Of which images the gates are kept, (image); of all by default.
    trained, singular_values
        As the manifest says.
    chunk_size
        Images a chunk.
    """
    count = labels.max() + 1 if labels.ndim == 1 else labels.shape[1]
    names = tuple(classes or (f"class{k}" for k in range(count)))
    names = Classes(names, names).ids
    paths = [f"{k:06d}.png" for k in range(len(labels))] if paths is None else [path_text(path) for path in paths]
    values = {("excitation", block): np.asarray(v, np.float32) for block, v in gates.items()}
    for signal, table in (signals or {}).items():
        values |= {(signal, block): np.asarray(v, np.float32) for block, v in table.items()}
    blocks = tuple(_block(name, v.shape[1], gate, (singular_values or {}).get(name, ())) for name, v in gates.items())
    images = len(labels)
    chunks = -(-images // chunk_size)
    run = Run.create(
        path, _manifest(names, blocks, images, chunks, chunk_size, labels.ndim, tuple(signals or ()), trained)
    )
    if predictions is None:
        predictions = labels if labels.ndim == 1 else np.zeros(images, np.int64)
    statuses = np.array(["ok"] * images, dtype=object)
    statuses[list(failed)] = "failed"
    for index in range(chunks):
        part = slice(index * chunk_size, (index + 1) * chunk_size)
        samples = Samples(
            paths=tuple(paths[part]),
            labels=labels[part],
            statuses=tuple(statuses[part]),
            reasons=tuple("made to fail" if status == "failed" else "" for status in statuses[part]),
            predictions=np.asarray(predictions, np.int32)[part, None],
            kept=np.ones(images, bool)[part] if kept is None else kept[part],
        )
        bounds = dict.fromkeys(gates, bounds_of(gate))
        chunk = Chunk.of(index, samples, {key: value[part] for key, value in values.items()}, bounds)
        chunk.write(run.chunk_path(index))
    merge_chunks(run)
    return run


def _block(name: str, channels: int, gate: str, singular_values: Sequence[float]) -> BlockRecord:
    stage, block = (int(part) for part in name.split("_")[1:])
    return BlockRecord(
        name=name,
        path=f"layer{stage}.{block}",
        gate_path=f"layer{stage}.{block}.gate",
        channels=channels,
        squeezed_channels=max(1, channels // 16),
        gate=gate,
        stage=stage,
        block=block,
        stride=2**stage,
        singular_values=tuple(singular_values),
        bounds=bounds_of(gate),
    )


def _manifest(
    names: tuple[str, ...],
    blocks: tuple[BlockRecord, ...],
    images: int,
    chunks: int,
    chunk_size: int,
    dimensions: int,
    signals: tuple[str, ...],
    trained: bool,
) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        created="2026-01-01T00:00:00+00:00",
        versions={"seviz": "0"},
        model=ModelRecord(
            spec="tests/made",
            weights="pretrained" if trained else "none",
            trained=trained,
            weights_sha256="0" * 64,
            input_size=(3, 16, 16),
            preprocessing={},
            class_ids=names,
            class_names=names,
        ),
        blocks=blocks,
        data=DataRecord(
            spec="made",
            root=None,
            class_ids=names,
            class_names=names,
            model_classes=tuple(range(len(names))),
            labels="single" if dimensions == 1 else "multi",
            images=images,
            fingerprint="0" * 64,
        ),
        engine=EngineRecord(
            name="eager", reason="made", device="cpu", precision="float32", batch_size=64, threads=1, rotate=False
        ),
        signals=("excitation", *signals),
        keep_gates="all",
        chunk_size=chunk_size,
        chunks=chunks,
    )
