"""The network and the images of a run, opened again by what its manifest says, and checked to be the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from seviz.capture.datasets import BUNDLED, Dataset, dataset_of_files, fetched, open_dataset, printable
from seviz.errors import DataNotFoundError, OptionError, WeightsError
from seviz.network.models import Network, load
from seviz.run.manifest import ChangeRecord, DataRecord
from seviz.run.store import Run


def reopen_network(run: Run, *, weights: str | Path | None = None) -> Network:
    """Load the network of a run.

    Parameters
    ----------
    run
        Finished or not.
    weights
        Where its weights are now; None for where they were.

    Raises
    ------
    WeightsError
        If the weights are others than those of the run, or the network was changed in Python before the run was made,
        so that its spec gives another.
    UnknownModelError
        If there is no such network any more.
    """
    model, changed = run.manifest.model, run.manifest.model.changed
    if changed is not None and (weights is None or not _weights_alone(changed)):
        raise WeightsError(
            f"the network of the run {str(run.path)!r} cannot be loaded again: {model.spec} was changed in Python"
            f" before its gates were captured ({changed.what}). Write the changed network down with seviz.save, and"
            " capture a run of the directory; or hand the network over in Python."
        )
    network = load(model.spec, weights=model.weights if weights is None else weights)
    if network.weights_sha256 != model.weights_sha256:
        raise WeightsError(
            f"{model.spec} with weights {network.weights!r} is not the network of the run {str(run.path)!r}: its"
            f" weights have SHA-256 {network.weights_sha256[:12]}, there {model.weights_sha256[:12]}. Give the weights"
            " that the run was made with."
        )
    return network


def _weights_alone(changed: ChangeRecord) -> bool:
    return changed.changes is not None and not any(changed.changes.values()) and not changed.settings


def reopen_data(run: Run, *, root: str | Path | None = None) -> Dataset:
    """Open the images of a run, in its order.

    Parameters
    ----------
    run
        Complete.
    root
        Where the images are, if they were moved.

    Raises
    ------
    OptionError
        If they were handed over in memory, or lie in no folder that could be another.
    DataNotFoundError
        If they are not there, or a file has another size.
    """
    record = run.manifest.data
    if record.fingerprint is None:
        raise OptionError(
            f"the images of the run {str(run.path)!r} were handed over in memory, and cannot be opened again; hand them"
            " over once more"
        )
    paths = tuple(run.samples["path"])
    if record.root is None or record.spec == BUNDLED:
        if root is not None:
            raise OptionError(f"root is {str(root)!r}, but the images of {record.spec} cannot lie elsewhere")
        data = _of_spec(run, paths)
    else:
        folder = Path(record.root if root is None else root)
        if not folder.is_dir():
            raise DataNotFoundError(
                f"the images of the run {str(run.path)!r} are to be in {str(folder)!r}, which is no directory"
            )
        preprocess = record.selection.get("preprocess")
        data = dataset_of_files(record.spec, folder, run.classes, paths, run.labels, preprocess)
    if not _same(data, record):
        raise DataNotFoundError(
            f"the images of the run {str(run.path)!r} are not those in {str(data.root or record.spec)!r}: some are"
            " missing, or have another size or class. Give the folder where they are."
        )
    return data


def _same(data: Dataset, record: DataRecord) -> bool:
    """Whether these are the images of a run; of runs that were joined, only whether there is a file for each."""
    if " + " in record.spec and data.root is not None:
        return all((data.root / path).is_file() for path in data.paths)
    return data.fingerprint() == record.fingerprint


def _of_spec(run: Run, paths: tuple[str, ...]) -> Dataset:
    """The images of a data set that have these paths."""
    record = run.manifest.data
    if fetched(record.spec):
        raise DataNotFoundError(
            f"the images of the run {str(run.path)!r} are of {record.spec!r}, which is no directory here; what a run"
            " names is not fetched from the hub. Give them as other images, with data."
        )
    data = open_dataset(record.spec, split=split_of(record, paths[0] if paths else ""))
    wanted = set(paths)
    chosen = data.take(np.array([k for k, path in enumerate(data.paths) if printable(path) in wanted], np.int64))
    return replace(chosen, classes=run.classes) if len(run.classes) == len(chosen.classes) else chosen


def split_of(record: DataRecord, path: str) -> str | None:
    """The split of the data set of a run whose images are no files; older runs tell it by the path of an image."""
    if "split" in record.selection or not record.spec.startswith("cifar10:"):
        return record.selection.get("split")
    return path.partition("/")[0] or None
