"""Watch one forward pass: which feature maps are scaled per channel, by what, and inside which module.

How it works. Module hooks tell where the pass is; a `TorchFunctionMode` sees every torch function. Each tensor that is
computed gets an `Origin`: the function, the origins of its inputs, and what follows from them, such as which feature
maps it depends on. Origins are kept by the tensor itself, so views, in-place operations and modules that return what
they were given keep their place. Tensors that no function was seen to make (scripted functions, extensions) are taken
to come from what was computed in the same module and not used yet; what a module returns, from what it was given.

At each call that may scale a feature map channel by channel (see `products`), the two operands are looked at: it is a
find where one is a feature map and the other holds one number per image and channel, computed from that feature map by
way of learned matrices. What is learned is what comes of parameters or buffers through any operations.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from seviz.network.layouts import place, taken_as, where
from seviz.network.origins import (
    BY_FORM_OF_OTHERS,
    BY_SHAPE,
    COPIES,
    ELEMENTWISE,
    EXPANSIONS,
    MULTIPLYING,
    PIECES,
    UNREGISTERED,
    Origin,
)
from seviz.network.positions import AXES, RANKS, Layout, channels_first, is_feature_map, position_sizes
from seviz.network.products import (
    CONTRACTIONS,
    ELEMENTWISE_PRODUCTS,
    Form,
    Product,
    batch_of,
    function_name,
    is_constant_over_positions,
    map_tensors,
    operands,
    tensors_in,
)
from seviz.network.scalings import (
    Scaled,
    Scaling,
    kind_of,
    shared_out,
    softmax_of,
    unlearned,
    way,
    weighted,
    weighted_sums,
)


@dataclass(frozen=True)
class Find:
    """A product whose factor is computed from the feature map it scales, or pieces of one in turn."""

    path: str
    """The innermost module around the product."""
    call: int
    """Which call of that module it is in."""
    product: int
    """Which of the products made inside that module it is, in the whole pass."""
    within: int
    """Which in this call of the module."""
    operand: int
    """Which of the two operands holds the gate."""
    form: Form
    """What that operand is."""
    layout: Layout
    """Where the network keeps the channels of what is scaled."""
    gate: tuple[str, int] | None
    """The module whose output the factor is, and which call of it; none for a plain function call."""
    u: Tensor
    """What is scaled, (batch, channels, positions...)."""
    u_origin: Origin
    factor: Tensor
    """(batch, channels)."""
    origin: Origin
    """Of the factor."""
    weights: tuple[str, ...]
    """Names of the matrices between squeeze and gate, in order of use."""
    computed: bool
    """Whether those are computed from the named tensors at each pass."""
    inputs: tuple[Any, Any]
    """What the module was called with: positional arguments and keywords."""
    offset: int = 0
    """Where u begins in its storage."""
    pieces: tuple[tuple[int, int], ...] = ()
    """Of further products that scale some channels each: number and first channel."""
    lead: Tensor | None = None
    """Of several products the factor of the first, which `origin` is of."""
    parts: int = 1
    """In how many parts of the batch the pass made it."""

    @property
    def width(self) -> int | None:
        """The narrowest it has been since the squeeze, in values per image."""
        return min((origin.numbers for origin in self.origin.since_squeeze()), default=None)


@dataclass
class _Frame:
    """A call of a module that the pass is in."""

    path: str
    call: int
    inputs: tuple[Any, Any]
    products: int = 0
    """Counted so far in this call."""
    made: list[Origin] = field(default_factory=list)
    """What was computed directly in it."""


@dataclass
class Trace(TorchFunctionMode):
    """The search in one forward pass. Use through `trace`."""

    names: dict[int, str]
    """Names of the tensors that belong to the network by the address of their data."""
    own: dict[str, Tensor]
    """Those tensors, kept so that no other comes to lie at their address."""
    finds: list[Find] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    """How often each module was called."""
    products: Counter[str] = field(default_factory=Counter)
    """How many products were counted inside each module."""
    scalings: dict[tuple[str, Scaling], set[frozenset[int]]] = field(default_factory=dict)
    """Where feature maps are scaled otherwise, innermost module and kind, in order; the operands of each product."""
    single: dict[str, None] = field(default_factory=dict)
    """The modules in which something of a single position was multiplied by something computed from it."""
    batch: int = 0
    """Images of the pass."""
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    """Of each feature map seen."""
    layout_of_input: Layout = "first"
    """Where the channels of what the network is given stand, as its first layer takes them."""

    def __post_init__(self) -> None:
        super().__init__()
        self._stack: list[_Frame] = []
        self._origins = WeakTensorKeyDictionary()
        self._serial = 0
        self._used: set[int] = set()
        self._rank = 4
        self._told = 0  # how often other scaling was noted
        self._shares: dict[int, Scaled] = {}  # the first product by each softmax between feature maps
        self._open = True  # whether no layer has taken the input yet

    # Origins

    def _new(self, **known: Any) -> Origin:
        self._serial += 1
        return Origin(self._serial, **known)

    def origin(self, tensor: Tensor) -> Origin:
        """Where a tensor comes from; one that was not seen to be made becomes known."""
        known = self._origins.get(tensor)
        if known is None:
            if (name := self.names.get(_address(tensor))) is not None:
                known = self._new(name=name, learned=(name,) if self.own[name].ndim > 1 else ())
            elif isinstance(tensor, nn.Parameter):  # of a module that is not registered
                known = self._new(name="parameter", learned=(UNREGISTERED,) if tensor.ndim > 1 else (), computed=True)
            else:
                known = self._appeared(tensor)
            self._origins[tensor] = known
        return known  # type: ignore[no-any-return]

    def _given(self, tensor: Tensor) -> None:
        """A tensor that the network is given depends on nothing."""
        maps = self._new_map(tensor) if is_feature_map(tensor) else frozenset[int]()
        bits = _bits(maps)
        axes = (1, tensor.ndim - 1) if tensor.ndim in RANKS else None
        self._origins[tensor] = self._new(name="input", data=True, maps=maps, kin=bits, sources=bits, axes=axes)

    def _appeared(self, tensor: Tensor) -> Origin:
        """The origin of a tensor that no function was seen to make."""
        if not self._stack or not _is_number(tensor):
            return self._new(name="constant")
        frame = self._stack[-1]
        loose = [origin for origin in frame.made if origin.serial not in self._used and origin.data]
        return self._unseen(tensor, loose or [self.origin(x) for x in _floats(frame.inputs)], ())

    def _unseen(self, tensor: Tensor, inputs: Iterable[Origin], applied: tuple[str, ...]) -> Origin:
        inputs = tuple(inputs)
        if not any(origin.data for origin in inputs):
            return self._new(name="constant", learned=_joined(origin.learned for origin in inputs) + applied)
        origin = self._computed("unseen", inputs, None, tensor, changed=False, call=None, applied=applied)
        return replace(origin, followed=False)

    def _new_map(self, tensor: Tensor) -> frozenset[int]:
        self.shapes.append(tuple(tensor.shape))
        return frozenset({len(self.shapes) - 1})

    # Modules

    def enter(self, path: str, args: Any, kwargs: Any) -> None:
        """A module is called."""
        if not self._stack:
            for tensor in _floats((args, kwargs)):
                self._given(tensor)
            self.batch = batch_of((args, kwargs))
            self._rank = max((tensor.ndim for tensor in _floats((args, kwargs))), default=4)
        self._stack.append(_Frame(path, self.calls[path], (args, kwargs)))
        self.calls[path] += 1

    def leave(self, path: str, output: Any, matrices: Callable[[], tuple[str, ...]]) -> None:
        """A module returns: its output bears its name, unless a module inside it gave it already."""
        frame = self._stack.pop()
        for tensor in _floats(output):
            if tensor not in self._origins and _address(tensor) not in self.names:
                given = [self.origin(x) for x in _floats(frame.inputs)]
                self._origins[tensor] = self._unseen(tensor, given, matrices())
            origin = self.origin(tensor)
            if origin.module is None and tensor is output:
                origin = self._origins[tensor] = replace(origin, module=(path, frame.call))
            if self._stack:
                self._stack[-1].made.append(origin)

    # Functions

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        inputs = list(tensors_in((args, kwargs)))
        if not self._stack:
            return func(*args, **kwargs)
        if any(map(_is_wrapped, inputs)):
            if name in ELEMENTWISE_PRODUCTS and len({x.numel() for x in inputs}) > 1:
                self._tell(Scaling.UNKNOWN)
            return func(*args, **kwargs)
        if name in BY_SHAPE:
            inputs = [x for x in inputs[:1] if name == "expand_as"]
        pair = operands(func, args, kwargs)
        finds, told = len(self.finds), self._told
        finish = self._product(name, pair) if pair is not None else None
        if pair is None and name in ELEMENTWISE_PRODUCTS and len(inputs) > 1:
            self._note(*sorted(inputs[-2:], key=Tensor.numel))
        before = [(x, x._version, self.origin(x)) for x in inputs]
        named = {k: v for k, v in kwargs.items() if k != "out"}
        if name in BY_FORM_OF_OTHERS:
            others = map_tensors(_form_of, (args[1:], named))
            call = func, (*map_tensors(self._standing_in, args[:1]), *others[0]), others[1]
        else:
            call = (func, *map_tensors(self._standing_in, (args, named)))
        output = func(*args, **kwargs)
        outputs = list(tensors_in(output))
        written = [x for x, version, _ in before if x._version != version and not any(x is y for y in outputs)]
        if outputs or written:
            self._used.update(origin.serial for _, _, origin in before)
        for tensor in (*outputs, *written):
            if _is_number(tensor):
                origin = self._derive(name, before, tensor, call)
                if origin.data and tensor not in self._origins:
                    origin = self._with_layout(origin, func, name, (args, named), before, tensor)
                self._origins[tensor] = origin
                self._stack[-1].made.append(origin)
        if finish is not None:
            finish(output)
        if name in MULTIPLYING and (len(self.finds), self._told) == (finds, told):
            self._not_understood(before, output)
        return output

    def _standing_in(self, tensor: Tensor) -> Any:
        origin = self.origin(tensor)
        return origin if origin.data else tensor

    def _derive(self, name: str, before: list[tuple[Tensor, int, Origin]], output: Tensor, call: Any) -> Origin:
        """The origin of an output, from those of the inputs."""
        origins = tuple(origin for _, _, origin in before)
        if not any(origin.data for origin in origins):
            computed = name not in COPIES and name != "t"
            return self._new(
                name=name,
                learned=_joined(origin.learned for origin in origins),
                computed=computed or any(origin.computed for origin in origins),
            )
        changed = any(output is x and x._version != version for x, version, _ in before)
        # The input that the output is, and not merely is computed from.
        same = next(
            (
                origin
                for x, _, origin in before
                if (output is x or name in COPIES or _share_storage(output, x))
                and (output.numel() == x.numel() or name in EXPANSIONS)
            ),
            None,
        )
        if same is not None and any(output is x for x, _, _ in before) and not changed:
            return same
        constants = [(x, o) for x, _, o in before if not o.data and x.ndim > 1]
        # A matrix product in the making.
        spread = name in ELEMENTWISE_PRODUCTS and output.numel() > max(x.numel() for x, _, _ in before)
        applied = _joined(o.learned for _, o in constants) if name not in ELEMENTWISE or spread else ()
        return self._computed(name, origins, same, output, changed=changed, call=call, applied=applied, before=before)

    def _with_layout(
        self,
        origin: Origin,
        func: Any,
        name: str,
        call: tuple[Any, Any],
        before: list[tuple[Tensor, int, Origin]],
        output: Tensor,
    ) -> Origin:
        """The origin of an output, with where its channels stand."""
        inputs = [(x, each) for x, _, each in before if each.data]
        layout = taken_as(name, call[0], lambda x: not self.origin(x).data)
        if layout is None:
            layout, axes = where(func, name, call, inputs, output)
            return replace(origin, layout=layout, axes=axes) if layout or axes else origin
        given, of_given = inputs[0]
        if self._open and of_given.axes is not None:
            at = place(layout, given.ndim)
            self.layout_of_input = "last" if of_given.axes[1] == at != of_given.axes[0] else "first"
            self._open = False
        return replace(origin, layout=layout)

    def _computed(
        self,
        name: str,
        origins: tuple[Origin, ...],
        same: Origin | None,
        output: Tensor,
        *,
        changed: bool,
        call: Any,
        applied: tuple[str, ...],
        before: Iterable[tuple[Tensor, int, Origin]] = (),
    ) -> Origin:
        data = [origin for origin in origins if origin.data]
        sources = _union_bits(origin.sources for origin in data)
        squeezed = frozenset[int]().union(*(origin.squeezed for origin in data))
        # A descriptor that is permuted for a normalisation over its last axis is no feature map.
        descriptor = bool(squeezed) and not any(origin.maps for origin in data)
        least = min((math.prod(self.shapes[k]) for k in squeezed), default=0)
        is_map = is_feature_map(output) and not (descriptor and output.numel() < least)
        # Expanded to a feature map's size, whether by copying or not, it is a descriptor still.
        expanded = is_map and all(o.is_descriptor for o in data) and _is_spread(output)
        maps = same.maps if same is not None else frozenset[int]()
        kin = self._kin(name, data, same, output, before)
        if is_map and not changed:
            maps |= self._new_map(output)
        if maps and (is_map or kin):
            kin |= _bits(maps)
        known = {
            "name": name,
            "inputs": origins,
            "data": True,
            "applied": applied,
            "computed": bool(applied) and any(o.computed or name in ELEMENTWISE for o in origins if not o.data),
            "sources": sources | (_bits(maps) if is_map else 0),
            "numbers": output.numel() // len(output) if output.ndim and len(output) else 1,
            "followed": all(origin.followed for origin in data),
        }
        if is_map and not expanded:
            # Reduced over one side only, it is a squeeze half done.
            half = 1 in output.shape[2:] and any(is_feature_map(x) for x, _, _ in before)
            halves = frozenset[int]().union(*(origin.maps for origin in data)) if half else frozenset[int]()
            return self._new(**known, maps=maps, kin=kin, squeezed=halves)
        if not is_map:
            in_a_row = same is not None and bool(same.maps) and not same.squeezed
            if in_a_row or (name in ELEMENTWISE and kin and _positions_kept(output, before)):
                # A feature map with its positions in a row.
                if not maps:
                    maps = frozenset().union(*(o.maps for o in data if o.maps and not o.squeezed))
                return self._new(**known, maps=maps, kin=kin | _bits(maps))
            maps = frozenset()
            # What is no smaller than the feature map, such as tokens, has not squeezed it.
            open_ = frozenset[int]().union(*(origin.maps | origin.pending for origin in data))
            squeezed |= {k for k in open_ if output.numel() < math.prod(self.shapes[k])}
            squeezed = frozenset(k for k in squeezed if output.numel() < math.prod(self.shapes[k]))
            known["pending"] = open_ - squeezed
        return self._new(
            **known,
            maps=maps,
            kin=kin if is_map else 0,
            squeezed=squeezed,
            value=output.clone() if squeezed else None,
            call=call,
            module=same.module if same is not None and not changed else None,
        )

    def _kin(
        self,
        name: str,
        data: list[Origin],
        same: Origin | None,
        output: Tensor,
        before: Iterable[tuple[Tensor, int, Origin]],
    ) -> int:
        """A bit for each feature map that an output is, is made of number by number, is a piece of or joined of."""
        kin = same.kin if same is not None else 0
        whole = [o.kin for x, _, o in before if o.kin and not o.squeezed and x.numel() == output.numel()]
        if name in ELEMENTWISE and whole:
            common = whole[0]
            for other in whole[1:]:
                common &= other
            kin |= common
        elif name == "cat" or name in PIECES:
            kin |= _union_bits(o.kin for o in data if not o.squeezed)
        return kin

    # Products

    def _product(self, name: str, pair: tuple[Tensor, Tensor]) -> Callable[[Any], None] | None:
        """Count a product and look at it; what is to be done with its result, if anything."""
        frame = self._stack[-1]
        number, within = self.products[frame.path], frame.products
        self.products.update({each.path for each in self._stack})
        for each in self._stack:
            each.products += 1
        a, b = pair
        if a.ndim == self._rank > 2 and a.shape == b.shape and _is_single(a):
            one, other = self.origin(a), self.origin(b)
            if one.computed_from(other) or other.computed_from(one):
                self.single[frame.path] = None
        place = partial(Find, path=frame.path, call=frame.call, product=number, within=within, inputs=frame.inputs)
        for operand in (1, 0):
            factor, u = pair[operand], pair[1 - operand]
            if name == "div" and operand == 0:
                break
            if name in CONTRACTIONS:
                if kept := self._contraction(u, factor):
                    gates = [each.gate().clone() for each in kept]
                    return partial(self._contracted, place, operand, kept, gates, self.origin(u))
            elif (layout := self._scales(u, factor)) is not None:
                form: Form = "divisor" if name == "div" else "factor"
                self._consider(place, operand, Product.seen(u, factor, form, layout), self.origin(u))
                return None
        if name in ELEMENTWISE_PRODUCTS:
            self._note(*sorted(pair, key=Tensor.numel))
        return None

    def _scales(self, u: Tensor, factor: Tensor) -> Layout | None:
        """The layout in which a product scales each channel of each image of a feature map by one number, if any."""
        if not self._is_map(u) or not self.origin(u).data or factor.ndim != u.ndim or len(factor) != len(u):
            return None
        if any(n not in (1, m) for n, m in zip(factor.shape, u.shape, strict=True)):
            return None
        origin = self.origin(factor)
        if origin.maps and not origin.squeezed and factor.shape == u.shape:
            return None  # two feature maps
        for layout in self._layouts(u):
            some, all_ = channels_first(factor, layout), channels_first(u, layout)
            if some.shape[1] == all_.shape[1] and is_constant_over_positions(some):
                return layout
        return None

    def _layouts(self, u: Tensor) -> tuple[Layout, ...]:
        """The layouts that a feature map may have."""
        known = self.origin(u).layout
        return AXES if known is None else (known,)

    def _is_map(self, tensor: Tensor) -> bool:
        """Whether this is a feature map, and no descriptor of one."""
        return is_feature_map(tensor) and not self.origin(tensor).is_descriptor

    def _contraction(self, u: Tensor, factor: Tensor) -> list[Product]:
        """As what a contraction may hold a gate, judged by shape and origin."""
        origin = self.origin(factor)
        if not self._is_map(u) or not origin.is_descriptor or not origin.sources & self.origin(u).kin:
            return []
        found = []
        for layout in self._layouts(u):
            rows = channels_first(u, layout).shape[:2]
            if channels_first(factor, layout).shape[:2] == rows and factor.numel() == rows.numel():
                found.append(Product.seen(u, factor, "factor", layout))
            elif factor.shape == (*rows, rows[1]):
                found.append(Product.seen(u, factor, "diagonal", layout))
        return found

    def _contracted(
        self, place: Any, operand: int, kept: list[Product], gates: list[Tensor], of_u: Origin, output: Any
    ) -> None:
        """Consider a contraction if its result is the feature map times the gate."""
        for product, gate in zip(kept, gates, strict=True):
            u = product.u
            if not isinstance(output, Tensor) or output.numel() != u.numel():
                continue
            made = channels_first(output, product.layout)
            if made.shape[:2] != u.shape[:2]:
                continue
            if product.form == "diagonal" and torch.count_nonzero(product.factor - torch.diag_embed(gate)):
                continue
            expected = u.flatten(2) * gate[:, :, None]
            tolerance = 1e-5 if u.dtype in (torch.float32, torch.float64) else 2e-2
            if torch.allclose(made.flatten(2), expected, rtol=tolerance, atol=tolerance):
                self._consider(place, operand, product, of_u)
                return

    def _consider(self, place: Any, operand: int, product: Product, u: Origin) -> None:
        """Note a channel product, of a feature map of an origin: a find, or another scaling."""
        factor = self.origin(product.factor)
        weights: tuple[str, ...] = ()
        if not factor.data:
            told: Scaling | None = Scaling.LEARNED
        elif not factor.sources & (u.kin | _bits(u.maps)):
            told = Scaling.FOREIGN
        else:
            scaled = self._scaled(
                factor, u, tuple(product.u.shape), (*product.u.shape[:2], *(1,) * (product.u.ndim - 2))
            )
            since = factor.since_squeeze()
            weights = tuple(dict.fromkeys(name for origin in since for name in origin.applied))
            weights = weights or factor.matrices_from(u.kin) or weighted_sums(since)
            if weights and since:
                told = self._shared(scaled)
            elif weights or not factor.followed:
                told = Scaling.UNKNOWN
            else:
                told = unlearned(scaled)
        if told is not None:
            self._tell(told, factor, u)
            return
        self._untell(weighted(way(factor, u)))
        self.finds.append(
            place(
                operand=operand,
                form=product.form,
                layout=product.layout,
                gate=factor.module,
                u=product.u.clone(),
                offset=product.u.storage_offset(),
                u_origin=u,
                factor=product.gate().clone(),
                origin=factor,
                weights=weights,
                computed=any(origin.computed for origin in factor.since_squeeze()),
            )
        )

    def _not_understood(self, before: Iterable[tuple[Tensor, int, Origin]], output: Any) -> None:
        """Note a call that may multiply a feature map by a gate in a way that is not looked into."""
        if not isinstance(output, Tensor):
            return
        for gate, _, of_gate in before:
            if not of_gate.is_descriptor or of_gate.maps:
                continue
            for u, _, of_u in before:
                counts = {n for k in of_u.maps for n in self._counts_of_positions(self.shapes[k]) if n > 1}
                if (
                    not of_u.squeezed
                    and of_gate.sources & (of_u.kin | _bits(of_u.maps))
                    and u.numel() == output.numel()
                    and any(gate.numel() * positions == u.numel() for positions in counts)
                    and any(origin.applied for origin in of_gate.since_squeeze())
                ):
                    self._tell(Scaling.UNKNOWN)

    def _counts_of_positions(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """How many positions a feature map has: with its channels before them, with or without a batch, or last."""
        return math.prod(shape[-(self._rank - 2) :]), math.prod(shape[1:-1])

    def _note(self, factor: Tensor, u: Tensor) -> None:
        """Note a scaling that is no channel product, of a feature map by something no larger than it."""
        of_factor, of_u = self.origin(factor), self.origin(u)
        if factor.shape == u.shape and (not of_u.data or of_u.sources & _bits(of_factor.maps - of_u.maps)):
            factor, u, of_factor, of_u = u, factor, of_u, of_factor
        if (
            u.ndim < max(min(self._rank, 4), factor.ndim)
            or not of_u.data
            or (u.ndim in RANKS and not is_feature_map(u))
        ):
            return
        size, sides = tuple(u.shape), (*(1,) * (u.ndim - factor.ndim), *_sides(factor))
        if math.prod(sides) == 1 or any(n not in (1, m) for n, m in zip(sides, size, strict=True)):
            return
        if of_u.layout == "last":
            size, sides = ((*each[:1], *each[-1:], *each[1:-1]) for each in (size, sides))
        scaled = self._scaled(of_factor, of_u, size, sides)
        told = kind_of(scaled, self._rank, of_u.layout)
        if told is Scaling.COORDINATE:
            self._untell([of_u])
        if told is not None and sides == size:
            self._untell(scaled.way)
        if told is not None:
            self._tell(told, of_factor, of_u)

    def _shared(self, scaled: Scaled) -> Scaling | None:
        """The kind, if the softmax that a gate is a piece of has scaled another feature map: then that is no find."""
        softmax = softmax_of(scaled, several=False)
        first = self._shares.setdefault(softmax.serial, scaled) if softmax else scaled
        if first.u.maps & scaled.u.maps or first.factor.has_value_of(scaled.factor):
            return None
        told = shared_out(scaled)
        for find in self.finds:
            if find.u_origin is first.u:
                self._tell(told, first.factor, first.u, path=find.path)
        self.finds = [find for find in self.finds if find.u_origin is not first.u]
        return told

    def _scaled(self, factor: Origin, u: Origin, size: tuple[int, ...], sides: tuple[int, ...]) -> Scaled:
        return Scaled(factor=factor, u=u, size=size, sides=sides, shapes=self.shapes, own=self.own)

    def _tell(self, told: Scaling, *operands: Origin, path: str | None = None) -> None:
        """Note a kind of scaling, of the innermost module by default."""
        self._told += 1
        where = self._stack[-1].path if path is None else path
        self.scalings.setdefault((where, told), set()).add(frozenset(each.serial for each in operands))

    def _untell(self, made: Iterable[Origin]) -> None:
        """Take back what was noted of products that only lead to another; never what was not understood."""
        products = {frozenset(each.serial for each in origin.inputs) for origin in made if origin.inputs}
        for (path, told), noted in list(self.scalings.items()):
            if told is not Scaling.UNKNOWN:
                noted -= products
            if not noted:
                del self.scalings[path, told]


def _sides(factor: Tensor) -> tuple[int, ...]:
    """The shape of a factor, single where it was expanded."""
    return tuple(1 if stride == 0 else n for n, stride in zip(factor.shape, factor.stride(), strict=True))


def _floats(value: Any) -> Iterator[Tensor]:
    return (tensor for tensor in tensors_in(value) if _is_number(tensor))


def _form_of(tensor: Tensor) -> Tensor:
    """A tensor of the same shape and type that takes no memory."""
    return tensor.new_zeros(()).expand(tensor.shape)


def _is_number(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _address(tensor: Tensor) -> int:
    """Of its data; 0 where it has none of its own, as under `torch.vmap`."""
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return 0


def _is_wrapped(tensor: Tensor) -> bool:
    """Whether a tensor stands for others, as under `torch.vmap`: then it shows no values."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _bits(numbers: Iterable[int]) -> int:
    return _union_bits(1 << k for k in numbers)


