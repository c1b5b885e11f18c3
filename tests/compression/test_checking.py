import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import seviz
from seviz.compression import checking
from seviz.compression.checking import check
from seviz.network.gates import force_gates
from seviz.network.networks import Network
from tests.cli import commands
from tests.network.forms_of_gates import FORMS

WRITTEN = """
import torch
from torch import nn


class SE(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x):
        gate = torch.sigmoid(self.second(torch.relu(self.first(x.mean((2, 3))))))
        return {product}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.se, self.head = nn.Conv2d(3, 8, 3, 2, 1), SE(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.se(torch.relu(self.stem(x))).mean((2, 3)))


def make():
    torch.manual_seed(0)
    model = Net().eval()
    model.pretrained_cfg = dict(input_size=(3, 32, 32), mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic")
    return model
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """The spec of a network whose product is written as given."""

    def write(product: str) -> str:
        path = tmp_path / "net.py"
        path.write_text(WRITTEN.format(product=product))
        return f"{path}:make"

    return write


def test_every_block_of_a_plain_network_can_be_vouched_for(tiny_network: Network) -> None:
    checked = check(tiny_network)
    assert checked.vouched
    assert list(checked.blocks) == list(tiny_network.blocks)
    for name, each in checked.blocks.items():
        assert each.block == tiny_network.blocks[name]
        assert (each.within_bounds, each.kept, each.set, each.formula, each.vouched) == (True,) * 5
        assert each.reading == f"at the product: what {each.block.gate_path} returns"
        assert each.folds
        assert each.why_not == ""


def test_a_force_that_does_something_else_is_noticed(tiny_network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: forcing half of what was asked for fails all of what is looked at."""

    def halved(model: nn.Module, blocks: Any, forced: dict[str, Any]) -> AbstractContextManager[None]:
        return force_gates(model, blocks, {name: value * 0.5 for name, value in forced.items()})

    monkeypatch.setattr(checking, "force_gates", halved)
    checked = check(tiny_network)
    assert not checked.vouched
    assert {(each.kept, each.set) for each in checked.blocks.values()} == {(False, False)}


def test_gates_beyond_their_bounds_are_noticed(tiny_network: Network) -> None:
    blocks = {name: replace(block, bounds=(0.9, 1.0)) for name, block in tiny_network.blocks.items()}
    narrow = replace(tiny_network)
    narrow.__dict__["survey"] = replace(tiny_network.survey, blocks=blocks)
    checked = check(narrow)
    assert not checked.vouched
    assert not any(each.within_bounds for each in checked.blocks.values())


def test_what_the_module_does_besides_leaves_the_formula_open() -> None:
    model = next(form for name, form in FORMS.items() if "halves" in name).make().eval()
    network = seviz.load("seviz/seresnet50-cifar10", weights="none")
    other = replace(network, model=model, input_size=(3, 32, 32), names=None, loaded=None)
    checked = check(other)
    halves = checked.blocks["SE_2_1"]
    assert "in 2 products" in halves.reading
    assert halves.vouched
    assert not halves.folds
    assert halves.why_not


def test_command_on_a_file(written: Callable[[str], str]) -> None:
    result = commands.run("check", written("x * gate[:, :, None, None]"), "--weights", "pretrained")
    assert result.exit_code == 0, result.output
    heads, row = result.stdout.splitlines()
    assert heads.split() == ["block", "module", "gate", "read", "kept", "set", "formula", "folds"]
    assert row.split()[:3] == ["SE_2_1", "se", "sigmoid"]
    assert row.split()[-4:] == ["yes"] * 4


def test_command_says_what_it_cannot_vouch_for(written: Callable[[str], str]) -> None:
    result = commands.run("check", written("torch.lerp(torch.zeros_like(x), x, gate[:, :, None, None])"))
    assert result.exit_code == 1
    assert "no SE block was found" in result.stderr
    assert "Scaled per channel and image in a way that is not understood: se." in result.stderr
    record = json.loads(
        commands.run("check", written("torch.lerp(torch.zeros_like(x), x, gate[:, :, None, None])"), "--json").stdout
    )
    assert record["vouched"] is False
    assert record["blocks"] == []
    assert len(record["remarks"]) == 1


def test_command_prints_pure_json(written: Callable[[str], str]) -> None:
    record = json.loads(commands.run("check", written("x / (1 / gate)[:, :, None, None]"), "--json").stdout)
    assert record["vouched"] is True
    (block,) = record["blocks"]
    assert block["block"]["form"] == "divisor"
    assert block["block"]["bounds"] == [0, 1]
    assert block["formula"] is True


def test_command_refuses_what_is_no_network() -> None:
    assert "not found" in commands.error_of("check", "timm/nothing_of_the_kind")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_torchscript_inside_is_told(tiny_network: Network) -> None:
    model = nn.Sequential(
        torch.jit.trace(nn.Conv2d(3, 3, 1).eval(), torch.randn(1, 3, 16, 16)), tiny_network.model
    ).eval()
    checked = check(replace(tiny_network, model=model))
    assert not checked.vouched
    assert checked.survey.remarks() == ["Not looked into, being TorchScript: 0."]
    assert all(each.vouched for each in checked.blocks.values())
