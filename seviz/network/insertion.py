"""Put Squeeze-and-Excitation blocks into a network that has none, where the paper puts them.

A network has one to three axes of positions: of sound or series, images, volumes or video.

| network | the block goes |
|---|---|
| ResNet, ResNeXt (torchvision, timm), Inception-ResNet-v2 (timm) | to the end of the residual branch, before the sum |
| ResNets of video (torchvision) | to the end of the residual branch, before the sum |
| GoogLeNet, Inception-v3 (torchvision), BN-Inception (pytorchcv) | behind the concatenation of each module |
| VGG (torchvision, timm) | behind the non-linearity that follows each convolution |
| MobileNet (timm, version 1) | behind the non-linearity of each pointwise convolution |
| ShuffleNet (pytorchcv version 1, torchvision version 2) | to the end of the branch, before sum or concatenation |
| others whose residual branches are made by convolutions | to the end of the residual branch, before the sum |

In the last, the branches are told by what a forward pass computes (`seviz.network.residual`): a ResNet of a person's
own, of any number of axes, is one of them.

For MobileNet and ShuffleNet the paper gives figures only: 0.5 M and 0.6 M parameters more, which are the sums of
2 C²/16 over just these places (479,744 and 610,416 weights).

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507. Section 3.3 for the places, section
6 for reduction ratio, squeeze and excitation operators, stages and integration strategy.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
import torchvision
from torch import Tensor, nn

from seviz.errors import InsertionError, OptionError, SevizError
from seviz.network.axes import axes_in_words, is_input_size, sizes_in_words
from seviz.network.blocks import find_se_blocks
from seviz.network.positions import CONVOLUTIONS
from seviz.network.residual import branch_ends
from seviz.network.stages import stage_numbers, stride
from seviz.network.wrappers import refuse_compiled

Squeeze = Literal["avg", "max"]
Excitation = Literal["sigmoid", "tanh", "relu"]
Position = Literal["standard", "pre", "post", "identity", "3x3"]

_POOLS: dict[Squeeze, tuple[type[nn.Module], ...]] = {
    "avg": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    "max": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
}
_EXCITATIONS: dict[str, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
_SIDES = {1: 1024, 2: 224, 3: 32}
"""Of the inputs that show where the places are, along each of one to three axes."""


def insert_se(
    model: nn.Module,
    *,
    reduction: int = 16,
    squeeze: Squeeze = "avg",
    excitation: Excitation = "sigmoid",
    stages: Collection[int] | None = None,
    position: Position = "standard",
    bias: bool = True,
    input_size: Sequence[int] | None = None,
) -> nn.Module:
    """Put SE blocks into a network that has none.

    All that the network had keeps its name and its value. The blocks are `torchvision.ops.SqueezeExcitation`, over as
    many axes of positions as the network has, in its mode and dtype and on its device. They are untrained: their
    weights are drawn as torch draws them, the same at every call, and leave the global random state alone. `stages`
    changes no weight of the blocks that stay.

    Parameters
    ----------
    model
        A network of the families above, or a module that holds one; takes (batch, channels, positions...).
    reduction
        A block of C channels has C // reduction in its middle; from 1 to the channels of the narrowest place.
    squeeze
        Mean or maximum over positions.
    excitation
        The activation that gives the gate.
    stages
        The stages that get blocks, by the numbers in the names that `find_se_blocks` gives where all stages have
        blocks: 2 to 5 in a ResNet, where 2 is conv2_x. With position "pre" a block before a stride counts to the
        stage before. None for all.
    position
        Where in a residual unit: "standard", at the end of the branch, before the sum; "pre", at the start of the
        branch, so that the shortcut goes round it; "post", behind the sum and its ReLU; "identity", at the end of the
        shortcut, behind its projection where there is one; "3x3", behind the 3x3 convolution of a bottleneck with
        its BatchNorm and ReLU. Networks without residual units have only "standard", and so have those whose residual
        branches are told by a forward pass.
    bias
        Whether the two matrices have biases, as in the authors' released networks.
    input_size
        Of an input that the network takes, (channels, positions...). By default with the channels of the first
        convolution, and 224 positions along each axis of images, 1,024 of signals and 32 of volumes.

    Returns
    -------
    torch.nn.Module
        A new network; the given one stays as it was.

    Raises
    ------
    OptionError
        If an option is outside its range, or does not fit this network.
    InsertionError
        If the network has no place for SE blocks, has some already, or does not take images.
    CompiledModelError
        If the model was compiled.

    Examples
    --------
    >>> import timm
    >>> changed = seviz.insert_se(timm.create_model("resnet10t"))
    >>> len(seviz.find_se_blocks(changed, (3, 64, 64)))
    4
    """
    for name, value, known in (
        ("squeeze", squeeze, get_args(Squeeze)),
        ("excitation", excitation, get_args(Excitation)),
        ("position", position, get_args(Position)),
    ):
        if value not in known:
            raise OptionError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if not isinstance(reduction, int) or reduction < 1:
        raise OptionError(f"reduction is {reduction!r}, expected a whole number from 1")
    if input_size is not None and not is_input_size(input_size):
        raise OptionError(f"input_size is {input_size!r}, expected {sizes_in_words()}")
    refuse_compiled(model)
    shape = _input_shape(model) if input_size is None else (1, *input_size)
    _refuse_se(model, shape)
    sites, ends = _sites(model, position, shape)
    chosen = _chosen(sites, stages)
    narrowest = min((site for site in sites if site.stage in chosen), key=lambda site: site.channels)
    if narrowest.channels < reduction:
        raise OptionError(
            f"reduction is {reduction}, which leaves none of the {narrowest.channels} channels at"
            f" {narrowest.path!r}; expected at most {narrowest.channels}"
        )

    network = copy.deepcopy(model)
    places = _places(network, position, ends)
    like, axes = next(network.parameters()), len(shape) - 2
    for site in sites:
        if site.stage in chosen:
            with fresh_weights(seed=site.index), torch.device("cpu"):
                block = _se_block(site.channels, site.channels // reduction, axes, squeeze, excitation, bias)
            place = places[site.index]
            place.attach(block.to(device=like.device, dtype=like.dtype).train(place.unit.training))
    return network


def _refuse_se(model: nn.Module, shape: tuple[int, ...]) -> None:
    blocks = {}
    with suppress(Exception):  # what else is wrong with the model shows when its places are looked for
        like = next(model.parameters())
        blocks = find_se_blocks(model, torch.empty(shape, dtype=like.dtype, device=like.device))
    if blocks:
        raise InsertionError(
            f"{type(model).__name__} has {len(blocks)} SE blocks already, the first at"
            f" {next(iter(blocks.values())).path!r}; give a network without, such as torchvision/resnet50"
        )


def _input_shape(model: nn.Module) -> tuple[int, ...]:
    """Of one input of a model, by its first convolution: (1, channels, positions...)."""
    stem = next((module for module in model.modules() if isinstance(module, CONVOLUTIONS)), None)
    if stem is None:
        return (1, 3, *[_SIDES[2]] * 2)
    axes = len(stem.kernel_size)
    return (1, stem.in_channels, *[_SIDES[axes]] * axes)


def _chosen(sites: Sequence["_Site"], stages: Collection[int] | None) -> set[int]:
    present = {site.stage for site in sites}
    chosen = present if stages is None else set(stages)
    if not chosen or not chosen <= present:
        raise OptionError(f"stages is {sorted(chosen)}, expected one or more of {sorted(present)}")
    return chosen


def _se_block(
    channels: int, squeezed: int, axes: int, squeeze: Squeeze, excitation: Excitation, bias: bool
) -> nn.Module:
    block = torchvision.ops.SqueezeExcitation(channels, squeezed, scale_activation=_EXCITATIONS[excitation])
    block.avgpool = _POOLS[squeeze][axes - 1](1)
    if axes != 2:
        convolution = CONVOLUTIONS[axes - 1]
        block.fc1, block.fc2 = convolution(channels, squeezed, 1), convolution(squeezed, channels, 1)
    if not bias:
        block.fc1.bias = block.fc2.bias = None
    return block  # type: ignore[no-any-return]


@contextmanager
def fresh_weights(seed: int = 0) -> Iterator[None]:
    """Weights drawn inside are the same at every call, and the caller's random numbers go on undisturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach the generators of the GPUs too
        yield


