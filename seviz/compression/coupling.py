"""Which channels of which layers can only go together, read off Torch-Pruning's dependency graph.

The graph is asked on a copy of the network; what it says is kept as plain numbers, so that any copy can be cut by it.

References
----------
Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023, arXiv:2301.12900.
"""

import copy
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.errors import PruningError
from seviz.extras import needing, require_extra
from seviz.network.layers import LAYERS, is_depthwise
from seviz.network.positions import CONVOLUTIONS, BatchNorm, Convolution

Side = Literal["in", "out"]
Layer = tuple[str, Side]
"""The path of a module, and which of its channels: what it takes or what it gives."""

Cuts = Mapping[Layer, Collection[int]]
"""Which channels of each layer go."""

_CUTTABLE = (*LAYERS, BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.PReLU)


def torch_pruning() -> Any:
    """The package Torch-Pruning.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    with needing("prune", "removing channels"):
        import torch_pruning
    return torch_pruning


def require_pruning() -> None:
    """Raise MissingPackageError unless `torch_pruning` is installed."""
    require_extra("prune", "removing channels")


@dataclass(frozen=True)
class Coupled:
    """Channels that can only go together, in rows: row k of every layer goes or stays as one.

    Attributes
    ----------
    root
        The convolution or linear layer whose output channels are the rows.
    rows
        How many.
    layers
        For each layer its channels and the row that each belongs to, (2, channels).
    groups
        Of grouped layers, the number of groups: each has to lose as many channels as the others.
    widths
        How many channels each layer has, whether they belong to a row or not.
    summed
        Whether the channels are summed with those of other layers, as in a residual stream.
    """

    root: str
    rows: int
    layers: Mapping[Layer, NDArray[np.int64]]
    groups: Mapping[Layer, int]
    widths: Mapping[Layer, int]
    summed: bool

    def cuts(self, rows: NDArray[np.int64]) -> dict[Layer, set[int]]:
        """The channels of each layer that go when rows go."""
        return {layer: set(pairs[0, np.isin(pairs[1], rows)].tolist()) for layer, pairs in self.layers.items()}

    @cached_property
    def parts(self) -> NDArray[np.int64]:
        """The group that each row lies in, (rows); all 0 where no layer is grouped.

        Raises
        ------
        PruningError
            If two layers group the rows in ways that exclude each other.
        """
        finest = np.zeros(self.rows, np.int64)
        for layer in sorted(self.groups, key=lambda layer: self.groups[layer]):
            channels, rows = self.layers[layer]
            part = np.zeros(self.rows, np.int64)
            part[rows] = channels // (self.widths[layer] // self.groups[layer])
            if any(len(set(finest[part == k].tolist())) > 1 for k in set(part.tolist())):
                raise PruningError(f"{layer[0]!r} groups its channels in another way than layers that go with it")
            finest = part
        return finest


class Graph:
    """The dependencies between the channels of a network.

    Parameters
    ----------
    model
        Stays as it is.
    images
        What it takes; only shape, dtype and device count.

    Raises
    ------
    MissingPackageError
        If Torch-Pruning is not installed.
    PruningError
        If it cannot follow the channels.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        package = torch_pruning()
        for path, module in model.named_modules():
            if isinstance(module, nn.Conv1d) and module.in_channels == module.out_channels == 1:  # it would never end
                raise PruningError(
                    f"{type(model).__name__} cannot be pruned: {path!r} slides over channels, as in ECA, so that they"
                    " depend on their neighbours"
                )
        self._kind = type(model).__name__
        self._model = copy.deepcopy(model).requires_grad_()
        self._graph = package.DependencyGraph()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                self._graph.build_dependency(self._model, (images.clone(),), verbose=False)
        except Exception as error:
            raise self._lost(error) from error
        self._paths = {module: path for path, module in self._model.named_modules()}

    def _lost(self, error: Exception) -> PruningError:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        return PruningError(
            f"{self._kind} cannot be pruned: Torch-Pruning does not follow its channels ({type(error).__name__}:"
            f" {reason})"
        )

    def group(self, path: str, side: Side = "out") -> Any:
        """What goes with the channels of a layer, all of them, as Torch-Pruning's group."""
        module = self._model.get_submodule(path)
        try:
            pruner = self._graph.get_pruner_of_module(module)
            count = pruner.get_out_channels(module) if side == "out" else pruner.get_in_channels(module)
            function = pruner.prune_out_channels if side == "out" else pruner.prune_in_channels
            return self._graph.get_pruning_group(module, function, list(range(count)))
        except Exception as error:
            raise self._lost(error) from error

    def members(self, group: Any) -> Iterator[tuple[Layer, nn.Module, Any]]:
        """The layers of a group: their name, module and entry."""
        for item in group:
            module = item.dep.target.module
            if module in self._paths:
                side: Side = "out" if self._graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
                yield (self._paths[module], side), module, item

    def maker(self, path: str) -> str | None:
        """The nearest layer of its kind whose outputs, one by one, are the inputs of a layer; None if none is."""
        group = self.group(path, "in")
        if _summed(group):
            return None
        kind = _kind(self._model.get_submodule(path))
        for (other, side), module, item in self.members(group):
            if side == "out" and other != path and isinstance(module, kind) and not is_depthwise(module):
                return other if list(item.idxs) == list(group[0].idxs) else None
        return None

    def coupled(self, path: str) -> Coupled:
        """What goes with the output channels of a convolution or a linear layer.

        Raises
        ------
        PruningError
            If they cannot be removed; the message says why.
        """
        group = self.group(path)
        # What is concatenated with what is computed from it: the rows are those of the narrowest layer.
        kind = _kind(self._model.get_submodule(path))
        for (_, side), module, item in self.members(group):
            if side == "out" and isinstance(module, kind) and len(item.idxs) < len(group[0].idxs):
                group = self.group(self._paths[module])
        layers: dict[Layer, NDArray[np.int64]] = {}
        groups, widths = {}, {}
        for layer, module, item in self.members(group):
            _refuse(layer, module, item)
            layers[layer] = np.array([item.idxs, item.root_idxs], np.int64)
            widths[layer] = self._width(layer, module)
            if (parted := _groups(module)) > 1:
                groups[layer] = parted
        for item in group:
            _refuse_operation(path, item)
        return Coupled(
            root=self._paths[group[0].dep.target.module],
            rows=len(group[0].idxs),
            layers=layers,
            groups=groups,
            widths=widths,
            summed=_summed(group),
        )

    def _width(self, layer: Layer, module: nn.Module) -> int:
        pruner = self._graph.get_pruner_of_module(module)
        return int(pruner.get_out_channels(module) if layer[1] == "out" else pruner.get_in_channels(module))


