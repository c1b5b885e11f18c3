"""SE blocks put into residual networks that are told by a forward pass, over one to three axes of positions."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video import resnet as video

import seviz
from seviz.compression.folding import fold_to
from seviz.compression.pruning import prune_with_record
from seviz.errors import InsertionError, OptionError
from seviz.network.insertion import insert_se
from seviz.network.residual import branch_ends
from seviz.options import Budget
from tests import dimensions
from tests.dimensions import BATCHNORM, CONVOLUTION

AXES = pytest.mark.parametrize("d", [1, 2, 3])


def resnet(d: int) -> nn.Module:
    """A ResNet that somebody wrote, of two units, without SE blocks."""
    model: Any = dimensions.network(d)
    model.unit1.se = model.unit2.se = nn.Identity()
    return model  # type: ignore[no-any-return]


def gate(block: nn.Module, u: Tensor, squeeze: str = "avg") -> Tensor:
    """The paper's equations 2 to 4, as matrices, (batch, channels)."""
    rows = u.flatten(2)
    z = rows.mean(2) if squeeze == "avg" else rows.amax(2)
    w1, b1, w2, b2 = block.fc1.weight, block.fc1.bias, block.fc2.weight, block.fc2.bias
    return torch.sigmoid(torch.relu(z @ w1.flatten(1).T + b1) @ w2.flatten(1).T + b2)


def scaled(block: nn.Module, u: Tensor, squeeze: str = "avg") -> Tensor:
    s = gate(block, u, squeeze)
    return u * s.reshape(*s.shape, *(1,) * (u.ndim - 2))