class _WithSE(nn.Module):
    """What a unit is made into so that it calls an SE block; see `_with_se`."""

    se_position: Position

    def __reduce__(self) -> tuple[Any, ...]:
        return _bare, type(self).__bases__, self.__dict__

    def _at(self, position: Position, u: Tensor) -> Tensor:
        return self._through(["se"], u) if position == self.se_position else u

    def _through(self, parts: Sequence[str], u: Tensor) -> Tensor:
        for part in parts:
            u = getattr(self, part)(u)
        return u


_classes: dict[tuple[type, ...], type] = {}


def _with_se(mixin: type, base: type) -> type:
    """The subclass of `base` with the forward of `mixin`, the same one at every call.

    Made a unit's class, it leaves the names of its parameters as they are, and `isinstance` true. It is in no module
    where pickle could find it: `_WithSE.__reduce__` names the two it is made of.
    """
    if (mixin, base) not in _classes:
        _classes[mixin, base] = type(f"SE{base.__name__}", (mixin, base), {"__module__": __name__})
    return _classes[mixin, base]


def _bare(mixin: type, base: type) -> nn.Module:
    cls: type[nn.Module] = _with_se(mixin, base)
    return cls.__new__(cls)


class _Followed(_WithSE):
    """A unit of any kind, and an SE block behind it."""

    def forward(self, x: Tensor) -> Tensor:
        return self._through(["se_after"], super().forward(x))


