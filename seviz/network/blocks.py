"""Find the Squeeze-and-Excitation blocks of a network by what they do, and name them SE_stage_block.

An SE block is where a feature map `u` (batch, channels, height, width) is multiplied by a factor that is one
number per image and channel and is computed from `u` through a squeeze and learned weights. Type names decide
nothing.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

import inspect
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seviz.errors import ExampleError, NoSEBlocksError, SevizWarning, WeightsError
from seviz.network.activations import activation
from seviz.network.bounds import UNBOUNDED, Bounds
from seviz.network.products import Form, map_tensors, tensors_in
from seviz.network.stages import dilations, is_exact, stage_numbers, stride
from seviz.network.tracing import Find, Origin, Scaling, Trace, is_feature_map, trace
from seviz.network.wrappers import refuse_compiled, uncompiled

_ROWS = 2  # of the batch that is watched
_DRAWS = 8  # of random input, to verify a find
_MULTIPLE = 64  # of the sides of images that every usual stride divides
_LARGEST = 256  # side that a small image is enlarged to
_LARGEST_SE = 10_000_000  # numbers in the matrices of a layer that is tried as an SE layer

Example = Tensor | tuple[Any, ...] | dict[str, Any]
"""What a network takes: a tensor, its shape, a tuple of arguments, or a dict of keyword arguments."""


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
        The module whose output is the gate; None where the gate is a plain function call, or what a module returned
        was changed before the product. Gates are always read at the product.
    channels
        Number of gates.
    squeezed_channels
        Width of the narrowest point between the squeeze and the gate.
    gate
        The activation: a key of `seviz.network.activations.GATES`, "hard_sigmoid(SLOPE, OFFSET)" for clamp(SLOPE x +
        OFFSET, 0, 1), or "other".
    bounds
        The least and the greatest value of the activation; infinite where there is none, or it is not known.
    stage, block
        The numbers in the name.
    stride
        Side of the input over side of the feature map.
    dilation
        Of the convolutions around the block; the stage is told from stride times dilation.
    weights
        Names of the learned tensors that the matrices between squeeze and gate are, or are made of, in order of use.
    computed
        Whether the matrices are computed from those tensors at each pass, as by a weight norm or a mask.
    call, calls
        Which call of the gate's module gives this gate (0-based), of how many in a forward pass.
    product, products
        Which call inside `path` multiplies the feature map (0-based), of how many in a forward pass that may scale
        channels (see `seviz.network.products`).
    pieces
        Where several products scale some channels each: of every further one its number in `path` and its first
        channel.
    operand, form
        Which of the two operands of the product holds the gate, and as what.
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
    bounds: Bounds = UNBOUNDED
    dilation: int = 1
    weights: tuple[str, ...] = ()
    computed: bool = False
    call: int = 0
    calls: int = 1
    product: int = 0
    products: int = 1
    pieces: tuple[tuple[int, int], ...] = ()
    operand: int = 1
    form: Form = "factor"


def learned_tensor(model: nn.Module, name: str) -> Tensor:
    """A parameter, a buffer or another tensor of a network by its name, as in `SEBlock.weights`."""
    path, _, last = name.rpartition(".")
    tensor = getattr(model.get_submodule(path), last)
    assert isinstance(tensor, Tensor)
    return tensor


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
        Modules with parameters that the forward pass did not call, the outermost only.
    uncalled_se
        SE layers that the forward pass did not call.
    single
        Where something with one position is multiplied by what is computed from it, in a network that takes no larger
        images: an SE block there cannot be told from a gate of vectors.
    opaque
        Parts that were not looked into: modules that are TorchScript.
    """

    blocks: dict[str, SEBlock]
    other: tuple[OtherScaling, ...]
    unverified: tuple[str, ...]
    uncalled: tuple[str, ...]
    uncalled_se: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()

    def remarks(self) -> list[str]:
        """What a person should know of it, in sentences: whatever may be an SE block and is not among the blocks."""
        remarks = []
        if self.opaque:
            remarks.append(f"Not looked into, being TorchScript: {_some(self.opaque)}.")
        if self.unverified:
            remarks.append(
                "Left out, since the gate could not be verified on random input: the product in"
                f" {_some(self.unverified)}."
            )
        unknown = tuple(each.path for each in self.other if each.kind == Scaling.UNKNOWN)
        if unknown:
            remarks.append(f"Scaled per channel and image in a way that is not understood: {_some(unknown)}.")
        if self.single:
            remarks.append(
                "Left out, since feature maps of a single position cannot be told from vectors: the product in"
                f" {_some(self.single)}."
            )
        if self.uncalled_se:
            remarks.append(f"SE layers that the forward pass does not call: {_some(self.uncalled_se)}.")
        return remarks