def _kind(module: nn.Module) -> tuple[type[nn.Module], ...]:
    """The layers among which a layer's like are sought, so that those of an SE block beside it are passed over."""
    return CONVOLUTIONS if isinstance(module, CONVOLUTIONS) else (nn.Linear,)


def _refuse(layer: Layer, module: nn.Module, item: Any) -> None:
    if not isinstance(module, _CUTTABLE):
        raise PruningError(f"{layer[0]!r} is a {type(module).__name__}, whose channels cannot be removed")
    if layer[1] == "out" and not item.dep.target.outputs:
        raise PruningError(f"the output of {layer[0]!r} is what the network returns")


def _refuse_operation(path: str, item: Any) -> None:
    target = item.dep.target
    if isinstance(target.module, nn.Parameter):
        raise PruningError(f"a bare parameter of shape {tuple(target.module.shape)} goes with the channels of {path!r}")
    if target.type.name == "OUTPUT":
        raise PruningError(f"the channels of {path!r} are what the network returns")
    if "IndexCopy" in _operation(target):
        raise PruningError(f"the channels of {path!r} are summed with a branch that was narrowed before")


def _operation(node: Any) -> str:
    name = getattr(node.grad_fn, "name", None)
    return name() if name is not None else ""


def _summed(group: Any) -> bool:
    """Whether two feature maps are added on the way."""
    return any(
        re.match(r"(Add|Sub)Backward", _operation(node)) and len(node.inputs) > 1
        for node in (item.dep.target for item in group)
    )


def _groups(module: nn.Module) -> int:
    """How many groups channels fall into; 1 where each can go by itself."""
    if isinstance(module, nn.GroupNorm):
        return module.num_groups
    if isinstance(module, CONVOLUTIONS) and not is_depthwise(module):
        return module.groups
    return 1


def joined(cuts: Iterable[Cuts]) -> dict[Layer, set[int]]:
    """Several cuts at once."""
    all_cuts: dict[Layer, set[int]] = {}
    for each in cuts:
        for layer, channels in each.items():
            all_cuts.setdefault(layer, set()).update(channels)
    return all_cuts


def cut(model: nn.Module, cuts: Cuts) -> None:
    """Remove channels from a network, in place; what learns and what does not stays so."""
    torch_pruning()
    for (path, side), channels in cuts.items():
        if not channels:
            continue
        module = model.get_submodule(path)
        flags = {name: parameter.requires_grad for name, parameter in module.named_parameters(recurse=False)}
        _cut_layer(module, side, sorted(channels))
        for name, parameter in module.named_parameters(recurse=False):
            parameter.requires_grad_(flags[name])


def _cut_layer(module: nn.Module, side: Side, channels: list[int]) -> None:
    from torch_pruning import ops
    from torch_pruning.pruner.function import PrunerBox

    if side == "in" and isinstance(module, CONVOLUTIONS) and module.groups > 1 and not is_depthwise(module):
        _cut_grouped_inputs(module, channels)
        return
    pruner = PrunerBox[ops.module2type(module)]
    (pruner.prune_out_channels if side == "out" else pruner.prune_in_channels)(module, channels)


def _cut_grouped_inputs(module: Convolution, channels: list[int]) -> None:
    # Torch-Pruning's own function takes the same places out of every group.
    kept = np.setdiff1d(np.arange(module.in_channels), channels)
    width, outputs = module.in_channels // module.groups, module.out_channels // module.groups
    weights = [
        module.weight[part * outputs : (part + 1) * outputs, (kept[kept // width == part] % width).tolist()]
        for part in range(module.groups)
    ]
    module.in_channels = len(kept)
    module.weight = nn.Parameter(torch.cat(weights).detach().clone())
