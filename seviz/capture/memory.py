"""Images and labels handed over in memory, in whatever form loaders and data sets give them, image by image."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.errors import EmptyDataError, OptionError
from seviz.network.axes import axes_in_words
from seviz.network.networks import Network
from seviz.network.outputs import Inputs, one_by_one, takes_keywords
from seviz.network.products import tensors_in

LABELS = ("labels", "label", "y", "targets", "target")
"""What the labels are called in a dict, the first that is there."""

_EXPECTED = (
    "expected (inputs, labels), or a dict with the inputs and 'labels', where labels are indices or names of classes"
)


@dataclass(frozen=True)
class Item:
    """One thing that a loader or a data set gave: a batch, or one image.

    Attributes
    ----------
    number
        Which, from 0.
    inputs
        As they were given: a tensor, a PIL image or a list of them, a tuple or a dict.
    labels
        As they were given.
    single
        Whether it is one image.
    """

    number: int
    inputs: Any
    labels: Any
    single: bool


class Handed:
    """What was handed over in memory, which may be run through once only.

    Parameters
    ----------
    data
        A DataLoader, a data set with length and items, or any iterable; of (inputs, labels) or of dicts, batches or
        single images.
    """

    def __init__(self, data: Any) -> None:
        items = (_item(number, each) for number, each in enumerate(_iterator(data)))
        self._first = list(islice(items, 1))
        self._items = chain(self._first, items)

    def example(self, module: nn.Module) -> Any:
        """The first batch as a module takes it; raises OptionError if it holds PIL images."""
        if not self._first:
            raise EmptyDataError("the batches held no image")
        (first,) = self._first
        inputs = _alone(first.inputs, module)
        if _is_picture(inputs) or (isinstance(inputs, list | tuple) and any(map(_is_picture, inputs))):
            raise OptionError(
                "data holds PIL images, and how they become tensors is not known of a module; hand over"
                " seviz.wrap(module, example, preprocess=...) in its place"
            )
        tree = _as_tensors(inputs)
        return _batched(tree) if first.single else tree

    def images(self, network: Network, classes: Classes) -> Iterator[tuple[Inputs, int]]:
        """Each image as the network takes it, and the index of its class.

        Raises
        ------
        OptionError
            If an item is none that is understood, has labels out of range, or inputs that are none of the network's.
        UnknownClassError
            If a label is a name that no class has.
        """
        for item in self._items:
            yield from _images(item, network, classes)

    def check(self, network: Network, classes: Classes) -> None:
        """Read the first item, before any work; raises what `images` raises, or EmptyDataError."""
        if not self._first:
            raise EmptyDataError("the batches held no image")
        _images(self._first[0], network, classes)


def _images(item: Item, network: Network, classes: Classes) -> list[tuple[Inputs, int]]:
    """The images of an item with the indices of their classes."""
    inputs = _prepared(item, network)
    labels = _indices(item, classes)
    images = inputs if isinstance(inputs, list) else list(one_by_one(inputs))
    if len(images) != len(labels):
        raise OptionError(f"batch {item.number} has {len(images)} images and {len(labels)} labels, expected as many")
    return list(zip(images, labels, strict=True))


def _iterator(data: Any) -> Iterator[Any]:
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping | list | tuple):
        return (data[k] for k in range(len(data)))  # as torch's data sets, which do not end by themselves
    try:
        return iter(data)
    except TypeError as error:
        raise OptionError(f"data is a {type(data).__name__}, expected a data set, or batches: {_EXPECTED}") from error


def _item(number: int, given: Any) -> Item:
    if isinstance(given, Mapping):
        key = next((name for name in LABELS if name in given), None)
        inputs = {name: value for name, value in given.items() if name != key}
        if key is not None and inputs:
            return Item(number, inputs, given[key], _is_single(given[key]))
        what = f"a dict of {', '.join(map(str, given))}"
    elif isinstance(given, tuple | list) and len(given) == 2:
        return Item(number, given[0], given[1], _is_single(given[1]))
    elif isinstance(given, tuple | list):
        what = f"a {type(given).__name__} of {len(given)}"
    else:
        what = f"a {type(given).__name__}"
    raise OptionError(f"item {number} of data is {what}; {_EXPECTED}")


def _is_single(labels: Any) -> bool:
    return isinstance(labels, str) or np.ndim(labels.cpu() if isinstance(labels, Tensor) else labels) == 0


def _is_picture(value: Any) -> bool:
    return isinstance(value, Image.Image)


def _indices(item: Item, classes: Classes) -> list[int]:
    """The labels of an item as indices."""
    labels: Any = [item.labels] if item.single else item.labels
    if isinstance(labels, list | tuple | np.ndarray) and all(isinstance(label, str) for label in labels):
        return [classes.index(str(label), "the network") for label in labels]
    numbers = torch.as_tensor(np.asarray(labels) if not isinstance(labels, Tensor) else labels).cpu()
    if numbers.ndim != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise OptionError(
            f"batch {item.number} has labels {tuple(numbers.shape)} of {numbers.dtype}, expected whole numbers (batch),"
            " or names"
        )
    found: list[int] = numbers.tolist()
    if found and not 0 <= min(found) <= max(found) < len(classes):
        raise OptionError(
            f"batch {item.number} has labels {min(found)} to {max(found)}, expected 0 to {len(classes) - 1}"
        )
    return found


def _prepared(item: Item, network: Network) -> Any:
    """The inputs of an item: a batch as the network takes it, or a list of images where they were pictures."""
    inputs = _one_of(item.inputs) if network.takes_images else item.inputs
    pictures = [inputs] if item.single else inputs
    if isinstance(pictures, list | tuple) and pictures and all(map(_is_picture, pictures)):
        return [network.preprocess(picture.convert(_mode(network))) for picture in pictures]
    tree = _as_tensors(inputs)
    batch = _batched(tree) if item.single else tree
    _check(item, batch, network)
    return batch


def _one_of(inputs: Any) -> Any:
    """The only entry of a dict that is a tensor, an array or pictures; the dict where there are several."""
    if not isinstance(inputs, Mapping):
        return inputs
    kinds = (Tensor, np.ndarray, Image.Image)
    some = [v for v in inputs.values() if isinstance(v, kinds) or (isinstance(v, list) and any(map(_is_picture, v)))]
    return some[0] if len(some) == 1 else inputs


def _alone(inputs: Any, module: nn.Module) -> Any:
    """The tensor in a dict of one, where a module takes it as its first argument."""
    if not isinstance(inputs, Mapping) or len(inputs) != 1:
        return inputs
    ((name, only),) = inputs.items()
    first = next(iter(inspect.signature(module.forward).parameters), None)
    return only if name == first or not takes_keywords(module, inputs) else inputs


def _mode(network: Network) -> str:
    """In what mode a picture is read that is handed over."""
    return {1: "L", 4: "RGBA"}.get(network.input_size[0], "RGB")


def _as_tensors(inputs: Any) -> Any:
    """Inputs with tensors in place of arrays; several in a list are positional arguments, as loaders collate tuples."""
    if isinstance(inputs, Mapping):
        return {name: _as_tensors(value) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple) and any(isinstance(value, Tensor | np.ndarray) for value in inputs):
        return tuple(_as_tensors(value) for value in inputs)
    if isinstance(inputs, np.ndarray | list | tuple):
        return torch.as_tensor(np.asarray(inputs))
    return inputs


def _batched(tree: Any) -> Any:
    """The inputs of one image as a batch of one."""
    if isinstance(tree, Tensor):
        return tree[None]
    if isinstance(tree, Mapping):
        return {name: _batched(value) for name, value in tree.items()}
    return tuple(map(_batched, tree)) if isinstance(tree, tuple) else tree


def _check(item: Item, batch: Any, network: Network) -> None:
    """Raise OptionError unless a batch has the form of what the network takes."""
    if next(tensors_in(batch), None) is None:
        raise OptionError(f"batch {item.number} holds no tensor; {_EXPECTED}")
    if network.takes_images:
        axes = len(network.input_size) + 1
        if isinstance(batch, Tensor) and batch.ndim != axes:
            names = axes_in_words(network.input_size, batch=True)
            raise OptionError(f"batch {item.number} is {tuple(batch.shape)}, expected inputs {names}")