def _some(paths: Sequence[str]) -> str:
    """The first few of some paths, and how many more."""
    shown = ", ".join(path or "the network's own forward" for path in paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def find_se_blocks(model: nn.Module, example: Example) -> dict[str, SEBlock]:
    """Find the SE blocks of a network, in the order of the forward pass.

    Parameters
    ----------
    model
        Any module. Parallel wrappers are looked through; of a compiled model, the one that it was made from is taken,
        with a warning.
    example
        What the model takes, of which only shapes, types and device count: a tensor (batch, ...); its shape, where
        three whole numbers are channels, height and width, and any other shape includes the batch; a tuple of
        positional arguments; or a dict of keyword arguments.

    Returns
    -------
    dict of str to SEBlock
        By name, in the order of the forward pass.

    Raises
    ------
    NoSEBlocksError
        If there is none; the message says what scaling there is instead.
    ExampleError
        If the model does not take such an example.
    CompiledModelError
        If a part of the model was compiled, or the model is TorchScript.
    WeightsError
        If the model is on the meta device: without values nothing can be verified.

    Warns
    -----
    SevizWarning
        If there is anything that may be an SE block and could not be verified or looked into.

    See Also
    --------
    survey : tells also of scaling of other kinds, and of modules that are never called.

    Examples
    --------
    >>> blocks = seviz.find_se_blocks(timm.create_model("seresnet50"), (3, 224, 224))
    >>> list(blocks)[:4]
    ['SE_2_1', 'SE_2_2', 'SE_2_3', 'SE_3_1']
    """
    found = survey(model, example)
    if found.blocks:
        for remark in found.remarks():
            warnings.warn(remark, SevizWarning, stacklevel=2)
        return found.blocks
    raise NoSEBlocksError(why_none(model, found))


def why_none(model: nn.Module, found: Survey) -> str:
    """Why there is no SE block in a network, and what there is instead, in words."""
    message = (
        f"no SE block in {type(model).__name__}: no feature map is scaled by a per-channel gate computed from it"
        " with learned weights."
    )
    if found.other:
        message += f" There is other scaling, such as in {found.other[0].path!r} {found.other[0].kind}."
    message = " ".join([message, *found.remarks()])
    if found.uncalled:
        message += f" Never called in the forward pass are {', '.join(found.uncalled[:3])}."
    return f"{message} Networks with SE blocks are timm/seresnet50 or torchvision/efficientnet_b0."


def survey(model: nn.Module, example: Example) -> Survey:
    """Tell how a network scales its feature maps: by SE blocks, and otherwise.

    A forward pass of two random images is watched; then every find is verified on random input of its own,
    since a feature map of zeros (a residual branch whose last BatchNorm starts at zero) would fit any gate. Where
    images are so small that feature maps have a single position, or that strides cannot be told, larger ones are
    tried as well. The search is deterministic, draws from no global random state and leaves the model as it was.

    Parameters
    ----------
    model, example
        As in `find_se_blocks`.

    Raises
    ------
    ExampleError
        If the model does not take such an example.
    CompiledModelError
        If a part of the model was compiled, or the model is TorchScript.
    WeightsError
        If the model is on the meta device: without values nothing can be verified.
    """
    model = uncompiled(model)
    refuse_compiled(model)
    with torch.inference_mode(False):
        return _survey(model, example)


def _survey(model: nn.Module, example: Example) -> Survey:
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise WeightsError(
            f"{type(model).__name__} has parameters on the meta device, which hold no values: blocks cannot be"
            " verified. Move it with model.to_empty(device=...) and load or draw its weights."
        )
    given = _random_example(model, example)
    try:
        state, finds = _watched(model, given)
    except ExampleError:
        rows = _rows(example)
        if rows <= _ROWS:
            raise
        given = _random_example(model, example, rows)  # an exported graph may take that batch only
        state, finds = _watched(model, given)
    single: tuple[str, ...] = ()
    for larger in _larger(given) if state.single or not _exact(finds, given) else ():
        try:
            more = _watched(model, larger)
        except ExampleError:
            single = tuple(state.single)
            break
        if len(more[1]) < len(finds):
            break
        (state, finds), given = more, larger
        if not state.single and _exact(finds, given):
            break
    checked = [(find, _verified(model, given, find)) for find in finds]
    holding = [(find, again) for find, again in checked if again is not None]
    uncalled = _uncalled(model, state)
    return Survey(
        blocks=_named(model, holding, given, state),
        other=tuple(OtherScaling(path, kind.value) for path, kind in state.scalings),
        unverified=tuple(find.path for find, again in checked if again is None),
        uncalled=uncalled,
        single=single,
        uncalled_se=tuple(path for outer in uncalled for path in _se_layers(model, outer)),
        opaque=tuple(
            path
            for path, module in model.named_modules()
            if isinstance(module, torch.jit.ScriptModule)
            and not isinstance(model.get_submodule(path.rpartition(".")[0]), torch.jit.ScriptModule)
        ),
    )


def _watched(model: nn.Module, given: "_Given") -> tuple[Trace, list[Find]]:
    """The search in one pass of an example."""
    with undisturbed(model), trace(model) as state:
        try:
            model(*given.args, **given.kwargs)
        except Exception as error:  # whatever the model's own code raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ExampleError(
                f"{type(model).__name__} does not take {given.words} as example ({type(error).__name__}: {reason});"
                " expected a tensor, its shape, a tuple of positional arguments or a dict of keyword arguments"
            ) from error
    return state, _joined(state)


