"""Networks that nobody here wrote, and those written from papers x {find, name, capture, force, mask, fold, check}.

What is expected is told by the source of each, and read and written by plain hooks on its own modules: `declared.py`.
"""

import copy
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor

import seviz
from seviz.compression.checking import check
from seviz.compression.folding import fold_to, foldable
from seviz.compression.masking import masked
from seviz.errors import FoldingError
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from tests.network.declared import Declared
from tests.network.packages import ENCODERS, PACKAGES, example_of

# geffnet scripts its activations when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")

EVERY: dict[str, Declared] = {**PACKAGES, **ENCODERS}
FEW = [name for name, declared in PACKAGES.items() if len(declared.stages) < 9]


@cache
def network(name: str) -> Network:
    """The network of an entry, whose blocks are searched for once."""
    return seviz.wrap(EVERY[name].made(), example_of(EVERY[name]), trained=False)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    network.cache_clear()


def constants(name: str) -> dict[str, Tensor]:
    """A gate for each block, another in each channel, within (0.2, 0.8)."""
    generator = torch.Generator().manual_seed(2)
    return {block.name: 0.2 + 0.6 * torch.rand(block.channels, generator=generator) for block in blocks(name)}


def blocks(name: str) -> list[seviz.SEBlock]:
    return list(network(name).blocks.values())


def assert_same(output: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert output.shape == expected.shape
    assert float((output - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("name", EVERY)
def test_blocks_are_those_that_the_source_declares(name: str) -> None:
    declared, model = EVERY[name], network(name).model
    in_order = declared.gates(model, declared.inputs())
    assert {path for holder in declared.holders for path in holder.paths(model)} == set(in_order)
    assert list(network(name).blocks) == declared.names
    assert [block.path for block in blocks(name)] == list(in_order)
    assert [block.channels for block in blocks(name)] == [gate.shape[1] for gate in in_order.values()]
    assert not network(name).survey.remarks()


@pytest.mark.parametrize("name", EVERY)
def test_gates_are_those_of_its_own_modules(name: str) -> None:
    declared, model = EVERY[name], network(name).model
    inputs = declared.inputs()
    expected = declared.gates(model, inputs)
    with capture_gates(model, network(name).blocks) as gates:
        declared.run(model, inputs)
    assert max(float(gate.std(0).max()) for gate in expected.values()) > 1e-3  # or agreement would mean nothing
    for block in blocks(name):
        assert gates[block.name].shape == expected[block.path].shape
        assert float((gates[block.name] - expected[block.path]).abs().max()) <= 1e-6


@pytest.mark.parametrize("name", EVERY)
def test_forced_gates_are_as_if_written_into_its_modules(name: str) -> None:
    declared, model = EVERY[name], copy.deepcopy(network(name).model).double()  # or depth would amplify rounding
    inputs = tuple(x.double() if x.is_floating_point() else x for x in declared.inputs())
    with declared.written(model, {block.path: constants(name)[block.name] for block in blocks(name)}):
        expected = declared.run(model, inputs)
    with force_gates(model, network(name).blocks, constants(name)):
        output = declared.run(model, inputs)
    assert_same(output, expected)
    assert float((declared.run(model, inputs) - expected).abs().max()) > 1e-3 * float(expected.abs().max())


@pytest.mark.parametrize("name", PACKAGES)
def test_masked_channels_have_gates_of_zero(name: str) -> None:
    declared, model = EVERY[name], network(name).model
    inputs = declared.inputs(1)  # of one input gates have no axis of the batch, so that they can be written in
    chosen = {block.name: torch.tensor([0, block.channels - 1]) for block in blocks(name)}
    with masked(network(name), chosen), capture_gates(model, network(name).blocks) as gates:
        output = declared.run(model, inputs)
    for block in blocks(name):
        assert not gates[block.name][:, chosen[block.name]].any()
        assert gates[block.name].any()
    with declared.written(model, {block.path: gates[block.name][0] for block in blocks(name)}):
        assert_same(output, declared.run(model, inputs), 1e-5)


@pytest.mark.parametrize("name", PACKAGES)
def test_folded_or_refused_with_the_reason(name: str) -> None:
    declared, model = EVERY[name], network(name).model
    if not network(name).takes_images:
        with pytest.raises(FoldingError, match=r"memory:\w+ takes several inputs: gates can be folded into"):
            foldable(network(name))
        return
    table = foldable(network(name)).set_index("block")
    folds = [name for name, side in table["side"].items() if side]
    assert len(folds) == declared.folds
    for block in set(table.index) - set(folds):
        assert table.loc[block, "reason"]
        with pytest.raises(FoldingError, match="cannot be folded"):
            fold_to(network(name), {str(block): constants(name)[str(block)]})
    if not folds:
        return
    inputs = declared.inputs()
    folded = fold_to(network(name), {block: constants(name)[block] for block in folds})
    with declared.written(model, {network(name).blocks[block].path: constants(name)[block] for block in folds}):
        expected = declared.run(model, inputs)
    assert_same(declared.run(folded.model, inputs), expected, 1e-5)


@pytest.mark.parametrize("name", FEW)
def test_all_is_vouched_for(name: str) -> None:
    assert check(network(name)).vouched
