"""What looking at the gates adds to the engine that a network is captured with.

    python analyses/benchmarks/overhead.py
    python analyses/benchmarks/overhead.py timm/regnety_008 --engines folded

"Reading" is a batch with its gates read and handed over, beside the same batch through the same engine with nothing
read, in turn in one process: the median of the ratios, pair by pair. "Moments and writing" is the time from the gates
of a chunk of 1,024 images of 20 classes to its file on the disk, as a share of the engine's time for these images.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
import torch

import seviz
from seviz.capture.collect import CHUNK_SIZE
from seviz.capture.engines import running
from seviz.network.networks import Network
from seviz.run.chunks import Chunk, Samples
from seviz.run.manifest import EngineRecord

MODELS = ("timm/legacy_seresnet50", "timm/mobilenetv3_large_100", "timm/efficientnet_b0")
TARGET = 0.02
CLASSES = 20
"""In a chunk: ImageNet's validation images have 50 of each class."""


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def reading(network: Network, name: str, batch: int, rounds: int) -> tuple[float, float]:
    """What reading adds, as a share, and seconds an image of the engine alone."""
    images = list(torch.randn(batch, *network.input_size))
    engine = EngineRecord(
        name=name,
        reason="",
        device="cpu",
        precision="float32",
        batch_size=batch,
        threads=torch.get_num_threads(),
        rotate=False,
    )
    with ExitStack() as stack:
        with_gates, alone = (
            stack.enter_context(
                running(network.model, blocks, engine, signals=("excitation",), input_size=network.input_size)
            )
            for blocks in (network.blocks, {})
        )
        pairs = []
        for k in range(-2, rounds):  # the first two warm up
            if k % 2:
                a = seconds(lambda: with_gates(images).numpy())
                b = seconds(lambda: alone(images).numpy())
            else:
                b = seconds(lambda: alone(images).numpy())
                a = seconds(lambda: with_gates(images).numpy())
            if k >= 0:
                pairs.append((a, b))
    return median(a / b for a, b in pairs) - 1, median(b for _, b in pairs) / batch


def writing(network: Network, rounds: int) -> float:
    """Seconds an image of making and writing a chunk."""
    random = np.random.default_rng(0)
    labels = np.arange(CHUNK_SIZE) * CLASSES // CHUNK_SIZE
    blocks = network.blocks
    values = {
        ("excitation", name): (1 / (1 + np.exp(-random.normal(size=(CHUNK_SIZE, block.channels))))).astype(np.float32)
        for name, block in blocks.items()
    }
    bounds = {name: block.bounds for name, block in blocks.items()}
    samples = Samples(
        paths=tuple(f"class/{k:08d}.jpg" for k in range(CHUNK_SIZE)),
        labels=labels,
        statuses=("ok",) * CHUNK_SIZE,
        reasons=("",) * CHUNK_SIZE,
        predictions=np.zeros((CHUNK_SIZE, 5), np.int32),
        kept=np.ones(CHUNK_SIZE, bool),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chunk.safetensors"
        took = [seconds(lambda: Chunk.of(0, samples, values, bounds).write(path)) for _ in range(rounds + 1)]
    return median(took[1:]) / CHUNK_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="specs")
    parser.add_argument("--engines", nargs="*", default=("folded", "compiled"))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=30, help="pairs of batches")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {options.batch}")
    print("| network | engine | ms an image | reading | moments and writing | together | target |")
    print("|---|---|---|---|---|---|---|")
    for spec in options.models:
        network = seviz.load(spec, weights="none")
        chunk = writing(network, 7)
        for name in options.engines:
            read, image = reading(network, name, options.batch, options.rounds)
            cost = read + chunk / image
            told = f"{TARGET:.0%}, {'met' if cost <= TARGET else 'missed'}"
            cells = (f"{1000 * image:.1f}", f"{read:+.1%}", f"{chunk / image:.1%}", f"{cost:+.1%}", told)
            print(f"| `{spec}` | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