def _uncalled(model: nn.Module, state: Trace) -> tuple[str, ...]:
    """The outermost modules with parameters that were not called, nor any module in them."""
    called = {path.rsplit(".", k)[0] for path in state.calls for k in range(path.count(".") + 1)}
    opaque = tuple(f"{p}." for p, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule))
    silent = [
        path
        for path, module in model.named_modules()
        if path and path not in called and not path.startswith(opaque) and next(module.parameters(), None) is not None
    ]
    return tuple(path for path in silent if path.rpartition(".")[0] not in silent)


def _se_layers(model: nn.Module, outer: str) -> Iterator[str]:
    """The paths of SE layers in a module that was not called, as they show when they are."""
    done = ""
    for inner, module in model.get_submodule(outer).named_modules(prefix=outer):
        matrices = [p for p in module.parameters() if p.ndim > 1]
        if (done and inner.startswith(done)) or not matrices or sum(p.numel() for p in matrices) > _LARGEST_SE:
            continue
        like = matrices[0]
        u = torch.randn(2, like.shape[1], 4, 4, generator=torch.Generator().manual_seed(0)).to(like)
        try:
            with undisturbed(module), trace(module) as state:
                module(u)
        except Exception:  # whatever a module says to being called by itself
            continue
        if any(find.path == "" and torch.equal(find.u, u) for find in state.finds):
            done = f"{inner}."
            yield inner


# Finds


def _joined(state: Trace) -> list[Find]:
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
        if not find.u_origin.kin >> whole & 1 or whole in find.u_origin.maps or shape[1] <= find.u.shape[1]:
            continue
        same = [
            other
            for other in others
            if (other.path, other.call, other.weights) == (find.path, find.call, find.weights)
            and other.u_origin.kin >> whole & 1
            and not other.u_origin.maps & find.u_origin.maps
        ]
        if same and find.u.shape[1] + sum(other.u.shape[1] for other in same) == shape[1]:
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


