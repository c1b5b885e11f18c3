"""Keras 3 networks on torch x {find, name, capture, force, mask, check}, and what is refused."""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import seviz
from seviz.compression.checking import check
from seviz.compression.folding import fold_to, foldable, remove
from seviz.compression.masking import masked
from seviz.errors import EngineError, FoldingError, SevizError, WeightsError
from seviz.network.gates import capture_gates, force_gates
from seviz.network.keras_models import KerasModel, layers_as_modules
from seviz.network.networks import Network
from tests.network import keras_networks
from tests.network.keras_networks import NETWORKS

# Of Keras itself, where it makes arrays of variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@cache
def network(name: str) -> Network:
    """The network of a name, whose blocks are searched for once."""
    return seviz.wrap(keras_networks.made(name), torch.zeros(2, *NETWORKS[name][1]), trained=False)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    network.cache_clear()


def keras_model(name: str) -> Any:
    return network(name).model.keras_model


def inputs(name: str, batch: int = 3) -> Tensor:
    """Keras' applications take pixels from 0 to 255."""
    scale = 2 if name.startswith(("sub", "seq")) else 255
    return scale * torch.rand(batch, *NETWORKS[name][1], generator=torch.Generator().manual_seed(4))


def constants(name: str) -> dict[str, Tensor]:
    """A gate for each block, another in each channel, within (0.2, 0.8)."""
    generator = torch.Generator().manual_seed(2)
    blocks = network(name).blocks.values()
    return {block.name: 0.2 + 0.6 * torch.rand(block.channels, generator=generator) for block in blocks}


@contextmanager
def gate_layers(name: str, call: Callable[[int, Tensor], Tensor | None]) -> Iterator[None]:
    """Have a function see what each layer of a gate returns, by its number; it may return another."""
    every = {id(layer): layer for layer in keras_model(name)._flatten_layers()}.values()
    layers = [layer for layer in every if layer.name.endswith(NETWORKS[name][3])]
    order: list[Any] = []
    with ExitStack() as stack:
        for layer in layers:

            def hook(layer: Any, args: Any, output: Tensor) -> Tensor | None:
                order.append(layer)
                return call(len(order) - 1, output)

            stack.callback(layer.register_forward_hook(hook).remove)
        yield


@contextmanager
def written(name: str, gates: list[Tensor]) -> Iterator[None]:
    """Gates, (channels), in place of those that the layers compute."""
    activation = NETWORKS[name][4]

    def write(number: int, output: Tensor) -> Tensor:
        shape = [n if n == len(gates[number]) and k else 1 for k, n in enumerate(output.shape)]
        return activation.inverse(gates[number].reshape(shape).expand_as(output)).contiguous()

    with gate_layers(name, write):
        yield


