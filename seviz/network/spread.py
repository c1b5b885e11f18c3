"""Some channels of a feature map, put back where they belong among all."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Spread(nn.Module):
    """Puts each channel where it was before others were taken out; those are zero.

    Behind a residual branch that lost channels it makes the sum with the stream fit again: the rest is added into the
    stream by index.

    Parameters
    ----------
    kept
        Where each channel goes, strictly increasing, (kept channels).
    channels
        How many there are in all.

    Raises
    ------
    ValueError
        If `kept` is not strictly increasing from 0 to below `channels`.
    """

    kept: Tensor

    def __init__(self, kept: Sequence[int], channels: int) -> None:
        super().__init__()
        index = torch.tensor(list(kept), dtype=torch.long)
        if not len(index) or index[0] < 0 or index[-1] >= channels or not bool((index.diff() > 0).all()):
            raise ValueError(f"kept is {list(kept)}, expected increasing numbers from 0 to {channels - 1}")
        self.channels = channels
        self.register_buffer("kept", index)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, kept channels, height, width) to (batch, channels, height, width)."""
        full = x.new_zeros(x.shape[0], self.channels, *x.shape[2:])
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            full = full.contiguous(memory_format=torch.channels_last)
        return full.index_copy_(1, self.kept, x)

    def extra_repr(self) -> str:
        """Shown in the module's repr."""
        return f"{len(self.kept)} of {self.channels}"


def is_spread(module: nn.Module) -> bool:
    """Whether a module is another one, as `block`, whose outputs a `Spread` puts where they belong."""
    return (
        isinstance(module, nn.Sequential)
        and [name for name, _ in module.named_children()] == ["block", "spread"]
        and isinstance(module.get_submodule("spread"), Spread)
    )