def _named(model: nn.Module, finds: list[tuple[Find, Find]], given: "_Given", state: Trace) -> dict[str, SEBlock]:
    """The blocks of finds, each with itself as verified, named by stage and order."""
    strides = [stride(given.images, find.u.shape) for find, _ in finds]
    around = dilations(model, {find.path: s for (find, _), s in zip(finds, strides, strict=True)})
    stages = stage_numbers(strides, [around[find.path] for find, _ in finds])
    order = Counter[int]()
    blocks = {}
    for (find, again), reduced, stage in zip(finds, strides, stages, strict=True):
        order[stage] += 1
        name, channels = f"SE_{stage}_{order[stage]}", find.u.shape[1]
        gate, bounds = activation(again.origin, _lead(again), partial(_louder, model, given, find), form=find.form)
        made_by = find.gate if find.gate is not None and again.gate is not None else None
        blocks[name] = SEBlock(
            name=name,
            path=find.path,
            gate_path=made_by[0] if made_by else None,
            channels=channels,
            squeezed_channels=min(find.width or channels, channels),
            gate=gate,
            bounds=bounds,
            stage=stage,
            block=order[stage],
            stride=round(reduced),
            dilation=around[find.path],
            weights=find.weights,
            computed=find.computed,
            call=made_by[1] if made_by else 0,
            calls=state.calls[made_by[0]] // find.parts if made_by else 1,
            product=find.product,
            products=state.products[find.path] // find.parts,
            pieces=find.pieces,
            operand=find.operand,
            form=find.form,
        )
    return blocks


# Examples


