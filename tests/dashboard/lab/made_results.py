"""Compressions of a run, as they lie in its directory, without a network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seviz.compression.directory import card
from seviz.compression.result import Compression, recorded


def results_table(accuracies: tuple[float, ...], blocks: tuple[int, ...]) -> pd.DataFrame:
    count = len(accuracies)
    names = ["original", "folded", "folded, recalibrated"][:count]
    return pd.DataFrame(
        {
            "network": names,
            "images": 100,
            "accuracy": accuracies,
            "low": np.array(accuracies) - 0.1,
            "high": np.array(accuracies) + 0.1,
            "drop": accuracies[0] - np.array(accuracies),
            "drop_low": 0.0,
            "drop_high": 0.1,
            "parameters": [1000, 600, 600][:count],
            "multiply_adds": [4000, 1000, 1000][:count],
            "bytes": [8000, 6000, 6000][:count],
            "blocks": blocks,
        }
    )


def classes_table(drops: dict[str, float]) -> pd.DataFrame:
    rows = []
    for name, drop in drops.items():
        for network, lost in (("original", 0.0), ("folded", drop)):
            rows.append(
                {
                    "class": name,
                    "class_name": name,
                    "network": network,
                    "images": 10,
                    "accuracy": 0.9 - lost,
                    "low": 0.1,
                    "high": 0.9,
                    "drop": lost,
                    "drop_low": lost - 0.1,
                    "drop_high": lost + 0.1,
                }
            )
    return pd.DataFrame(rows)


def masked_table(criteria: dict[str, tuple[float, ...]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "criterion": name,
            "scope": "global",
            "fraction": 0.2 * k,
            "channels": 10.0 * k,
            "images": 100,
            "seeds": 1,
            "accuracy": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "drop": values[0] - value,
        }
        for name, values in criteria.items()
        for k, value in enumerate(values)
    )


def written(place: Path, tables: dict[str, pd.DataFrame], **settings: Any) -> Path:
    """Write a compression without a network: what stands in for its files is a few bytes."""
    place.mkdir(parents=True)
    compression = Compression(
        kind="curve" if "mean" in tables else "prune" if "removed" in tables else "fold",
        title="tests/made with | something",
        made=("It was made.",),
        settings={"run": "runs/made", "classes": "all", **settings},
        split={"seed": 0},
        tables={name: (name, table) for name, table in tables.items()},
    )
    (place / "README.md").write_text(card(compression, [], place))
    (place / "result.json").write_text(recorded(compression))
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv", index=False)
    if "mean" not in tables:
        (place / "network.json").write_text(json.dumps({"format": 1}))
        (place / "weights.safetensors").write_bytes(b"weights")
    return place
