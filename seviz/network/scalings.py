"""How a feature map is scaled where it is not by an SE block: the kinds, and which of them a product is.

A kind is told by the shape of the factor, and then by the way from the feature map to the factor, as a pass has shown
it. The name of an attention stands in the words of a kind only where that way leaves nothing else: a spatial gate is
one as in CBAM where it is computed from the mean and the maximum over channels alone.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import torch
from torch import Tensor

from seviz.network.origins import COPIES, ELEMENTWISE, EXPANSIONS, NUMBER_BY_NUMBER, PIECES, Origin
from seviz.network.positions import Layout

_MEANS = {"mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"} | {f"adaptive_avg_pool{axes}d" for axes in (1, 2, 3)}
_SUMS = {"sum", "norm", "vector_norm", "linalg_norm", "linalg_vector_norm"}
_MAXIMA = {"max", "amax"}
_SIZES = {"var", "std", "var_mean", "std_mean", "norm", "vector_norm", "linalg_vector_norm", "sqrt", "rsqrt"}
_SQUASHING = {"sigmoid", "hardsigmoid", "tanh", "exp", "softmax"}
_UPSAMPLING = {"interpolate", "upsample", "upsample_nearest", "upsample_bilinear"}


class Scaling(StrEnum):
    """How a feature map is scaled where it is not by an SE block."""

    LEARNED = "by numbers that are the same for every image (layer scale)"
    WEIGHTED = "by numbers that are the same for every image and differ between positions"
    IMAGE = "by one number an image (stochastic depth)"
    IMAGE_GATE = "by one number an image, computed from it"
    SPATIAL = "by a factor that differs between positions (spatial gate)"
    POOLED = "by a factor that differs between positions, from the channel mean and maximum (spatial gate as in CBAM)"
    SUMMED = "by a factor that differs between positions, from a 1x1 convolution (spatial gate as in scSE)"
    TURNED = "by a factor that differs between channels and along one side, from mean and maximum (triplet attention)"
    DIRECTIONAL = "by a factor that differs along one side"
    COORDINATE = "by one factor along each side (coordinate attention)"
    COMBINED = "by a full-size factor that combines a channel gate and a spatial gate"
    BOTTLENECK = "by a full-size factor that combines channel and spatial logits (BAM)"
    EXTENT = "by a full-size factor gathered over neighbourhoods (gather-excite)"
    ENERGY = "by a full-size factor from squared distances to the channel mean, without learned weights (SimAM)"
    GATHERED = "per channel and image, by the sigmoid of the channel mean, without learned weights (gather-excite)"
    GAUSSIAN = "per channel and image, by a Gaussian of the channel-normalised squeeze (Gaussian context transformer)"
    COMPETING = "per channel and image, by learned vectors and norms over channels (gated channel transformation)"
    NORMALISED = "per channel and image, by no learned matrix (response or instance normalisation)"
    UNLEARNED = "per channel and image, by no learned matrix"
    FOREIGN = "per channel and image, by what is not computed from that feature map"
    SELECTIVE = "several feature maps at once, by a softmax between them (selective kernels)"
    SPLIT = "several feature maps at once, by a softmax between parts of one (split attention)"
    SEVERAL = "several feature maps at once"
    UNKNOWN = "per channel and image, in a way that is not understood"
    OPAQUE = "perhaps, by what was not looked into (TorchScript)"


@dataclass(frozen=True)
class Scaled:
    """A product that scales a feature map by a factor, as a pass has shown it.

    Attributes
    ----------
    u, factor
        Where the two come from.
    size, sides
        Their shapes, channels first, the factor's with as many axes and single where it is constant by form.
    shapes
        Of each feature map of the pass.
    own
        The tensors that belong to the network, by name.
    """

    u: Origin
    factor: Origin
    size: tuple[int, ...]
    sides: tuple[int, ...]
    shapes: Sequence[tuple[int, ...]]
    own: Mapping[str, Tensor]

    @property
    def is_computed(self) -> bool:
        """Whether the factor was seen to be computed from what the network is given."""
        return self.factor.data and self.factor.followed

    @cached_property
    def way(self) -> list[Origin]:
        """What lies between feature map and factor, the factor included; nothing if that is not computed from it."""
        return way(self.factor, self.u)


def way(factor: Origin, u: Origin) -> list[Origin]:
    """What was computed on the way from a feature map to a factor, in order; nothing if there is no such way."""
    sources = _bits(u.maps)
    seen: dict[int, Origin] = {}
    waiting, reached = [factor], False
    while waiting:
        origin = waiting.pop()
        if origin.maps & u.maps:
            reached = True
        elif origin.data and origin.sources & sources and origin.serial not in seen:
            seen[origin.serial] = origin
            waiting += origin.inputs
    return [seen[serial] for serial in sorted(seen)] if reached else []


def kind_of(scaled: Scaled, rank: int, layout: Layout | None) -> Scaling | None:
    """Which kind a product is whose factor is not one number per image and channel; None if it is none.

    Parameters
    ----------
    scaled
        The product; no axis of its factor is longer than that of the feature map.
    rank
        Numbers of axes of the feature maps of the network.
    layout
        Where this feature map has its channels, if that is known.
    """
    size, sides, channel_axes = scaled.size, scaled.sides, {1} if layout else {1, len(scaled.size) - 1}
    differing = {axis for axis, n in enumerate(sides) if n > 1}
    if sides[0] != size[0]:
        # Windows and heads share the first axis with the batch: then it is anybody's guess.
        if not differing or 0 in differing or scaled.is_computed:
            return None
        return Scaling.LEARNED if len(differing) == 1 and differing <= channel_axes else Scaling.WEIGHTED
    if sides == size:
        return for_every_number(scaled)
    if len(size) > rank and softmax_of(scaled, several=True):
        return shared_out(scaled)
    if len(size) > max(rank, 4):
        return Scaling.SEVERAL
    if differing <= {0}:
        return Scaling.IMAGE_GATE if scaled.is_computed else Scaling.IMAGE
    if differing <= {0, 1}:
        return Scaling.UNKNOWN
    if 1 in sides[2:] and sum(n > 1 for n in size[2:]) > 1:
        return along_sides(scaled)
    return between_positions(scaled) if sides[1] == 1 else None


def unlearned(scaled: Scaled) -> Scaling:
    """Which kind a factor per channel and image is that is computed by no learned matrix."""
    since = [origin for origin in scaled.factor.since_squeeze() if origin.name not in COPIES | EXPANSIONS]
    names = [origin.name for origin in since]
    if not since:
        return Scaling.UNLEARNED
    constants = [each for origin in since for each in origin.inputs if not each.data]
    if any(origin.numbers == 1 for origin in since) or "layer_norm" in names:
        if _is_gaussian(scaled.factor):
            return Scaling.GAUSSIAN
        if since[0].name in _SUMS and constants and next(n for n in reversed(names) if n != "add") == "tanh":
            return Scaling.COMPETING
    if _is_mean_of(since, scaled.u) and names[-1] == "sigmoid" and set(names[1:]) <= ELEMENTWISE and not constants:
        return Scaling.GATHERED
    return Scaling.NORMALISED if _SIZES & set(names) and not _SQUASHING & set(names) else Scaling.UNLEARNED


def _is_gaussian(factor: Origin) -> bool:
    """Whether this is exp(-a z^2)."""
    last = _before(factor, COPIES | EXPANSIONS)
    square = _before(last.inputs[0], {"neg", "mul", "div", *COPIES}) if last.name == "exp" else last
    return square.name == "pow" or (square.name == "mul" and len({each.serial for each in _data(square)}) == 1)


def _is_mean_of(since: Sequence[Origin], u: Origin) -> bool:
    first = since[0]
    return first.name in _MEANS and all(_before(each, COPIES).maps & u.maps for each in _data(first))


def softmax_of(scaled: Scaled, *, several: bool) -> Origin | None:
    """The softmax between feature maps that a factor is: all of it where `several` are scaled, else a piece of it."""
    softmax = _before(scaled.factor, COPIES | EXPANSIONS | PIECES)
    if softmax.name != "softmax" or softmax.value is None:
        return None
    value, numbers = softmax.value, math.prod(scaled.sides[1:])
    for axis, parts in enumerate(value.shape[1:], 1):
        whole = numbers if several else numbers * parts
        if 1 < parts < value[0].numel() == whole and torch.allclose(value.sum(axis), value.new_ones(()), atol=1e-2):
            return softmax
    return None


def shared_out(scaled: Scaled) -> Scaling:
    """Which kind a softmax between feature maps is: those are parts of one, or each its own."""
    return Scaling.SPLIT if _is_part(scaled) else Scaling.SELECTIVE


def _is_part(scaled: Scaled) -> bool:
    """Whether what is scaled is a part of a feature map, or all of its parts."""
    numbers, maps = math.prod(scaled.size), scaled.u.maps
    return any(
        math.prod(shape) > numbers or (k in maps and len(shape) < len(scaled.size))
        for k, shape in enumerate(scaled.shapes)
        if scaled.u.kin >> k & 1
    )


def weighted(made: Collection[Origin]) -> list[Origin]:
    """The products among some origins of which sums or means were taken, as a weighted squeeze takes them."""
    reduced = [_before(origin, {origin.name, *COPIES}) for origin in made if origin.name in ("sum", "mean")]
    return [origin for origin in reduced if origin.name == "mul" and origin in made]


def weighted_sums(since: Collection[Origin]) -> tuple[str, ...]:
    """Names of learned tensors that were multiplied by and summed over: matrices, in the way that some write them."""
    weights = [each.learned for product in weighted(since) for each in product.inputs if not each.data]
    return tuple(dict.fromkeys(name for names in weights for name in names))


def between_positions(scaled: Scaled) -> Scaling:
    """Which kind a factor is that has a single channel and differs between positions."""
    if _is_of_two(scaled):
        return Scaling.TURNED if _is_turned(scaled) else Scaling.POOLED
    first, rest = scaled.way[:1], scaled.way[1:]
    weight = scaled.own.get(first[0].applied[0]) if first and first[0].applied else None
    if _kernel(weight) == 1 and _is_elementwise(rest):
        return Scaling.SUMMED
    return Scaling.SPATIAL


def _is_elementwise(origins: Iterable[Origin]) -> bool:
    return all(origin.name in NUMBER_BY_NUMBER and not origin.applied for origin in origins)


def _is_of_two(scaled: Scaled) -> bool:
    """Whether a factor is made by one convolution of a mean and a maximum over one axis."""
    layers = [origin for origin in scaled.way if origin.applied]
    weight = scaled.own.get(layers[0].applied[0]) if layers else None
    if len(layers) != 1 or weight is None or weight.ndim < 3 or weight.shape[1] != 2:
        return False
    names = {origin.name for origin in scaled.way if origin.serial < layers[0].serial} - COPIES - {"get"}
    after = (origin for origin in scaled.way if origin.serial > layers[0].serial)
    return bool(names & _MAXIMA) and names - _MAXIMA - PIECES == {"mean", "cat"} and _is_elementwise(after)


def _is_turned(scaled: Scaled) -> bool:
    """Whether, by its shape, what is scaled is a feature map whose channels have changed places with positions."""
    shape = scaled.shapes[min(scaled.u.maps)] if scaled.u.maps else ()
    if scaled.u.layout is not None or len(shape) != len(scaled.size) or shape[1] == scaled.size[1]:
        return False
    turned = [(*shape[:1], shape[axis], *shape[2:axis], shape[1], *shape[axis + 1 :]) for axis in range(2, len(shape))]
    return scaled.size in turned


def _kernel(weight: Tensor | None) -> int:
    """How many positions the matrices of a weight cover; 0 where that is not known."""
    return 0 if weight is None else weight.shape[2:].numel()


def along_sides(scaled: Scaled) -> Scaling:
    """Which kind a factor is that differs along some sides: the second of two that come of one layer, or another."""
    if scaled.sides[1] > 1 and _is_of_two(scaled):
        return Scaling.TURNED
    for first in scaled.u.inputs if scaled.u.name == "mul" and scaled.sides[1] > 1 else ():
        for u in scaled.u.inputs:
            if u is not first and _of_each_side(first, scaled.factor, u, scaled.shapes):
                return Scaling.COORDINATE
    return Scaling.DIRECTIONAL


def _of_each_side(one: Origin, other: Origin, u: Origin, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether two factors differ along different sides and come of the same learned layer of a feature map."""
    layers = [{origin.serial for origin in way(factor, u) if origin.applied} for factor in (one, other)]
    sides = [_varying(factor, shapes) for factor in (one, other)]
    return bool(layers[0] & layers[1]) and all(sides) and not sides[0] & sides[1]


