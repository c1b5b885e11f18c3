from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import seviz
from seviz.compression.inner import inner_scores
from seviz.errors import OptionError
from seviz.network.gates import layer_inputs
from seviz.network.networks import Network
from tests.compression.small_networks import small_vgg

BLOCK, INNER, LAST = "SE_3_2", "layer2.1.conv2", "layer2.1.conv3"


@pytest.fixture(scope="module")
def network() -> Network:
    return seviz.load("seviz/seresnet50-cifar10")


@pytest.fixture(scope="module")
def images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 3, 32, 32, generator=generator), torch.tensor([k, 1, 2, 3])) for k in range(2)]


def _of_block(network: Network, criterion: str, **options: object) -> np.ndarray:
    table = inner_scores(network, criterion=criterion, **options)  # type: ignore[arg-type]
    rows = table[table["block"] == BLOCK]
    assert set(rows["layer"]) == {INNER}
    assert rows["channel"].tolist() == list(range(len(rows)))
    return rows["score"].to_numpy()


def test_by_the_filters_and_the_norm(network: Network) -> None:
    filters = network.model.get_parameter(f"{INNER}.weight").detach().numpy().reshape(32, -1)
    np.testing.assert_allclose(_of_block(network, "l1"), np.abs(filters).sum(1), rtol=1e-5)
    np.testing.assert_allclose(_of_block(network, "l2"), np.sqrt((filters**2).sum(1)), rtol=1e-5)
    gamma = network.model.get_parameter("layer2.1.bn2.weight").detach().numpy()
    np.testing.assert_allclose(_of_block(network, "bn_gamma"), np.abs(gamma), rtol=1e-6)


def test_by_the_weights_behind(network: Network) -> None:
    model = network.model
    weight = model.get_parameter(f"{LAST}.weight").detach().numpy()[:, :, 0, 0]  # (outputs, inputs)
    norm = model.get_submodule("layer2.1.bn3")
    scale = np.abs(norm.weight.detach().numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
    np.testing.assert_allclose(_of_block(network, "weights"), (scale[:, None] * np.abs(weight)).sum(0), rtol=1e-5)


def test_by_taylor(network: Network, images: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """a · dL/da summed over positions is the slope of the loss when the channel is scaled: seen by a small step."""
    model = network.model.double()
    step, channel, slopes = 1e-6, 5, []
    for x, labels in images:
        with torch.no_grad():
            plain = F.cross_entropy(model(x.double()), labels, reduction="none")

            def scaled(_: object, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
                changed = args[0].clone()
                changed[:, channel] *= 1 + step
                return (changed,)

            hook = model.get_submodule(LAST).register_forward_pre_hook(scaled)
            moved = F.cross_entropy(model(x.double()), labels, reduction="none")
            hook.remove()
        slopes.append(((moved - plain) / step).abs())
    model.float()
    found = _of_block(network, "taylor", data=images, device="cpu")
    assert found[channel] == pytest.approx(float(torch.cat(slopes).mean()), rel=1e-3)


def test_at_random(network: Network) -> None:
    np.testing.assert_array_equal(_of_block(network, "random"), _of_block(network, "random:0"))
    assert not np.array_equal(_of_block(network, "random:1"), _of_block(network, "random:0"))


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (
            "apoz",
            "criterion 'apoz' does not score inner channels, .*; expected one of bn_gamma, gate_class, .*, weights",
        ),
        ("gate_mean", "criterion 'gate_mean' needs a run of this network"),
        ("taylor", "criterion 'taylor' needs images, as data"),
    ],
)
def test_wrong_use(criterion: str, message: str, network: Network) -> None:
    with pytest.raises(OptionError, match=message):
        inner_scores(network, criterion=criterion)


def test_bn_gamma_needs_a_batchnorm(tiny_network: Network) -> None:
    network = replace(tiny_network, model=small_vgg(batch_norm=False).eval(), input_size=(3, 32, 32))
    with pytest.raises(OptionError, match="needs a BatchNorm with a scale behind"):
        inner_scores(network, criterion="bn_gamma")


def test_layer_inputs_are_what_a_layer_is_given(network: Network) -> None:
    x = torch.randn(2, 3, 32, 32)
    with layer_inputs(network.model, ["conv1"]) as given:
        network.model(x)
    assert torch.equal(given["conv1"], x)
    assert given["conv1"].data_ptr() != x.data_ptr()
    assert not network.model.get_submodule("conv1")._forward_pre_hooks
