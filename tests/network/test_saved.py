import json
import os
import shutil
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import seviz
from seviz.errors import SavedNetworkError, WeightsError
from seviz.network.changes import Changes, apply_changes, changes_between
from seviz.network.networks import Network
from seviz.network.saving import save
from seviz.network.spread import Spread

SPEC = "timm/mobilenetv3_small_050"


def _narrowed(model: nn.Module) -> None:
    """Take every second channel out of the middle of an inverted residual, its SE block with them, by hand."""
    block = model.get_submodule("blocks.2.0")
    keep = torch.arange(0, block.conv_pw.out_channels, 2)
    for layer, name in ((block.conv_pw, "out"), (block.conv_dw, "out"), (block.se.conv_expand, "out")):
        layer.weight = nn.Parameter(layer.weight[keep].detach())
        layer.bias = None if layer.bias is None else nn.Parameter(layer.bias[keep].detach())
        setattr(layer, f"{name}_channels", len(keep))
    block.conv_dw.in_channels = block.conv_dw.groups = len(keep)
    for layer in (block.se.conv_reduce, block.conv_pwl):
        layer.weight = nn.Parameter(layer.weight[:, keep].detach())
        layer.in_channels = len(keep)
    for norm in (block.bn1, block.bn2):
        norm.num_features = len(keep)
        for name in ("weight", "bias"):
            setattr(norm, name, nn.Parameter(getattr(norm, name)[keep].detach()))
        for name in ("running_mean", "running_var"):
            setattr(norm, name, getattr(norm, name)[keep])


def _changed() -> Network:
    network = seviz.load(SPEC, weights="none")
    model = network.model
    _narrowed(model)
    model.set_submodule("blocks.0.0.se", nn.Identity())
    last = model.get_submodule("blocks.3.1")
    keep = [0, 2, 3, 5]
    pwl, norm = last.conv_pwl, last.bn3
    channels = pwl.out_channels
    pwl.weight, pwl.out_channels = nn.Parameter(pwl.weight[keep].detach()), len(keep)
    for name in ("weight", "bias"):
        setattr(norm, name, nn.Parameter(getattr(norm, name)[keep].detach()))
    norm.running_mean, norm.running_var, norm.num_features = norm.running_mean[keep], norm.running_var[keep], len(keep)
    model.set_submodule("blocks.3.1.bn3", nn.Sequential(OrderedDict(block=norm, spread=Spread(keep, channels))))
    return replace(network, model=model, input_size=(3, 64, 64))


def test_a_changed_network_comes_back_the_same(tmp_path: Path) -> None:
    network = _changed()
    save(network, tmp_path / "small")
    assert {path.name for path in (tmp_path / "small").iterdir()} == {"network.json", "weights.safetensors"}
    again = seviz.load(str(tmp_path / "small"))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again.model(images), network.model(images), rtol=0, atol=0)
    assert again.spec == str(tmp_path / "small")
    assert not again.trained
    assert not again.model.training
    assert again.weights_sha256 == replace(network).weights_sha256
    assert {b.name: b.channels for b in again.blocks.values()} == {b.name: b.channels for b in network.blocks.values()}
    assert again.classes == network.classes
    assert again.preprocessing == network.preprocessing


def test_what_is_written_down() -> None:
    network = _changed()
    changes = changes_between(seviz.load(SPEC, weights="none").model, network.model)
    assert changes.removed == ("blocks.0.0.se",)
    assert changes.spread == {"blocks.3.1.bn3": ((0, 2, 3, 5), 24)}
    assert changes.widths["blocks.2.0.conv_dw"] == {"in_channels": 32, "out_channels": 32, "groups": 32}
    assert changes.shapes["blocks.2.0.se.conv_reduce.weight"] == (16, 32, 1, 1)
    assert "blocks.1.0.conv_dw" not in changes.widths
    assert Changes.from_json(json.loads(json.dumps(changes.to_json()))) == changes


def test_a_network_that_was_not_changed(tmp_path: Path) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    save(network, tmp_path / "same")
    again = seviz.load(str(tmp_path / "same"))
    assert again.weights_sha256 == network.weights_sha256
    assert again.trained


