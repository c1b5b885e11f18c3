"""Pruning and folding by seviz beside Torch-Pruning alone: same network, scores, budget, images and repair.

    python analyses/compression_quality.py --data cifar10:ROOT --train train --steps 60
    python analyses/compression_quality.py inner-taylor tp-inner-taylor fold

Half of the multiply-adds remain; scores and repair take images that do not judge. Ways:

| way | what is done |
|---|---|
| original | nothing |
| inner-CRITERION | seviz prunes the inner channels of bottlenecks by taylor, l2, ... |
| tp-CRITERION | Torch-Pruning prunes all layers by taylor or norm |
| tp-inner-CRITERION | the same, only the layers whose inputs are inner channels |
| fold | seviz folds all SE blocks at their mean gates |
| fold, WAY | the same, then another way down to the same budget |

Each is judged before repair, with BatchNorm statistics estimated anew, and after so many steps of fine-tuning.
"""

import argparse
import copy
import time

import numpy as np
import torch
import torch_pruning as tp
from torch.nn import functional as F

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression.folding import fold_to
from seviz.compression.inner import inner_scores
from seviz.compression.recalibration import recalibrate
from seviz.compression.sites import blank_image, producers_of
from seviz.compression.tuning import fine_tune
from seviz.errors import SevizError
from seviz.experiments.evaluation import evaluate, labelled_batches
from seviz.network.complexity import complexity_of
from seviz.network.gates import capture_gates
from seviz.network.networks import Network
from seviz.options import Reading

WAYS = (
    *("original", "inner-taylor", "inner-l2", "tp-inner-taylor", "tp-taylor", "tp-norm"),
    *("fold", "fold, inner-taylor", "fold, tp-inner-taylor", "fold, tp-taylor"),
)
CRITERIA = {
    "taylor": lambda: tp.importance.GroupTaylorImportance(),
    "norm": lambda: tp.importance.GroupMagnitudeImportance(p=2),
}
STEPS = 25  # of Torch-Pruning, down to a fifth of the channels


