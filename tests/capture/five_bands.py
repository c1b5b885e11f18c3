"""A small SE network for images of five bands, as people give their own: by a function in a file."""

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation


def make() -> nn.Module:
    """One SE block and two outputs, for images of 16x16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(
            *(nn.Conv2d(5, 8, 3, stride=2, padding=1), nn.ReLU(), SqueezeExcitation(8, 4)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
        )
    network.pretrained_cfg = {"input_size": (5, 16, 16), "crop_pct": 1.0, "mean": (0.5,) * 5, "std": (0.25,) * 5}
    network.class_names = ["crop", "water"]
    return network.eval()
