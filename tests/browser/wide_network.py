"""The made-up network of `analyses/benchmarks` with the first block of each stage only, for as many classes.

How long a page takes is a matter of its classes and of the channels of the block that it shows, which are those of
SE-ResNet-50; runs of all its blocks are what the other tests open.
"""

import sys
from pathlib import Path

import torch

BENCHMARKS = str(Path(__file__).parents[2] / "analyses" / "benchmarks")
sys.path.insert(0, BENCHMARKS)
try:
    from made_network import CLASSES, SE_RESNET_50, Made, batches
finally:
    sys.path.remove(BENCHMARKS)

__all__ = ["CLASSES", "batches", "make"]


def make() -> Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Made({side: channels[:1] for side, channels in SE_RESNET_50.items()}, CLASSES)
