"""Every form of gate x {search, capture, force, collect, mask, fold or its refusal}."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed
from torchvision.transforms import v2

import seviz
from seviz.classes import Classes
from seviz.compression.folding import fold_to
from seviz.compression.masking import masked
from seviz.errors import FoldingError
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from tests.network.forms_of_gates import CHANNELS, FORMS, SHAPE, blocks_of, images, instead, used_gates

pytestmark = pytest.mark.filterwarnings("ignore:Top-1 accuracy is:UserWarning")

CONSTANT = 0.3
MASKED = [1, 5, 12]
SCALES_ANOTHER = ("relu(x) times gate(x)", "products in the network's own forward")
"""Forms whose product scales another feature map than the block is given."""
CLASSES = Classes(("a", "b", "c"), ("a", "b", "c"))


@cache
def network(form: str) -> Network:
    """The network of a form, whose blocks are searched for once."""
    return Network(
        spec=f"tests/{form}",
        weights="none",
        trained=True,
        model=FORMS[form].network(),
        preprocess=v2.ToDtype(torch.float32),
        preprocessing={},
        input_size=SHAPE,
        classes=CLASSES,
    )


def given(form: str) -> Tensor:
    return images(dtype=FORMS[form].dtype)


def assert_same(form: str, actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    rough = FORMS[form].dtype in (torch.bfloat16, torch.float16)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=0.03 if rough else tolerance)


@pytest.fixture(scope="module", autouse=True)
def no_process_group_stays() -> Iterator[None]:
    yield
    network.cache_clear()
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_the_search_finds_the_blocks(form: str) -> None:
    assert tuple(network(form).blocks) == FORMS[form].names
    blocks = list(network(form).blocks.values())
    assert tuple(block.path for block in blocks) == FORMS[form].paths
    assert {(block.channels, block.squeezed_channels) for block in blocks} == {(CHANNELS, 4)}
    assert blocks[0].gate == FORMS[form].gate
    _, gates = used_gates(network(form).model, 10 * given(form))
    for block, gate in zip(blocks, gates, strict=True):
        low, high = block.bounds
        assert low - 0.01 <= float(gate.min()) < float(gate.max()) <= high + 0.01


@pytest.mark.parametrize("form", FORMS)
def test_gates_are_those_that_the_products_used(form: str) -> None:
    model, blocks, kind = network(form).model, network(form).blocks, FORMS[form]
    x = given(form)
    model.train(kind.train)
    with torch.set_grad_enabled(kind.backward), capture_gates(model, blocks) as gates:
        output, expected = used_gates(model, x)
        if kind.backward:
            output.sum().backward()
    model.eval()
    assert list(gates) == list(blocks)
    for gate, other in zip(gates.values(), expected, strict=True):
        assert other.shape == (5, CHANNELS)
        assert float(other.float().std(0).mean()) > 2e-4  # or agreement would mean nothing
        torch.testing.assert_close(gate.detach(), other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in SCALES_ANOTHER])
@torch.no_grad()
def test_squeeze_and_response_are_of_what_the_block_is_given(form: str) -> None:
    model, blocks = network(form).model, network(form).blocks
    x = given(form)
    entered: list[list[Tensor]] = []
    with ExitStack() as stack:
        for block in blocks_of(model):
            entered.append([])
            note = partial(lambda seen, _, args: seen.append(args[0].clone()), entered[-1])
            stack.callback(block.register_forward_pre_hook(note).remove)
        gates = stack.enter_context(capture_gates(model, blocks, signals=("squeeze", "response")))
        _, used = used_gates(model, x)
    maps = [u for seen in entered if seen for u in torch.cat(seen).split(len(x))]
    for name, u, gate in zip(blocks, maps, used, strict=True):
        assert_same(form, gates.signal("squeeze")[name], u.mean((2, 3)))
        assert_same(form, gates.signal("response")[name], (u * gate[:, :, None, None]).abs().mean((2, 3)))


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_forced_gates_are_as_if_written_into_the_code(form: str) -> None:
    model, blocks = network(form).model, network(form).blocks
    x = given(form)
    model.train(FORMS[form].train)
    for forced in (CONSTANT, torch.full((CHANNELS,), CONSTANT)):
        with force_gates(model, blocks, dict.fromkeys(blocks, forced)):
            output = model(x.clone())
        with instead(model, CONSTANT):
            expected = model(x.clone())
        assert_same(form, output, expected)
    model.eval()
    assert float((model(x.clone()) - expected).abs().max()) > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_run_holds_the_gates_that_the_products_used(form: str, tmp_path: Path) -> None:
    x = given(form)
    labels = torch.tensor([0, 1, 2, 0, 1])
    run = seviz.collect(
        network(form),
        [(x[:3].float(), labels[:3]), (x[3:].float(), labels[3:])],
        tmp_path / "run",
        compile="off",
        batch_size=2,
    )
    assert list(run.samples["status"]) == ["ok"] * 5
    with torch.no_grad():
        _, expected = used_gates(network(form).model, x)
    for name, gate in zip(network(form).blocks, expected, strict=True):
        assert_same(form, torch.from_numpy(np.asarray(run.gates(name))), gate, tolerance=2e-5)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_masked_channels_are_as_if_their_gates_were_written_as_0(form: str) -> None:
    model, blocks = network(form).model, network(form).blocks
    x = given(form)
    keep = torch.ones(CHANNELS, dtype=x.dtype).index_fill(0, torch.tensor(MASKED), 0)
    with masked(network(form), dict.fromkeys(blocks, torch.tensor(MASKED))):
        output = model(x.clone())
    with instead(model, lambda gate: gate * keep):
        expected = model(x.clone())
    assert_same(form, output, expected)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_a_block_folds_to_what_a_constant_in_its_code_gives_or_is_refused(form: str) -> None:
    whole = network(form)
    constant = {FORMS[form].names[0]: CONSTANT}
    if not FORMS[form].folds:
        with pytest.raises(FoldingError, match=f"{FORMS[form].names[0]} of .* cannot be folded: "):
            fold_to(whole, constant)
        return
    folded = fold_to(whole, constant)
    with instead(whole.model, CONSTANT, None):
        expected = whole.model(given(form))
    assert_same(form, folded.model(given(form)), expected)
