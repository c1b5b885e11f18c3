"""A model and what belongs to it: preprocessing, class names, SE blocks, and what it was when it was loaded."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.errors import NoSEBlocksError, OptionError
from seviz.network.axes import of_image
from seviz.network.backbones import Task
from seviz.network.blocks import SEBlock, Survey, survey, why_none
from seviz.network.examples import ROWS, Example, Given, is_shape, random_example, run_example
from seviz.network.identity import Identity, identity_of, weights_sha256
from seviz.network.modes import buffers_kept, undisturbed
from seviz.network.naming import Place, moved_names, names_of, with_names
from seviz.network.outputs import Outputs, logits_in
from seviz.network.positions import Layout
from seviz.network.settings import Settings
from seviz.network.specs import MEMORY
from seviz.network.tracing import trace
from seviz.network.wrappers import uncompiled
from seviz.showing import blocks_as_html, brief

_SMALL = (3, 224, 224)  # shows the blocks of a network that takes any size, in a tenth of the time that 800x800 takes


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model and what belongs to it.

    Attributes
    ----------
    spec
        Where the model comes from: see `load`.
    weights
        "pretrained", "none" or the path of a file.
    trained
        Whether the weights of the SE blocks are other than freshly drawn.
    model
        Parallel wrappers and `torch.compile` are taken off. Takes (batch, *input_size), gives logits (batch, classes);
        one that was wrapped takes what its `example` is, and gives what `outputs` reads. Of a network that detects or
        segments it is the backbone, which gives feature maps, (batch, channels, height, width) each, in a dict.
    preprocess
        From a PIL image, or a tensor of `input_size`'s axes, to what the model takes, float32.
    preprocessing
        What `preprocess` does, in words and numbers.
    input_size
        (channels, positions...) of what `preprocess` gives: (channels, length) of signals, (channels, height, width)
        of images, (channels, depth, height, width) of volumes. Where sizes differ, an example of them.
    classes
        None where they are not known, and of a backbone: they tell what the logits mean, and it gives none.
    task
        "classification", "detection" or "segmentation"; other than the first, the model is a backbone that gives no
        logits.
    fixed_size
        Whether `preprocess` gives every image the size `input_size`. If not, images cannot be stacked to a batch.
    names
        Names that SE blocks keep, by place: the path of the module around the product, and the product's number in it.
        None where no name was given yet: then blocks are named as they are found.
    example
        What the model takes, where it was wrapped: see `seviz.wrap`. None for one image tensor of `input_size`.
    settings
        What was said of it beside its spec.
    assumed
        What was assumed in loading it, since nobody said it, a sentence each.
    outputs
        From what the model returns to logits; None for the rules of `seviz.network.outputs.logits_in`.
    base
        The spec that it is made from, where it was loaded from the directory of a saved network; else None.
    factory_sha256, weights_file_sha256
        SHA-256 of the Python or ONNX file that made it, and of the file that its weights were read from; None where
        there was no such file.
    remarks
        What to know of how it was loaded, a sentence each, such as that the Python file was changed since.
    loaded
        What the model was when it was loaded: where it is something else now, it was changed since. None where it was
        not loaded by a spec; then it is taken to be what its spec and weights give.
    """

    spec: str
    weights: str
    trained: bool
    model: nn.Module
    preprocess: Callable[[Any], Tensor]
    preprocessing: dict[str, Any]
    input_size: tuple[int, ...]
    classes: Classes | None
    task: Task = "classification"
    fixed_size: bool = True
    names: Mapping[Place, str] | None = None
    example: Example | None = field(default=None, repr=False)
    settings: Settings = field(default_factory=Settings, repr=False)
    assumed: tuple[str, ...] = ()
    outputs: Outputs | None = None
    base: str | None = None
    factory_sha256: str | None = None
    weights_file_sha256: str | None = None
    remarks: tuple[str, ...] = ()
    loaded: "Loaded | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", uncompiled(self.model))

    __repr__ = brief

    def _repr_html_(self) -> str:
        return blocks_as_html(f"{self.spec}: {len(self.blocks)} SE blocks", self.blocks.values())

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the logits, or None where they are not known."""
        return self.classes.names if self.classes else None

    @cached_property
    def blocks(self) -> dict[str, SEBlock]:
        """The SE blocks by name, in the order of the forward pass; empty where there is none."""
        return with_names(self.survey.blocks, self.names)

    @property
    def example_size(self) -> tuple[int, ...]:
        """(channels, positions...) of an input that shows the blocks."""
        return self.input_size if self.fixed_size or not self.of_images else _SMALL

    @property
    def of_images(self) -> bool:
        """Whether an input has the axes of an image, (channels, height, width), not of a signal or a volume."""
        return of_image(self.input_size)

    @property
    def takes_images(self) -> bool:
        """Whether the model takes one tensor, and not several."""
        return self.example is None or not isinstance(self.example, dict | tuple) or is_shape(self.example)

    @property
    def in_memory(self) -> bool:
        """Whether the model was handed over as a module, so that no spec tells how to make it again."""
        return self.spec.startswith(MEMORY)

    @cached_property
    def input_layout(self) -> Layout:
        """Where the channels of what the model takes stand, as its first layer takes them."""
        given = random_example(self.model, _example_of(self))
        with undisturbed(self.model), buffers_kept(self.model), trace(self.model) as state:
            run_example(self.model, given)
        return state.layout_of_input

    @cached_property
    def survey(self) -> Survey:
        """How the network scales its feature maps; its blocks go by the names that the search gives."""
        return survey(self.model, _example_of(self))

    def require_blocks(self) -> dict[str, SEBlock]:
        """The SE blocks by name, for what cannot go on without; raises NoSEBlocksError if there is none."""
        if not self.blocks:
            raise NoSEBlocksError(why_none(self.model, self.survey))
        return self.blocks

    def changed(self, model: nn.Module, *, trained: bool | None = None, modules: bool = True) -> "Network":
        """This network with a model that was made from its own: the blocks that are left keep their names.

        `dataclasses.replace(network, model=model)`, in contrast, names the blocks anew, unless `names` was given.

        Parameters
        ----------
        model
            A copy of this network's model, changed.
        trained
            Whether the weights of the SE blocks are trained now; None for as before.
        modules
            Whether modules or their widths may have changed. If not, only weights have, and blocks that were not
            looked for yet are not looked for now.

        Returns
        -------
        Network
            A new one; this stays as it is.
        """
        names = dict(self.names or {})
        if modules or "blocks" in self.__dict__:
            names |= names_of(self.blocks)
        return replace(
            self,
            model=model,
            trained=self.trained if trained is None else trained,
            names=moved_names(names, self.model, model) or self.names,
            loaded=self.loaded or Loaded.of(self),
        )

    @cached_property
    def weights_sha256(self) -> str:
        """A fingerprint of all parameters and buffers."""
        return weights_sha256(self.model)


@dataclass(frozen=True)
class Loaded:
    """What a network was when it was loaded.

    Attributes
    ----------
    model
        Its model.
    settings
        By name what else a run of it depends on: spec, input size, preprocessing, classes, task, as text.
    """

    model: Identity
    settings: Mapping[str, str]

    @classmethod
    def of(cls, network: Network) -> "Loaded":
        """What a network is now."""
        settings = {
            "spec": network.spec,
            "input size": str(tuple(network.input_size)),
            "preprocessing": json.dumps(network.preprocessing, sort_keys=True, default=str),
            "classes": str(network.classes),
            "task": network.task,
            "settings": json.dumps(network.settings.given(), sort_keys=True, default=str),
        }
        return cls(identity_of(network.model), settings)


def logits_of_example(network: Network) -> int | None:
    """How many logits a network gives for an example; None if it gives none."""
    return count_logits(network.model, random_example(network.model, _example_of(network)), network.outputs)


def example_of_size(model: nn.Module, size: Sequence[int]) -> Example:
    """An example of a model's input of a size, (channels, positions...), of any number of axes.

    The shape of an image stands for itself; of another number of axes a shape could be read in two ways, so it is a
    batch of zeros, of the model's dtype and on its device.
    """
    if of_image(size):
        return tuple(size)
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return torch.zeros(ROWS, *size, dtype=like.dtype, device=like.device)


def _example_of(network: Network) -> Example:
    return example_of_size(network.model, network.example_size) if network.example is None else network.example


def count_logits(module: nn.Module, given: Given, outputs: Outputs | None) -> int | None:
    """How many logits a module gives for random arguments; None if it gives none."""
    with undisturbed(module):
        logits = logits_in(run_example(module, given), outputs)
    return None if logits is None else logits.shape[1]


def classes_named(names: Sequence[str], count: int | None, whose: str) -> Classes:
    """Classes by the names that a person gives; raises OptionError if there are fewer or more than logits."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"class_names is {names!r:.80}, expected a list of names")
    if count is not None and len(names) != count:
        raise OptionError(f"class_names has {len(names)} names, and {whose} tells {count} classes; give {count}")
    names = tuple(names)
    ids = names if len(set(names)) == len(names) else tuple(f"{k} {name}" for k, name in enumerate(names))
    return Classes(ids, names)
