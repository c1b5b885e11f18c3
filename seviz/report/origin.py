"""Where a run comes from: what was run, the command that makes it again, and what to cite."""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from seviz.lists import joined_list
from seviz.network.specs import MEMORY
from seviz.run.manifest import Manifest
from seviz.run.store import Run
from seviz.texts import command_line

_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_DEFAULT_BATCH = 64

SOFTWARE = "The seviz developers. seviz: see what the Squeeze-and-Excitation blocks of a network do."
PAPER = (
    "Jie Hu, Li Shen, Samuel Albanie, Gang Sun, Enhua Wu. Squeeze-and-Excitation Networks. IEEE Transactions on Pattern"
    " Analysis and Machine Intelligence 42(8), 2011-2023, 2020."
)
PAPER_DOI = "10.1109/TPAMI.2019.2913372"
"""Of the paper; these say what CITATION.cff does, which is not installed with the package."""


def described(run: Run) -> list[tuple[str, object]]:
    """What was run on what, and how: pairs of a name and what it stands for."""
    manifest = run.manifest
    model, data, engine = manifest.model, manifest.data, manifest.engine
    squeezed = sorted({round(block.channels / block.squeezed_channels) for block in manifest.blocks})
    gates = ", ".join(dict.fromkeys(block.gate for block in manifest.blocks))
    return [
        ("Network", model.spec),
        ("Weights", model.weights if model.trained else f"{model.weights}: the SE blocks are untrained"),
        ("Changed in Python", "" if model.changed is None else f"{model.changed.what}; made from {model.changed.base}"),
        ("Fingerprint of the weights", f"sha256 {model.weights_sha256}"),
        ("SE blocks", f"{len(run.blocks)}, {run.blocks[0]} to {run.blocks[-1]}; {gates}; reduction {_few(squeezed)}"),
        ("Channels gated", f"{sum(block.channels for block in manifest.blocks):,}"),
        ("Data", data.spec if data.root in (None, data.spec) else f"{data.spec}, in {data.root}"),
        ("Fingerprint of the data", f"sha256 {data.fingerprint}" if data.fingerprint else ""),
        ("Images", f"{len(run.samples):,} of {_classes_seen(run):,} classes, {counted(run)}"),
        ("Accuracy", accuracy(run)),
        ("Input", " × ".join(map(str, model.input_size))),
        ("Preprocessing", "; ".join(f"{key}: {value}" for key, value in model.preprocessing.items())),
        ("Engine", f"{engine.name} ({engine.reason})"),
        ("Device", f"{engine.device}, {engine.precision}, batches of {engine.batch_size}, {engine.threads} threads"),
        ("EXIF orientation", "images were rotated" if engine.rotate else "not looked at"),
        ("Signals", ", ".join(manifest.signals)),
        ("Gates kept image by image", f"{manifest.keep_gates} ({int(run.samples['kept'].sum()):,} images)"),
        ("Captured", manifest.created),
        ("Versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
        ("Run", str(run.path)),
        ("This page", f"seviz {metadata.version('seviz')}"),
    ]


def counted(run: Run) -> str:
    """How many images are ok, coerced and failed."""
    count = run.samples["status"].value_counts()
    return ", ".join(f"{int(count.get(status, 0)):,} {status}" for status in ("ok", "coerced", "failed"))


def accuracy(run: Run) -> str:
    """Of the network during the capture, in words."""
    return "not known" if run.accuracy is None else str(run.accuracy)


def capture_command(run: Run) -> str:
    """The command that captures the same again; empty where none does, see `no_command`.

    --classes is also given where some have no image and the run does not say which were chosen.
    """
    manifest = run.manifest
    if no_command(run):
        return ""
    model, engine = manifest.model, manifest.engine
    options: list[str] = []
    if model.weights != "pretrained":
        options += ["--weights", model.weights]
    if manifest.signals != ("excitation",):
        options += ["--signals", joined_list(manifest.signals)]
    options += ["--keep-gates", manifest.keep_gates]
    selection = manifest.data.selection
    options += ["--classes", joined_list(selection["classes"])] if "classes" in selection else _classes(run)
    for name in ("per_class", "seed", "split", "root", "preprocess", "label_separator", "class_names"):
        if name in selection:
            options += [f"--{name.replace('_', '-')}", str(selection[name])]
    options += ["--rotate"] if engine.rotate else []
    options += ["--batch-size", str(engine.batch_size)] if engine.batch_size != _DEFAULT_BATCH else []
    options += ["--device", engine.device]
    if engine.precision != "float32":
        options += ["--precision", _PRECISIONS.get(engine.precision, engine.precision)]
    options += ["--compile", "on" if engine.name == "compiled" else "off"]
    return command_line(["seviz", "capture", model.spec, manifest.data.spec, "-o", str(run.path), *options])


def no_command(run: Run) -> str:
    """Why no single command captures this run again, sentences; empty where one does."""
    manifest, changed = run.manifest, run.manifest.model.changed
    if changed is not None:
        return (
            f"No command captures this run again: its network was changed in Python after {manifest.model.spec} was"
            f" loaded ({changed.what}). Write the changed network down with seviz.save(network, DIRECTORY); `seviz"
            " capture DIRECTORY DATA` then captures its gates."
        )
    if manifest.model.spec.startswith(MEMORY):
        return (
            "No command captures this run again: its network was a module in memory. In Python:"
            " seviz.collect(seviz.wrap(module, example), data, out)."
        )
    if manifest.data.fingerprint is None:
        return "No command captures this run again: its images were handed over in memory."
    if _joined(manifest):
        return "No single command captures this run again: it was joined from several runs."
    return ""


def report_command(run: Run) -> str:
    """The command that makes this page again."""
    return command_line(["seviz", "report", str(run.path), "-o", "report.html"])


def _classes(run: Run) -> list[str]:
    """The option that chooses the classes that have images, where others have none."""
    if run.manifest.data.labels != "single":
        return []
    seen = [run.classes.ids[label] for label in np.unique(run.labels)]
    if len(seen) == len(run.classes):
        return []
    return ["--classes", joined_list(seen)]


def _classes_seen(run: Run) -> int:
    labels = run.labels
    return int(labels.any(0).sum()) if labels.ndim == 2 else len(np.unique(labels))


def _joined(manifest: Manifest) -> bool:
    return " + " in manifest.data.spec and not Path(manifest.data.spec).exists()


def _few(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