class Study:
    """A network, images for scores and repair, and images that judge."""

    def __init__(self, network: Network, train: Dataset, test: Dataset, *, share: float, steps: int) -> None:
        self.network, self.train, self.test = network, train, test
        self.share, self.steps = share, steps
        self.batches = [
            (b.images, torch.as_tensor(b.labels)) for b in labelled_batches(network, train, Reading(workers=0))
        ]
        self.whole = cost(network)[0]

    def made(self, way: str) -> Network:
        """The network of a way, before repair."""
        first, _, then = way.partition(", ")
        network = self._folded() if first == "fold" else self.network
        way = then if first == "fold" else first
        if way in ("", "original"):
            return network
        tool, _, rest = way.partition("-")
        if tool == "inner":
            scores = inner_scores(network, None, rest, data=self.batches)
            return seviz.prune(network, scores, kind="inner", flops=self.share * self.whole / cost(network)[0])
        if tool == "tp" and rest.removeprefix("inner-") in CRITERIA:
            return self._by_torch_pruning(network, rest.removeprefix("inner-"), inner=rest.startswith("inner-"))
        raise SystemExit(f"no way {way!r}; expected some of {'; '.join(WAYS)}")

    def _folded(self) -> Network:
        total: dict[str, np.ndarray] = {}
        with torch.no_grad(), capture_gates(self.network.model, self.network.blocks) as gates:
            for images, _ in self.batches:
                self.network.model(images)
                for block, gate in gates.items():
                    total[block] = total.get(block, 0) + gate.double().sum(0).numpy()
        images = sum(len(images) for images, _ in self.batches)
        return fold_to(self.network, {block: value / images for block, value in total.items()})

    def _by_torch_pruning(self, network: Network, criterion: str, *, inner: bool) -> Network:
        model = copy.deepcopy(network.model).eval()
        if criterion == "taylor":
            for images, labels in self.batches:
                F.cross_entropy(model(images), labels).backward()
        example = blank_image(network)
        layers = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        kept = [layers[-1]]
        if inner:  # only what the convolutions before the blocks of the network as it was take in
            before = {piece.convolution for pieces in producers_of(self.network).values() for piece in pieces}
            graph = tp.DependencyGraph().build_dependency(model, example)
            free = {
                dependency.target.module
                for path in before
                for dependency, _ in graph.get_pruning_group(
                    model.get_submodule(path), tp.prune_conv_in_channels, idxs=[0]
                )
                if dependency.handler == tp.prune_conv_out_channels
            }
            kept = [layer for layer in layers if layer not in free]
        pruner = tp.pruner.BasePruner(
            model,
            example,
            importance=CRITERIA[criterion](),
            global_pruning=True,
            pruning_ratio=0.8,
            max_pruning_ratio=0.9,
            iterative_steps=STEPS,
            ignored_layers=kept,
        )
        for _ in range(STEPS):
            if tp.utils.count_ops_and_params(model, example)[0] <= self.share * self.whole:
                break
            pruner.step()
        return network.changed(model.eval())

    def line(self, way: str) -> str:
        """A row of the table."""
        begun = time.perf_counter()
        try:
            network = self.made(way)
        except SevizError as error:
            return f"| {way} | {type(error).__name__}: {error} |"
        operations, parameters = cost(network)
        again = recalibrate(network, self.train, workers=0)
        found = [self.accuracy(network), self.accuracy(again)]
        if self.steps:
            epochs = -(-self.steps // len(self.batches))
            found.append(self.accuracy(fine_tune(again, self.train, epochs=epochs, batch_size=64, workers=0)))
        judged = " | ".join(f"{each:.1%}" for each in found)
        seconds = time.perf_counter() - begun
        return f"| {way} | {operations / self.whole:.3f} | {parameters:,} | {judged} | {seconds:.0f} |"

    def accuracy(self, network: Network) -> float:
        return evaluate(network, data=self.test, workers=0).accuracy


def cost(network: Network) -> tuple[int, int]:
    """Multiply-adds and parameters."""
    whole = complexity_of(network.model, network.input_size, blocks={}).with_se
    return whole.multiply_adds, whole.parameters


def halves(data: Dataset) -> tuple[Dataset, Dataset]:
    """Two halves of each class."""
    first = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        first[np.flatnonzero(data.labels == label)[::2]] = True
    return data.take(np.flatnonzero(first)), data.take(np.flatnonzero(~first))


def main() -> None:
    parser = argparse.ArgumentParser(description="Pruning and folding beside Torch-Pruning.")
    parser.add_argument("ways", nargs="*", default=WAYS, help="; ".join(WAYS))
    parser.add_argument("--network", default="seviz/seresnet50-cifar10")
    parser.add_argument("--data", default="bundled", help="images; without --train halved into those and others")
    parser.add_argument("--train", metavar="SPLIT", help="the split of the data for scores and repair")
    parser.add_argument("--per-class", type=int, help="only so many images of each class, of either")
    parser.add_argument("--share", type=float, default=0.5, help="of the multiply-adds that remains")
    parser.add_argument("--steps", type=int, default=0, help="of fine-tuning, rounded up to whole epochs")
    options = parser.parse_args()
    test = open_dataset(options.data, per_class=options.per_class)
    train, test = (
        (open_dataset(options.data, split=options.train, per_class=options.per_class), test)
        if options.train
        else halves(test)
    )
    network = seviz.load(options.network)
    study = Study(network, train, test, share=options.share, steps=options.steps)
    tuned = ["fine-tuned"] * (options.steps > 0)
    columns = ["way", "multiply-adds left", "parameters", "as cut", "BatchNorm anew", *tuned, "seconds"]
    print(f"{len(train)} images for scores and repair, {len(test)} to judge\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for way in options.ways:
        print(study.line(way), flush=True)


if __name__ == "__main__":
    main()
