"""Find the Squeeze-and-Excitation blocks of a network by what they do, and name them SE_stage_block.

An SE block is where a feature map `u` (batch, channels, positions...) is multiplied by a factor that is one number per
image and channel and is computed from `u` through a squeeze and learned weights. There are one to three axes of
positions, and the channels may be last. Type names decide nothing.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from seviz.errors import ExampleError, NoSEBlocksError, SevizWarning, WeightsError
from seviz.network.activations import activation
from seviz.network.bounds import UNBOUNDED, Bounds
from seviz.network.examples import ROWS, Example, Given, larger, random_example, rows_of, run_example
from seviz.network.modes import buffers_kept, undisturbed
from seviz.network.positions import Layout
from seviz.network.products import Form
from seviz.network.scalings import Scaling
from seviz.network.stages import dilations, stage_numbers, stride
from seviz.network.tracing import Find, Trace, outside_torchscript, trace
from seviz.network.verification import exact, joined, lead_of, louder, verified
from seviz.network.wrappers import refuse_compiled, uncompiled
from seviz.showing import blocks_as_html, brief

_LARGEST_SE = 10_000_000  # numbers in the matrices of a layer that is tried as an SE layer


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
        Side of the input over side of the feature map: the d-th root of positions in over positions out, where the
        input has d axes of positions.
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
    layout
        Where the network keeps the channels of the feature map: "first", (batch, channels, positions...), or "last".
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
    layout: Layout = "first"

    __repr__ = brief

    def _repr_html_(self) -> str:
        return blocks_as_html("SE block", [self])


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
    """

    blocks: dict[str, SEBlock]
    other: tuple[OtherScaling, ...]
    unverified: tuple[str, ...]
    uncalled: tuple[str, ...]
    uncalled_se: tuple[str, ...] = ()
    single: tuple[str, ...] = ()

    __repr__ = brief

    def _repr_html_(self) -> str:
        return blocks_as_html(" ".join([f"{len(self.blocks)} SE blocks.", *self.remarks()]), self.blocks.values())

    @property
    def opaque(self) -> tuple[str, ...]:
        """Modules that were not looked into, being TorchScript."""
        return tuple(each.path for each in self.other if each.kind == Scaling.OPAQUE)

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
        positional arguments; or a dict of keyword arguments. So inputs of one axis of positions are given as a tensor.

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
    >>> blocks = seviz.find_se_blocks(model, (3, 32, 32))
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
    seen = next((each for each in found.other if each.kind != Scaling.OPAQUE), None)
    if seen is not None:
        message += f" There is other scaling, such as in {seen.path!r} {seen.kind}."
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

    Examples
    --------
    >>> found = seviz.survey(model, (3, 32, 32))
    >>> len(found.blocks), found.remarks()
    (16, [])
    """
    model = uncompiled(model)
    refuse_compiled(model)
    with torch.inference_mode(False), buffers_kept(model):
        return _survey(model, example)


def _survey(model: nn.Module, example: Example) -> Survey:
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise WeightsError(
            f"{type(model).__name__} has parameters on the meta device, which hold no values: blocks cannot be"
            " verified. Move it with model.to_empty(device=...) and load or draw its weights."
        )
    given = random_example(model, example)
    try:
        state, finds = _watched(model, given)
    except ExampleError:
        rows = rows_of(example)
        if rows <= ROWS:
            raise
        given = random_example(model, example, rows)  # an exported graph may take that batch only
        state, finds = _watched(model, given)
    single: tuple[str, ...] = ()
    layout = state.layout_of_input
    for enlarged in larger(given, layout) if state.single or not exact(finds, given, layout) else ():
        try:
            more = _watched(model, enlarged)
        except ExampleError:
            single = tuple(state.single)
            break
        if len(more[1]) < len(finds):
            break
        (state, finds), given = more, enlarged
        if not state.single and exact(finds, given, layout):
            break
    checked = [(find, verified(model, given, find)) for find in finds]
    holding = [(find, again) for find, again in checked if again is not None]
    uncalled = _uncalled(model, state)
    return Survey(
        blocks=_named(model, holding, given, state),
        other=(
            *(OtherScaling(path, kind.value) for path, kind in state.scalings),
            *(OtherScaling(path, Scaling.OPAQUE.value) for path in _torchscript(model)),
        ),
        unverified=tuple(find.path for find, again in checked if again is None),
        uncalled=uncalled,
        single=single,
        uncalled_se=tuple(path for outer in uncalled for path in _se_layers(model, outer)),
    )


def _watched(model: nn.Module, given: Given) -> tuple[Trace, list[Find]]:
    """The search in one pass of an example."""
    with undisturbed(model), trace(model) as state:
        run_example(model, given)
    return state, joined(state)


def _torchscript(model: nn.Module) -> list[str]:
    """The outermost modules that are TorchScript."""
    return [path for path, module in outside_torchscript(model) if isinstance(module, torch.jit.ScriptModule)]


def _uncalled(model: nn.Module, state: Trace) -> tuple[str, ...]:
    """The outermost modules with parameters that were not called, nor any module in them."""
    called = {path.rsplit(".", k)[0] for path in state.calls for k in range(path.count(".") + 1)}
    opaque = tuple(f"{path}." for path in _torchscript(model))
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


def _named(model: nn.Module, finds: list[tuple[Find, Find]], given: Given, state: Trace) -> dict[str, SEBlock]:
    """The blocks of finds, each with itself as verified, named by stage and order."""
    sizes = given.sizes(state.layout_of_input)
    strides = [stride(sizes, find.u.shape) for find, _ in finds]
    around = dilations(model, {find.path: s for (find, _), s in zip(finds, strides, strict=True)})
    stages = stage_numbers(strides, [around[find.path] for find, _ in finds])
    order = Counter[int]()
    blocks = {}
    for (find, again), reduced, stage in zip(finds, strides, stages, strict=True):
        order[stage] += 1
        name, channels = f"SE_{stage}_{order[stage]}", find.u.shape[1]
        gate, bounds = activation(
            again.origin, lead_of(again), partial(louder, model, given, find), form=find.form, layout=find.layout
        )
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
            layout=find.layout,
        )
    return blocks