def assert_same(output: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    assert output.shape == expected.shape
    assert float((output - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_gates_are_those_of_its_own_layers(name: str) -> None:
    seen: list[Tensor] = []
    x = inputs(name)
    with gate_layers(name, lambda _, output: seen.append(output.clone())):  # type: ignore[func-returns-value]
        keras_model(name)(x)
    assert list(network(name).blocks) == NETWORKS[name][2]
    assert len(seen) == len(network(name).blocks)
    with capture_gates(keras_model(name), network(name).blocks) as gates:
        keras_model(name)(x)
    for gate, output in zip(gates.values(), seen, strict=True):
        expected = NETWORKS[name][4].forward(output).reshape(gate.shape)
        assert float(expected.std(0).max()) > 1e-4
        assert float((gate - expected).abs().max()) <= 1e-6


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_forced_and_masked_gates_are_as_if_written_into_its_layers(name: str) -> None:
    model, x, gates = keras_model(name), inputs(name), constants(name)
    with written(name, list(gates.values())):
        expected = model(x)
    with force_gates(model, network(name).blocks, gates):
        assert_same(model(x), expected)
    plain = model(x)
    assert float((plain - expected).abs().max()) > 1e-3 * float(expected.abs().max())
    chosen = {block: torch.tensor([0, len(gate) - 1]) for block, gate in gates.items()}
    with masked(network(name), chosen), capture_gates(model, network(name).blocks) as seen:
        output = model(x[:1])
    assert all(not seen[block][:, chosen[block]].any() and seen[block].any() for block in seen)
    with written(name, [gate[0] for gate in seen.values()]):
        assert_same(output, model(x[:1]), 2e-6)


@pytest.mark.parametrize("name", ["MobileNetV3", "EfficientNet, channels first", "subclassed, 2-D"])
def test_all_is_vouched_for(name: str) -> None:
    assert check(network(name)).vouched


@pytest.mark.parametrize("name", ["MobileNetV3", "EfficientNet, channels first", "subclassed, 2-D"])
def test_folding_is_refused_with_the_reason(name: str) -> None:
    reason = "Keras keeps its weights in variables of its own"
    table = foldable(network(name))
    assert all(reason in each for each in table["reason"])
    assert not table["side"].any()
    with pytest.raises(FoldingError, match=f"SE_2_1 of memory:.* cannot be folded: {re.escape(reason)}"):
        fold_to(network(name), constants(name))


def test_what_changes_a_copy_is_refused() -> None:
    with pytest.raises(EngineError, match="the Keras model 'small' cannot be copied: Keras does that by saving"):
        copy.deepcopy(network("EfficientNet").model)
    with pytest.raises(EngineError, match="the Keras model 'small' cannot be copied"):
        remove(network("EfficientNet"))
    scores = pd.DataFrame(
        {"block": name, "channel": channel, "score": channel}
        for name, block in network("EfficientNet").blocks.items()
        for channel in range(block.channels)
    )
    with pytest.raises(SevizError):
        seviz.prune(network("EfficientNet"), scores, keep_channels=0.7)


def test_layers_go_by_their_names() -> None:
    paths = [block.path for block in network("MobileNetV3").blocks.values()]
    assert paths == ["expanded_conv_squeeze_excite_mul", "expanded_conv_1_squeeze_excite_mul"]
    paths = [block.path for block in network("EfficientNet as a layer").blocks.values()]
    assert paths == ["small/block1a_se_excite", "small/block2a_se_excite", "small/block2b_se_excite"]


def test_the_model_comes_back_as_it_was_given() -> None:
    model = keras_networks.made("MobileNetV3")

    def state() -> tuple[Any, ...]:
        hooks = [(len(x._forward_hooks), len(x._forward_pre_hooks), x.training) for x in model._flatten_layers()]
        return [path for path, _ in model.named_modules()], list(model.state_dict()), hooks, sorted(vars(model))

    before, weights = state(), copy.deepcopy(model.get_weights())
    x = inputs("MobileNetV3")
    blocks = seviz.find_se_blocks(model, x)
    with force_gates(model, blocks, {"SE_2_1": 0.5}), capture_gates(model, blocks):
        model(x)
    assert state() == before
    for array, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(array, other)


@torch.no_grad()
def test_contexts_on_one_model_take_turns() -> None:
    model, blocks = keras_model("MobileNetV3"), network("MobileNetV3").blocks
    x = inputs("MobileNetV3")
    with (
        capture_gates(model, blocks) as outside,
        force_gates(model, blocks, {"SE_2_1": 0.5}),
        capture_gates(model, blocks) as inside,
    ):
        model(x)
    assert (inside["SE_2_1"] == 0.5).all()
    assert not (outside["SE_2_1"] == 0.5).all()


def test_gates_of_predict() -> None:
    """The way in which Keras' users run a network."""
    model, blocks = keras_model("EfficientNet"), network("EfficientNet").blocks
    x = inputs("EfficientNet")
    with capture_gates(model, blocks, detach=True) as gates:
        model.predict(x.numpy(), verbose=0)
        seen = gates["SE_3_1"].clone()
        model(x)
    assert torch.equal(seen, gates["SE_3_1"])


def test_functional_calls_reach_the_variables() -> None:
    model = layers_as_modules(keras_networks.made("sequential"))
    assert isinstance(model, KerasModel)
    x = inputs("sequential")
    halved = {name: parameter / 2 for name, parameter in model.named_parameters()}
    with torch.no_grad():
        before = model(x)
        swapped = torch.func.functional_call(model, halved, x)
        assert_same(model(x), before)
        for variable in model.keras_model.trainable_variables:
            variable.assign(variable.value / 2)
        assert_same(swapped, model(x))


def test_a_model_that_is_not_built_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"the Keras model 'late' has no weights yet, .* call it once on an example"):
        seviz.find_se_blocks(keras_networks.Subclassed(2, name="late"), torch.zeros(2, 32, 32, 3))


def test_other_modules_stay_as_they_are() -> None:
    module = nn.Linear(2, 2)
    assert layers_as_modules(module) is module


def test_collected_from_memory(tmp_path: Path) -> None:
    name = "EfficientNet"
    x = inputs(name, 8)
    with pytest.warns(UserWarning, match="near chance|Top-1"):
        run = seviz.collect(
            keras_model(name), [(x, torch.arange(8) % 3)], tmp_path / "run", class_names=["a", "b", "c"], device="cpu"
        )
    with torch.no_grad(), capture_gates(keras_model(name), network(name).blocks) as gates:
        keras_model(name)(x)
    for block, gate in gates.items():
        np.testing.assert_allclose(run.gates(block), gate, atol=1e-4)


def test_layers_of_one_name_are_told_apart() -> None:
    model = keras_networks.Subclassed(2, se_name="gate")
    x = torch.rand(3, 32, 32, 3)
    model(x)
    blocks = seviz.find_se_blocks(model, x)
    assert [block.path for block in blocks.values()] == ["gate", "gate#2"]
    assert len({name for block in blocks.values() for name in block.weights}) == 4
