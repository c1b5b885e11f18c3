"""A network whose class is read from the gates of one block, and from nothing else."""

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from seviz.classes import Classes
from seviz.network.networks import Network

NAMES = ("blue", "green", "red")
FACTORY = """
from tests.experiments.made_network import NAMES, ReadFromGates

def make():
    model = ReadFromGates()
    model.class_names = NAMES
    model.pretrained_cfg = {"input_size": (3, 224, 224)}
    return model
"""
"""A file that `FILE.py:make` makes the network from."""


class Gate(nn.Module):
    """Squeeze, one matrix, sigmoid, scale."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.excite, self.gate = nn.Linear(6, 6), nn.Sigmoid()
        with torch.no_grad():
            self.excite.weight.copy_(weight)
            self.excite.bias.copy_(bias)

    def forward(self, u: Tensor) -> Tensor:
        return u * self.gate(self.excite(u.mean((2, 3))))[:, :, None, None]


class ReadFromGates(nn.Module):
    """Tells the colour of images.

    The stem gives the three colours and three maps of ones. In SE_2_1 the gate of the k-th map of ones is near 1 where
    the k-th colour is strong; its mean is the k-th logit. The gates of SE_2_2 differ between images but not between
    channels, so that no class depends on them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 1)
        colours = torch.cat([torch.eye(3), torch.eye(3)])
        self.first = Gate(torch.cat([20 * colours, torch.zeros(6, 3)], 1), torch.full((6,), -8.5))
        self.second = Gate(torch.full((6, 6), 0.05), torch.zeros(6))
        with torch.no_grad():
            self.stem.weight.copy_(torch.cat([torch.eye(3), torch.zeros(3, 3)])[:, :, None, None])
            self.stem.bias.copy_(torch.tensor([0.0, 0, 0, 1, 1, 1]))

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(self.stem(images))).mean((2, 3))[:, 3:]


def read_from_gates() -> Network:
    return Network(
        spec="tests/read_from_gates",
        weights="pretrained",
        trained=True,
        model=ReadFromGates().eval(),
        preprocess=v2.Compose([v2.Resize((16, 16)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]),
        preprocessing={"resize": [16, 16]},
        input_size=(3, 16, 16),
        classes=Classes(NAMES, NAMES),
    )
