import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerConductance, LayerGradientXActivation, LayerIntegratedGradients
from torch import Tensor, nn

import seviz
from seviz.classes import Classes
from seviz.errors import EmptyDataError, MissingPackageError, OptionError, UnknownClassError
from seviz.experiments.attribution import METHODS, Attributions, attribute
from seviz.network.blocks import find_se_blocks
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from tests.dimensions import CASES, Layout, inputs
from tests.dimensions import network as small_network
from tests.network.forms import FORMS, Gated, SELayer

RANDOM = torch.Generator().manual_seed(0)
IMAGES = torch.rand(6, 3, 16, 16, generator=RANDOM) * torch.rand(6, 3, 1, 1, generator=RANDOM)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
BATCHES = [(IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:])]


def close(found: np.ndarray, expected: Tensor) -> None:
    expected = expected.detach().numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


def gates_of(network: Network) -> dict[str, Tensor]:
    with torch.no_grad(), capture_gates(network.model, network.blocks) as gates:
        network.model(IMAGES)
    return dict(gates)


def test_gradient_x_activation_by_plain_autograd_and_captum(tiny_network: Network) -> None:
    found = attribute(tiny_network, BATCHES)
    model = tiny_network.model
    for k, (name, block) in enumerate(tiny_network.blocks.items()):
        u = model.stages[:k](IMAGES)
        u = model.stages[k][:2](u)
        se = model.stages[k][2]
        s = se.gate(se.expand(torch.relu(se.reduce(u.mean((2, 3)))))).detach().requires_grad_()
        logits = model.head(model.stages[k + 1 :](u * s[:, :, None, None]).mean((2, 3)))
        logits[range(6), LABELS].sum().backward()
        close(found.values[name], s.grad * s)
        layer = LayerGradientXActivation(model, model.get_submodule(block.gate_path))
        close(found.values[name], layer.attribute(IMAGES, LABELS))


