"""A network of several SE blocks a stage, as people give their own: by a function in a file."""

import torch
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

COLOURS = ("blue", "green", "red")
FACTORY = "from tests.network.staged_network import make\n"
"""A file that `FILE.py:make` makes the network from."""


class Unit(nn.Module):
    """A convolution and an SE block."""

    def __init__(self, inputs: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1)
        self.se = SqueezeExcitation(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.se(self.conv(x))


def make() -> nn.Module:
    """Blocks SE_2_1, SE_2_2, SE_2_3, SE_3_1; the gates of SE_2_2 differ between images by less than 1e-4."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = nn.Sequential(
            *(Unit(3, 6, stride=2), Unit(6, 6), Unit(6, 6), Unit(6, 8, stride=2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
        )
        with torch.no_grad():
            for unit in (network[0], network[2], network[3]):
                unit.se.fc1.weight *= 6
                unit.se.fc2.weight *= 6
            network[1].se.fc2.weight *= 1e-4
    network.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0}
    network.class_names = COLOURS
    return network.eval()