@dataclass(frozen=True)
class _Given:
    """Random arguments of a network.

    Attributes
    ----------
    args, kwargs
        The arguments.
    words
        What the person gave, in a few words.
    resizable
        Whether it is one batch of images, of which the size may be another.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    words: str
    resizable: bool = False

    @property
    def images(self) -> tuple[int, ...]:
        """The shape of the first batch of images, or of the first tensor."""
        tensors = list(tensors_in((self.args, self.kwargs)))
        return tuple(next((x for x in tensors if x.ndim >= 4), tensors[0]).shape)


def _rows(example: Example) -> int:
    """Of the batch of an example that is a tensor or a shape with a batch; else 0."""
    shape: Any = tuple(example.shape) if isinstance(example, Tensor) else example
    return int(shape[0]) if _is_shape(shape) and len(shape) > 3 else 0


def _random_example(model: nn.Module, example: Example, rows: int = _ROWS) -> _Given:
    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    if isinstance(example, Tensor) or _is_shape(example):
        like = example if isinstance(example, Tensor) else parameter
        shape = tuple(example.shape if isinstance(example, Tensor) else example)
        rest = shape if not isinstance(example, Tensor) and len(shape) == 3 else shape[1:]
        if len(rest) < 2 or not all(n > 0 for n in rest):
            raise ExampleError(
                f"example has shape {shape}, expected (channels, height, width) or (batch, channels, height, width)"
            )
        kind = like.dtype if like.is_floating_point() else parameter.dtype
        images = _drawn((rows, *rest), 0).to(device=like.device, dtype=kind)
        return _Given((images,), {}, f"shape {shape}", resizable=len(rest) == 3)
    if not isinstance(example, tuple | dict) or next(tensors_in(example), None) is None:
        raise ExampleError(
            f"example is a {type(example).__name__} without tensors,"
            " expected a tensor, its shape, a tuple of positional arguments or a dict of keyword arguments"
        )
    # Lists of images have no axis of the batch; what stands by itself has.
    alone = example.values() if isinstance(example, dict) else example
    batch = next((len(x) for x in alone if isinstance(x, Tensor) and x.ndim), 0)
    random = map_tensors(partial(_random_rows, batch), example)
    words = f"the shapes {[tuple(x.shape) for x in tensors_in(example)]}"
    if isinstance(example, tuple):
        return _Given(tuple(random), {}, words)
    try:
        inspect.signature(model.forward).bind(**example)
    except TypeError:  # then the dict itself is what the network takes
        return _Given((random,), {}, words)
    return _Given((), random, words)


def _is_shape(example: object) -> bool:
    return isinstance(example, tuple | list) and bool(example) and all(type(n) is int for n in example)


def _random_rows(batch: int, tensor: Tensor) -> Tensor:
    """Rows of random numbers in place of a batch, of anything else as many as there are; others as they are."""
    shape = tuple(tensor.shape)
    if batch and shape and shape[0] == batch:
        shape = (_ROWS, *shape[1:])
    if not tensor.is_floating_point():
        return tensor if shape == tuple(tensor.shape) else tensor[torch.arange(_ROWS) % len(tensor)]
    return _drawn(shape, 0).to(tensor)


def _drawn(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _larger(given: _Given) -> Iterator[_Given]:
    """The same images at sizes that strides divide, each larger than the one before."""
    if not given.resizable:
        return
    (images,) = given.args
    sides = tuple(images.shape[2:])
    while max(sides) < _LARGEST:
        sides = tuple(_MULTIPLE * -(-(side + 1) // _MULTIPLE) for side in sides)
        larger = _drawn((*images.shape[:2], *sides), 0).to(images)
        yield replace(given, args=(larger,))


def _exact(finds: Sequence[Find], given: _Given) -> bool:
    """Whether the stride of each find can be told."""
    return not given.resizable or all(is_exact(given.images, find.u.shape) for find in finds if find.u.ndim == 4)


# Verification


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.modules()}
    with suppress(NotImplementedError):  # an exported graph has one mode, in which it was made
        model.eval()
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _random_like(tensor: Tensor, seed: int, scale: float = 1.0) -> Tensor:
    """Random numbers of the same shape, whose mean over positions varies more than the positions do."""
    if not tensor.is_floating_point():
        return tensor
    values = _drawn(tensor.shape, seed)
    if is_feature_map(tensor):
        values += 2 * torch.randn(*tensor.shape[:2], 1, 1, generator=torch.Generator().manual_seed(seed + 1000))
    return (scale * values).to(tensor)


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


def _verified(model: nn.Module, given: _Given, find: Find) -> Find | None:
    """The find as it shows again on random input, if its factor differs between images there and scales something.

    The block is run by itself, or within the whole network where it cannot be. A draw may show nothing, since
    ReLUs can all be shut; then the next is tried, also with other weights: first in place of those that are one
    number only, then in place of all. The find's gate is None there if it is not what its module returned.
    """
    for prefix, module, inputs in _ways(model, given, find):
        for draw in range(_DRAWS):
            args, kwargs = map_tensors(partial(_random_like, seed=draw), inputs)
            weights = _varied(module, draw, every=draw > _DRAWS // 2) if draw % 2 else {}
            again = _again(module, prefix, find, weights, args, kwargs)
            if again is not None and _holds(again):
                return again
    return None


def _ways(model: nn.Module, given: _Given, find: Find) -> list[tuple[str, nn.Module, Any]]:
    """What may be run to see a find again, the smaller first: its path, the module and its arguments."""
    ways: list[tuple[str, nn.Module, Any]] = [("", model, (given.args, given.kwargs))]
    if find.path and find.parts == 1 and (find.gate is None or find.gate[0].startswith(f"{find.path}.")):
        ways.insert(0, (f"{find.path}.", model.get_submodule(find.path), find.inputs))
    return ways


def _louder(model: nn.Module, given: _Given, find: Find) -> list[tuple[Origin, Tensor]]:
    """Origin and value of the factor where the input is larger."""
    prefix, module, inputs = _ways(model, given, find)[0]
    seen = []
    for draw, scale in enumerate((10.0, 100.0, 1000.0)):
        args, kwargs = map_tensors(partial(_random_like, seed=draw, scale=scale), inputs)
        if (again := _again(module, prefix, find, {}, args, kwargs)) is not None:
            seen.append((again.origin, _lead(again)))
    return seen


def _lead(find: Find) -> Tensor:
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
    for again in _joined(state):
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
    gate = seen[find.gate[1]]
    if is_feature_map(gate):  # already expanded over positions
        gate = gate[:, :, 0, 0]
    return gate.numel() == find.factor.numel() and torch.equal(
        gate.reshape(find.factor.shape).to(find.factor.dtype), find.factor
    )


def _holds(find: Find) -> bool:
    """Whether this is a gate: it differs between images, and scales something."""
    return len(find.factor) > 1 and not torch.equal(find.factor[0], find.factor[1]) and bool(find.u.any())
