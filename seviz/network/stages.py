"""The numbers in the name SE_stage_block: stages by stride and dilation."""

import math
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from seviz.network.positions import CONVOLUTIONS


def stride(sizes: Sequence[int], u: Sequence[int]) -> float:
    """Side of the input over side of a feature map.

    Parameters
    ----------
    sizes
        Lengths of the input's axes of positions.
    u
        The shape (batch, channels, positions...) of the feature map, of which the positions may lie in a row.

    Returns
    -------
    float
        The root, of as many as the input has axes of positions, of positions in over positions out.
    """
    return float((math.prod(sizes) / math.prod(u[2:])) ** (1 / len(sizes)))


def is_exact(sizes: Sequence[int], u: Sequence[int]) -> bool:
    """Whether a feature map is large enough, or divides the input so, that its stride can be told from its size."""
    for side, reduced in zip(sizes, u[2:], strict=False):
        power = math.log2(side / reduced)
        if reduced <= 3 and abs(power - round(power)) > 1e-9:
            return False
    return True


def stage_numbers(strides: Sequence[float], dilations: Sequence[int] | None = None) -> list[int]:
    """The stage of each block: log2 of stride times dilation, plus one offset that lifts the smallest to 2."""
    factors = dilations or (1,) * len(strides)
    depths = [round(math.log2(stride * dilation)) for stride, dilation in zip(strides, factors, strict=True)]
    offset = max(0, 2 - min(depths, default=2))
    return [depth + offset for depth in depths]


def dilations(model: nn.Module, strides: Mapping[str, float]) -> dict[str, int]:
    """By how much the convolutions around each block are dilated.

    A network whose last stages keep the resolution dilates their convolutions instead. The largest dilation of the
    convolutions with kernels over 1 in the block's module counts; and where all blocks of that module's container have
    one stride, that in the container, since the first block of a dilated stage keeps the dilation of the stage before.

    Parameters
    ----------
    model
        The network.
    strides
        By the path of each block.
    """
    modules = {path: _module_of(model, path) for path in strides}
    found = {}
    for path, module in modules.items():
        if not module:  # no module of its own but the network
            found[path] = 1
            continue
        container = module.rpartition(".")[0]
        together = {round(math.log2(strides[p])) for p, m in modules.items() if m.startswith(f"{container}.")}
        around = container if container and len(together) == 1 else module
        found[path] = max(_dilations_in(model.get_submodule(around)), default=1)
    return found


def _module_of(model: nn.Module, path: str) -> str:
    """The innermost module around a path that holds a convolution with a kernel over 1."""
    while path and next(_dilations_in(model.get_submodule(path)), None) is None:
        path = path.rpartition(".")[0]
    return path


def _dilations_in(module: nn.Module) -> Iterator[int]:
    for inner in module.modules():
        if isinstance(inner, CONVOLUTIONS) and max(inner.kernel_size) > 1:
            yield max(int(n) for n in inner.dilation)
