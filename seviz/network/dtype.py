"""What numbers a network computes with, and images made into them."""

from itertools import chain

import torch
from torch import Tensor, nn


def dtype_of(model: nn.Module) -> torch.dtype:
    """The floating dtype that a model takes images in: that of its first floating parameter, or else buffer.

    float32 where it has neither.
    """
    floating = (tensor for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point())
    return next((tensor.dtype for tensor in floating), torch.float32)


def as_taken(images: Tensor, model: nn.Module) -> Tensor:
    """Images in the floating dtype that a model takes; whole numbers stay as they are.

    Parameters
    ----------
    images
        Of any shape; those of that dtype come back as the very tensor.
    model
        Any module.
    """
    return images.to(dtype_of(model)) if images.is_floating_point() else images
