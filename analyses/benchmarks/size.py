"""What a run of the size of ImageNet takes: memory while it is captured, time to open it.

    python analyses/benchmarks/size.py
    python analyses/benchmarks/size.py --keep runs/imagenet-size

Captures made-up networks (`made_network.py`) on made-up images: a tiny one on more and more images, for the memory; one
with the 15,104 gates of SE-ResNet-50 on 50,000 images of 1,000 classes, whose run is then opened in new processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
TUNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Settings of single machines, which a process that is measured does without."""
COUNTS = (1_000, 5_000, 20_000, 50_000)
FLAT, OPENING, BLOCK = 0.05, 1.0, 0.2
"""Targets: growth of memory from the least to the most images, seconds to open a run, and to read a block of it."""

CAPTURE = """
import json, resource, sys, warnings
import seviz
from made_network import batches
warnings.simplefilter("ignore")
spec, images, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
network = seviz.load(spec, weights="none")
network.blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seviz.collect(network, batches(network.model, images), out, compile="off")
unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS
print(json.dumps([before / unit, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit]))
"""
OPEN = """
import json, sys, time
import seviz, xarray
seviz.open_run  # imports
start = time.perf_counter()
run = seviz.open_run(sys.argv[1])
run.samples
opened = time.perf_counter()
run[run.blocks[-1]]
print(json.dumps([opened - start, time.perf_counter() - opened]))
"""


def python(code: str, *arguments: object, of: Path | None = None) -> list[float]:
    """What a new process prints, with the seviz that is installed, or that of another checkout."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name not in TUNED}
    if of is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(of), *filter(None, [environment.get("PYTHONPATH")])])
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=HERE, env=environment)
    result: list[float] = json.loads(done.stdout)
    return result


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def memory(folder: Path, counts: tuple[int, ...]) -> None:
    """The greatest memory of a process that captures, by number of images."""
    print("| images | before, MiB | at most, MiB |\n|---|---|---|")
    peaks = []
    for count in counts:
        before, peak = python(CAPTURE, f"{HERE}/made_network.py:tiny", count, folder / str(count))
        peaks.append(peak)
        print(f"| {count:,} | {before:.0f} | {peak:.0f} |", flush=True)
    growth = peaks[-1] / peaks[0] - 1
    print(
        f"\nfrom {counts[0]:,} to {counts[-1]:,} images {growth:+.1%}; target {FLAT:.0%}, {verdict(growth <= FLAT)}\n"
    )


def opening(run: Path, images: int, rounds: int) -> None:
    """Seconds to open a run and to read a block."""
    if not (run / "samples.parquet").exists():
        _, peak = python(CAPTURE, f"{HERE}/made_network.py:wide", images, run)
        print(f"captured {images:,} images with 15,104 gates each, at most {peak:,.0f} MiB of memory")
    times = [python(OPEN, run) for _ in range(rounds)]
    opened, block = (median(column) for column in zip(*times, strict=True))
    print(f"opened in {opened:.2f} s; target {OPENING:g}, {verdict(opened <= OPENING)}")
    print(f"one block, 2,048 channels by 1,000 classes, in {block:.2f} s; target {BLOCK:g}, {verdict(block <= BLOCK)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="keep the large run (4 GB) here, and open it again the next time")
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS, help="images captured for the memory")
    parser.add_argument("--images", type=int, default=50_000, help="of the large run")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memory(Path(folder), tuple(options.counts))
        opening((options.keep or Path(folder) / "large").absolute(), options.images, options.rounds)


if __name__ == "__main__":
    main()