# The parts of a ResNet's unit: through the first 3x3 convolution, its BatchNorm and ReLU; to the end of the branch;
# behind the sum.
_PARTS = {
    "torchvision.models.resnet.BasicBlock": (("conv1", "bn1", "relu"), ("conv2", "bn2"), ("relu",)),
    "torchvision.models.resnet.Bottleneck": (
        ("conv1", "bn1", "relu", "conv2", "bn2", "relu"),
        ("conv3", "bn3"),
        ("relu",),
    ),
    "torchvision.models.video.resnet.BasicBlock": (("conv1",), ("conv2",), ("relu",)),
    "torchvision.models.video.resnet.Bottleneck": (("conv1", "conv2"), ("conv3",), ("relu",)),
    "timm.models.resnet.BasicBlock": (("conv1", "bn1", "drop_block", "act1", "aa"), ("conv2", "bn2"), ("act2",)),
    "timm.models.resnet.Bottleneck": (
        ("conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa"),
        ("conv3", "bn3"),
        ("act3",),
    ),
}


class _ResNetUnit(_WithSE):
    """A unit of a ResNet, of torchvision or timm, with an SE block in the branch or on the shortcut."""

    downsample: nn.Module | None

    def forward(self, x: Tensor) -> Tensor:
        first, rest, last = _PARTS[_name(type(self).__bases__[1])]
        u = self._through(first, self._at("pre", x))
        u = self._at("standard", self._through(rest, self._at("3x3", u)))
        if getattr(self, "drop_path", None) is not None:
            u = self._through(["drop_path"], u)
        u += self._at("identity", x if self.downsample is None else self.downsample(x))
        return self._through(last, u)


class _ScaledUnit(_WithSE):
    """A unit of Inception-ResNet-v2: branches concatenated, projected, scaled and added."""

    conv2d: nn.Module
    scale: float

    def forward(self, x: Tensor) -> Tensor:
        entry = self._at("pre", x)
        branches = [branch(entry) for name, branch in self.named_children() if name.startswith("branch")]
        u = self._at("standard", self.conv2d(torch.cat(branches, 1)))
        y = u * self.scale + self._at("identity", x)
        return self._through([name for name in ("act", "relu") if getattr(self, name, None) is not None], y)


