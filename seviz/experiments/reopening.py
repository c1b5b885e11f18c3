"""The network and the images of a run, opened again by what its manifest says, and checked to be the same.

A manifest is text that anyone may have written: what it names is executed or fetched only where the person says so
(`seviz.network.trust`), and where it names a file or folder, that is said before it is opened.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from seviz.capture.datasets import BUNDLED, Dataset, dataset_of_files, fetched, open_dataset, packed
from seviz.errors import DataNotFoundError, OptionError, SevizWarning, UnknownModelError, WeightsError
from seviz.network.checkpoints import weights_file_sha256
from seviz.network.models import load_with
from seviz.network.networks import Network
from seviz.network.saved import WEIGHTS
from seviz.network.settings import Settings
from seviz.network.specs import MEMORY
from seviz.network.trust import factory_remark, is_saved_network, making, named, require_trust, shown, told
from seviz.run.inside import inside
from seviz.run.manifest import ChangeRecord, DataRecord
from seviz.run.store import Run
from seviz.texts import path_text


def reopen_network(
    run: Run,
    *,
    weights: str | Path | None = None,
    trust_code: bool = False,
    model: str | None = None,
    tell: Callable[[str], None] = told,
) -> Network:
    """Load the network of a run.

    Parameters
    ----------
    run
        Finished or not.
    weights
        Where its weights are now; None for where they were.
    trust_code
        Whether the manifest may name a Python file to execute, a network of the hub to fetch, or an ONNX file other
        than the one that the run was made with. By default only a network of timm, torchvision or seviz or that ONNX
        file is loaded, or a saved one that is made from such.
    model
        The spec of the network, given by you; it is trusted. Another than that in the manifest takes its place, and
        must give a network with the same weights.
    tell
        Told which file or folder the manifest leads to, before it is opened.

    Raises
    ------
    TrustError
        If the manifest, or a saved network that it names, names what executes code or fetches from strangers, and
        that was not allowed.
    WeightsError
        If the weights are others than those of the run (a file is compared before anything is built), or the network
        was changed in Python before the run was made, so that its spec gives another.
    UnknownModelError
        If there is no such network any more.

    Warns
    -----
    SevizWarning
        If the Python file that makes the network was changed since the run was made.
    """
    record, changed = run.manifest.model, run.manifest.model.changed
    manifest = run.path / "manifest.json"
    if changed is not None and (weights is None or not _weights_alone(changed)):
        raise WeightsError(
            f"the network of the run {str(run.path)!r} cannot be loaded again: {record.spec} was changed in Python"
            f" before its gates were captured ({changed.what}). Write the changed network down with seviz.save, and"
            " capture a run of the directory; or hand the network over in Python."
        )
    if record.spec.startswith(MEMORY):
        raise UnknownModelError(
            f"the network of the run {str(run.path)!r} was a module in memory, which no spec makes again; hand it over"
            " in Python: seviz.wrap(module, example)"
        )
    spec, made = record.spec, making(record.spec)
    if model is not None and model != made.spec:
        spec, made, model = model, making(model), None  # in the place of what the file names
    else:
        require_trust(
            spec,
            file=manifest,
            field="model.spec",
            trust_code=trust_code,
            model=model,
            recorded=record.factory_sha256,
        )
        if made.directories or made.foreign or made.onnx:
            tell(named("model", spec, manifest) + (f"; it {made.does}" if made.foreign else ""))
    if weights is None and record.weights not in ("pretrained", "none"):
        tell(named("weights", record.weights, manifest))
    _compare_weights(run, spec, weights)
    remark = factory_remark(made, record.factory_sha256, file=manifest)
    if remark:
        warnings.warn(remark, SevizWarning, stacklevel=2)
    if weights is None:
        weights = "pretrained" if is_saved_network(spec) and record.weights == "none" else record.weights
    network = load_with(
        spec,
        weights,
        Settings.from_given(record.settings),
        trust_code=trust_code,
        model=model if is_saved_network(spec) else None,
    )
    if network.weights_sha256 != record.weights_sha256:
        raise WeightsError(
            f"{spec} with weights {network.weights!r} is not the network of the run {str(run.path)!r}: its"
            f" weights have SHA-256 {network.weights_sha256[:12]}, there {record.weights_sha256[:12]}. Give the weights"
            " that the run was made with."
        )
    return replace(network, remarks=(*network.remarks, *([remark] if remark else [])))


def _compare_weights(run: Run, spec: str, weights: str | Path | None) -> None:
    """Raise WeightsError if the file that the manifest leads to has other weights: before anything is built."""
    record = run.manifest.model
    if weights is not None:  # they may be written anew, in another format: the network's checksum decides
        return
    if record.weights not in ("pretrained", "none"):
        file = Path(record.weights)
    elif record.weights == "pretrained" and is_saved_network(spec):
        file = Path(spec) / WEIGHTS
    else:
        return
    where = f"the weights of the run {str(run.path)!r} are to be in {shown(str(file))}"
    if not file.is_file():
        raise WeightsError(f"{where}, which is no regular file. Give the file where they are as weights.")
    if record.weights_file_sha256 is None:
        return
    digest = weights_file_sha256(file)
    if digest != record.weights_file_sha256:
        raise WeightsError(
            f"{where}, which is another file now: it has SHA-256 {digest[:12]}, there"
            f" {record.weights_file_sha256[:12]}. Nothing was built. Give the weights that the run was made with."
        )


def _weights_alone(changed: ChangeRecord) -> bool:
    return changed.changes is not None and not any(changed.changes.values()) and not changed.settings


def reopen_data(run: Run, *, root: str | Path | None = None, tell: Callable[[str], None] = told) -> Dataset:
    """Open the images of a run, in its order.

    Parameters
    ----------
    run
        Complete.
    root
        Where the images are, if they were moved.
    tell
        Told which folder the manifest leads to, before it is opened.

    Raises
    ------
    OptionError
        If they were handed over in memory, or lie in no folder that could be another.
    DataNotFoundError
        If they are not there, a file has another size, or a path leads out of the folder.
    """
    record = run.manifest.data
    if record.fingerprint is None:
        raise OptionError(
            f"the images of the run {str(run.path)!r} were handed over in memory, and cannot be opened again. Capture a"
            " run of image files; or call the function in Python, with the images."
        )
    paths = tuple(run.samples["path"])
    if record.root is None or record.spec == BUNDLED:
        if root is not None:
            raise OptionError(f"root is {str(root)!r}, but the images of {record.spec} cannot lie elsewhere")
        data = _of_spec(run, paths, tell)
    else:
        if root is None:
            tell(named("images", record.root, run.path / "manifest.json"))
        folder = Path(record.root if root is None else root)
        if not folder.is_dir():
            raise DataNotFoundError(
                f"the images of the run {str(run.path)!r} are to be in {shown(str(folder))}, which is no directory"
            )
        for path in paths:
            inside(folder, path)
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


def _of_spec(run: Run, paths: tuple[str, ...], tell: Callable[[str], None]) -> Dataset:
    """The images of a data set that have these paths."""
    record = run.manifest.data
    manifest = run.path / "manifest.json"
    if fetched(record.spec):
        raise DataNotFoundError(
            f"the images of the run {str(run.path)!r} are of {shown(record.spec)}, which is no directory here; what a"
            " run names is not fetched from the hub. Give them as other images, with data."
        )
    if record.spec != BUNDLED:
        if not packed(record.spec):
            raise DataNotFoundError(
                f"{str(manifest)!r} has no data.root, and data.spec {shown(record.spec)} is no data set whose images"
                " are no files: where the images lie is not known"
            )
        tell(named("images", record.spec, manifest))
    data = open_dataset(record.spec, split=record.split_of(paths[0] if paths else ""))
    wanted = set(paths)
    chosen = data.take(np.array([k for k, path in enumerate(data.paths) if path_text(path) in wanted], np.int64))
    return replace(chosen, classes=run.classes) if len(run.classes) == len(chosen.classes) else chosen
