"""What two runs are of: where network, images and settings differ."""

import dataclasses
from typing import Any

import pandas as pd

from seviz.registry import table
from seviz.run.manifest import Manifest
from seviz.run.store import Run
from seviz.tables.columns import KEY, TEXT, every

_LONGEST = 90  # characters of a cell of the table of differences


@table(
    title="Settings of two runs",
    caption="Where network, images and settings of two runs differ.",
    needs=("other",),
    columns={
        "what": KEY,
        **every(TEXT, "one", "other"),
    },
)
def differences(one: Run, other: Run) -> pd.DataFrame:
    """What the manifests of two runs say differently.

    Parameters
    ----------
    one
        A run.
    other
        Another run.

    Returns
    -------
    pandas.DataFrame
        A row for each thing that differs. Columns: what, one, other, as text of at most 90 characters.

    Examples
    --------
    >>> "choice of images: seed" in seviz.differences(run, other)["what"].tolist()
    True
    """
    sides = _facts(one.manifest), _facts(other.manifest)
    rows = [
        {"what": key, "one": _short(sides[0].get(key)), "other": _short(sides[1].get(key))}
        for key in dict.fromkeys([*sides[0], *sides[1]])
        if sides[0].get(key) != sides[1].get(key)
    ]
    table = pd.DataFrame(rows, columns=["what", "one", "other"])
    table.attrs["remarks"] = []
    return table


def _facts(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says, by what it is called."""
    model, data = manifest.model, manifest.data
    facts: dict[str, Any] = {
        "network": model.spec,
        "weights": model.weights,
        "SE weights": "trained" if model.trained else "untrained",
        "changed in Python": None if model.changed is None else model.changed.what,
        "SHA-256 of the weights": model.weights_sha256[:12],
        "input": " × ".join(map(str, model.input_size)),
        "classes of the network": None if model.class_ids is None else list(model.class_ids),
        "task": model.task,
        **{f"preprocessing: {key}": value for key, value in model.preprocessing.items()},
        "SE blocks": [f"{block.name} ({block.channels})" for block in manifest.blocks],
        "gate": sorted({block.gate for block in manifest.blocks}),
        "data": data.spec,
        "folder of the data": data.root,
        "classes of the data": list(data.class_ids),
        "labels of an image": {"single": "one", "multi": "any number"}.get(data.labels, data.labels),
        "images": data.images,
        "SHA-256 of the files": None if data.fingerprint is None else data.fingerprint[:12],
        **{f"choice of images: {key}": value for key, value in data.selection.items()},
        "signals": list(manifest.signals),
        "gates kept": manifest.keep_gates,
        **{f"engine: {key}": value for key, value in dataclasses.asdict(manifest.engine).items()},
        "made": manifest.created,
        **{f"version of {key}": value for key, value in manifest.versions.items()},
    }
    return facts


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = f"{len(value)}: {', '.join(map(str, value))}" if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