@AXES
@pytest.mark.parametrize("squeeze", ["avg", "max"])
def test_the_end_of_each_branch_is_scaled(d: int, squeeze: Any) -> None:
    plain: Any = resnet(d)
    network: Any = insert_se(plain, reduction=4, squeeze=squeeze)
    x = dimensions.inputs(d)
    for name in ("unit1", "unit2"):
        old, block = plain.get_submodule(name), network.get_submodule(f"{name}.bn2.se_after")
        u = torch.randn(2, 8, *dimensions.SIDES[d], generator=torch.Generator().manual_seed(3))
        branch = old.bn2(old.conv2(F.relu(old.bn1(old.conv1(u)))))
        expected = F.relu(scaled(block, branch, squeeze) + old.shortcut(u))
        torch.testing.assert_close(network.get_submodule(name)(u), expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(expected, old(u), rtol=1e-3, atol=1e-3)

    before, after = plain.state_dict(), network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    added = {name for name in after if name not in before}
    assert all(".bn2.se_after.fc" in name for name in added)
    assert torch.equal(pickle.loads(pickle.dumps(network))(x), network(x))
    if squeeze == "avg":
        blocks = seviz.find_se_blocks(network, x)
        assert [(b.name, b.path, b.squeezed_channels) for b in blocks.values()] == [
            ("SE_2_1", "unit1.bn2.se_after", 2),
            ("SE_3_1", "unit2.bn2.se_after", 4),
        ]


@AXES
def test_inserted_blocks_are_folded_and_pruned(d: int) -> None:
    x = dimensions.inputs(d)
    model = insert_se(resnet(d), reduction=4)
    network = seviz.wrap(model, x)
    gates = {name: np.linspace(0.1, 0.9, block.channels) for name, block in network.blocks.items()}
    by_hand: Any = copy.deepcopy(model)
    for name, values in gates.items():

        def constant(_: nn.Module, given: Any, __: Tensor, values: Any = values) -> Tensor:
            return given[0] * torch.from_numpy(values).float().reshape(-1, *(1,) * d)

        by_hand.get_submodule(network.blocks[name].path).register_forward_hook(constant)
    torch.testing.assert_close(fold_to(network, gates).model(x), by_hand(x), rtol=1e-5, atol=1e-6)

    scores = pd.DataFrame({"block": "SE_3_1", "channel": range(16), "score": np.arange(16.0)})
    pruned = prune_with_record(network, scores, Budget(keep_channels=0.75), kind="branch").network
    silent: Any = copy.deepcopy(model)
    with torch.no_grad():
        for tensor in (silent.unit2.bn2.weight, silent.unit2.bn2.bias):
            tensor[:4] = 0
    torch.testing.assert_close(pruned.model(x), silent(x), rtol=1e-5, atol=1e-6)
    assert pruned.blocks["SE_3_1"].channels == 12


@pytest.mark.parametrize("unit", ["BasicBlock", "Bottleneck"])
@pytest.mark.parametrize("position", ["standard", "pre", "post", "identity"])
def test_positions_in_the_units_of_torchvisions_video_resnets(unit: str, position: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Any = getattr(video, unit)(8, 8 // getattr(video, unit).expansion, video.Conv3DSimple)
        plain = nn.Sequential(video.Conv3DSimple(3, 8, stride=2), made).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.bias, 0.1, 0.5)
    network: Any = insert_se(plain, reduction=4, position=position)
    block = network[1].se_after if position == "post" else network[1].se

    def at(place: str, u: Tensor) -> Tensor:
        return scaled(block, u) if place == position else u

    x = torch.randn(2, 8, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    u = at("pre", x)
    for part in ("conv1", "conv2", "conv3")[: 2 if unit == "BasicBlock" else 3]:
        u = made.get_submodule(part)(u)
    expected = at("post", F.relu(at("standard", u) + at("identity", x)))
    torch.testing.assert_close(network[1](x), expected, rtol=1e-5, atol=1e-5)


def test_a_network_of_video_gets_blocks_in_each_unit() -> None:
    model = video.VideoResNet(video.BasicBlock, [video.Conv3DSimple] * 4, [1, 1, 1, 1], video.BasicStem, num_classes=2)
    model.layer3 = model.layer4 = nn.Sequential()
    model.fc = nn.Linear(128, 2)
    network = insert_se(model.eval())
    blocks = seviz.find_se_blocks(network, torch.zeros(1, 3, 4, 16, 16))
    assert [(block.path, block.channels) for block in blocks.values()] == [("layer1.0.se", 64), ("layer2.0.se", 128)]


class Odd(nn.Module):
    """Sums of many kinds: with a constant, of a convolution twice called, after a function, of equals."""

    def __init__(self, d: int = 1) -> None:
        super().__init__()
        conv = CONVOLUTION[d]
        self.stem, self.twice, self.one, self.other, self.last = (
            conv(3 if k == 0 else 8, 8, 3, padding=1) for k in range(5)
        )
        self.norm = BATCHNORM[d](8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + 1
        x = torch.add(x, self.twice(F.relu(self.twice(x))))
        x = x + F.relu(self.last(x)) * 2
        return self.one(x) + self.other(x)


class Normed(Odd):
    """The projection is behind a normalisation, and the sum in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.last(F.relu(self.one(x))))
        y += self.other(x)
        return y


def test_which_sums_end_a_branch() -> None:
    x = torch.zeros(1, 3, 16)
    assert branch_ends(Odd(), x) == ()
    assert branch_ends(Normed(), x) == ("norm",)
    assert branch_ends(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.zeros(1, 4, 8)) == ()
    mobile = torchvision.models.mobilenet_v2(num_classes=2, width_mult=0.25)
    # The last module of each unit whose stride is 1 and whose input is as wide as its output.
    expected = [
        f"{path}.conv.{len(unit.conv) - 1}"
        for path, unit in mobile.named_modules()
        if getattr(unit, "use_res_connect", False)
    ]
    assert len(expected) == 11
    assert list(branch_ends(mobile, torch.zeros(1, 3, 64, 64))) == expected


def test_what_such_a_network_cannot_have() -> None:
    with pytest.raises(
        OptionError, match=r"position 'post' does not fit Residual, whose residual .*, expected standard"
    ):
        insert_se(resnet(1), position="post", reduction=4)
    with pytest.raises(OptionError, match=r"reduction is 16, which leaves none of the 8 channels at 'unit1.bn2'"):
        insert_se(resnet(3))
    with pytest.raises(InsertionError, match=r"Residual has 2 SE blocks already, the first at 'unit1.se'"):
        insert_se(dimensions.network(1))
    last = dimensions.network(2, "last")
    last.unit1.se = last.unit2.se = nn.Identity()
    with pytest.raises(InsertionError, match=r"no place for SE blocks in ResidualLast: .* channels first"):
        insert_se(last, input_size=(16, 24, 3))


def test_a_network_of_one_length_is_told_its_size() -> None:
    model = nn.Sequential(resnet(1).stem, resnet(1).unit1, nn.Flatten(), nn.Linear(8 * 10, 2)).eval()
    message = r"Sequential cannot be run on inputs of shape \(1, 3, 1024\) .* input_size, or .*\(batch, channels, l"
    with pytest.raises(InsertionError, match=message):
        insert_se(model, reduction=4)
    with pytest.raises(OptionError, match=r"input_size is \(20,\), expected \(channels, height, width\) such as"):
        insert_se(model, input_size=(20,))
    network = insert_se(model, reduction=4, input_size=(3, 20))
    assert len(seviz.find_se_blocks(network, torch.zeros(1, 3, 20))) == 1


SIGNALS = """
from torch import nn

class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(16, 16, 3, padding=1), nn.BatchNorm1d(16)

    def forward(self, x):
        return x + self.norm(self.conv(x))

def make():
    model = nn.Sequential(nn.Conv1d(2, 16, 3, stride=2, padding=1), Unit(), nn.Flatten(), nn.Linear(16 * 10, 3))
    model.pretrained_cfg = {"input_size": (2, 20)}
    return model
"""


def test_blocks_are_put_into_a_network_of_signals_by_its_spec(tmp_path: Path) -> None:
    (tmp_path / "signals.py").write_text(SIGNALS)
    network = seviz.load(f"{tmp_path / 'signals.py'}:make+se", weights="none")
    assert [(block.name, block.path) for block in network.blocks.values()] == [("SE_2_1", "1.norm.se_after")]
