"""A network out of an ONNX file: converted by onnx2torch, repaired where that falls short, held against onnxruntime."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from seviz.errors import ModelError
from seviz.foreign import line
from seviz.network.onnx_blocks import POOLING, group_blocks
from seviz.network.onnx_files import read_graph
from seviz.network.onnx_graphs import OnnxGraph, session_of
from seviz.network.products import tensors_in
from seviz.network.settings import Settings

TOLERANCE = 1e-4
"""The largest difference from onnxruntime's outputs, as a share of the largest output, that is let pass."""
_BATCHES = 2  # of as many images as the graph takes at once


@dataclass(frozen=True)
class OnnxNetwork:
    """A module that computes what an ONNX file says.

    Attributes
    ----------
    module
        In evaluation mode; takes (batch, channels, positions...) float32, any number of images.
    size
        (channels, positions...) of its input.
    sha256
        Of the file.
    assumed
        What was assumed or decided, a sentence each.
    """

    module: nn.Module
    size: tuple[int, ...]
    sha256: str
    assumed: tuple[str, ...]


def read_onnx(spec: str, file: Path, settings: Settings) -> OnnxNetwork:
    """Make a module of an ONNX file, and compare it with onnxruntime on random input.

    Parameters
    ----------
    spec, file, settings
        As of `read_graph`.

    Raises
    ------
    ModelError
        As of `read_graph`; also if the graph cannot be converted, onnxruntime does not run it, or the two differ by
        more than 1e-4 of the largest output.
    UnknownModelError, OptionError, MissingPackageError
        As of `read_graph`.
    """
    graph = read_graph(spec, file, settings)
    module = _converted(spec, graph)
    _compare(spec, graph, module)
    return OnnxNetwork(module, graph.size, graph.sha256, graph.assumed)


def _converted(spec: str, graph: OnnxGraph) -> nn.Module:
    import onnx2torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = onnx2torch.convert(graph.prepared)
            _repair(module)
            kinds = {node.name: node.op_type for node in graph.prepared.graph.node}
            group_blocks(
                module,
                {name for name, kind in kinds.items() if kind == "Mul"},
                {name for name, kind in kinds.items() if kind in POOLING},
            )
            _tidy(module)
    except Exception as error:  # whatever the converters raise at what they do not know
        raise ModelError(
            f"model {spec!r} cannot be converted ({type(error).__name__}: {line(error)}); export the network another"
            " way, or hand it over as a torch module: seviz.wrap(module, example)"
        ) from error
    whole: nn.Module = module.eval()
    return whole


def _repair(module: fx.GraphModule) -> None:
    """Let shapes and slices that are constants be numbers, which all of torch can follow, and not tensors."""
    from onnx2torch.node_converters.reshape import OnnxReshape
    from onnx2torch.node_converters.slice import OnnxSlice

    for kind, other in ((OnnxReshape, _Reshape), (OnnxSlice, _Slice)):
        for node in module.graph.nodes:
            if node.op == "call_module" and type(module.get_submodule(node.target)) is kind:
                module.set_submodule(node.target, other())
                first, *rest = node.args
                node.args = (first, *(_number(module, each) for each in rest))
                node.kwargs = {name: _number(module, each) for name, each in node.kwargs.items()}
    module.graph.eliminate_dead_code()
    module.recompile()


def _tidy(module: fx.GraphModule) -> None:
    """Take out buffers that nothing uses any more, and let every tensor lie in memory as torch lays it."""
    used = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in list(module.named_buffers()):
        place, _, last = name.rpartition(".")
        if place == "initializers" and name not in used:
            delattr(module.get_submodule(place), last)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)  # numpy's strides may be 0


def _number(module: nn.Module, argument: Any) -> Any:
    """The numbers of a constant that is an argument; any other as it is."""
    if isinstance(argument, fx.Node) and argument.op == "get_attr":
        return module.get_buffer(str(argument.target)).tolist()
    return argument


class _Reshape(nn.Module):
    """ONNX's Reshape: 0 is the size that the axis had."""

    def forward(self, x: Tensor, shape: Sequence[int] | Tensor) -> Tensor:
        sizes = _listed(shape)
        return x.reshape([x.shape[k] if size == 0 else size for k, size in enumerate(sizes)])


class _Slice(nn.Module):
    """ONNX's Slice: steps may be negative, and ends lie beyond the axis."""

    def forward(
        self,
        x: Tensor,
        starts: Sequence[int] | Tensor,
        ends: Sequence[int] | Tensor,
        axes: Sequence[int] | Tensor | None = None,
        steps: Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        chosen = list(range(len(starts))) if axes is None else _listed(axes)
        by = [1] * len(starts) if steps is None else _listed(steps)
        for start, end, axis, step in zip(_listed(starts), _listed(ends), chosen, by, strict=True):
            if step < 0:
                x = x.flip(axis)
                start, end, step = -start - 1, -end - 1, -step
            index: list[Any] = [slice(None)] * x.ndim
            index[axis] = slice(start, end, step)
            x = x[tuple(index)]
        return x


def _listed(numbers: Sequence[int] | Tensor) -> list[int]:
    listed: list[int] = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
    return listed


def _compare(spec: str, graph: OnnxGraph, module: nn.Module) -> None:
    """Raise ModelError unless the module gives what onnxruntime gives for the file."""
    at_once = graph.batch or 1
    images = torch.randn(_BATCHES * at_once, *graph.size, generator=torch.Generator().manual_seed(0))
    expected = _by_onnxruntime(spec, graph, images, at_once)
    try:
        with torch.inference_mode():
            found = [output.numpy() for output in tensors_in(module(images))]
    except Exception as error:  # whatever the converted modules raise
        raise ModelError(
            f"model {spec!r} was converted, and does not run on {tuple(images.shape)} ({type(error).__name__}:"
            f" {line(error)}); {_remedy(graph)}"
        ) from error
    apart = max((_apart(a, b) for a, b in zip(found, expected, strict=False)), default=np.inf)
    if len(found) != len(expected) or not apart <= TOLERANCE:
        raise ModelError(
            f"model {spec!r} was converted, and gives other outputs than onnxruntime: on random numbers by {apart:.2g}"
            f" of the largest, expected at most {TOLERANCE:g}; {_remedy(graph)}"
        )


def _remedy(graph: OnnxGraph) -> str:
    if graph.batch is not None:
        plural = "s" if graph.batch > 1 else ""
        return f"its graph is made for {graph.batch} image{plural} at once: export it with a dynamic batch axis"
    return "export the network another way, or hand it over as a torch module: seviz.wrap(module, example)"


def _by_onnxruntime(spec: str, graph: OnnxGraph, images: Tensor, at_once: int) -> list[NDArray[Any]]:
    x = images.movedim(1, -1) if graph.channels_last else images
    batches = x.contiguous().numpy().reshape(-1, at_once, *x.shape[1:])
    try:
        session = session_of(graph.given)
        parts = [session.run(list(graph.outputs), {graph.input: batch}) for batch in batches]
    except Exception as error:  # whatever onnxruntime raises
        raise ModelError(f"model {spec!r} is not run by onnxruntime: {line(error)}") from error
    return [np.concatenate([np.atleast_1d(one) for one in outputs]) for outputs in zip(*parts, strict=True)]


def _apart(some: NDArray[Any], others: NDArray[Any]) -> float:
    """The largest difference as a share of the largest value; inf if shapes differ or a value is not finite."""
    if some.shape != others.shape or not (np.isfinite(some).all() and np.isfinite(others).all()):
        return float("inf")
    return float(np.abs(some - others).max(initial=0) / max(np.abs(others).max(initial=0), 1e-30))
