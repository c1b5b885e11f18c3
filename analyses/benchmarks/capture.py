"""What capturing costs: seviz beside a bare forward pass, captum, a hand-written loop, and thingsvision.

    python analyses/benchmarks/capture.py
    python analyses/benchmarks/capture.py timm/efficientnet_b0 --rounds 9 --source tensors
    python -m venv tv && tv/bin/pip install thingsvision timm
    python analyses/benchmarks/capture.py timm/legacy_seresnet50 --thingsvision tv/bin/python

Each way is a process of its own, and they take turns, on the same images; the tables give medians over the turns, and
medians of the ratios round by round. "Bare forward pass" is the eager pass of the plain network, with nothing kept. All
others keep the gates of every block and image and their mean by class; seviz writes a run to the disk besides. "Ready"
is how long the first turn took, with all that precedes it: loading, folding, compiling with nothing cached. What
reading gates adds to seviz's own engines is measured by `overhead.py`, more exactly.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from turns import in_turn, ratio
from ways import CLASSES, WAYS

import seviz
from seviz.capture.datasets import open_dataset
from seviz.network.networks import Network

BARE, CAPTUM, BY_HAND, SEVIZ, COMPILED = "bare forward pass", "captum", "by hand", "seviz", "seviz, compiled"
TARGETS = {
    "timm/legacy_seresnet50": {SEVIZ: 1.35, COMPILED: 1.75},
    "timm/mobilenetv3_large_100": {SEVIZ: 1.7, COMPILED: 2.8},
    "timm/efficientnet_b0": {SEVIZ: 1.45, COMPILED: 2.1},
}
"""Times as fast as the bare forward pass, with random tensors, on 2 cores."""
MODELS = (*TARGETS, "seviz/seresnet50-cifar10")
END_TO_END = 1.3
"""Times as fast as captum and the hand-written loop, from JPEG files."""
MOST = 1024
"""Images a turn; the size of a chunk."""


def make_jpegs(root: Path, images: int) -> None:
    """JPEG files of 500x375, as most of ImageNet's are: bundled images, enlarged, with grain."""
    bundled = open_dataset("bundled")
    grain = np.random.default_rng(0)
    for k in range(images):
        image = bundled.read(k % len(bundled)).image
        assert image is not None
        large = np.asarray(image.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(large + grain.normal(0, 8, large.shape), 0, 255).astype(np.uint8)
        path = root / str(k * CLASSES // images) / f"{k:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(path, quality=92)


def images_a_turn(network: Network, batch: int, seconds: float) -> int:
    """So many, in whole batches, that the bare forward pass takes about so long."""
    images = torch.randn(batch, *network.input_size)
    with torch.inference_mode():
        network.model(images)
        start = time.perf_counter()
        network.model(images)
        took = time.perf_counter() - start
    return batch * max(1, min(round(seconds / took), MOST // batch))


def compare(spec: str, options: argparse.Namespace, jpegs: Path | None) -> None:
    """Print the table of one network and one kind of images."""
    network = seviz.load(spec, weights="none")
    images = images_a_turn(network, options.batch, options.seconds)
    if jpegs is not None:
        make_jpegs(jpegs, images * (options.rounds + 3))
    here = Path(__file__).parent
    commands: dict[str, Sequence[str | Path]] = {
        way: (sys.executable, here / "ways.py", way) for way in WAYS if options.compile or way != COMPILED
    }
    if options.thingsvision and spec.startswith("timm/"):
        commands["thingsvision"] = (options.thingsvision, here / "way_thingsvision.py")
    times, ready = in_turn(
        commands,
        options.rounds,
        {
            "spec": spec,
            "batch": options.batch,
            "images": images,
            "jpegs": jpegs and str(jpegs),
            "gate_paths": [block.gate_path for block in network.blocks.values()],
        },
    )
    what = "random tensors" if jpegs is None else "JPEG files of 500x375"
    print(f"\n`{spec}`, {images} {what} a turn\n")
    print("| way | images/s | times the bare pass | target | ready, s |")
    print("|---|---|---|---|---|")
    for way, took in times.items():
        faster = ratio(times[BARE], took)
        target = TARGETS.get(spec, {}).get(way) if jpegs is None else None
        told = verdict(f"{target:g}", faster >= target) if target else ""
        print(f"| {way} | {images / median(took):.1f} | {faster:.2f} | {told} | {ready[way]:.0f} |", flush=True)
    if jpegs is not None:
        for way in [way for way in (SEVIZ, COMPILED) if way in times]:
            gains = {other: ratio(times[other], times[way]) for other in (CAPTUM, BY_HAND)}
            told = " and ".join(f"{gain:.2f} times as fast as {other}" for other, gain in gains.items())
            met = min(gains.values()) >= END_TO_END
            print(f"\n{way}: {told}; target {verdict(f'{END_TO_END:g}', met)}", flush=True)


def verdict(target: str, met: bool) -> str:
    return f"{target}, {'met' if met else 'missed'}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help="specs")
    parser.add_argument("--source", choices=("tensors", "jpegs", "both"), default="both")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a turn of the bare forward pass takes")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out the compiled engine")
    parser.add_argument("--thingsvision", type=Path, help="the Python of an environment that has thingsvision")
    options = parser.parse_args(arguments)
    threads, rounds = torch.get_num_threads(), options.rounds
    print(f"torch {torch.__version__}, {threads} threads, batch {options.batch}, {rounds} rounds")
    for spec in options.models:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/compiled"
            if options.source != "jpegs":
                compare(spec, options, None)
            if options.source != "tensors":
                compare(spec, options, Path(folder) / "jpegs")


if __name__ == "__main__":
    main()
