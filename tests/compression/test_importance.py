from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression.belonging import check_run
from seviz.compression.importance import importance
from seviz.compression.scored import scores_by_block
from seviz.errors import EmptyDataError, MissingSignalError, OptionError, UnknownClassError
from seviz.network.networks import Network
from seviz.registry import CRITERIA
from seviz.run.parts import Part
from seviz.run.store import Run
from tests.made_runs import make_run

CHANNELS = {"SE_2_1": 8, "SE_3_1": 12, "SE_4_1": 16}
ASKED = {"gate_class": "gate_class:Blue,red", "random": "random:3"}


@pytest.fixture
def data(tiny_run: Run) -> Dataset:
    return open_dataset(str(tiny_run.manifest.data.spec))


def images_of(network: Network, data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    images = [network.preprocess(data.read(k).image) for k in range(len(data))]
    return torch.stack(images), torch.as_tensor(data.labels)


def with_norms(network: Network) -> Network:
    """The same with a BatchNorm behind each convolution, each with statistics of its own."""
    for k, stage in enumerate(network.model.stages):
        norm = nn.BatchNorm2d(stage[0].out_channels)
        random = torch.Generator().manual_seed(k)
        with torch.no_grad():
            norm.weight.copy_(torch.randn(norm.num_features, generator=random))
            norm.bias.copy_(torch.randn(norm.num_features, generator=random))
        stage.insert(1, norm)
    network.model.eval()
    return network


@pytest.mark.parametrize(
    "criterion", [ASKED.get(name, name) for name in CRITERIA if "gated" in CRITERIA.outline(name).kinds]
)
def test_every_criterion_keeps_the_contract(
    criterion: str, tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    network = with_norms(tiny_network)
    folder = make_folder({"blue": 2, "green": 2, "red": 2}, "few")
    with pytest.warns(UserWarning, match="near chance"):
        run = seviz.collect(network, folder, tmp_path / "few-run", signals=("excitation", "response"), workers=0)
    before = {name: tensor.clone() for name, tensor in network.model.state_dict().items()}
    network.model.stages[1].train()
    modes = [module.training for module in network.model.modules()]
    frozen = [parameter.requires_grad_(False) for parameter in network.model.head.parameters()]

    declared = CRITERIA[criterion.partition(":")[0]]
    given = (run if declared.signals else None, folder if "images" in declared.needs else None)
    options = {"batch_size": 4, "workers": 0, "device": "cpu"}
    table, again = (importance(network, given[0], criterion, data=given[1], **options) for _ in range(2))
    both = importance(network, run, criterion, data=folder, **options)  # what it does not need is no hindrance
    part = importance(network, Part(run, np.arange(1, 6)), criterion, data=folder, **options)

    assert list(table.columns) == ["block", "layer", "channel", "score"]
    assert list(table["block"]) == [block for block, number in CHANNELS.items() for _ in range(number)]
    assert list(table["channel"]) == [k for number in CHANNELS.values() for k in range(number)]
    assert list(table["layer"].unique()) == ["stages.0.0", "stages.1.0", "stages.2.0"]
    assert table["score"].dtype == np.float64
    assert np.isfinite(table["score"]).all()
    assert table["score"].nunique() > 4  # some channels are dead
    assert table.attrs == {"criterion": criterion, "kind": "gated"}
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(table, both)
    assert bool(declared.signals) == (not table["score"].equals(part["score"]))
    assert [module.training for module in network.model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.model.modules())
    assert all(parameter.grad is None for parameter in network.model.parameters())
    assert not any(parameter.requires_grad for parameter in frozen)
    for name, tensor in network.model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_gates_of_a_run(tiny_network: Network, tiny_run: Run) -> None:
    labels = tiny_run.labels
    for block in tiny_run.blocks:
        gates = tiny_run.gates(block).astype(np.float64)
        expected = {
            "gate_mean": gates.mean(0),
            "gate_variance": gates.var(0, ddof=1),
            "gate_effective": tiny_run.gates(block, "response").mean(0, dtype=np.float64),
            "gate_class:green": gates[labels == 1].mean(0),
            "gate_class: RED , blue": gates[labels != 1].mean(0),  # by image, so that the larger class counts more
        }
        for criterion, score in expected.items():
            table = importance(tiny_network, tiny_run, criterion)
            np.testing.assert_allclose(table.loc[table["block"] == block, "score"], score, rtol=1e-4, atol=8e-6)
        # Between classes: the mean squares of a one-way analysis of variance, over the size of a class.
        sizes = np.bincount(labels)
        table = importance(tiny_network, tiny_run, "gate_between")
        for channel in range(3):
            groups = [gates[labels == k, channel] for k in range(3)]
            within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (30 - 3)
            between = stats.f_oneway(*groups).statistic * within
            size = (30 - (sizes**2).sum() / 30) / 2
            found = table.loc[(table["block"] == block) & (table["channel"] == channel), "score"].iloc[0]
            assert found == pytest.approx((between - within) / size, rel=1e-3, abs=1e-5)


def test_weights_of_the_layers(tiny_network: Network) -> None:
    network = with_norms(tiny_network)
    for name, value in {
        "l1": lambda stage: stage[0].weight.abs().sum((1, 2, 3)),
        "l2": lambda stage: stage[0].weight.square().sum((1, 2, 3)).sqrt(),
        "bn_gamma": lambda stage: stage[1].weight.abs(),
    }.items():
        expected = torch.cat([value(stage) for stage in network.model.stages]).detach()
        np.testing.assert_allclose(importance(network, None, name)["score"], expected, rtol=1e-6)


def test_random_is_by_its_seed(tiny_network: Network) -> None:
    tables = {
        seed: importance(tiny_network, None, seed)["score"].tolist() for seed in ("random", "random:0", "random:1")
    }
    assert tables["random"] == tables["random:0"] != tables["random:1"]
    assert 0 < min(tables["random"]) < max(tables["random"]) < 1


def test_of_images(tiny_network: Network, data: Dataset) -> None:
    """The chain rule in plain torch: s · dL/ds is the sum over positions of y · dL/dy, with y as a leaf."""
    images, labels = images_of(tiny_network, data)
    found = {
        name: scores_by_block(importance(tiny_network, None, name, data=data, batch_size=7, workers=0))
        for name in ("taylor", "activation_mean", "apoz")
    }
    x = images
    for k, block in enumerate(CHANNELS):
        stage = tiny_network.model.stages[k]
        u = stage[:2](x).detach()
        x = stage[2](u).detach().requires_grad_()
        rest = tiny_network.model.stages[k + 1 :](x)
        loss = F.cross_entropy(tiny_network.model.head(rest.mean((2, 3))), labels, reduction="sum")
        gradient = torch.autograd.grad(loss, x)[0]
        x = x.detach()
        expected = {
            "taylor": (x * gradient).sum((2, 3)).abs().mean(0),
            "activation_mean": u.abs().mean((0, 2, 3)),
            "apoz": 1 - (x == 0).double().mean((0, 2, 3)),  # Hu et al.: the average percentage of zeros behind a ReLU
        }
        for name, score in expected.items():
            np.testing.assert_allclose(found[name][block], score, rtol=1e-4, atol=1e-7, err_msg=name)


def test_integrated_gradients_add_up_where_the_rest_is_linear(tiny_network: Network, data: Dataset) -> None:
    """Behind the last block there is only a mean and a matrix, so that a gate's share is its term of the logit."""
    images, labels = images_of(tiny_network, data)
    table = importance(tiny_network, None, "integrated_gradients", data=data, workers=0)
    with torch.no_grad():
        y = tiny_network.model.stages(images).mean((2, 3))
        expected = (y * tiny_network.model.head.weight[labels]).abs().mean(0)
    np.testing.assert_allclose(scores_by_block(table)["SE_4_1"], expected, rtol=1e-4)


def test_frozen_networks_have_taylor_scores_too(tiny_network: Network, data: Dataset) -> None:
    expected = importance(tiny_network, None, "taylor", data=data, workers=0)
    tiny_network.model.requires_grad_(False)
    pd.testing.assert_frame_equal(importance(tiny_network, None, "taylor", data=data, workers=0), expected)
    images, labels = images_of(tiny_network, data)
    batches = [(images, labels)]
    pd.testing.assert_frame_equal(importance(tiny_network, None, "taylor", data=batches), expected, rtol=1e-4)
    assert not images.requires_grad


def test_batches_and_progress(tiny_network: Network, data: Dataset) -> None:
    seen: list[int] = []
    options = {"data": data, "workers": 0, "per_class": 2, "progress": lambda done, _: seen.append(done)}
    importance(tiny_network, None, "apoz", batch_size=4, **options)
    assert seen == [4, 6]


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ("gates", "no criterion 'gates'; expected one of .*gate_class:NAME.*, gate_mean, .*random:SEED, taylor"),
        ("l1:3", "criterion 'l1:3' has something behind the colon, expected l1 alone"),
        ("random:x", "criterion 'random:x' has the seed 'x', expected a whole number of at most 18 digits, such as"),
        ("random:", "criterion 'random:' has the seed ''"),
        ("gate_class", "criterion 'gate_class' lacks a class; expected gate_class:NAME"),
        ("gate_class:red,", "criterion 'gate_class:red,' lacks a class"),
        ("gate_mean", "criterion 'gate_mean' needs a run of this network, and none was given"),
        ("taylor", "criterion 'taylor' needs images, as data, and none was given"),
        ("conductance", "criterion 'conductance' needs images"),
        ("weights", "criterion 'weights' does not score the channels that SE blocks scale; expected one of .*, l1, l2"),
        ("bn_gamma", "needs a BatchNorm with a scale behind 'stages.0.0', whose outputs it scores, .*; take l1 or l2"),
    ],
)
def test_what_is_wrong_or_missing_is_said(tiny_network: Network, criterion: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        importance(tiny_network, None, criterion)


def test_what_a_run_lacks_is_said(tiny_network: Network, tiny_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UnknownClassError, match="no class 'pink' in the run"):
        importance(tiny_network, tiny_run, "gate_class:red,pink")
    with pytest.raises(OptionError, match=r"class 'blue' has no image in <3 of 30 images of .*, so no mean gates"):
        importance(tiny_network, Part(tiny_run, [20, 21, 22]), "gate_class:red,blue")
    with pytest.raises(
        OptionError, match="'gate_between' has no finite score for channels of SE_2_1: there are too few"
    ):
        importance(tiny_network, Part(tiny_run, [0, 1, 2]), "gate_between")
    few = remade(tmp_path / "few", tiny_network, tiny_run)
    with pytest.raises(
        MissingSignalError, match=r"holds no 'response'.*Capture again with --signals excitation,response"
    ):
        importance(tiny_network, few, "gate_effective")
    with pytest.raises(
        MissingSignalError, match=r"holds no 'response'.*Capture again with --signals excitation,response"
    ):
        importance(tiny_network, Part(few, [0, 1]), "gate_effective")
    several = remade(tmp_path / "several", tiny_network, tiny_run, several=True)
    with pytest.raises(OptionError, match="gate_between needs images of one class each, and those of the run have"):
        importance(tiny_network, several, "gate_between")


def remade(path: Path, network: Network, run: Run, *, several: bool = False) -> Run:
    """The same gates alone."""
    labels = np.eye(3, dtype=bool)[run.labels] if several else run.labels
    gates = {block: run.gates(block) for block in run.blocks}
    made = make_run(path, gates, labels, classes=("blue", "green", "red"))
    made.manifest = replace(made.manifest, model=run.manifest.model)
    return made


def test_a_run_of_another_network_is_refused(tiny_network: Network, tiny_run: Run, tmp_path: Path) -> None:
    check_run(tiny_network, tiny_run)
    other = make_run(tmp_path / "other", {"SE_2_1": np.ones((4, 8)), "SE_3_1": np.ones((4, 9))}, np.arange(4))
    message = r"of another network \(tests/made\) than tests/tiny: SE_3_1 has 9 channels there, 12 here"
    with pytest.raises(OptionError, match=message):
        importance(tiny_network, other, "gate_mean")
    with torch.no_grad():
        tiny_network.model.head.bias += 1
    changed = replace(tiny_network)  # its fingerprint is taken anew
    for given in (tiny_run, Part(tiny_run, [0, 1])):
        with pytest.raises(
            OptionError, match=r"with other weights than tests/tiny has here.*Capture a run of this network"
        ):
            importance(changed, given, "l1")  # also where it needs none


def test_images_that_cannot_be_read_are_no_score(tiny_network: Network, make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"blue": 1, "green": 1, "red": 1})
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    for criterion in ("taylor", "apoz"):
        with pytest.raises(EmptyDataError, match=r"none of the .* images of data .* can be read"):
            importance(tiny_network, None, criterion, data=folder, workers=0)


class Summed(nn.Module):
    """The feature map of its SE block is a sum."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.one, self.other, self.block = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), block
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.one(x) + self.other(x)).mean((2, 3)))


def test_channels_that_no_layer_makes_alone(tiny_network: Network) -> None:
    network = replace(tiny_network, model=Summed(tiny_network.model.stages[0][2]).eval())
    assert list(importance(network, None, "random")["layer"].unique()) == ["block"]
    with pytest.raises(
        OptionError, match="'l1' needs a convolution that makes each channel of SE_2_1, and there is none"
    ):
        importance(network, None, "l1")


@pytest.mark.parametrize("criterion", ["taylor", "activation_mean"])
def test_a_network_in_float64_gets_images_in_float64(criterion: str, tiny_network: Network, data: Dataset) -> None:
    expected = importance(tiny_network, None, criterion, data=data, device="cpu", workers=0)["score"]
    tiny_network.model.double()
    found = importance(tiny_network, None, criterion, data=data, device="cpu", workers=0)["score"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)