def test_a_saved_network_that_is_changed_again_is_made_from_the_first_spec(tmp_path: Path) -> None:
    save(_changed(), tmp_path / "one")
    again = seviz.load(str(tmp_path / "one"))
    again.model.set_submodule("blocks.2.1.se", nn.Identity())
    save(replace(again, input_size=(3, 64, 64)), tmp_path / "two")
    record = json.loads((tmp_path / "two" / "network.json").read_text())
    assert record["base"] == SPEC
    assert record["changes"]["removed"] == ["blocks.0.0.se", "blocks.2.1.se"]


def test_weights_of_a_saved_network(tmp_path: Path) -> None:
    directory = tmp_path / "small"
    save(_changed(), directory)
    with pytest.raises(WeightsError, match=r"is a network with weights of its own; leave weights out, or give a file"):
        seviz.load(str(directory), weights="none")
    other = tmp_path / "other.pt"
    state = {name: tensor * 2 for name, tensor in seviz.load(str(directory)).model.state_dict().items()}
    state["blocks.3.1.bn3.spread.kept"] //= 2
    torch.save(state, other)
    network = seviz.load(str(directory), weights=other)
    assert network.trained
    torch.testing.assert_close(network.model.state_dict()["classifier.weight"], state["classifier.weight"])


def test_a_damaged_directory_says_so(tmp_path: Path) -> None:
    directory = tmp_path / "small"
    save(_changed(), directory)
    record = json.loads((directory / "network.json").read_text())

    def written(**changes: object) -> str:
        (directory / "network.json").write_text(json.dumps({**record, **changes}))
        return str(directory)

    with pytest.raises(SavedNetworkError, match=r"has format 7, expected 1: it was written by another version"):
        seviz.load(written(format=7))
    with pytest.raises(SavedNetworkError, match=r"damaged: its weights are not those that were written"):
        seviz.load(written(weights_sha256="0" * 64))
    with pytest.raises(SavedNetworkError, match=r"the changes do not fit this .*: .*no_such"):
        seviz.load(written(changes={**record["changes"], "removed": ["no_such.module"]}))
    with pytest.raises(SavedNetworkError, match=r"network.json' is damaged: changes.spread is missing"):
        seviz.load(written(changes={k: v for k, v in record["changes"].items() if k != "spread"}))
    (directory / "network.json").write_text("{")
    with pytest.raises(SavedNetworkError, match=r"network.json' is damaged"):
        seviz.load(str(directory))
    written()
    (directory / "weights.safetensors").unlink()
    with pytest.raises(SavedNetworkError, match=r"weights.safetensors' is damaged: .*No such file"):
        seviz.load(str(directory))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("saved") / "small"
    save(seviz.load("seviz/seresnet50-cifar10"), directory)
    return directory


