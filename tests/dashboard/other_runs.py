"""Runs that are set beside the planted one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seviz.run.store import Run
from tests.made_runs import make_run

CLASSES = ("cat", "dog", "ship", "truck")
"""Of the planted run."""
SAME = (("SE_2_1", 8), ("SE_3_1", 12), ("SE_4_1", 16))
"""Blocks of the planted run, and their channels."""


def other_run(
    path: Path, blocks: Sequence[tuple[str, int]], classes: Sequence[str] = CLASSES, *, images: int = 120, **more: Any
) -> Run:
    """A run whose gates are drawn about means that the classes of one name share, whatever the run."""
    labels = np.arange(images) % len(classes)
    random = np.random.default_rng(7)
    gates = {}
    for name, channels in blocks:
        means = np.random.default_rng(channels).uniform(0.2, 0.8, (len(classes), channels))
        gates[name] = np.clip(means[labels] + random.normal(0, 0.05, (images, channels)), 0, 1)
    return make_run(path, gates, labels, classes=classes, **more)
