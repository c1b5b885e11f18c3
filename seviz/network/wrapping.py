"""A module in memory as a network: with an example of its input, and what else belongs to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import timm.data
from PIL import Image
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.errors import OptionError
from seviz.network.axes import RANKS, of_image
from seviz.network.examples import Example, random_example
from seviz.network.networks import Network, classes_named, count_logits
from seviz.network.outputs import Outputs
from seviz.network.preprocessing import Preprocessing, of_arrays, of_timm
from seviz.network.specs import MEMORY
from seviz.network.wrappers import refuse_compiled, uncompiled

_LONGEST = 500  # letters of a transform's description


@dataclass(frozen=True)
class NoPreprocess:
    """Stands where no preprocessing was given; raises OptionError for any image."""

    name: str
    remedy: str = "give seviz.wrap preprocess, or mean and std"

    def __call__(self, image: Image.Image) -> Tensor:
        """Never returns."""
        raise OptionError(
            f"{self.name} has no preprocessing, so that image files and PIL images cannot be read for it; {self.remedy}"
        )


def wrap(
    module: nn.Module,
    example: Example,
    *,
    preprocess: Callable[[Any], Tensor] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    outputs: Outputs | None = None,
    name: str | None = None,
    trained: bool = True,
) -> Network:
    """A module in memory as a network, for all that takes one.

    The module stays the person's: it is not copied, and comes back from everything as it was given.

    Parameters
    ----------
    module
        Any module. Parallel wrappers and `torch.compile` are taken off.
    example
        Of its input: a batch as it takes it, the shape of one, a tuple of positional arguments, or a dict of keyword
        arguments. Shapes and dtypes count, values do not.
    preprocess
        From a PIL image, or a tensor of one input, to what the module takes for one. By default that of the module's
        `pretrained_cfg`, where it has one as timm's have, or of `mean` and `std`; else only tensors are taken.
    mean, std
        Of each channel, on a scale of 0 to 1: images are resized and cropped to the example's size, and normalised;
        signals (channels, length) and volumes (channels, depth, height, width) are normalised.
    class_names
        In the order of the logits.
    outputs
        From what the module returns to logits (batch, classes); by default see `seviz.network.outputs.logits_in`.
    name
        What it is called; by default its class.
    trained
        Whether the weights of its SE blocks are other than freshly drawn.

    Returns
    -------
    Network
        Its `spec` is "memory:NAME".

    Raises
    ------
    ExampleError
        If the module does not take the example.
    OptionError
        If there are fewer or more names than classes, `mean` or `std` do not have a number for each channel, or
        `outputs` gives no logits.
    CompiledModelError
        If the module is TorchScript, or a part of it was compiled.

    Examples
    --------
    >>> import seviz, timm, torch
    >>> module = timm.create_model("mobilenetv3_small_050", num_classes=3)
    >>> network = seviz.wrap(module, torch.zeros(1, 3, 96, 96), class_names=["cat", "dog", "owl"], trained=False)
    >>> network.spec, len(network.blocks), network.class_names
    ('memory:MobileNetV3', 9, ('cat', 'dog', 'owl'))
    """
    if not isinstance(module, nn.Module):
        raise OptionError(f"module is a {type(module).__name__}, expected a torch.nn.Module")
    module = uncompiled(module)
    refuse_compiled(module)
    name = type(module).__name__ if name is None else name
    given = random_example(module, example)
    count = count_logits(module, given, outputs)
    one_tensor = len(given.args) == 1 and not given.kwargs and isinstance(given.args[0], Tensor)
    size = tuple(given.images[1:])
    known = _known(f"{MEMORY}{name}", module, size if one_tensor else (), mean, std)
    taken, told = _seen(name, preprocess, known)
    return Network(
        spec=f"{MEMORY}{name}",
        weights="in memory",
        trained=trained,
        model=module,
        preprocess=taken,
        preprocessing=told,
        input_size=size,
        classes=_classes(module, class_names, count),
        example=example,
        outputs=outputs,
    )


def _classes(module: nn.Module, names: Sequence[str] | None, count: int | None) -> Classes | None:
    if names is None:
        names = getattr(module, "class_names", None)
    return None if names is None else classes_named(names, count, type(module).__name__)


def _known(
    spec: str, module: nn.Module, size: tuple[int, ...], mean: Sequence[float] | None, std: Sequence[float] | None
) -> Preprocessing | None:
    """How inputs of a size are preprocessed; None where it is not told, or where there are several inputs."""
    if (mean is None) != (std is None):
        given, other = ("mean", "std") if std is None else ("std", "mean")
        raise OptionError(f"{given} is given and {other} is not; give both, or neither")
    if len(size) not in RANKS:
        if mean is None:
            return None
        raise OptionError(
            "mean and std are of one input with channels, and the example is none such a tensor; leave them out"
        )
    own = getattr(module, "pretrained_cfg", None)
    if not of_image(size):
        if mean is None and own is not None and len(own.get("input_size") or ()) == len(size):
            mean, std = own.get("mean"), own.get("std")
        return None if mean is None else of_arrays(spec, size, mean, std)
    if mean is None and own is None:
        return None
    config: dict[str, Any] = {"crop_pct": 1.0} if own is None else timm.data.resolve_model_data_config(module)
    config |= {"input_size": size}
    if mean is not None and std is not None:
        for what, values in (("mean", mean), ("std", std)):
            if len(values) != size[0]:
                raise OptionError(f"{what} has {len(values)} numbers, and the example {size[0]} channels")
        config |= {"mean": tuple(map(float, mean)), "std": tuple(map(float, std))}
    return of_timm(config)


def _seen(
    name: str, given: Callable[[Any], Tensor] | None, known: Preprocessing | None
) -> tuple[Callable[[Any], Tensor], dict[str, Any]]:
    """The preprocessing, and what it does in words and numbers."""
    if given is not None:
        return given, {"library": "the person's own", "transform": repr(given)[:_LONGEST]}
    if known is None:
        return NoPreprocess(name), {"library": "none"}
    return known.preprocess, known.told
