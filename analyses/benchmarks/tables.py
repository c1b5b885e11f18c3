"""How long each table of a run takes, and how much memory: of one the size of ImageNet, or of that of `seviz demo`.

    python analyses/benchmarks/tables.py
    python analyses/benchmarks/tables.py --run runs/imagenet-size --only specificity,decoding
    python analyses/benchmarks/tables.py --demo --against ../seviz-before

Without a run one is captured first, of a made-up network with the 15,104 gates of SE-ResNet-50 on 50,000 made-up
images of 1,000 classes (`size.py --keep` makes the same); or, with `--demo`, of the bundled network and images. Each
table is made in a process of its own, but for those that are two views of one computation: `seviz analyse` pays that
once, and so do they, in one process and one row. Another checkout of seviz takes turns with this one, row by row.
"""

import argparse
import tempfile
from pathlib import Path

from size import CAPTURE, HERE, python, verdict

from seviz.registry import TABLES
from seviz.tables.kept import tables_of_run

MINUTES, GIB, MOMENTS = 3.0, 4.0, 30.0
"""Targets: of all tables together, and seconds of specificity from moments alone."""
DEMO = 10.0
"""Target: seconds of all tables of the demo's run together."""
TOGETHER = (("saturation", "saturation_by_channel"), ("convergence", "convergence_by_size"))
"""Tables that share a computation."""

CAPTURE_DEMO = """
import sys, warnings
import seviz
warnings.simplefilter("ignore")
network = seviz.load("seviz/seresnet50-cifar10")
seviz.collect(network, "bundled", sys.argv[1], signals=["excitation", "squeeze", "response"])
print("[]")
"""
TABLE = """
import json, resource, sys, time
from pathlib import Path
import seviz
from seviz.stats.parallel import each
from seviz.registry import TABLES
if sys.argv[4] and not Path(seviz.__file__).is_relative_to(sys.argv[4]):
    sys.exit(f"{seviz.__file__} is not of {sys.argv[4]}")
run, names, options = seviz.open_run(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
start = time.perf_counter()
for name in names.split("+"):
    table = TABLES[name]
    if table.of_block:
        each(lambda block: table.function(run, block=block, **options), run.blocks)
    else:
        table.function(run, **options)
unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes on macOS
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit]))
"""


def in_rows(names: list[str]) -> list[str]:
    """The tables of each row, joined by "+": one, or those that share a computation, where the first of them stands."""
    rows: list[str] = []
    for name in names:
        if not any(name in row.split("+") for row in rows):
            shared = next((two for two in TOGETHER if name in two), (name,))
            rows.append("+".join(other for other in shared if other in names))
    return rows


def timed(run: Path, names: list[str], against: Path | None, digits: int) -> list[tuple[float, float]]:
    """Print a row a table; seconds and GiB of each, of this checkout."""
    others = "" if against is None else " seconds before | GiB before | ratio |"
    print(f"| table | seconds | GiB |{others}\n|---|---|---|{'---|' * others.count(' |')}")
    rows = []
    for k, name in enumerate(in_rows(names)):
        checkouts = [None] if against is None else [None, against][:: 1 if k % 2 else -1]  # who begins, changes
        found = {of: python(TABLE, run, name, "{}", of or "", of=of) for of in checkouts}
        seconds, memory = found[None]
        called = name.replace("+", " and ") + (" of each block" if TABLES[name].of_block else "")
        row = f"| {called} | {seconds:.{digits}f} | {memory:.1f} |"
        if against is not None:
            before = found[against]
            row += f" {before[0]:.{digits}f} | {before[1]:.1f} | {seconds / before[0]:.2f} |"
        print(row, flush=True)
        rows.append((seconds, memory))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run that is there")
    parser.add_argument("--demo", action="store_true", help="the run of `seviz demo`")
    parser.add_argument("--only", help="tables, with commas")
    parser.add_argument("--against", type=Path, help="another checkout of seviz, to take turns with")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [*tables_of_run()]
    against = options.against.resolve() if options.against else None
    if against is not None and not (against / "seviz" / "__init__.py").is_file():
        parser.error(f"--against: no seviz in {against}; give the directory that holds the package")
    with tempfile.TemporaryDirectory() as folder:
        run = (options.run or Path(folder) / "run").absolute()
        if not (run / "samples.parquet").exists():
            if options.demo:
                python(CAPTURE_DEMO, run)
            else:
                python(CAPTURE, f"{HERE}/made_network.py:wide", 50_000, run)
        rows = timed(run, names, against, 1 if options.demo else 0)
        total, most = sum(seconds for seconds, _ in rows), max(memory for _, memory in rows)
        if options.demo:
            print(f"\nall: {total:.1f} s; target {DEMO:g}, {verdict(total <= DEMO)}")
            print(f"memory at most {most:.1f} GiB; target {GIB:g}, {verdict(most <= GIB)}")
            return
        moments, _ = python(TABLE, run, "specificity", '{"over_images": false}', "")
    print(f"\nall: {total / 60:.1f} minutes; target {MINUTES:g}, {verdict(total <= 60 * MINUTES)}")
    print(f"memory at most {most:.1f} GiB; target {GIB:g}, {verdict(most <= GIB)}")
    print(f"specificity from moments alone: {moments:.1f} s; target {MOMENTS:g}, {verdict(moments <= MOMENTS)}")


if __name__ == "__main__":
    main()
