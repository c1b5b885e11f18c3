"""The finds of a pass put together, and verified on random input of their own."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seviz.network.examples import Given, random_like
from seviz.network.modes import undisturbed
from seviz.network.origins import Origin
from seviz.network.positions import Layout, is_feature_map
from seviz.network.products import gate_of_output, map_tensors
from seviz.network.stages import is_exact
from seviz.network.tracing import Find, Trace, trace

_DRAWS = 8  # of random input, to verify a find


def joined(state: Trace) -> list[Find]:
    """The finds of a pass, those put together that scale parts of the batch, or of the channels, in turn."""
    finds: list[Find] = []
    waiting = list(state.finds)
    while waiting:
        find = waiting.pop(0)
        for together, axis in ((_parts(find, waiting, state.batch), 0), (_pieces(find, waiting, state), 1)):
            if together:
                waiting = [other for other in waiting if not any(other is each for each in together)]
                find = _put_together(find, together, axis)
        finds.append(find)
    return finds


def _parts(find: Find, others: list[Find], batch: int) -> list[Find]:
    """The finds of further parts of the batch, in the same module and with the same weights."""
    rows, parts = len(find.u), list[Find]()
    for other in others:
        if rows >= batch:
            break
        if (other.path, other.weights) == (find.path, find.weights):
            parts.append(other)
            rows += len(other.u)
    return parts if rows == batch else []


def _pieces(find: Find, others: list[Find], state: Trace) -> list[Find]:
    """The finds that scale the other channels of the feature map that the first scales some of."""
    for whole, shape in enumerate(state.shapes):
        channels = shape[1 if find.layout == "first" else -1]
        if not find.u_origin.kin >> whole & 1 or whole in find.u_origin.maps or channels <= find.u.shape[1]:
            continue
        same = [
            other
            for other in others
            if (other.path, other.call, other.weights) == (find.path, find.call, find.weights)
            and other.u_origin.kin >> whole & 1
            and not other.u_origin.maps & find.u_origin.maps
        ]
        if same and find.u.shape[1] + sum(other.u.shape[1] for other in same) == channels:
            return same
    return []


def _put_together(find: Find, others: list[Find], axis: int) -> Find:
    every = [find, *others]
    if axis == 1:
        every.sort(key=lambda each: each.offset)
    first = every[0]
    u, factor = (torch.cat([getattr(each, name) for each in every], axis) for name in ("u", "factor"))
    if axis == 0:
        return replace(first, u=u, factor=factor, lead=first.factor, parts=len(every))
    starts = accumulate(each.u.shape[1] for each in every[:-1])
    pieces = tuple((each.product, start) for each, start in zip(every[1:], starts, strict=True))
    return replace(first, u=u, factor=factor, lead=first.factor, gate=None, pieces=pieces)


def exact(finds: Sequence[Find], given: Given, layout: Layout) -> bool:
    """Whether the stride of each find can be told, of an input in a layout."""
    sizes = given.sizes(layout)
    return not given.resizable or all(is_exact(sizes, find.u.shape) for find in finds if find.u.ndim == len(sizes) + 2)


def _varied(model: nn.Module, seed: int, *, every: bool) -> dict[str, Tensor]:
    """Random stand-ins for parameters: those that hold one number only, as those that start at zero do, or all."""
    generator = torch.Generator().manual_seed(seed)
    varied = {}
    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point():
            continue
        if every or (parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all())):
            scale = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.5
            noise = scale * torch.randn(parameter.shape, generator=generator)
            varied[name] = noise.to(parameter) + (0 if every else parameter.detach())
    return varied


def verified(model: nn.Module, given: Given, find: Find) -> Find | None:
    """The find as it shows again on random input, if its factor differs between images there and scales something.

    The block is run by itself, or within the whole network where it cannot be. A draw may show nothing, since
    ReLUs can all be shut; then the next is tried, also with other weights: first in place of those that are one
    number only, then in place of all. The find's gate is None there if it is not what its module returned.
    """
    for prefix, module, inputs in _ways(model, given, find):
        for draw in range(_DRAWS):
            args, kwargs = map_tensors(partial(random_like, seed=draw), inputs)
            weights = _varied(module, draw, every=draw > _DRAWS // 2) if draw % 2 else {}
            again = _again(module, prefix, find, weights, args, kwargs)
            if again is not None and _holds(again):
                return again
    return None


def _ways(model: nn.Module, given: Given, find: Find) -> list[tuple[str, nn.Module, Any]]:
    """What may be run to see a find again, the smaller first: its path, the module and its arguments."""
    ways: list[tuple[str, nn.Module, Any]] = [("", model, (given.args, given.kwargs))]
    if find.path and find.parts == 1 and (find.gate is None or find.gate[0].startswith(f"{find.path}.")):
        ways.insert(0, (f"{find.path}.", model.get_submodule(find.path), find.inputs))
    return ways


def louder(model: nn.Module, given: Given, find: Find) -> list[tuple[Origin, Tensor]]:
    """Origin and value of the factor where the input is larger."""
    prefix, module, inputs = _ways(model, given, find)[0]
    seen = []
    for draw, scale in enumerate((10.0, 100.0, 1000.0)):
        args, kwargs = map_tensors(partial(random_like, seed=draw, scale=scale), inputs)
        if (again := _again(module, prefix, find, {}, args, kwargs)) is not None:
            seen.append((again.origin, lead_of(again)))
    return seen


def lead_of(find: Find) -> Tensor:
    """The factor that the find's origin is of, (batch, channels): of several products, that of the first."""
    return find.factor if find.lead is None else find.lead


def _again(
    module: nn.Module, prefix: str, find: Find, weights: dict[str, Tensor], args: Any, kwargs: Any
) -> Find | None:
    """Run a module that holds the block; the find as it shows there."""
    seen: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(undisturbed(module))
        state = stack.enter_context(trace(module, weights))
        if find.gate is not None:
            gate = module.get_submodule(find.gate[0].removeprefix(prefix))
            stack.callback(gate.register_forward_hook(lambda *call: seen.append(_copied(call[2]))).remove)
        try:
            functional_call(module, weights, args, kwargs)
        except Exception:  # not made to be called by itself, and says so in its own way
            return None
    for again in joined(state):
        path = f"{prefix}{again.path}".rstrip(".")
        if path == find.path and again.product == (find.within if prefix and not again.path else find.product):
            return again if _is_output(again, seen) else replace(again, gate=None)
    return None


def _copied(output: Any) -> Tensor:
    return output.clone() if isinstance(output, Tensor) else torch.empty(0)


def _is_output(find: Find, seen: list[Tensor]) -> bool:
    """Whether the factor is what the gate's module returned."""
    if find.gate is None or find.gate[1] >= len(seen):
        return False
    output, (images, channels) = seen[find.gate[1]], find.factor.shape
    if output.numel() != images * channels and not is_feature_map(output):
        return False
    gate = gate_of_output(output, channels, find.layout)
    return gate.shape == find.factor.shape and torch.equal(gate.to(find.factor.dtype), find.factor)


def _holds(find: Find) -> bool:
    """Whether this is a gate: it differs between images, and scales something."""
    return len(find.factor) > 1 and not torch.equal(find.factor[0], find.factor[1]) and bool(find.u.any())