HUGE = {"removed": [], "spread": {}, "widths": {}, "shapes": {}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"trained": 1}, r"trained is 1, expected bool"),
        ({"base": ["timm/a"]}, r"base is a list of 1, expected str"),
        ({"base": "x" * 10_001}, r"base is 'xxx.*' of length 10,001, expected str of length <= 10000"),
        ({"weights_sha256": "0" * 63}, r"weights_sha256 is '0+\.\.\.', expected 64 hex digits"),
        ({"weights_sha256": None}, r"weights_sha256 is null, expected str"),
        ({"format": True}, r"has format true, expected 1"),
        ({"format": 1e308}, r"has format 1e\+308, expected 1"),
        ({"\x1b[2J": 1}, r"\\x1b\[2J is no field that is known"),
        ({"changes": {**HUGE, "removed": "abc"}}, r"changes.removed is 'abc', expected array"),
        ({"changes": {**HUGE, "shapes": {"conv1.weight": [-1]}}}, r"changes.shapes has an entry .*expected int >= 0"),
        (
            {"changes": {**HUGE, "shapes": {"conv1.weight": [4096] * 3}}},
            r"of 68,719,476,736 numbers, more than",
        ),
        ({"changes": {**HUGE, "shapes": {"conv1.weight": [1.5]}}}, r"changes.shapes has an entry .*expected int"),
        (
            {"changes": {**HUGE, "spread": {"bn1": [[3, 1], 64]}}},
            r"spread of 'bn1' has a list of 2, expected asc",
        ),
        (
            {"changes": {**HUGE, "spread": {"bn1": [[1], 2**40]}}},
            r"spread has an entry .*expected int <= 65536",
        ),
        ({"changes": {**HUGE, "last": ["bn1"]}}, r"changes.last has 'bn1', expected paths of changes.spread"),
        ({"changes": {**HUGE, "widths": {"conv1": {"groups": True}}}}, r"changes.widths has an entry .*got bool"),
        ({"names": {"SE_2_1": 1}}, r"names is an object of 1 fields, expected array"),
        (
            {"names": [{"name": "SE_2_1", "path": "a", "product": 2**70}]},
            r"names\[0\].product is 11805916207174113",
        ),
    ],
)
def test_a_hostile_record_says_so(fields: dict[str, object], message: str, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "net")
    record = json.loads((saved / "network.json").read_text())
    (tmp_path / "net" / "network.json").write_text(json.dumps(record | fields))
    with pytest.raises(SavedNetworkError, match=message) as raised:
        seviz.load(str(tmp_path / "net"))
    text = str(raised.value)
    assert "network.json" in text
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize("name", ["network.json", "weights.safetensors"])
def test_files_of_a_network_are_regular_files_in_it(name: str, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "net")
    file = tmp_path / "net" / name
    file.unlink()
    file.symlink_to(saved / name)
    with pytest.raises(SavedNetworkError, match=rf"{name}' is damaged: it is a link that leads out of .*, expected"):
        seviz.load(str(tmp_path / "net"))
    if name == "weights.safetensors":
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(SavedNetworkError, match=r"is damaged: it is a FIFO, expected a regular file"):
            seviz.load(str(tmp_path / "net"))


def test_what_cannot_be_written_down(tmp_path: Path) -> None:
    network = seviz.load(SPEC, weights="none")
    base = seviz.load(SPEC, weights="none").model
    network.model.set_submodule("blocks.0.0.se", nn.Sequential(nn.Conv2d(8, 8, 1)))
    with pytest.raises(SavedNetworkError, match=r"its module 'blocks.0.0.se' is a Sequential, where its spec gives a"):
        save(network, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    more = seviz.load(SPEC, weights="none").model
    more.register_parameter("extra", nn.Parameter(torch.zeros(1)))
    with pytest.raises(SavedNetworkError, match=r"'extra' is not in what its spec gives"):
        changes_between(base, more)
    less = seviz.load(SPEC, weights="none").model
    del less.blocks[0][0].se.conv_reduce
    with pytest.raises(SavedNetworkError, match=r"'blocks.0.0.se.conv_reduce' is missing"):
        changes_between(base, less)


def test_a_network_that_comes_back_another_is_not_written(tmp_path: Path) -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    directory = tmp_path / "out"
    save(network, directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    forward = network.model.forward
    network.model.forward = lambda images: forward(images) + 1  # what no weight tells of
    with pytest.raises(SavedNetworkError, match=r"read back it gives other outputs"):
        save(network, directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SavedNetworkError, match=r"could not be written to"):
        save(seviz.load("seviz/seresnet50-cifar10"), tmp_path / "file" / "out")


def test_changes_that_do_not_fit() -> None:
    with pytest.raises(SavedNetworkError, match=r"the changes do not fit this Linear: .*has no kernel"):
        apply_changes(nn.Linear(2, 2), Changes(widths={"": {"kernel": 3}}))


def test_spread_puts_channels_where_they_were() -> None:
    spread = Spread([1, 4], 6)
    x = torch.randn(2, 2, 3, 3)
    full = spread(x)
    assert full.shape == (2, 6, 3, 3)
    torch.testing.assert_close(full[:, [1, 4]], x)
    assert not full[:, [0, 2, 3, 5]].any()
    last = spread(x.to(memory_format=torch.channels_last))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, full)
    for kept in ([], [4, 1], [1, 1], [0, 6], [-1, 2]):
        with pytest.raises(ValueError, match=r"kept is \[.*\], expected increasing numbers from 0 to 5"):
            Spread(kept, 6)
    with pytest.raises(ValueError, match="layout is 'middle', expected first or last"):
        Spread([1, 4], 6, layout="middle")  # type: ignore[arg-type]
