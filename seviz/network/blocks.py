"""Find the Squeeze-and-Excitation blocks of a network by what they do, and name them SE_stage_block.

An SE block is where a feature map `u` (batch, channels, height, width) is multiplied by a factor that is one
number per image and channel and is computed from `u` through a squeeze and learned weights. Type names decide
nothing.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from seviz.errors import CompiledModelError, NoSEBlocksError
from seviz.network.bounds import UNBOUNDED, bounds_of
from seviz.network.tracing import Find, Trace, is_feature_map, map_tensors, trace

GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "tanh": torch.tanh,
    "one_plus_tanh": lambda x: 1 + torch.tanh(x),
    "relu": F.relu,
    "relu6": F.relu6,
}
"""The gate activations that are told apart, by name."""

_DRAWS = 8  # of random input, to verify a find


@dataclass(frozen=True, kw_only=True)
class SEBlock:
    """One Squeeze-and-Excitation block of a network.

    Attributes
    ----------
    name
        `SE_stage_block`, both 1-based, as in the paper.
    path
        The innermost module around the product, as in `model.get_submodule(path)`.
    gate_path
        The module whose output is the gate; None where the gate is a plain function call.
    channels
        Number of gates.
    squeezed_channels
        Width of the narrowest point between the squeeze and the gate.
    gate
        The activation: a key of `GATES`, or "other".
    stage, block
        The numbers in the name.
    stride
        Side of the input over side of the feature map.
    weights
        Names of the matrices between squeeze and gate, in order of use.
    call, calls
        Which call of the gate's module gives this gate (0-based), of how many in a forward pass.
    product, products
        Which channel product inside `path` this is (0-based), of how many in a forward pass.
    bounds
        Infimum and supremum of the gate function; -inf and inf where it has none, or they are not known.
    """

    name: str
    path: str
    gate_path: str | None
    channels: int
    squeezed_channels: int
    gate: str
    stage: int
    block: int
    stride: int
    weights: tuple[str, ...] = ()
    call: int = 0
    calls: int = 1
    product: int = 0
    products: int = 1
    bounds: tuple[float, float] = UNBOUNDED


@dataclass(frozen=True)
class OtherScaling:
    """Where a feature map is scaled, but not by an SE block.

    Attributes
    ----------
    path
        The innermost module around the product.
    kind
        How it is scaled, in words.
    """

    path: str
    kind: str


@dataclass(frozen=True)
class Survey:
    """How a network scales its feature maps.

    Attributes
    ----------
    blocks
        The SE blocks by name, in the order of the forward pass.
    other
        Scaling of another kind, each module and kind once, in the order of the forward pass.
    unverified
        Paths of products that looked like SE blocks, but did not hold on random input.
    uncalled
        Modules with parameters that the forward pass did not call, the outermost only. SE layers that are
        registered but never used are among them.
    """

    blocks: dict[str, SEBlock]
    other: tuple[OtherScaling, ...]
    unverified: tuple[str, ...]
    uncalled: tuple[str, ...]


def find_se_blocks(model: nn.Module, example: Tensor | tuple[int, ...]) -> dict[str, SEBlock]:
    """Find the SE blocks of a network, in the order of the forward pass.

    Parameters
    ----------
    model
        Any module that takes one (batch, channels, height, width) tensor.
    example
        A tensor such as the model takes, or its shape: only shape, dtype and device count.

    Returns
    -------
    dict of str to SEBlock
        By name, in the order of the forward pass.

    Raises
    ------
    NoSEBlocksError
        If there is none; the message says what scaling there is instead.
    CompiledModelError
        If the model was compiled.

    See Also
    --------
    survey : tells also of scaling of other kinds, and of modules that are never called.
    """
    found = survey(model, example)
    if found.blocks:
        return found.blocks
    message = (
        f"no SE block in {type(model).__name__}: no feature map is scaled by a per-channel gate computed from it"
        " with learned weights."
    )
    if found.other:
        message += f" There is other scaling, such as in {found.other[0].path!r} {found.other[0].kind}."
    if found.uncalled:
        message += f" Never called in the forward pass are {', '.join(found.uncalled[:3])}."
    raise NoSEBlocksError(f"{message} Networks with SE blocks are timm/seresnet50 or torchvision/efficientnet_b0.")


def survey(model: nn.Module, example: Tensor | tuple[int, ...]) -> Survey:
    """Tell how a network scales its feature maps: by SE blocks, and otherwise.

    A forward pass of two random images is watched; then every find is verified on random input of its own,
    since a feature map of zeros (a residual branch whose last BatchNorm starts at zero) would fit any gate.
    The search is deterministic, draws from no global random state and leaves the model as it was.

    Parameters
    ----------
    model
        Any module that takes one (batch, channels, height, width) tensor.
    example
        A tensor such as the model takes, or its shape: only shape, dtype and device count.

    Raises
    ------
    CompiledModelError
        If the model was compiled.
    """
    refuse_compiled(model)
    images = _random_images(model, example)
    with undisturbed(model), trace(model) as state:
        model(images)
    checked = [(find, _verified(model, images, find)) for find in state.finds]
    holding = [(find, again) for find, again in checked if again is not None]
    return Survey(
        blocks=_named(holding, images, state),
        other=tuple(OtherScaling(path, kind.value) for path, kind in state.scalings),
        unverified=tuple(find.path for find, again in checked if again is None),
        uncalled=_uncalled(model, state),
    )


def _uncalled(model: nn.Module, state: Trace) -> tuple[str, ...]:
    """The outermost modules with parameters that were not called, nor any module in them."""
    called = {path.rsplit(".", k)[0] for path in state.calls for k in range(path.count(".") + 1)}
    silent = [
        path
        for path, module in model.named_modules()
        if path and path not in called and next(module.parameters(), None) is not None
    ]
    return tuple(path for path in silent if path.rpartition(".")[0] not in silent)


def _named(finds: list[tuple[Find, Find]], images: Tensor, state: Trace) -> dict[str, SEBlock]:
    """The blocks of finds, each with itself as verified, named by stage and order."""
    strides = [stride(images.shape, find.u.shape) for find, _ in finds]
    order = Counter[int]()
    blocks = {}
    for (find, again), reduced, stage in zip(finds, strides, stage_numbers(strides), strict=True):
        order[stage] += 1
        name, channels = f"SE_{stage}_{order[stage]}", find.u.shape[1]
        gate = _activation(again)
        blocks[name] = SEBlock(
            name=name,
            path=find.path,
            gate_path=find.gate[0] if find.gate else None,
            channels=channels,
            squeezed_channels=min(find.origin.width or channels, channels),
            gate=gate,
            stage=stage,
            block=order[stage],
            stride=round(reduced),
            weights=find.origin.weights,
            call=find.gate[1] if find.gate else 0,
            calls=state.calls[find.gate[0]] if find.gate else 1,
            product=find.product,
            products=state.products[find.path],
            bounds=bounds_of(gate),
        )
    return blocks


def stride(images: Sequence[int], u: Sequence[int]) -> float:
    """Side of the images over side of the feature map, of two (batch, channels, height, width) shapes."""
    return math.sqrt(math.prod(images[2:]) / math.prod(u[2:]))


def stage_numbers(strides: Sequence[float]) -> list[int]:
    """The stage of each stride: its log2, and one offset for the whole network that lifts the smallest to 2."""
    depths = [round(math.log2(stride)) for stride in strides]
    offset = max(0, 2 - min(depths, default=2))
    return [depth + offset for depth in depths]


def refuse_compiled(model: nn.Module) -> None:
    """Raise CompiledModelError if the model, or a module in it, was compiled with `torch.compile`."""
    for path, module in model.named_modules():
        if isinstance(module, torch._dynamo.OptimizedModule) or module._compiled_call_impl is not None:
            where = f"its module {path!r}" if path else "it"
            raise CompiledModelError(
                f"{type(model).__name__} cannot be observed: {where} was compiled, and compiled code ignores hooks"
                " registered later. Give the model as it was before torch.compile."
            )


def _random_images(model: nn.Module, example: Tensor | tuple[int, ...]) -> Tensor:
    shape = tuple(example.shape if isinstance(example, Tensor) else example)
    if len(shape) not in (3, 4):
        raise ValueError(f"example has shape {shape}, expected (batch, channels, height, width)")
    like = example if isinstance(example, Tensor) else next(model.parameters(), torch.empty(0))
    images = torch.randn(2, *shape[-3:], generator=torch.Generator().manual_seed(0))
    return images.to(device=like.device, dtype=like.dtype)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _random_like(tensor: Tensor, seed: int) -> Tensor:
    """Random numbers of the same shape, whose mean over positions varies more than the positions do."""
    if not tensor.is_floating_point():
        return tensor
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(tensor.shape, generator=generator)
    if is_feature_map(tensor):
        values += 2 * torch.randn(*tensor.shape[:2], 1, 1, generator=generator)
    return values.to(tensor)


def _varied(model: nn.Module, seed: int, *, every: bool) -> dict[str, Tensor]:
    """Random stand-ins for parameters: those that hold one number only, as those that start at zero do, or all."""
    generator = torch.Generator().manual_seed(seed)
    varied = {}
    for name, parameter in model.named_parameters():
        if every or (parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all())):
            scale = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.5
            noise = scale * torch.randn(parameter.shape, generator=generator)
            varied[name] = noise.to(parameter) + (0 if every else parameter.detach())
    return varied


def _verified(model: nn.Module, images: Tensor, find: Find) -> Find | None:
    """The find as it shows again on random input, if its gate, as a hook sees it, is the factor of its product.

    The block is run by itself, or within the whole network where it cannot be. A draw may show nothing, since
    ReLUs can all be shut; then the next is tried, also with other weights: first in place of those that are one
    number only, then in place of all.
    """
    runs: list[tuple[str, nn.Module, Any]] = [("", model, ((images,), {}))]
    if find.path and (find.gate is None or find.gate[0].startswith(f"{find.path}.")):
        runs.insert(0, (f"{find.path}.", model.get_submodule(find.path), find.inputs))
    for prefix, module, inputs in runs:
        for draw in range(_DRAWS):
            args, kwargs = map_tensors(partial(_random_like, seed=draw), inputs)
            weights = _varied(module, draw, every=draw > _DRAWS // 2) if draw % 2 else {}
            again = _again(module, prefix, find, weights, args, kwargs)
            if again is not None:
                return again
    return None


def _again(
    module: nn.Module, prefix: str, find: Find, weights: dict[str, Tensor], args: Any, kwargs: Any
) -> Find | None:
    """Run a module that holds the block; the find as it shows there, if it holds."""
    seen: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(undisturbed(module))
        state = stack.enter_context(trace(module, weights))
        if find.gate is not None:
            gate = module.get_submodule(find.gate[0].removeprefix(prefix))
            stack.callback(gate.register_forward_hook(lambda *call: seen.append(call[2].clone())).remove)
        try:
            functional_call(module, weights, args, kwargs)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
            return None  # not made to be called by itself
    for again in state.finds:
        if _same_place(find, again, prefix, state.products[again.path]) and _holds(again, seen):
            return again
    return None


def _same_place(find: Find, again: Find, prefix: str, products: int) -> bool:
    return f"{prefix}{again.path}".rstrip(".") == find.path and again.product == find.product % products


def _holds(find: Find, seen: list[Tensor]) -> bool:
    """Whether this is a gate: it differs between images, scales something, and is what the hook saw."""
    if torch.equal(find.factor[0], find.factor[1]) or not bool(find.u.any()):
        return False
    if find.gate is None:
        return True
    gate = gate_values(seen[find.gate[1]], find.factor.shape[1])
    return gate.shape == find.factor.shape and torch.equal(gate, find.factor)


def gate_values(output: Tensor, channels: int) -> Tensor:
    """What a gate's module returned, as (batch, channels)."""
    if is_feature_map(output):  # already expanded over positions
        output = output[:, :, 0, 0]
    return output.reshape(-1, channels)


def _activation(find: Find) -> str:
    """The name of the function that makes the gate out of something computed before it."""
    factor = find.factor.double()
    tolerance = 1e-6 if find.factor.dtype in (torch.float32, torch.float64) else 1e-2
    for before in reversed(find.origin.trail):
        if before.numel() != factor.numel():
            continue
        x = before.double().reshape(factor.shape)
        for name, function in GATES.items():
            moved = not torch.allclose(function(x), x, rtol=0, atol=1e-3)
            if moved and torch.allclose(function(x), factor, rtol=0, atol=tolerance):
                return name
    return "other"
