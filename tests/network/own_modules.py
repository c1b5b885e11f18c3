"""Small modules as a person may have them in memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.network.forms_of_gates import Block


class Own(nn.Module):
    """A person's own network of grey images; `give` says what it returns."""

    def __init__(self, classes: int = 3, channels: int = 1, give: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(channels, 16, 3), Block(), nn.Linear(16, classes)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(self.head(self.block(self.stem(x)).mean((2, 3))))


def own(**known: Any) -> Own:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return Own(**known)


EXAMPLE = torch.zeros(2, 1, 12, 12)
