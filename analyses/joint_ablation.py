"""What accuracy costs when the gates of all SE blocks are replaced at once, beside controls of the same size.

    python analyses/joint_ablation.py runs/demo

One block at a time understates what the gates carry: the other blocks still have it. Here all blocks at once, and
those of each stage, get

- mean: the mean gate over images; class mean: that over images of the image's own class; predicted: that over images of
  the class that the network takes it for;
- without class part: the image's own gate less how far its class's mean is from the mean of all;
- control: the same with the class part of other channels of the block (shuffled twice), which removes as much and no
  class information;
- within, across: the gate of another image of the same class, of another class;
- own: the gate that was recorded, which must change nothing.

Means are made from the other half of the images of each class than the one that gets them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from run_again import lost, open_again, pixels_of, predict

Gates = NDArray[np.float32]


class Replacements:
    """What the gates of images become, (image, channel)."""

    def __init__(self, labels: NDArray[np.int64], taken_for: NDArray[np.int64], seed: int) -> None:
        self.labels, self.taken_for = labels, taken_for
        self.random = np.random.default_rng(seed)
        self.half = np.zeros(len(labels), np.int64)
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            if len(own) < 2:
                raise SystemExit(f"class {label} has {len(own)} image, expected at least 2 of each: give another run")
            self.half[self.random.permutation(own)[::2]] = 1
        self._within, self._across = self._donors(same=True), self._donors(same=False)

    def of(self, name: str, gates: Gates) -> Gates:
        ways: dict[str, Callable[[], Gates]] = {
            "own": lambda: gates,
            "mean": lambda: self._means(gates, None),
            "class mean": lambda: self._means(gates, self.labels),
            "predicted": lambda: self._means(gates, self.taken_for),
            "without class part": lambda: self._without(gates, np.arange(gates.shape[1])),
            "control": lambda: self._without(gates, self.random.permutation(gates.shape[1])),
            "control again": lambda: self._without(gates, self.random.permutation(gates.shape[1])),
            "within": lambda: gates[self._within],
            "across": lambda: gates[self._across],
        }
        return ways[name]()

    def _means(self, gates: Gates, classes: NDArray[np.int64] | None) -> Gates:
        """The mean over the other half of the images, of all or of a class each."""
        means = np.empty_like(gates)
        for half in (0, 1):
            here, there = self.half == half, self.half != half
            if classes is None:
                means[here] = gates[there].mean(0)
                continue
            for label in np.unique(classes[here]):
                of_class = there & (self.labels == label)
                means[here & (classes == label)] = gates[of_class if of_class.any() else there].mean(0)
        return means

    def _without(self, gates: Gates, channels: NDArray[np.int64]) -> Gates:
        part = self._means(gates, self.labels) - self._means(gates, None)
        return np.clip(gates - part[:, channels], min(gates.min(), 0), max(gates.max(), 1))

    def _donors(self, *, same: bool) -> NDArray[np.int64]:
        alike = (self.labels[:, None] == self.labels) == same
        np.fill_diagonal(alike, val=False)
        if not alike.any(1).all():
            raise SystemExit("the run has images of one class only, expected at least two: give another run")
        return np.array([self.random.choice(np.flatnonzero(row)) for row in alike])


NAMES = ("own", "mean", "class mean", "predicted", "without class part", "control", "control again", "within", "across")


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy with the gates of all SE blocks replaced at once.")
    parser.add_argument("run", type=Path, help="with the gates of all images kept, such as that of `seviz demo`")
    parser.add_argument("--stages", action="store_true", help="also the blocks of each stage alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trust-code", action="store_true", help="as in seviz")
    options = parser.parse_args()
    run, network, data = open_again(options.run, trust_code=options.trust_code)
    pixels = pixels_of(run, network, data)
    if not run.samples["kept"].all():
        raise SystemExit("the run does not keep the gates of all images: capture with --keep-gates all")
    gates = {block: run.gates(block)[pixels.rows] for block in run.blocks}
    taken_for = predict(network, pixels, {})
    replacements = Replacements(pixels.labels, taken_for, options.seed)
    right = taken_for == pixels.labels
    print(f"{network.spec}: {right.mean():.1%} of {len(right)} images right\n")
    print("| blocks | gates become | accuracy | lost | from | to |\n|---|---|---:|---:|---:|---:|")
    sets = {"all": list(run.blocks)}
    if options.stages:
        for name in run.blocks:
            sets.setdefault(f"stage {run.block(name).stage}", []).append(name)
    for which, blocks in sets.items():
        for name in NAMES:
            now = predict(network, pixels, {b: replacements.of(name, gates[b]) for b in blocks}) == pixels.labels
            cost, low, high = lost(right, now)
            print(f"| {which} | {name} | {now.mean():.3f} | {cost:+.3f} | {low:+.3f} | {high:+.3f} |", flush=True)


if __name__ == "__main__":
    main()
