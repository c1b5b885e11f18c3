"""Bounds have the names of the activations that are told apart, and no activation leaves its bounds."""

import torch

from seviz.network.activations import GATES
from seviz.network.bounds import BOUNDS


def test_every_activation_has_its_infimum_and_supremum() -> None:
    assert GATES.keys() == BOUNDS.keys()
    x = torch.linspace(-1000, 1000, 20001, dtype=torch.float64)
    for name, function in GATES.items():
        y, (low, high) = function(x), BOUNDS[name]
        assert float(y.min()) == low, name
        assert float(y.max()) == (high if high != float("inf") else 1000), name
