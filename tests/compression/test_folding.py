from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import seviz
from seviz.compression.folding import constant_gates, fold, fold_to, foldable, mean_gate, remove
from seviz.errors import FoldingError, NoSEBlocksError, OptionError, UnknownClassError
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.compression.small_networks import small_googlenet, small_tresnet, small_vgg

# Each with what only it shows of where a gate can go.
ARCHITECTURES: dict[str, str | Callable[[], nn.Module]] = {
    "BatchNorm, then the sum": "seviz/seresnet50-cifar10",
    "the authors' module": "timm/legacy_seresnet18",
    "SiLU, then a convolution": "timm/efficientnet_b0",
    "hard swish and hard sigmoid": "timm/mobilenetv3_small_100",
    "ReLU, then a convolution": "timm/regnety_002",
    "a concatenation of computed maps": "timm/ghostnet_100",
    "convolutions of parts": "timm/mixnet_s",
    "one matrix, behind a concatenation": "timm/ese_vovnet19b_dw",
    "the activation behind it": "timm/rexnet_100",
    "blurred pooling": small_tresnet,
    "torchvision's module": "torchvision/mobilenet_v3_small",
    "inserted behind a pointwise convolution": "timm/mobilenetv1_100+se",
    "inserted before the sum": "torchvision/resnet18+se",
    "inserted behind each convolution": partial(small_vgg, batch_norm=True),
    "inserted behind a concatenation": small_googlenet,
    "inserted before a concatenation": "torchvision/shufflenet_v2_x0_5+se",
}


def _lively(architecture: str, tiny: Network) -> Network:
    """A network in float64 whose BatchNorm layers differ from each other, as those of a trained one do."""
    made = ARCHITECTURES[architecture]
    if isinstance(made, str):
        network = seviz.load(made, weights="none")
    else:
        network = replace(tiny, model=made().eval(), input_size=(3, 64, 64))
    generator = torch.Generator().manual_seed(0)
    for module in network.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
            ):
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    size = network.input_size if network.input_size[1] == 32 else (3, 64, 64)
    return replace(network, model=network.model.double(), input_size=size)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folded_network_is_the_network_with_constant_gates(architecture: str, tiny_network: Network) -> None:
    network = _lively(architecture, tiny_network)
    table = foldable(network).set_index("block")
    assert (table["side"] != "").all(), table["reason"].to_dict()
    generator = np.random.default_rng(1)
    gates = {name: generator.uniform(0.05, 0.95, block.channels) for name, block in network.blocks.items()}
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    images = torch.randn(2, *network.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    folded = fold_to(network, gates)
    with torch.no_grad():
        with seviz.force_gates(network.model, network.blocks, gates):
            expected = network.model(images)
        output = folded.model(images)
    # in float64 nothing but rounding is left
    assert float((output - expected).abs().max()) <= 1e-10 * float(expected.abs().max())
    assert folded.blocks == {}
    lost = sum(p.numel() for p in network.model.parameters()) - sum(p.numel() for p in folded.model.parameters())
    assert lost == table["parameters"].sum() > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in network.model.state_dict().items())
    assert len(network.blocks) == len(gates)


