"""What seviz can vouch for in a network, block by block."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seviz.compression.places import places
from seviz.errors import SevizError
from seviz.network.blocks import SEBlock, Survey
from seviz.network.examples import Given, random_example, run_example
from seviz.network.gates import capture_gates, force_gates
from seviz.network.modes import buffers_kept, undisturbed
from seviz.network.networks import Network
from seviz.network.positions import Layout, channels_first, spread_over
from seviz.network.products import tensors_in
from seviz.showing import brief

_IMAGES = 4
_CONSTANT = 0.3  # inside of the bounds of every usual gate, and no value that a gate has by default
_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
_LOW = 5e-2  # of half precision


@dataclass(frozen=True, kw_only=True)
class BlockCheck:
    """What can be vouched for in one block.

    Attributes
    ----------
    block
        What was found.
    reading
        Where its gates are read, in words.
    within_bounds
        Whether the gates of random images lie within the bounds of the activation.
    kept
        Whether the network's output stays the same where the block's gates are forced to what they are.
    set
        Whether a constant that is forced is what the product uses, and changes the output.
    formula
        Whether the module of the block then gives u times the constant; None where it does more than scale what it is
        given, so that this cannot be seen from outside.
    folds
        Whether a constant gate can go into the weights.
    why_not
        Why it cannot; else empty.
    """

    block: SEBlock
    reading: str
    within_bounds: bool
    kept: bool
    set: bool
    formula: bool | None
    folds: bool
    why_not: str

    @property
    def vouched(self) -> bool:
        """Whether gates are read and forced as they should. (Not to fold is no fault.)"""
        return self.within_bounds and self.kept and self.set and self.formula is not False


@dataclass(frozen=True, kw_only=True)
class Check:
    """What can be vouched for in a network.

    Attributes
    ----------
    blocks
        By name, in the order of the forward pass.
    survey
        What the search found, also besides blocks.
    """

    blocks: Mapping[str, BlockCheck]
    survey: Survey

    __repr__ = brief

    @property
    def vouched(self) -> bool:
        """Whether there are blocks, each can be vouched for, and nothing was left out that may be one."""
        return bool(self.blocks) and not self.survey.remarks() and all(each.vouched for each in self.blocks.values())


def check(network: Network) -> Check:
    """Check that the gates of a network can be read and forced, block by block.

    Random images are run: gates are captured, forced to themselves, which must change nothing, and forced to a
    constant, which must be what the product then uses. Where the block's module does nothing but scale what it is
    given, a plain hook, apart from all of seviz's reading, must see it give u times the constant.

    Parameters
    ----------
    network
        Comes back as it was given.

    Raises
    ------
    CompiledModelError
        If it is compiled or TorchScript.
    ExampleError
        If it does not take images of its own size.

    Examples
    --------
    >>> checked = seviz.check(network)
    >>> checked.vouched, len(checked.blocks)
    (True, 16)
    """
    with buffers_kept(network.model):
        return _check(network)


def _check(network: Network) -> Check:
    blocks = network.blocks
    given = _given(network)
    with undisturbed(network.model), capture_gates(network.model, blocks, detach=True) as gates:
        plain = _numbers(run_example(network.model, given))
    known = places(network.model, given.args[0], blocks) if blocks and network.takes_images else {}
    checked = {}
    for name, block in blocks.items():
        kept, set_, formula = _forced(network.model, blocks, name, given, gates[name], plain)
        low, high = block.bounds
        slack = 1e-6 + _tolerance(gates[name]) * (high - low if math.isfinite(high - low) else 0)
        checked[name] = BlockCheck(
            block=block,
            reading=_reading(block),
            within_bounds=bool(((gates[name] >= low - slack) & (gates[name] <= high + slack)).all()),
            kept=kept,
            set=set_,
            formula=formula,
            folds=name in known and known[name].side is not None,
            why_not=known[name].reason if name in known else "the network takes several inputs",
        )
    return Check(blocks=checked, survey=network.survey)


def _given(network: Network) -> Given:
    """Random images, or what else the network takes."""
    if network.example is not None and not network.takes_images:
        return random_example(network.model, network.example)
    like = next((p for p in network.model.parameters() if p.is_floating_point()), torch.empty(0))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(_IMAGES, *network.example_size, generator=generator).to(like)
    return Given((images,), {}, f"shape {tuple(images.shape)}")


def _forced(
    model: nn.Module,
    blocks: Mapping[str, SEBlock],
    name: str,
    given: Given,
    gate: Tensor,
    plain: list[Tensor],
) -> tuple[bool, bool, bool | None]:
    """Whether forcing a block to its own gates changes nothing, to a constant does, and does it as the formula says."""
    module = model.get_submodule(blocks[name].path)
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, args: tuple[object, ...], output: object) -> None:
        if len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            seen.append((args[0].clone(), output.clone()))

    hook = module.register_forward_hook(note)
    try:
        with undisturbed(model), force_gates(model, blocks, {name: gate}):
            same = _numbers(run_example(model, given))
        layout = blocks[name].layout
        scaled = len(seen) == 1 and _close(seen[0][1], _times(seen[0][0], gate, layout))
        seen.clear()
        with (
            undisturbed(model),
            force_gates(model, blocks, {name: _CONSTANT}),
            capture_gates(model, {name: blocks[name]}, detach=True) as inside,
        ):
            other = _numbers(run_example(model, given))
    except SevizError:
        return False, False, None
    finally:
        hook.remove()
    constant = torch.full_like(gate, _CONSTANT)
    set_ = torch.equal(inside[name], constant) and any(not torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    formula = _close(seen[0][1], _times(seen[0][0], constant, layout)) if scaled and len(seen) == 1 else None
    return all(_close(a, b) for a, b in zip(same, plain, strict=True)), set_, formula


def _times(u: Tensor, gate: Tensor, layout: Layout) -> Tensor:
    seen = channels_first(u, layout)
    if seen.ndim < 3 or seen.shape[:2] != gate.shape:
        return torch.empty(0)
    scaled = seen * spread_over(gate, seen)
    return scaled if layout == "first" else scaled.movedim(1, -1)


def _numbers(output: object) -> list[Tensor]:
    return [tensor.clone() for tensor in tensors_in(output) if tensor.is_floating_point()]


def _tolerance(tensor: Tensor) -> float:
    return _TOLERANCE.get(tensor.dtype, _LOW)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return torch.allclose(a, b, rtol=_tolerance(b), atol=_tolerance(b) * float(b.abs().max() if b.numel() else 0))


def _reading(block: SEBlock) -> str:
    what = "computed in the block's own code"
    if block.gate_path is not None:
        what = f"what {block.gate_path} returns"
    form = {"factor": "", "divisor": ", as a divisor", "diagonal": ", as a diagonal matrix"}[block.form]
    several = f", in {1 + len(block.pieces)} products" if block.pieces else ""
    return f"at the product{several}{form}: {what}"
