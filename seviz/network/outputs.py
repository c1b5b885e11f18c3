"""The logits in what a network returns, and its inputs as images by themselves or stacked to a batch."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seviz.errors import OptionError
from seviz.network.products import batch_of, map_tensors, tensors_in

Inputs = Tensor | tuple[Any, ...] | dict[str, Any]
"""What a network is called with: a tensor, positional arguments, or keyword arguments."""

Outputs = Callable[[Any], Tensor]
"""From what a network returns to its logits, (batch, classes)."""

_NAMES = ("logits", "out")


def logits_in(output: Any, outputs: Outputs | None = None) -> Tensor | None:
    """The logits in what a network returned.

    Parameters
    ----------
    output
        A (batch, classes) tensor; something with `logits`; a mapping with "logits" or "out"; or a tuple, of which the
        first (batch, classes) tensor is meant. One logit an image, (batch, 1) or (batch), stands for two classes.
    outputs
        A function that tells them, in place of these rules.

    Returns
    -------
    Tensor or None
        (batch, classes), at least two classes: of one logit x they are 0 and x, so that the second class is predicted
        where x is greater than 0. None where there are none.

    Raises
    ------
    OptionError
        If `outputs` gives something else than logits.

    Examples
    --------
    >>> import torch
    >>> logits_in({"out": torch.zeros(8, 10), "aux": torch.zeros(8, 10)}).shape
    torch.Size([8, 10])
    >>> logits_in(torch.tensor([[-3.0], [2.0]])).argmax(1)
    tensor([0, 1])
    """
    if outputs is None:
        return _found(output)
    told = outputs(output)
    logits = _two(told) if isinstance(told, Tensor) else None
    if logits is None:
        shape = f"a tensor of shape {tuple(told.shape)}" if isinstance(told, Tensor) else f"a {type(told).__name__}"
        raise OptionError(f"outputs gave {shape}, expected logits (batch, classes) in floating point")
    return logits


def _found(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return _two(output)
    for name in _NAMES:
        inner = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if isinstance(inner, Tensor):
            return _two(inner)
    if isinstance(output, tuple | list):
        return next(
            (x for x in map(_two, (x for x in output if isinstance(x, Tensor) and x.ndim == 2)) if x is not None), None
        )
    return None


def _two(logits: Tensor) -> Tensor | None:
    """Logits of at least two classes; None of what can be no logits."""
    if not logits.is_floating_point() or logits.ndim not in (1, 2) or logits.shape[-1] == 0:
        return None
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    return logits


def call(model: nn.Module, inputs: Inputs) -> Any:
    """What a network returns for its inputs: a tensor, positional arguments, or keyword arguments.

    A dict that the network's `forward` does not take as keywords is given to it as it is.
    """
    if isinstance(inputs, dict):
        return model(**inputs) if takes_keywords(model, inputs) else model(inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def takes_keywords(model: nn.Module, inputs: Mapping[str, Any]) -> bool:
    """Whether a network's `forward` takes these as keyword arguments."""
    try:
        inspect.signature(model.forward).bind(**inputs)
    except TypeError:
        return False
    return True


def one_by_one(inputs: Inputs) -> Iterator[Inputs]:
    """The inputs of each image of a batch; what has no axis of the batch is in each."""
    rows = batch_of(inputs)
    for row in range(rows):

        def of_row(tensor: Tensor, row: int = row) -> Tensor:
            return tensor[row] if tensor.ndim and len(tensor) == rows else tensor

        yield map_tensors(of_row, inputs)


def stacked(images: Sequence[Inputs], stack: Callable[[Sequence[Tensor]], Tensor]) -> Inputs:
    """Inputs of several images as a batch."""
    leaves = [list(tensors_in(image)) for image in images]
    columns = iter([stack(column) for column in zip(*leaves, strict=True)])
    whole: Inputs = map_tensors(lambda _: next(columns), images[0])
    return whole


def shape_of(image: Inputs) -> tuple[Any, ...]:
    """What the inputs of two images must share to be run in one batch."""
    if isinstance(image, Tensor):
        return tuple(image.shape)
    return tuple((tuple(x.shape), x.dtype) for x in tensors_in(image))