def _union_bits(parts: Iterable[int]) -> int:
    total = 0
    for part in parts:
        total |= part
    return total


def _joined(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))


def _positions_kept(output: Tensor, before: Iterable[tuple[Tensor, int, Origin]]) -> bool:
    return any(o.maps and not o.squeezed and x.shape == output.shape for x, _, o in before)


def _is_single(tensor: Tensor) -> bool:
    """Whether this has one position, in either layout."""
    return 1 in (math.prod(position_sizes(tensor.shape, layout)) for layout in AXES)


def _is_spread(tensor: Tensor) -> bool:
    """Whether this holds one number per image and channel, in either layout."""
    return any(is_constant_over_positions(channels_first(tensor, layout)) for layout in AXES)


def _share_storage(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


@contextmanager
def trace(model: nn.Module, weights: Mapping[str, Tensor] = MappingProxyType({})) -> Iterator[Trace]:
    """Watch the forward passes of a model; nothing of it stays when the context ends.

    Parameters
    ----------
    model
        Any module.
    weights
        What stands in for some of its parameters in these forward passes, by name.

    Yields
    ------
    Trace
        Holds the finds after `model(...)` was called.
    """
    own = {name: tensor for name, tensor in (_tensors_of(model) | dict(weights)).items() if tensor.numel()}
    state = Trace({tensor.data_ptr(): name for name, tensor in own.items()}, own)
    with ExitStack() as stack:
        for path, module in outside_torchscript(model):
            # What is asked of tensors in the hooks is no part of the network, and slow where modes look at it.
            def enter(_: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                with torch._C.DisableTorchFunction():
                    state.enter(path, args, kwargs)

            def leave(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
                with torch._C.DisableTorchFunction():
                    state.leave(path, output, partial(_matrices, module, path))

            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(state)
        yield state


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that belong to a network by name: plain attributes, buffers and parameters."""
    plain = {
        f"{path}.{name}" if path else name: value
        for path, module in outside_torchscript(model)
        for name, value in vars(module).items()
        if isinstance(value, Tensor)
    }
    return plain | dict(model.named_buffers()) | dict(model.named_parameters())


def outside_torchscript(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module by its path, but those inside of TorchScript, which cannot be watched."""
    inside = ""
    for path, module in model.named_modules():
        if inside and path.startswith(inside):
            continue
        inside = f"{path}." if isinstance(module, torch.jit.ScriptModule) else ""
        yield path, module


def _matrices(module: nn.Module, path: str) -> tuple[str, ...]:
    """The names of the parameters with two axes or more in a module."""
    prefix = f"{path}." if path else ""
    return tuple(f"{prefix}{name}" for name, parameter in module.named_parameters() if parameter.ndim > 1)