def test_float32_is_within_a_hundred_thousandth() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    gates = {name: np.full(block.channels, 0.4) for name, block in network.blocks.items()}
    images = torch.randn(4, *network.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with seviz.force_gates(network.model, network.blocks, gates):
            expected = network.model(images)
        output = fold_to(network, gates).model(images)
    assert float((output - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_the_means_are_those_of_the_run(bundled_run: Run) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    gates = bundled_run.gates("SE_5_1")
    labels = bundled_run.labels
    # gates are kept as 16-bit fixed point, moments are of the gates themselves
    np.testing.assert_allclose(mean_gate(bundled_run, "SE_5_1"), gates.mean(0), atol=1e-5)
    some = np.isin(labels, [bundled_run.class_index("cat"), bundled_run.class_index("dog")])
    np.testing.assert_allclose(mean_gate(bundled_run, "SE_5_1", classes=["cat", "dog"]), gates[some].mean(0), atol=1e-5)
    assert list(constant_gates(network, bundled_run)) == list(network.blocks)
    assert list(constant_gates(network, bundled_run, ["SE_5_1", "SE_2_2"])) == ["SE_2_2", "SE_5_1"]


def test_fold_some_blocks_for_some_classes(bundled_run: Run) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    folded = fold(network, bundled_run, ["SE_2_2", "SE_5_3"], classes=["cat"])
    assert set(network.blocks) - {block.name for block in network.blocks.values() if _gone(folded, block.path)} == set(
        network.blocks
    ) - {"SE_2_2", "SE_5_3"}
    images = torch.randn(2, *network.input_size, generator=torch.Generator().manual_seed(0))
    means = {name: mean_gate(bundled_run, name, classes=["cat"]) for name in ("SE_2_2", "SE_5_3")}
    with torch.no_grad():
        with seviz.force_gates(network.model, network.blocks, means):
            expected = network.model(images)
        torch.testing.assert_close(folded.model(images), expected, rtol=1e-4, atol=1e-5)


def _gone(network: Network, path: str) -> bool:
    return isinstance(network.model.get_submodule(path), nn.Identity)


def test_removed_blocks_are_gates_of_one() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    removed = remove(network, ["SE_5_2"])
    images = torch.randn(2, *network.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        with seviz.force_gates(network.model, network.blocks, {"SE_5_2": 1.0}):
            expected = network.model(images)
        torch.testing.assert_close(removed.model(images), expected, rtol=1e-4, atol=1e-5)
    assert len(removed.blocks) == len(network.blocks) - 1
    with pytest.raises(NoSEBlocksError, match="no SE block in"):
        remove(network).require_blocks()


def test_a_tiny_network_folds_by_hand(tiny_network: Network) -> None:
    gates = {name: np.linspace(0, 1, block.channels) for name, block in tiny_network.blocks.items()}
    folded = fold_to(tiny_network, gates)
    for stage, gate in enumerate(gates.values()):
        was, now = (network.model.stages[stage][0] for network in (tiny_network, folded))
        np.testing.assert_allclose(
            now.weight.detach(), was.weight.detach().numpy() * gate[:, None, None, None], rtol=1e-6
        )
        np.testing.assert_allclose(now.bias.detach(), was.bias.detach().numpy() * gate, rtol=1e-6)
        assert isinstance(folded.model.stages[stage][2], nn.Identity)


def test_a_negative_gate_does_not_pass_a_relu(tiny_network: Network) -> None:
    name, block = next(iter(tiny_network.blocks.items()))
    gate = np.ones(block.channels)
    gate[3] = -0.25
    with pytest.raises(
        FoldingError, match=f"{name} of .* cannot be folded: its gate would have to pass a ReLU .* -0.25"
    ):
        fold_to(tiny_network, {name: gate})


class InItsForward(nn.Module):
    """A network whose product is no module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.matrix, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        u = self.conv(images)
        return self.head((u * torch.sigmoid(8 * self.matrix(u.mean((2, 3))))[:, :, None, None]).mean((2, 3)))


def test_what_cannot_be_folded_says_why(tiny_network: Network) -> None:
    network = replace(tiny_network, model=InItsForward().eval())
    table = foldable(network)
    assert table["side"].tolist() == [""]
    assert table["removable"].tolist() == [False]
    assert "does more than scale what it is given" in table["reason"][0]
    (name,) = network.blocks
    with pytest.raises(FoldingError, match=f"{name} of .* cannot be folded: the network itself does more"):
        fold_to(network, {name: 0.5})
    with pytest.raises(FoldingError, match=f"{name} of .* cannot be taken out: the network itself does more"):
        remove(network)


@pytest.mark.filterwarnings("ignore:Top-1 accuracy")
def test_nothing_to_fold_in_a_run(tiny_network: Network, tmp_path: Path) -> None:
    network = replace(tiny_network, model=InItsForward().eval())
    batches = [(torch.randn(6, *network.input_size), torch.tensor([0, 1, 2, 0, 1, 2]))]
    run = seviz.collect(network, batches, out=tmp_path / "run", compile="off")
    with pytest.raises(FoldingError, match=r"none of the 1 SE blocks of .* can be folded; as for SE_2_1, the network"):
        fold(network, run)
    with pytest.raises(FoldingError, match=r"SE_2_1 of .* cannot be folded: the network itself"):
        fold(network, run, ["SE_2_1"])


def test_wrong_use(bundled_run: Run, tiny_network: Network) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    with pytest.raises(OptionError, match="is of another network"):
        fold(tiny_network, bundled_run)
    with pytest.raises(OptionError, match="is of a network with other weights"):
        fold(seviz.load("seviz/seresnet50-cifar10", weights="none"), bundled_run)
    with pytest.raises(OptionError, match="blocks has 'SE_9_9', expected some of SE_2_1"):
        fold(network, bundled_run, ["SE_9_9"])
    with pytest.raises(OptionError, match="blocks is empty"):
        fold(network, bundled_run, [])
    with pytest.raises(UnknownClassError, match="unicorn"):
        fold(network, bundled_run, classes=["unicorn"])
    with pytest.raises(OptionError, match=r"the gate of SE_2_1 has shape \(3,\), expected a number or \(64\)"):
        fold_to(network, {"SE_2_1": np.ones(3)})
    with pytest.raises(OptionError, match="all finite"):
        fold_to(network, {"SE_2_1": float("nan")})
