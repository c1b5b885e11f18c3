"""The network of a run and its images, for scripts that run it again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import seviz
from seviz.capture.datasets import Dataset
from seviz.experiments.evaluation import labelled_batches, logits_of
from seviz.experiments.reopening import reopen_data, reopen_network
from seviz.experiments.shares import difference_interval
from seviz.network.gates import Forced, force_gates
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.run.store import Run

BATCH = 100


@dataclass(frozen=True)
class Pixels:
    """Images as the network takes them, and the row of the run's samples and the class of each, (image)."""

    images: Tensor
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


def open_again(path: Path, *, trust_code: bool = False) -> tuple[Run, Network, Dataset]:
    """A run, its network, and its images."""
    run = seviz.open_run(path)
    return run, reopen_network(run, trust_code=trust_code), reopen_data(run)


def pixels_of(run: Run, network: Network, data: Dataset) -> Pixels:
    """All images of a data set of the run that can be read."""
    place = {path: row for row, path in enumerate(run.samples["path"])}
    rotate = run.manifest.engine.rotate
    batches = list(labelled_batches(network, data, Reading(batch_size=BATCH, rotate=rotate, workers=0)))
    return Pixels(
        torch.cat([batch.images for batch in batches]),
        np.array([place[path] for batch in batches for path in batch.paths], np.int64),
        np.concatenate([batch.labels for batch in batches]),
    )


@torch.no_grad()
def predict(network: Network, pixels: Pixels, gates: Mapping[str, Forced]) -> NDArray[np.int64]:
    """What each image is taken for with gates forced: arrays (image, channel), (channels), or numbers."""
    taken = []
    for begin in range(0, len(pixels.images), BATCH):
        part = slice(begin, begin + BATCH)
        forced = {
            block: torch.as_tensor(gate[part], dtype=torch.float32) if np.ndim(gate) == 2 else gate
            for block, gate in gates.items()
        }
        with force_gates(network.model, network.blocks, forced):
            taken.append(logits_of(network, pixels.images[part]).argmax(1).numpy())
    return np.concatenate(taken)


def lost(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float, float]:
    """How many points of accuracy the same images lose, with the 95 % interval of paired shares, in [-1, 1]."""
    counts = [int(each.sum()) for each in (before & after, before & ~after, ~before & after, ~before & ~after)]
    low, high = difference_interval(*counts)
    return float(before.mean() - after.mean()), float(low), float(high)