def test_the_baseline_is_taken_off(tiny_network: Network) -> None:
    s, zero, one = (
        gates_of(tiny_network),
        attribute(tiny_network, BATCHES),
        attribute(tiny_network, BATCHES, baseline=1),
    )
    means = {name: gate.mean(0).numpy() for name, gate in s.items()}
    mean = attribute(tiny_network, BATCHES, baseline=means)
    for name, gate in s.items():
        gradient = zero.values[name] / gate.numpy()
        np.testing.assert_allclose(one.values[name], gradient * (gate.numpy() - 1), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(mean.values[name], gradient * (gate.numpy() - means[name]), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("form", ["scaled in the parent", "a function call", "hard sigmoid by hand"])
@pytest.mark.parametrize("baseline", [0.0, 1.0, "array"])
def test_integrated_gradients_add_up(form: str, baseline: float | str, network: Network) -> None:
    """Over the channels to the logit less what it is with the gates at the baseline, for every form of gate."""
    torch.manual_seed(0)
    model = nn.Sequential(Gated(FORMS[form][0]), nn.ReLU(), nn.Linear(8, 3)).eval()
    blocks = find_se_blocks(model, (3, 16, 16))
    made = replace(network, model=model)
    base = np.linspace(0, 1, 8, dtype=np.float32)
    given = {"SE_2_1": base} if baseline == "array" else baseline
    found = attribute(made, BATCHES, method="integrated_gradients", baseline=given, steps=64)
    with torch.no_grad():
        logits = model(IMAGES)[range(6), LABELS]
        with force_gates(model, blocks, {"SE_2_1": base if baseline == "array" else baseline}):
            at_baseline = model(IMAGES)[range(6), LABELS]
    np.testing.assert_allclose(found.values["SE_2_1"].sum(1), logits - at_baseline, rtol=0, atol=2e-3)


def test_integrated_gradients_as_captum_has_them_on_the_layer(tiny_network: Network) -> None:
    """Captum counts from the gates of another image; so gates of one image are the baseline here."""
    model, gates = tiny_network.model, gates_of(tiny_network)
    base = {name: gate[5].numpy() for name, gate in gates.items()}
    found = attribute(tiny_network, BATCHES, method="integrated_gradients", baseline=base, steps=20)
    for name, block in tiny_network.blocks.items():
        layer = LayerIntegratedGradients(model, model.get_submodule(block.gate_path))
        expected = layer.attribute(IMAGES, IMAGES[5:].expand_as(IMAGES), LABELS, n_steps=20)
        close(found.values[name], expected)


def test_conductance_is_the_sum_of_gradient_times_change(tiny_network: Network) -> None:
    found = attribute(tiny_network, BATCHES, method="conductance", steps=10)
    model, blocks = tiny_network.model, tiny_network.blocks
    layer = LayerConductance(model, model.get_submodule(blocks["SE_3_1"].gate_path))
    close(found.values["SE_3_1"], layer.attribute(IMAGES, target=LABELS, n_steps=10))
    fine = attribute(tiny_network, BATCHES, method="conductance", steps=100)
    total = {name: torch.zeros_like(gate) for name, gate in gates_of(tiny_network).items()}
    before = None
    for alpha in np.linspace(0, 1, 101):
        with capture_gates(model, blocks) as gates:
            logits = model(float(alpha) * IMAGES)
        now = {name: gate.detach() for name, gate in gates.items()}
        gradients = torch.autograd.grad(logits[range(6), LABELS].sum(), list(gates.values()))
        if before is not None:
            for name, gradient in zip(blocks, gradients, strict=True):
                total[name] += gradient * (now[name] - before[name])
        before = now
    for name, value in total.items():
        np.testing.assert_allclose(fine.values[name], value, rtol=0, atol=2e-2 * float(value.abs().max()))


def test_whose_logit(tiny_network: Network) -> None:
    with torch.no_grad():
        predicted = tiny_network.model(IMAGES).argmax(1)
    for target, expected in (
        ("label", LABELS),
        ("predicted", predicted),
        ("RED", torch.full((6,), 2)),
        (1, torch.full((6,), 1)),
    ):
        found = attribute(tiny_network, BATCHES, target=target, blocks=["SE_4_1"])
        np.testing.assert_array_equal(found.targets, expected)
        relabelled = attribute(tiny_network, [(IMAGES, expected)], blocks=["SE_4_1"])
        np.testing.assert_allclose(found.values["SE_4_1"], relabelled.values["SE_4_1"], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found.labels, LABELS)


def test_images_of_a_folder_and_a_model_left_alone(network: Network, folder: Path) -> None:
    (folder / "green" / "000.png").write_bytes(b"")
    network.model.train()
    for method in METHODS:
        found = attribute(network, folder, method=method, steps=4, batch_size=1, workers=0)
        assert found.paths[3:5] == ("blue/003.png", "green/001.png")
        assert len(found.values["SE_2_1"]) == len(found.labels) == 11
    assert network.model.training
    assert all(parameter.grad is None for parameter in network.model.parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.model.modules())


def test_the_channels_that_are_read_are_found(network: Network, folder: Path) -> None:
    """The logit is the mean of a map of ones times its gates, so only the gate of that map counts."""
    found = attribute(network, folder, workers=0)
    for values in found.values.values():
        counts = np.zeros((12, 6), bool)
        counts[np.arange(12), 3 + found.labels] = True
        assert (values[counts] > 0.4).all()
        assert np.abs(values[~counts]).max() < 0.1
    assert (found.by_channel().groupby("block").head(3)["channel"] >= 3).all()


def made() -> Attributions:
    return Attributions(
        method="gradient_x_activation",
        values={
            "SE_2_1": np.array([[1, -1, 0, 0], [3, -1, 0, 0]], np.float32),
            "SE_3_1": np.array([[0, 4], [0, 0]], np.float32),
            "SE_3_2": np.zeros((2, 3), np.float32),
        },
        stages={"SE_2_1": 2, "SE_3_1": 3, "SE_3_2": 3},
        classes=Classes(("a", "b"), ("A", "B")),
        labels=np.array([0, 1]),
        targets=np.array([1, 1]),
        paths=("x.png", "y.png"),
    )


def test_tables() -> None:
    block = made().by_block().set_index("block")
    assert block["attribution"].tolist() == [1, 2, 0]
    assert block["absolute"].tolist() == [3, 2, 0]
    assert block["share"].tolist() == [0.6, 0.4, 0]
    assert block["half"].tolist() == [1, 1, 0]
    assert block["channels"].tolist() == [4, 2, 3]
    assert (block["images"] == 2).all()
    channel = made().by_channel()
    assert channel["channel"].tolist() == [0, 1, 2, 3, 1, 0, 0, 1, 2]
    np.testing.assert_allclose(channel["share"][:6], [2 / 3, 1 / 3, 0, 0, 1, 0])
    assert channel["share"][6:].isna().all()
    assert channel["attribution"].tolist() == [2, -1, 0, 0, 2, 0, 0, 0, 0]
    image = made().by_image()
    assert image["path"].tolist() == ["x.png"] * 3 + ["y.png"] * 3
    assert image["share"].tolist() == [2 / 6, 4 / 6, 0, 1, 0, 0]
    assert image["channel"].tolist() == [0, 1, 0, 0, 0, 0]
    assert image["value"].tolist() == [1, 4, 0, 3, 0, 0]
    assert image["class_name"].tolist() == ["A"] * 3 + ["B"] * 3
    assert set(image["target"]) == {"b"}
    nothing = replace(made(), values={"SE_3_2": np.zeros((2, 3), np.float32)})
    assert nothing.by_block()["share"].isna().all()
    assert nothing.by_image()["share"].isna().all()


def test_wrong_use(tiny_network: Network, network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, message in (
        (
            {"method": "shap"},
            "method is 'shap', expected one of gradient_x_activation, integrated_gradients, conductan",
        ),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"blocks": ["SE_9_9"]}, "no block 'SE_9_9' in tests/tiny; it has SE_2_1"),
        ({"target": 3}, "target is 3, expected a class from 0 to 2"),
        ({"baseline": {"SE_2_1": np.zeros(8)}}, r"baseline of SE_3_1 has shape none, expected \(12,\)"),
        ({"baseline": {"SE_2_1": np.zeros(7)}}, r"baseline of SE_2_1 has shape \(7,\), expected \(8,\)"),
        ({"method": "conductance", "baseline": 1.0}, "conductance counts from an image of zeros"),
    ):
        with pytest.raises(OptionError, match=message):
            attribute(tiny_network, BATCHES, **options)
    with pytest.raises(UnknownClassError, match="no class 'pug' in the network tests/tiny"):
        attribute(tiny_network, BATCHES, target="pug")
    layer = SELayer()
    for block, why in (
        (FORMS["a function call"][0], "a function call"),
        (nn.Sequential(layer, nn.ReLU(), layer), "a module that is called several times"),
    ):
        model = nn.Sequential(Gated(block), nn.Linear(8, 3)).eval()
        with pytest.raises(OptionError, match=f"needs a module for each gate, and that of SE_2_1 is {why}"):
            attribute(replace(network, model=model), BATCHES, method="conductance")
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(EmptyDataError, match=r"none of the .* images of data .* can be read"):
        attribute(network, folder, workers=0)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    for method in ("integrated_gradients", "conductance"):
        with pytest.raises(
            MissingPackageError, match=rf"{method} needs captum \(.*\): pip install 'seviz\[attribution"
        ):
            attribute(tiny_network, BATCHES, method=method)
    assert len(attribute(tiny_network, BATCHES).paths) == 6


@pytest.mark.parametrize(("d", "layout"), CASES)
def test_inputs_of_any_number_of_axes(d: int, layout: Layout) -> None:
    module, x = small_network(d, layout), inputs(d, layout, rows=3)
    network, labels = seviz.wrap(module, x), torch.tensor([0, 1, 3])
    held: dict[str, Tensor] = {}
    paths = {name: str(block.gate_path) for name, block in network.blocks.items()}
    hooks = [
        module.get_submodule(path).register_forward_hook(lambda _, __, out, name=name: held.update({name: out}))
        for name, path in paths.items()
    ]
    wanted = module(x)[torch.arange(3), labels].sum()
    gradients = torch.autograd.grad(wanted, [held[name] for name in paths])
    for hook in hooks:
        hook.remove()
    found = attribute(network, [(x, labels)], device="cpu").values
    whole = attribute(network, [(x, labels)], device="cpu", method="integrated_gradients", steps=200)
    shares = attribute(network, [(x, labels)], device="cpu", method="conductance", steps=20)
    for (name, path), gradient in zip(paths.items(), gradients, strict=True):
        close(found[name], (gradient * held[name]).flatten(1))
        with torch.no_grad(), force_gates(module, network.blocks, {name: 0.0}):
            shut = module(x)[torch.arange(3), labels]
        lost = module(x)[torch.arange(3), labels].detach() - shut
        np.testing.assert_allclose(whole.values[name].sum(1), lost.numpy(), rtol=0.02, atol=2e-3)
        captum = LayerConductance(module, module.get_submodule(path)).attribute(x, target=labels, n_steps=20)
        close(shares.values[name], captum.flatten(1))


class LastGate(nn.Module):
    """Channels last; the module of the gate returns (batch, 1, 1, channels)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 6)
        self.gate = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6), nn.Sigmoid())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        u = self.stem(x).relu()  # (batch, height, width, channels)
        return self.head((u * self.gate(u.mean((1, 2), keepdim=True))).mean((1, 2)))


def test_conductance_of_a_gate_whose_channels_are_last() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, x = LastGate().eval(), torch.randn(4, 5, 7, 3)
    network, labels = seviz.wrap(module, x), torch.tensor([0, 1, 2, 0])
    found = attribute(network, [(x, labels)], device="cpu", method="conductance", steps=10)
    expected = LayerConductance(module, module.gate).attribute(x, target=labels, n_steps=10)
    assert expected.shape == (4, 1, 1, 6)
    (block,) = network.blocks
    close(found.values[block], expected[:, 0, 0])
