"""What a network is run on to find its blocks: random numbers in place of an example of its input."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seviz.errors import ExampleError
from seviz.network.positions import RANKS, Layout, is_feature_map, position_sizes
from seviz.network.products import batch_of, map_tensors, tensors_in

Example = Tensor | tuple[Any, ...] | dict[str, Any]
"""What a network takes: a tensor, its shape, a tuple of arguments, or a dict of keyword arguments."""

ROWS = 2
"""Of the batch that is watched."""
_MULTIPLES = {1: 64, 2: 64, 3: 32}
"""Of sides that every usual stride divides, by the number of axes of positions."""
_LARGEST = {1: 256, 2: 256, 3: 64}
"""Side that a small input is enlarged to."""


@dataclass(frozen=True)
class Given:
    """Random arguments of a network.

    Attributes
    ----------
    args, kwargs
        The arguments.
    words
        What the person gave, in a few words.
    resizable
        Whether it is one batch of images, of which the size may be another.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    words: str
    resizable: bool = False

    @property
    def images(self) -> tuple[int, ...]:
        """The shape of the tensor with the most axes, the first of them where several have as many."""
        return tuple(max(tensors_in((self.args, self.kwargs)), key=lambda x: x.ndim).shape)

    def sizes(self, layout: Layout) -> tuple[int, ...]:
        """The lengths of the axes of positions of those images, in a layout."""
        return position_sizes(self.images, layout)


def rows_of(example: Example) -> int:
    """Images in an example that is a tensor or a shape with a batch axis; 0 for any other."""
    shape: Any = tuple(example.shape) if isinstance(example, Tensor) else example
    return int(shape[0]) if is_shape(shape) and len(shape) > 3 else 0


def random_example(model: nn.Module, example: Example, rows: int = ROWS) -> Given:
    """Random arguments in place of an example.

    Parameters
    ----------
    model
        The network; its device and dtype are those of the numbers where the example is a shape.
    example
        What the network takes.
    rows
        Images of the batch.

    Raises
    ------
    ExampleError
        If the example holds no tensor, or its shape is not that of images.
    """
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    if isinstance(example, Tensor) or is_shape(example):
        like = example if isinstance(example, Tensor) else parameter
        shape = tuple(example.shape if isinstance(example, Tensor) else example)
        rest = shape if not isinstance(example, Tensor) and len(shape) == 3 else shape[1:]
        if len(rest) < 2 or not all(n > 0 for n in rest):
            raise ExampleError(
                f"example has shape {shape}, expected (channels, height, width) or (batch, channels, height, width)"
            )
        kind = like.dtype if like.is_floating_point() else parameter.dtype
        images = _drawn((rows, *rest), 0).to(device=like.device, dtype=kind)
        return Given((images,), {}, f"shape {shape}", resizable=len(rest) + 1 in RANKS)
    if not isinstance(example, tuple | dict) or next(tensors_in(example), None) is None:
        raise ExampleError(
            f"example is a {type(example).__name__} without tensors,"
            " expected a tensor, its shape, a tuple of positional arguments or a dict of keyword arguments"
        )
    # Lists of images have no axis of the batch; what stands by itself has.
    alone = example.values() if isinstance(example, dict) else example
    batch = batch_of([x for x in alone if isinstance(x, Tensor)])
    random = map_tensors(partial(_random_rows, batch), example)
    words = f"the shapes {[tuple(x.shape) for x in tensors_in(example)]}"
    if isinstance(example, tuple):
        return Given(tuple(random), {}, words)
    try:
        inspect.signature(model.forward).bind(**example)
    except TypeError:  # then the dict itself is what the network takes
        return Given((random,), {}, words)
    return Given((), random, words)


def is_shape(example: object) -> bool:
    """Whether an example is the shape of a tensor."""
    return isinstance(example, tuple | list) and bool(example) and all(type(n) is int for n in example)


def _random_rows(batch: int, tensor: Tensor) -> Tensor:
    """Rows of random numbers in place of a batch, of anything else as many as there are; others as they are."""
    shape = tuple(tensor.shape)
    if batch and shape and shape[0] == batch:
        shape = (ROWS, *shape[1:])
    if not tensor.is_floating_point():
        return tensor if shape == tuple(tensor.shape) else tensor[torch.arange(ROWS) % len(tensor)]
    return _drawn(shape, 0).to(tensor)


def _drawn(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run_example(model: nn.Module, given: Given) -> Any:
    """What a network returns for random arguments; raises ExampleError if it does not take them."""
    try:
        return model(*given.args, **given.kwargs)
    except Exception as error:  # whatever the model's own code raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ExampleError(
            f"{type(model).__name__} does not take {given.words} as example ({type(error).__name__}: {reason});"
            " expected a tensor, its shape, a tuple of positional arguments or a dict of keyword arguments"
        ) from error


def larger(given: Given, layout: Layout) -> Iterator[Given]:
    """The same images, in a layout, at sizes that strides divide, each larger than the one before."""
    if not given.resizable:
        return
    (images,) = given.args
    sides = given.sizes(layout)
    multiple, largest = _MULTIPLES[len(sides)], _LARGEST[len(sides)]
    while max(sides) < largest:
        sides = tuple(multiple * -(-(side + 1) // multiple) for side in sides)
        shape = (*images.shape[:2], *sides) if layout == "first" else (images.shape[0], *sides, images.shape[-1])
        yield replace(given, args=(_drawn(shape, 0).to(images),))


def random_like(tensor: Tensor, seed: int, scale: float = 1.0) -> Tensor:
    """Random numbers of the same shape, whose mean over positions varies more than the positions do."""
    if not tensor.is_floating_point():
        return tensor
    values = _drawn(tensor.shape, seed)
    if is_feature_map(tensor):  # whichever axis its channels are
        generator = torch.Generator().manual_seed(seed + 1000)
        ones = (1,) * (tensor.ndim - 2)
        values += 2 * torch.randn(*tensor.shape[:2], *ones, generator=generator)
        values += 2 * torch.randn(tensor.shape[0], *ones, tensor.shape[-1], generator=generator)
    return (scale * values).to(tensor)
