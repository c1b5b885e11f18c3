"""A changed network on disk: spec, changes and weights, read back without pickle.

network.json         the spec that it is made from, what was changed, the names of its SE blocks, the fingerprint of
                     its weights
weights.safetensors  its parameters and buffers
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seviz.errors import SavedNetworkError
from seviz.network.changes import Changes
from seviz.network.naming import Place, numbers
from seviz.network.settings import Settings

RECORD = "network.json"
WEIGHTS = "weights.safetensors"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class SavedNetwork:
    """What is written down of a changed network beside its weights.

    Attributes
    ----------
    base
        The spec that it is made from.
    changes
        What was changed.
    trained
        As of the network.
    weights_sha256
        Of its parameters and buffers, as `Network.weights_sha256`.
    names
        Of its SE blocks, by place; None in files written before names were kept.
    settings
        What was said of it beside its spec.
    """

    base: str
    changes: Changes
    trained: bool
    weights_sha256: str
    names: Mapping[Place, str] | None = None
    settings: Settings = field(default_factory=Settings)

    def to_json(self) -> str:
        """The content of the file."""
        record = {
            "format": FORMAT,
            "base": self.base,
            "trained": self.trained,
            "weights_sha256": self.weights_sha256,
            "changes": self.changes.to_json(),
        }
        if given := self.settings.given():
            record["settings"] = given
        if self.names is not None:
            record["names"] = [
                {"name": name, "path": path, "product": product} for (path, product), name in self.names.items()
            ]
        return json.dumps(record, indent=1) + "\n"


def is_saved_network(spec: str) -> bool:
    """Whether a spec is the directory of a saved network."""
    return (Path(spec) / RECORD).is_file()


def structural_weights(spec: str) -> str:
    """The weights to load a network with where only its structure counts: none, but of a saved network its own."""
    return "pretrained" if is_saved_network(spec) else "none"


def read_record(directory: Path) -> SavedNetwork:
    """Read what is written down of a network.

    Raises
    ------
    SavedNetworkError
        If the file cannot be read, or its version is another; the message names the field.
    """
    path = directory / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if record["format"] != FORMAT:
            raise SavedNetworkError(
                f"{str(path)!r} has format {record['format']!r}, expected {FORMAT}: it was written by another version"
                " of seviz"
            )
        return SavedNetwork(
            base=str(record["base"]),
            changes=Changes.from_json(record["changes"]),
            trained=bool(record["trained"]),
            weights_sha256=str(record["weights_sha256"]),
            names=_names(record["names"], path) if "names" in record else None,
            settings=Settings.from_given(record.get("settings", {})),
        )
    except KeyError as error:
        raise SavedNetworkError(f"{str(path)!r} is damaged: it has no field {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, SavedNetworkError):
            raise
        raise SavedNetworkError(f"{str(path)!r} is damaged: {error}") from error


def _names(entries: Any, path: Path) -> dict[Place, str]:
    """The names of blocks by place; raises SavedNetworkError unless each name and place is there once."""
    names: dict[Place, str] = {}
    if not isinstance(entries, list):
        raise SavedNetworkError(f"{str(path)!r} is damaged: names is a {type(entries).__name__}, expected a list")
    for number, entry in enumerate(entries):
        name, module, product = (entry[key] for key in ("name", "path", "product"))
        where = f"{str(path)!r} is damaged: names[{number}]"
        if not isinstance(name, str) or numbers(name) is None:
            raise SavedNetworkError(f"{where} has the name {name!r}, expected SE_stage_block, such as SE_2_1")
        if not isinstance(module, str) or isinstance(product, bool) or not isinstance(product, int) or product < 0:
            raise SavedNetworkError(
                f"{where} has path {module!r} and product {product!r}, expected the path of a module and a whole number"
                " of 0 or more"
            )
        if name in names.values() or (module, product) in names:
            raise SavedNetworkError(f"{where} repeats the name {name!r}, or the place {module!r}, {product}")
        names[module, product] = name
    return names
