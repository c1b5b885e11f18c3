"""The ways to capture gates that `capture.py` compares: each a function that goes on for ever, turn by turn.

    python analyses/benchmarks/ways.py WAY OPTIONS

is how `capture.py` starts one. Options are JSON: spec, batch (images a forward pass), images (a turn), jpegs (a folder
of image files, or null for random tensors).
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from turns import Gate

import seviz
from seviz.network.networks import Network

CLASSES = 4
"""Of the random images; they are sorted by class, as those of a data set are."""
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """What all ways do."""

    network: Network
    batch: int
    images: int
    jpegs: Path | None

    def batches(self) -> Iterator[Batch]:
        """Images and labels, for ever; of files, until they end."""
        if self.jpegs is not None:
            yield from DataLoader(Pictures(self.jpegs, self.network), self.batch, num_workers=1)
            return
        random = torch.Generator().manual_seed(0)
        x = torch.randn(self.images, *self.network.input_size, generator=random)
        y = torch.arange(self.images) * CLASSES // self.images
        while True:
            yield from zip(x.split(self.batch), y.split(self.batch), strict=True)

    def turns(self) -> Iterator[Iterator[Batch]]:
        """The batches of each turn."""
        batches = self.batches()
        while True:
            yield islice(batches, self.images // self.batch)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Image files in folders by class, prepared for a network."""

    def __init__(self, root: Path, network: Network) -> None:
        self.paths = sorted(root.glob("*/*.jpg"))
        self.preprocess = network.preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.preprocess(Image.open(self.paths[index]).convert("RGB")), int(self.paths[index].parent.name)


def bare(task: Task, gate: Gate) -> None:
    """The forward pass alone; nothing is kept."""
    with torch.inference_mode():
        for batches in task.turns():
            for images, _ in batches:
                task.network.model(images)
            gate()


def by_hand(task: Task, gate: Gate) -> None:
    """What one writes without a tool: hooks, append, concatenate, group by class."""
    model, gates = task.network.model, dict[str, list[Tensor]]()
    for name, block in task.network.blocks.items():
        model.get_submodule(block.gate_path).register_forward_hook(
            lambda _, args, output, name=name: gates.setdefault(name, []).append(output.flatten(1).cpu())
        )
    for batches in task.turns():
        labels = []
        with torch.inference_mode():
            for images, y in batches:
                model(images)
                labels.append(y)
        _by_class(gates, labels)
        gates.clear()
        gate()


def captum(task: Task, gate: Gate) -> None:
    """captum's LayerActivation over the modules of all gates."""
    from captum.attr import LayerActivation

    model, blocks = task.network.model, task.network.blocks
    activation = LayerActivation(model, [model.get_submodule(block.gate_path) for block in blocks.values()])
    for batches in task.turns():
        gates: dict[str, list[Tensor]] = {name: [] for name in blocks}
        labels = []
        with torch.no_grad():
            for images, y in batches:
                for name, output in zip(blocks, activation.attribute(images), strict=True):
                    gates[name].append(output.flatten(1).cpu())
                labels.append(y)
        _by_class(gates, labels)
        gate()


def _by_class(gates: dict[str, list[Tensor]], labels: list[Tensor]) -> dict[str, list[Any]]:
    classes = torch.cat(labels).numpy()
    joined = {name: torch.cat(values).numpy() for name, values in gates.items()}
    return {name: [values[classes == k].mean(0) for k in np.unique(classes)] for name, values in joined.items()}


def capture(task: Task, gate: Gate, compile: Literal["on", "off"]) -> None:
    """seviz: a whole run, with moments, checksums and the gates of each image, on the disk; a chunk each turn."""

    def step(done: int, _: int | None) -> None:
        if done % task.images == 0:
            gate()

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        seviz.collect(
            task.network,
            task.batches() if task.jpegs is None else task.jpegs,
            Path(folder) / "run",
            batch_size=task.batch,
            chunk_size=task.images,
            compile=compile,
            workers=1,
            progress=step,
        )


WAYS = {
    "bare forward pass": bare,
    "by hand": by_hand,
    "captum": captum,
    "seviz": lambda task, gate: capture(task, gate, "off"),
    "seviz, compiled": lambda task, gate: capture(task, gate, "on"),
}


def main() -> None:
    way, options = sys.argv[1], json.loads(sys.argv[2])
    gate = Gate()
    jpegs = options["jpegs"] and Path(options["jpegs"])
    task = Task(seviz.load(options["spec"], weights="none"), options["batch"], options["images"], jpegs)
    WAYS[way](task, gate)


if __name__ == "__main__":
    main()
