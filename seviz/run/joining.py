"""Join runs of one network on disjoint data to one run."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seviz.errors import JoinError, RunExistsError
from seviz.run.chunks import Chunk, Samples
from seviz.run.manifest import DataRecord, Manifest
from seviz.run.merging import merge_chunks
from seviz.run.store import Run, open_run


def merge(runs: Sequence[str | Path], out: str | Path) -> Run:
    """Join runs of one network on disjoint data.

    The images of the first come first. Where the runs have not the same classes, the joined run has the classes of
    all of them, by id. Its gates and moments are those of the runs, image by image; it cannot be resumed.

    Parameters
    ----------
    runs
        Their directories, at least two.
    out
        The directory of the joined run.

    Raises
    ------
    JoinError
        If there is one run only; if the runs are of different networks, weights, preprocessing or signals; or if
        they have images in common.
    RunError
        If one of them is not complete or damaged, or something is in the way.

    Examples
    --------
    >>> for name in ("cat", "dog"):
    ...     run = seviz.collect(network, "bundled", name, classes=[name], per_class=2, workers=0, progress=False)
    >>> len(seviz.merge(["cat", "dog"], "both").samples)
    4
    """
    if len(runs) < 2:
        raise JoinError(f"{len(runs)} run given, expected at least 2 to join")
    opened = [open_run(path) for path in runs]
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunExistsError(
            f"{str(out)!r} is in the way: it is not empty, or no directory. Give a new or an empty directory."
        )
    for other in opened[1:]:
        _refuse_another(opened[0], other)
    ids, names = _union(opened)
    roots = [run.manifest.data.root or str(run.path.absolute()) for run in opened]  # in memory, paths are numbers
    root = os.path.commonpath(roots)
    prefixes = [os.path.relpath(path, root) for path in roots]
    _refuse_overlap(opened, prefixes)
    joined = Run.create(out, _manifest(opened, ids, names, root))
    index = 0
    with joined.lock():
        for run, prefix in zip(opened, prefixes, strict=True):
            labels = np.array([ids.index(name) for name in run.classes.ids], np.int64)
            for path in run.chunk_paths():
                _moved(Chunk.read(path, run.manifest), index, prefix, labels, len(ids)).write(joined.chunk_path(index))
                index += 1
        merge_chunks(joined)
    return joined


def _refuse_another(first: Run, other: Run) -> None:
    one, two = first.manifest, other.manifest
    pairs: Mapping[str, tuple[object, object]] = {
        "weights": (one.model.weights_sha256, two.model.weights_sha256),
        "what was changed in Python": (one.model.changed, two.model.changed),
        "preprocessing": (one.model.preprocessing, two.model.preprocessing),
        "blocks": (first.blocks, other.blocks),
        "signals": (one.signals, two.signals),
        "labels": (one.data.labels, two.data.labels),
        "precision": (one.engine.precision, two.engine.precision),
        "rotation by EXIF": (one.engine.rotate, two.engine.rotate),
    }
    differing = [what for what, (mine, theirs) in pairs.items() if mine != theirs]
    if differing:
        raise JoinError(
            f"{str(first.path)!r} and {str(other.path)!r} cannot be joined: they differ in {', '.join(differing)}."
            " Runs to be joined are of one network and captured with the same settings, of other images."
        )


def _refuse_overlap(runs: Sequence[Run], prefixes: Sequence[str]) -> None:
    seen = dict[str, Run]()
    for run, prefix in zip(runs, prefixes, strict=True):
        paths = [os.path.normpath(os.path.join(prefix, path)) for path in run.samples["path"]]
        if (common := next((path for path in paths if path in seen), None)) is not None:
            raise JoinError(
                f"{str(seen[common].path)!r} and {str(run.path)!r} cannot be joined: both hold {common!r}, which would"
                " count twice. Leave one of them out."
            )
        seen |= dict.fromkeys(paths, run)


def _union(runs: Sequence[Run]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and names of the classes of all runs: those of the first as they are if they are the same, else sorted."""
    names = {class_id: name for run in runs for class_id, name in zip(run.classes.ids, run.classes.names, strict=True)}
    same = all(run.classes.ids == runs[0].classes.ids for run in runs)
    ids = runs[0].classes.ids if same else tuple(sorted(names))
    return ids, tuple(names[class_id] for class_id in ids)


def _manifest(runs: Sequence[Run], ids: tuple[str, ...], names: tuple[str, ...], root: str) -> Manifest:
    records = [run.manifest.data for run in runs]
    digest = hashlib.sha256("\n".join(str(record.fingerprint) for record in records).encode())
    targets = {
        class_id: target
        for record in records
        for class_id, target in zip(record.class_ids, record.model_classes or (), strict=False)
    }
    kept = {run.manifest.keep_gates for run in runs}
    first = runs[0].manifest
    return dataclasses.replace(
        first,
        data=DataRecord(
            spec=" + ".join(record.spec for record in records),
            root=root,
            class_ids=ids,
            class_names=names,
            model_classes=tuple(targets[class_id] for class_id in ids) if len(targets) == len(ids) else None,
            labels=records[0].labels,
            images=sum(len(run.samples) for run in runs),
            fingerprint=digest.hexdigest(),
        ),
        keep_gates=first.keep_gates if len(kept) == 1 else " + ".join(run.manifest.keep_gates for run in runs),
        chunk_size=max(run.manifest.chunk_size for run in runs),
        chunks=sum(len(run.chunk_paths()) for run in runs),
    )


def _moved(chunk: Chunk, index: int, prefix: str, labels: NDArray[np.int64], classes: int) -> Chunk:
    """A chunk of a run as that of the joined one: another number, other paths, other labels."""
    samples = chunk.samples
    if samples.labels.ndim == 2:
        moved = np.zeros((len(samples.paths), classes), dtype=bool)
        moved[:, labels] = samples.labels
    else:
        moved = labels[samples.labels]
    return dataclasses.replace(
        chunk,
        index=index,
        classes=labels[chunk.classes],
        samples=Samples(
            paths=tuple(os.path.normpath(os.path.join(prefix, path)) for path in samples.paths),
            labels=moved,
            statuses=samples.statuses,
            reasons=samples.reasons,
            predictions=samples.predictions,
            kept=samples.kept,
            contents=samples.contents,
        ),
    )
