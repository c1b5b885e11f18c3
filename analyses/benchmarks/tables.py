"""How long each table of a run of the size of ImageNet takes, and how much memory.

    python analyses/benchmarks/tables.py
    python analyses/benchmarks/tables.py --run runs/imagenet-size --only specificity,decoding

Without a run one is captured first, of a made-up network with the 15,104 gates of SE-ResNet-50 on 50,000 made-up images
of 1,000 classes (`size.py --keep` makes the same). Each table is made in a process of its own.
"""

import argparse
import tempfile
from pathlib import Path

from size import CAPTURE, HERE, python, verdict

from seviz.analysis.tables import OF_BLOCK, OF_RUN

MINUTES, GIB, MOMENTS = 15, 8.0, 30.0
"""Targets: of all tables together, and seconds of specificity from moments alone."""

TABLE = """
import json, resource, sys, time
import seviz
from seviz.analysis.tables import OF_BLOCK, OF_RUN
run, name, options = seviz.open_run(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
start = time.perf_counter()
if name in OF_BLOCK:
    for block in run.blocks:
        OF_BLOCK[name](run, block=block, **options)
else:
    OF_RUN[name](run, **options)
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run that is there")
    parser.add_argument("--only", help="tables, with commas")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [*OF_RUN, *OF_BLOCK]
    with tempfile.TemporaryDirectory() as folder:
        run = (options.run or Path(folder) / "run").absolute()
        if not (run / "samples.parquet").exists():
            python(CAPTURE, f"{HERE}/made_network.py:wide", 50_000, run)
        print("| table | seconds | GiB |\n|---|---|---|")
        total, most = 0.0, 0.0
        for name in names:
            seconds, memory = python(TABLE, run, name, "{}")
            total, most = total + seconds, max(most, memory)
            print(
                f"| {name}{' of each block' if name in OF_BLOCK else ''} | {seconds:.0f} | {memory:.1f} |", flush=True
            )
        moments, _ = python(TABLE, run, "specificity", '{"over_images": false}')
    print(f"\nall: {total / 60:.1f} minutes; target {MINUTES}, {verdict(total <= 60 * MINUTES)}")
    print(f"memory at most {most:.1f} GiB; target {GIB:g}, {verdict(most <= GIB)}")
    print(f"specificity from moments alone: {moments:.1f} s; target {MOMENTS:g}, {verdict(moments <= MOMENTS)}")


if __name__ == "__main__":
    main()
