"""What a model is at a moment: whether it is the same later, without keeping it."""

import hashlib
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Identity:
    """Fingerprints of a model.

    Attributes
    ----------
    weights
        Of all parameters and buffers, SHA-256.
    modules
        Of the modules: their paths, types and settings, how many hooks each has, and whether its forward pass was
        replaced, SHA-256. It is not the same in another process where settings show addresses in memory.
    """

    weights: str
    modules: str


def identity_of(model: nn.Module) -> Identity:
    """What a model is now."""
    return Identity(weights_sha256(model), _modules_sha256(model))


def weights_sha256(model: nn.Module) -> str:
    """A fingerprint of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _modules_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for path, module in model.named_modules(remove_duplicate=False):
        kind = type(module)
        hooks = len(module._forward_hooks), len(module._forward_pre_hooks)
        replaced = "forward" in vars(module)
        told = f"{path} {kind.__module__}.{kind.__qualname__} {module.extra_repr()} {hooks} {replaced}\n"
        digest.update(told.encode())
    return digest.hexdigest()
