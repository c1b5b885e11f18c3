"""Run a network without a trace of it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import nn


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode, and all buffers, come back afterwards.

    Buffers change in evaluation mode, too, where observers of a quantisation write to them.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers() if not buffer.is_inference()]
    versions = [buffer._version for buffer, _ in buffers]
    with suppress(NotImplementedError):  # an exported graph has one mode, in which it was made
        model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.inference_mode(False), torch.no_grad():
            for (buffer, value), version in zip(buffers, versions, strict=True):
                if buffer._version != version:
                    buffer.copy_(value)
