"""Channel attention of papers, SE and near to it: what is found, captured, forced and folded, and what is only told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import seviz
from seviz.compression.folding import fold_to, foldable
from seviz.network.blocks import Survey, survey
from tests.network.attentions import ATTENTIONS, example
from tests.network.attentions.declaration import CHANNELS

EVERY = [(name, axes) for name, each in ATTENTIONS.items() for axes in each.axes]
EXCITATIONS = [(name, axes) for name, axes in EVERY if ATTENTIONS[name].se]
NOT_FOLDED = {"scSE"}  # the feature map goes into both halves


@cache
def surveyed(name: str, axes: int) -> Survey:
    return survey(ATTENTIONS[name].network(axes), example(axes))


def gate_modules(model: nn.Module) -> list[nn.Module]:
    """The modules that make the gates, in the order of the pass."""
    return [module for path, module in model.named_modules() if path.endswith(".gate")]


@contextmanager
def hooked(model: nn.Module, hook: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """What each module of a gate gives is shown to a function, and replaced by what that gives."""
    handles = [m.register_forward_hook(lambda module, args, output: hook(output)) for m in gate_modules(model)]
    yield
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(("name", "axes"), EVERY)
def test_each_attention_is_found_or_told_by_its_name(name: str, axes: int) -> None:
    attention, found = ATTENTIONS[name], surveyed(name, axes)
    assert [block.gate for block in found.blocks.values()] == [attention.gate] * 2 * attention.se
    layers = [f"layers.{k}.attention" for k in range(2)]
    assert sorted((each.path, each.kind) for each in found.other) == sorted(
        (path, kind) for path in layers for kind in attention.told
    )
    assert (found.unverified, found.uncalled, found.remarks()) == ((), (), [])
    assert all(block.path.startswith(path) for block, path in zip(found.blocks.values(), layers, strict=False))


@pytest.mark.parametrize(
    ("name", "squeezed", "weights"),
    [
        ("SE", 4, ["fc.0.weight", "fc.2.weight"]),
        ("ECA", 16, ["conv.weight"]),
        ("eSE", 16, ["fc.weight"]),
        ("SRM", 16, ["cfc.weight"]),
        ("SRM, weights multiplied", 16, ["cfc"]),
        ("GE-θ, global", 16, ["gather.weight"]),
        ("GE-θ⁺, global", 4, ["gather.weight", "fc.0.weight", "fc.2.weight"]),
    ],
)
def test_the_bottleneck_is_what_lies_between_squeeze_and_gate(name: str, squeezed: int, weights: list[str]) -> None:
    block = next(iter(surveyed(name, 2).blocks.values()))
    assert (block.channels, block.squeezed_channels) == (16, squeezed)
    assert set(block.weights) <= {f"layers.0.attention.{weight}" for weight in weights}
    assert block.weights[-1:] == (f"layers.0.attention.{weights[-1]}",)


@pytest.mark.parametrize(("name", "axes"), EXCITATIONS)
def test_gates_are_what_their_module_gives_and_are_forced_as_there(name: str, axes: int) -> None:
    model, x = ATTENTIONS[name].network(axes), example(axes, 3)
    blocks, given = surveyed(name, axes).blocks, list[Tensor]()
    with torch.no_grad():
        with hooked(model, lambda gate: given.append(gate.clone())):
            plain = model(x)
        with seviz.capture_gates(model, blocks) as gates:
            model(x)
        for gate, expected in zip(gates.values(), given, strict=True):
            assert torch.equal(gate, expected)
            assert gate.std(0).max() > 1e-3
        with hooked(model, lambda gate: torch.full_like(gate, 0.3)):
            expected = model(x)
        with seviz.force_gates(model, blocks, dict.fromkeys(blocks, 0.3)):
            torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(plain, expected, atol=1e-3)


@pytest.mark.parametrize("name", [name for name, axes in EXCITATIONS if axes == 2])
def test_gates_that_are_folded_give_what_constants_in_their_place_give(name: str) -> None:
    model, x = ATTENTIONS[name].network().double(), example(batch=3).double()
    network = seviz.wrap(model, x)
    table = foldable(network)
    assert set(table.side) == ({""} if name in NOT_FOLDED else {"before"})
    if name in NOT_FOLDED:
        assert all("used elsewhere" in reason for reason in table.reason)
        return
    constants = torch.linspace(0.1, 0.9, CHANNELS).double()
    folded = fold_to(network, dict.fromkeys(network.blocks, constants.numpy()))
    with torch.no_grad():
        with hooked(model, lambda gate: constants.expand_as(gate)):
            expected = model(x)
        torch.testing.assert_close(folded.model(x), expected, rtol=0, atol=1e-9)
    assert len(gate_modules(folded.model)) == 0