def _varying(factor: Origin, shapes: Sequence[tuple[int, ...]]) -> set[int]:
    """The axes of positions along which a factor differs; none if it was not seen as a feature map."""
    smallest = min((shapes[k] for k in factor.maps), key=math.prod, default=())
    return {axis for axis in range(2, len(smallest)) if smallest[axis] > 1}


def for_every_number(scaled: Scaled) -> Scaling | None:
    """Which kind a factor is that is as large as the feature map, if it is one of those that are known."""
    made, u, squashed = scaled.factor, scaled.u, False
    while made.name in NUMBER_BY_NUMBER and not made.maps & u.maps and len(data := _data(made)) == 1:
        squashed |= made.name in _SQUASHING  # back to where more than one thing comes in
        made = data[0]
    if made.maps & u.maps or not scaled.way:
        return None
    learned = [name for origin in scaled.way for name in origin.applied]
    if made.name in _UPSAMPLING and _SQUASHING & {origin.name for origin in scaled.way}:
        return Scaling.EXTENT if all(_is_gathering(scaled.own.get(name)) for name in learned) else None
    data = _data(made)
    if len(data) != 2 or not all(each.sources & _bits(u.maps) for each in data):
        return None
    if made.name == "mul" and _of_each_side(data[0], data[1], u, scaled.shapes):
        return Scaling.COORDINATE
    for channel, other in (data, data[::-1]):
        if not channel.is_descriptor:
            continue
        if made.name in ("add", "mul") and any(scaled.shapes[k][1] == 1 for k in other.maps):
            return Scaling.BOTTLENECK if squashed else Scaling.COMBINED
        if made.name in ("div", "mul") and squashed and not learned and _is_squared_distance(other, u):
            return Scaling.ENERGY
    return None


def _is_gathering(weight: Tensor | None) -> bool:
    """Whether a weight is that of a depthwise convolution, or covers a single position."""
    return weight is not None and (weight.ndim < 3 or weight.shape[1] == 1 or _kernel(weight) == 1)


def _is_squared_distance(square: Origin, u: Origin) -> bool:
    """Whether this is (u - mean of u)^2."""
    distance = square.inputs[0]
    return (
        square.name in ("pow", "mul")
        and all(each is distance for each in _data(square))
        and distance.name == "sub"
        and len(distance.inputs) == 2
        and bool(distance.inputs[0].maps & u.maps)
        and distance.inputs[1].name in _MEANS
    )


def _before(origin: Origin, names: Collection[str]) -> Origin:
    """What an origin was before some functions of one argument."""
    while origin.name in names and len(data := _data(origin)) == 1:
        origin = data[0]
    return origin


def _data(origin: Origin) -> list[Origin]:
    """Its inputs that depend on what the network is given."""
    return [each for each in origin.inputs if each.data]


def _bits(maps: Iterable[int]) -> int:
    return sum(1 << k for k in maps)