class _ShuffleUnit(_WithSE):
    """A unit of ShuffleNet, version 1."""

    downsample: bool

    def forward(self, x: Tensor) -> Tensor:
        u = self._through(["compress_conv1", "compress_bn1", "activ", "c_shuffle"], x)
        u = self._at("standard", self._through(["dw_conv2", "dw_bn2", "expand_conv3", "expand_bn3"], u))
        u = torch.cat((u, self._through(["avgpool"], x)), dim=1) if self.downsample else u + x
        return self._through(["activ"], u)


_Attach = Callable[[nn.Module], object]


def _follow(unit: Any, block: nn.Module) -> None:
    unit.__class__ = _with_se(_Followed, type(unit))
    unit.se_after = block


def _enter(unit: Any, mixin: type[_WithSE], position: Position, block: nn.Module) -> None:
    if getattr(unit, "se", None) is not None:
        raise InsertionError(
            f"a {type(unit).__name__} has a {type(unit.se).__name__} where the SE block goes; give a network without"
            " attention"
        )
    unit.__class__ = _with_se(mixin, type(unit))
    unit.se_position, unit.se = position, block


def _wrap(layers: nn.Sequential, index: int, block: nn.Module) -> None:
    layers[index] = nn.Sequential(layers[index], block)


def _in_unit(unit: Any, position: Position, *, mixin: type[_WithSE]) -> list[_Attach]:
    if position == "post":
        return [partial(_follow, unit)]
    if position == "standard" and "se" in vars(unit):  # timm's units keep a place for it
        return [partial(setattr, unit, "se")]
    return [partial(_enter, unit, mixin, position)]


def _behind_unit(unit: Any, _: Position) -> list[_Attach]:
    return [partial(_follow, unit)]


def _behind_separable(unit: Any, _: Position) -> list[_Attach]:
    # The first stages of later networks are of this type too, there with a shortcut or without the last ReLU.
    return [partial(_follow, unit)] if unit.has_pw_act and not unit.has_skip else []


def _behind_each_relu(network: Any, _: Position) -> list[_Attach]:
    layers = network.features
    return [partial(_wrap, layers, index) for index, layer in enumerate(layers) if isinstance(layer, nn.ReLU)]


def _end_of_branch(unit: Any, _: Position) -> list[_Attach]:
    return [unit.branch2.append]


@dataclass(frozen=True)
class _Kind:
    """How SE blocks are put into one kind of unit."""

    attachments: Callable[[nn.Module, Position], list[_Attach]]
    positions: tuple[Position, ...] = ("standard",)


_BOTTLENECK = _Kind(partial(_in_unit, mixin=_ResNetUnit), get_args(Position))
_BASIC_BLOCK = _Kind(partial(_in_unit, mixin=_ResNetUnit), ("standard", "pre", "post", "identity"))
_SCALED = _Kind(partial(_in_unit, mixin=_ScaledUnit), ("standard", "pre", "post", "identity"))

# By name, since pytorchcv need not be installed; by the very class, since a subclass may have another forward.
_KINDS: dict[str, _Kind] = {
    "torchvision.models.resnet.BasicBlock": _BASIC_BLOCK,
    "torchvision.models.resnet.Bottleneck": _BOTTLENECK,
    "torchvision.models.video.resnet.BasicBlock": _BASIC_BLOCK,
    "torchvision.models.video.resnet.Bottleneck": _BOTTLENECK,
    "timm.models.resnet.BasicBlock": _BASIC_BLOCK,
    "timm.models.resnet.Bottleneck": _BOTTLENECK,
    **{f"timm.models.inception_resnet_v2.{name}": _SCALED for name in ("Block35", "Block17", "Block8")},
    "torchvision.models.googlenet.Inception": _Kind(_behind_unit),
    **{f"torchvision.models.inception.Inception{letter}": _Kind(_behind_unit) for letter in "ABCDE"},
    "pytorchcv.models.bninception.InceptionBlock": _Kind(_behind_unit),
    "pytorchcv.models.bninception.ReductionBlock": _Kind(_behind_unit),
    "torchvision.models.vgg.VGG": _Kind(_behind_each_relu),
    "timm.models.vgg.VGG": _Kind(_behind_each_relu),
    "timm.models._efficientnet_blocks.DepthwiseSeparableConv": _Kind(_behind_separable),
    "pytorchcv.models.shufflenet.ShuffleUnit": _Kind(partial(_in_unit, mixin=_ShuffleUnit)),
    "torchvision.models.shufflenetv2.InvertedResidual": _Kind(_end_of_branch),
}


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@dataclass(frozen=True)
class _Place:
    """Where an SE block can be put: a unit, by its path, and what puts a block there."""

    path: str
    unit: nn.Module
    attach: _Attach


