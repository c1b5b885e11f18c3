"""Some channels of a feature map, put back where they belong among all."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seviz.network.positions import AXES, Layout


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
    layout
        Where the feature map has its channels: "first", behind the batch, or "last".

    Raises
    ------
    ValueError
        If `kept` is not strictly increasing from 0 to below `channels`, or there is no such layout.
    """

    kept: Tensor

    def __init__(self, kept: Sequence[int], channels: int, *, layout: Layout = "first") -> None:
        super().__init__()
        index = torch.tensor(list(kept), dtype=torch.long)
        if not len(index) or index[0] < 0 or index[-1] >= channels or not bool((index.diff() > 0).all()):
            raise ValueError(f"kept is {list(kept)}, expected increasing numbers from 0 to {channels - 1}")
        if layout not in AXES:
            raise ValueError(f"layout is {layout!r}, expected first or last")
        self.channels, self.layout = channels, layout
        self.register_buffer("kept", index)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, kept channels, positions...) to (batch, channels, positions...), or with the channels last."""
        axis = 1 if self.layout == "first" else x.ndim - 1
        full = x.new_zeros(*x.shape[:axis], self.channels, *x.shape[axis + 1 :])
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            full = full.contiguous(memory_format=torch.channels_last)
        return full.index_copy_(axis, self.kept, x)

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
