"""Where in the weights of a network the constant gate of an SE block can go.

A factor of a channel goes into the layer that makes the channel, if nothing between that layer and the block would
treat the scaled channel otherwise: a ReLU passes a factor of at least 0 on, SiLU and hard swish pass none. Else it
goes into the layers that use the channel next, all of them. What lies between is seen in a forward pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from seviz.network.blocks import SEBlock
from seviz.network.flow import Call, Flow, Value, flow_of
from seviz.network.keras_models import KerasModel

Side = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Some channels of a layer that take the factors of some gates.

    Attributes
    ----------
    path
        Of the convolution, linear layer, BatchNorm or LayerNorm.
    axis
        Whether they are outputs of the layer, or inputs.
    first
        The first of its channels.
    start, stop
        Which gates.
    """

    path: str
    axis: Literal["outputs", "inputs"]
    first: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the constant gate of a block can go.

    Attributes
    ----------
    side
        Before or after the block; None if it can go nowhere.
    layers
        What takes the factors.
    positive
        Whether only gates of at least 0 can go there, as through a ReLU.
    removable
        Whether the block can be taken out: nothing but the block happens in the module around its product.
    reason
        Why it can go nowhere, in words; else empty.
    """

    side: Side | None
    layers: tuple[Scaled, ...] = ()
    positive: bool = False
    removable: bool = True
    reason: str = ""


_OF_KERAS = "Keras keeps its weights in variables of its own, outside of torch's layers, which a gate cannot go into"


class _NoPlaceError(Exception):
    """Why a factor cannot go on, in words."""


def places(model: nn.Module, images: Tensor, blocks: Mapping[str, SEBlock]) -> dict[str, Place]:
    """Tell for each SE block where a constant gate can go.

    Parameters
    ----------
    model
        The network that the blocks were found in.
    images
        What it takes; only shape, dtype and device count.
    blocks
        By name.
    """
    if isinstance(model, KerasModel):
        return dict.fromkeys(blocks, Place(side=None, removable=False, reason=_OF_KERAS))
    flow = flow_of(model, images)
    return {name: _place(model, flow, block) for name, block in blocks.items()}


def _place(model: nn.Module, flow: Flow, block: SEBlock) -> Place:
    try:
        u, y = _in_and_out(flow, block)
    except _NoPlaceError as error:
        return Place(side=None, removable=False, reason=str(error))
    reasons = []
    for walk in (_Before(model, flow, block.path), _After(model, flow)):
        try:
            value = u if walk.side == "before" else y
            walk.go(value, flow.channels_of(block, value), 0, block.channels)
        except _NoPlaceError as error:
            reasons.append(f"{walk.side} it {error}")
        else:
            return Place(side=walk.side, layers=tuple(walk.layers), positive=walk.positive)
    return Place(side=None, reason="; ".join(reasons))


def _in_and_out(flow: Flow, block: SEBlock) -> tuple[Value, Value]:
    """The feature map that goes into the module of a block, and the scaled one that comes out, and nothing else."""
    call, visits = flow.product(block), flow.visits.get(block.path, [])
    where = f"its module {block.path!r}" if block.path else "the network itself"
    if call is None or call.scaled is None or len(visits) != 1 or block.pieces:
        raise _NoPlaceError(f"{where} is called several times, or scales several feature maps")
    u, y = call.scaled[0], call.outputs[0]
    if not block.path or call.name == "addcmul" or visits[0].given != (u,) or visits[0].gave != (y,):
        raise _NoPlaceError(f"{where} does more than scale what it is given; put the block into a module of its own")
    return u, y


class _Walk:
    """Carries factors from layer to layer."""

    side: Side

    def __init__(self, model: nn.Module, flow: Flow) -> None:
        self._model, self._flow = model, flow
        self.layers: list[Scaled] = []
        self.positive = False

    def _pass(self, call: Call, axis: int) -> int:
        """Go through a call that hands factors on; the axis of the channels on the other side of it."""
        passed = self._flow.passes(call)
        other = None
        if passed != "no":
            other = (self._flow.back if self.side == "before" else self._flow.onward)(call, axis)
        if other is None:
            raise _NoPlaceError(f"{_words(call)} does not pass a factor on")
        self.positive |= passed == "positive"
        return other

    def _layer(self, name: object, call: Call) -> str:
        """The path of the layer that a call uses a parameter of, if that is used there only."""
        if not isinstance(name, str):
            raise _NoPlaceError(f"the weights of {_words(call)} are computed anew at each pass, or there are none")
        parameter = dict(self._model.named_parameters(remove_duplicate=False)).get(name)
        if parameter is None:
            raise _NoPlaceError(f"the weights of {_words(call)} are no parameters")
        if self._flow.owners[id(parameter)] != 1 or self._flow.uses[name] != 1:
            raise _NoPlaceError(f"the weights of {_words(call)} are used several times")
        path = name.rpartition(".")[0]
        module = self._model.get_submodule(path)
        if module._forward_hooks or module._forward_pre_hooks:
            raise _NoPlaceError(f"the layer {path!r} has hooks")
        return path


class _Before(_Walk):
    """From a block's feature map back to the layers that make it."""

    side: Side = "before"

    def __init__(self, model: nn.Module, flow: Flow, path: str) -> None:
        super().__init__(model, flow)
        self._path = path

    def go(self, value: Value, axis: int, start: int, stop: int, user: Call | None = None) -> None:
        """Scale the channels on an axis of a value, used by the block or by one call."""
        users = self._flow.users.get(value, [])
        inside = all(call is user if user is not None else self._path in call.inside for call in users)
        call = self._flow.makers.get(value)
        if call is None:
            raise _NoPlaceError("stand the images themselves")
        if not inside or value in self._flow.given_back:
            raise _NoPlaceError(f"what {_words(call)} gives is also used elsewhere, as by a shortcut")
        if self._flow.makes(call, axis):
            self._outputs(call.argument(1, "weight"), call, start, stop)
        elif (scale := self._norm_scale(call, value, axis)) is not None:
            self._outputs(scale, call, start, stop)
        elif inputs := self._flow.side_by_side(call, axis):
            for each in inputs:
                channels = self._flow.shapes[each][axis]
                self.go(each, axis, start, start + channels, call)
                start += channels
        else:
            self.go(call.inputs[0], self._pass(call, axis), start, stop, call)

    def _norm_scale(self, call: Call, value: Value, axis: int) -> object:
        """The scale of a normalisation that has one for each of the channels on an axis; None for any other call."""
        if call.name == "batch_norm" and axis == 1:
            return call.argument(3, "weight")
        if call.name == "layer_norm" and len(call.argument(1, "normalized_shape")) == 1:
            return call.argument(2, "weight") if axis == len(self._flow.shapes[value]) - 1 else None
        return None

    def _outputs(self, name: object, call: Call, start: int, stop: int) -> None:
        path = self._layer(name, call)
        self.layers.append(Scaled(path=path, axis="outputs", first=0, start=start, stop=stop))


