"""`seviz.collect` of a module and a DataLoader beside a loop written by hand around `seviz.capture_gates`.

    python analyses/benchmarks/memory.py
    python analyses/benchmarks/memory.py timm/regnety_008 --images 128

Both record the same: gates of each image, and by class count, mean, sum of squared deviations, least and greatest gate,
and how many are near and at 0 and 1; the loop keeps them in memory, `collect` on the disk. They take turns in one
process; told is the median of the ratios of their CPU seconds, which other work on the machine does not lengthen, round
by round, with the quartiles. collect runs the folded engine, as by
default, and, for what that is worth, the eager one, which runs the network as the loop does.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import seviz
from seviz.capture import collect as collecting
from seviz.moments import Moments
from seviz.network.networks import Network

MODELS = ("timm/mobilenetv3_large_100", "timm/efficientnet_b0", "seviz/seresnet50-cifar10")
CLASSES = 10


def by_hand(module: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> dict[str, Moments]:
    """Gates and their moments, as one would write it."""
    blocks = seviz.find_se_blocks(module, next(iter(loader))[0][:2])
    gates: dict[str, list[np.ndarray]] = {name: [] for name in blocks}
    labels, hits = [], 0
    with torch.no_grad(), seviz.capture_gates(module, blocks, detach=True) as seen:
        for x, y in loader:
            hits += int((module(x).argmax(1) == y).sum())
            labels.append(y.numpy())
            for name, gate in seen.items():
                gates[name].append(gate.numpy())
    members = np.concatenate(labels)
    return {name: Moments.of(np.concatenate(parts), members, CLASSES) for name, parts in gates.items()}


def collected(module: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], engine: str) -> dict[str, Moments]:
    """The same by `collect`."""
    names = [str(k) for k in range(_classes(module, loader))]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it remarks on labels that mean nothing
        with patch.object(collecting, "choose_engine", lambda *_, **__: (engine, "")):
            run = seviz.collect(module, loader, Path(folder) / "run", class_names=names, device="cpu")
        return {block: run.moments(block) for block in run.blocks}


def _classes(module: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> int:
    with torch.no_grad():
        return int(module(next(iter(loader))[0][:1]).shape[1])


def seconds(function: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(network: Network, images: int, batch: int, rounds: int) -> dict[str, np.ndarray]:
    """How many times as long as the loop each engine of collect takes, (round) each."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, *network.input_size, generator=generator)
    y = torch.randint(CLASSES, (images,), generator=generator)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch)
    module = network.model.eval()
    expected = by_hand(module, loader)
    for engine in ("folded", "eager"):
        found = collected(module, loader, engine)
        for name, moments in expected.items():
            assert np.allclose(moments.mean, found[name].mean[:CLASSES], atol=1e-4), (engine, name)
    ratios: dict[str, list[float]] = {"folded": [], "eager": []}
    for _ in range(rounds):
        loop = seconds(lambda: by_hand(module, loader))
        for engine, told in ratios.items():
            told.append(seconds(lambda engine=engine: collected(module, loader, engine)) / loop)
    return {engine: np.array(told) for engine, told in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="specs")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.images} images by {options.batch}")
    print("| network | collect, folded engine, times the loop | collect, eager engine, times the loop |")
    print("|---|---|---|")
    for spec in options.models:
        ratios = compare(seviz.load(spec, weights="none"), options.images, options.batch, options.rounds)
        cells = [
            f"{middle:.2f} [{low:.2f}, {high:.2f}]"
            for low, middle, high in (np.quantile(told, (0.25, 0.5, 0.75)) for told in ratios.values())
        ]
        print(f"| `{spec}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
