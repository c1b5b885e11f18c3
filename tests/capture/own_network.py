"""A small SE network as people give their own: by a function in a file."""

import torch
from torch import nn
from torchvision.ops import SqueezeExcitation


def make() -> nn.Module:
    """Two SE blocks and three outputs, for images of 16x16."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), SqueezeExcitation(8, 4)),
            *(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU(), SqueezeExcitation(12, 4)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3)),
        )
    network.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0}
    return network.eval()