class _After(_Walk):
    """From a block's scaled feature map on to the layers that use it."""

    side: Side = "after"

    def go(self, value: Value, axis: int, start: int, stop: int, first: int = 0) -> None:
        """Scale the channels on an axis of a value, from `first` on, by the gates from `start` to `stop`."""
        users = self._flow.users.get(value, [])
        if value in self._flow.given_back or not users:
            raise _NoPlaceError("comes the network's output")
        for call in users:
            if self._flow.takes(call, value, axis):
                path = self._layer(call.argument(1, "weight"), call)
                self.layers.append(Scaled(path=path, axis="inputs", first=first, start=start, stop=stop))
            elif inputs := self._flow.side_by_side(call, axis):
                before = 0
                for each in inputs:
                    if each == value:
                        self.go(call.outputs[0], axis, start, stop, first + before)
                    before += self._flow.shapes[each][axis]
            elif self._flow.splits(call, axis):
                offset = start - first  # from a channel's number to its gate's
                before = 0
                for each in call.outputs:
                    low, high = max(first, before), min(first + stop - start, before + self._flow.shapes[each][axis])
                    if low < high:
                        self.go(each, axis, low + offset, high + offset, low - before)
                    before += self._flow.shapes[each][axis]
            else:
                self.go(call.outputs[0], self._pass(call, axis), start, stop, first)


def _words(call: Call) -> str:
    name = call.name.strip("_") or "a function"
    return f"{name} in {call.inside[-1]!r}" if call.inside and call.inside[-1] else name
