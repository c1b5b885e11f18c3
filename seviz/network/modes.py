"""Run a network without a trace of it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.modules()}
    with suppress(NotImplementedError):  # an exported graph has one mode, in which it was made
        model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
