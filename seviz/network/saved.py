"""A changed network on disk: spec, changes and weights, read back without pickle.

network.json         the spec that it is made from, what was changed, the fingerprint of its weights
weights.safetensors  its parameters and buffers
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seviz.errors import SavedNetworkError
from seviz.network.changes import Changes

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
    """

    base: str
    changes: Changes
    trained: bool
    weights_sha256: str

    def to_json(self) -> str:
        """The content of the file."""
        record = {
            "format": FORMAT,
            "base": self.base,
            "trained": self.trained,
            "weights_sha256": self.weights_sha256,
            "changes": self.changes.to_json(),
        }
        return json.dumps(record, indent=1) + "\n"


def is_saved_network(spec: str) -> bool:
    """Whether a spec is the directory of a saved network."""
    return (Path(spec) / RECORD).is_file()


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
        )
    except KeyError as error:
        raise SavedNetworkError(f"{str(path)!r} is damaged: it has no field {error}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, SavedNetworkError):
            raise
        raise SavedNetworkError(f"{str(path)!r} is damaged: {error}") from error
