"""How long the search for SE blocks takes, as a multiple of a plain forward pass of the same two images.

    python analyses/benchmarks/search.py

The two are measured in turn in one process; the table gives medians and the median of the ratios, pair by pair.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

import seviz
from seviz.network.blocks import survey

SPECS = (
    *("timm/legacy_seresnet50", "timm/legacy_senet154", "timm/efficientnet_b0", "timm/mobilenetv3_large_100"),
    *("timm/regnety_008", "timm/ecaresnet50d", "torchvision/efficientnet_v2_s", "timm/resnet50"),
)


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=SPECS, help="specs")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.rounds} rounds")
    print("| network | forward pass, ms | search, ms | ratio |\n|---|---|---|---|")
    for spec in options.models:
        network = seviz.load(spec, weights="none")
        images = torch.randn(2, *network.input_size)
        pairs = []
        for _ in range(options.rounds + 1):  # the first warms up
            with torch.no_grad():
                plain = seconds(lambda model=network.model, images=images: model(images))
            pairs.append((plain, seconds(lambda model=network.model, images=images: survey(model, images))))
        plain, searched = (1000 * median(side) for side in zip(*pairs[1:], strict=True))
        ratio = median(b / a for a, b in pairs[1:])
        print(f"| `{spec}` | {plain:.0f} | {searched:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