def _places(model: nn.Module, position: Position, ends: Sequence[str] = ()) -> list[_Place]:
    """The places in units that are known, or behind the modules that residual branches end in."""
    if ends:
        return [_Place(path, model.get_submodule(path), partial(_follow, model.get_submodule(path))) for path in ends]
    places = []
    for path, unit in model.named_modules():
        kind = _KINDS.get(_name(type(unit)))
        if kind is None or not (attachments := kind.attachments(unit, position)):
            continue
        if position not in kind.positions:
            raise OptionError(
                f"position {position!r} does not fit {type(model).__name__}: in its {type(unit).__name__}, expected"
                f" {' or '.join(kind.positions)}"
            )
        places += [_Place(path, unit, attach) for attach in attachments]
    return places


def _branch_ends(model: nn.Module, images: Tensor, position: Position) -> tuple[str, ...]:
    """The ends of the residual branches of a network whose units are not known."""
    ends = branch_ends(model, images)
    if not ends:
        raise InsertionError(
            f"no place for SE blocks in {type(model).__name__}: expected a ResNet, ResNeXt, Inception,"
            " Inception-ResNet, VGG, MobileNet or ShuffleNet of torchvision, timm or pytorchcv, such as"
            " torchvision/resnet50, or another network with residual branches of convolutions, channels first"
        )
    if position != "standard":
        raise OptionError(
            f"position {position!r} does not fit {type(model).__name__}, whose residual branches were told by a forward"
            " pass, expected standard"
        )
    return ends


class _Ruler(nn.Module):
    """Stands where an SE block will, and notes the shape of what comes by."""

    shape: torch.Size | None = None

    def forward(self, u: Tensor) -> Tensor:
        self.shape = u.shape
        return u


@dataclass(frozen=True)
class _Site:
    """What is known of a place, the `index`-th of `_places`."""

    index: int
    path: str
    stage: int
    channels: int


def _sites(model: nn.Module, position: Position, shape: tuple[int, ...]) -> tuple[list[_Site], tuple[str, ...]]:
    """The places that a forward pass goes through, by a pass through a copy without memory.

    With the ends of its residual branches, where its units are not known.
    """
    tensors = [*model.parameters(), *model.buffers()]
    blank = copy.deepcopy(model, {id(t): t.detach().to("meta") for t in tensors}).eval()
    rulers, ends = list[_Ruler](), tuple[str, ...]()
    try:
        with torch.no_grad():
            images = torch.empty(shape, dtype=tensors[0].dtype, device="meta")
            places = _places(blank, position)
            if not places:
                ends = _branch_ends(blank, images, position)
                places = _places(blank, position, ends)
            for place in places:
                rulers.append(_Ruler())
                place.attach(rulers[-1])
            blank(images)
    except SevizError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InsertionError(
            f"{type(model).__name__} cannot be run on inputs of shape {shape} ({reason}); give input_size, or the"
            f" part of it that takes {axes_in_words(shape[1:], batch=True)}"
        ) from error
    seen = [
        (index, place.path, ruler.shape)
        for index, (place, ruler) in enumerate(zip(places, rulers, strict=True))
        if ruler.shape is not None
    ]
    stages = stage_numbers([stride(shape[2:], at) for _, _, at in seen])
    sites = [_Site(index, path, stage, at[1]) for (index, path, at), stage in zip(seen, stages, strict=True)]
    return sites, ends
