"""What was changed in a network since it was loaded."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import seviz
from seviz.compression.folding import fold_to, remove
from seviz.network.changes import Changes
from seviz.network.networks import Network
from seviz.network.saving import Changed, changes_since_loaded
from tests.network.staged_network import FACTORY


@pytest.fixture
def staged(tmp_path: Path) -> Network:
    (tmp_path / "staged.py").write_text(FACTORY)
    return seviz.load(f"{tmp_path / 'staged.py'}:make")


def test_nothing_was_changed_by_looking(staged: Network) -> None:
    assert changes_since_loaded(staged) is None
    _ = staged.blocks
    with torch.no_grad(), seviz.capture_gates(staged.model, staged.blocks):
        staged.model(torch.randn(2, 3, 16, 16))
    assert changes_since_loaded(replace(staged, model=copy.deepcopy(staged.model))) is None
    assert changes_since_loaded(replace(staged, model=staged.model.train())) is None


def test_what_is_known_of_changes(staged: Network) -> None:
    folded = fold_to(staged, {"SE_2_2": 0.5})
    removed = Changes(removed=("1.se",))
    assert changes_since_loaded(folded) == Changed(staged.spec, "1 module taken out (1.se), other weights", removed)
    assert changes_since_loaded(remove(staged)) == Changed(
        staged.spec,
        "4 modules taken out (0.se, 1.se, 2.se, ...), other weights",
        Changes(removed=("0.se", "1.se", "2.se", "3.se")),
    )
    with torch.no_grad():
        staged.model.get_parameter("0.conv.bias").add_(1)
    assert changes_since_loaded(staged) == Changed(staged.spec, "other weights", Changes())


def test_what_is_not_known_says_so(staged: Network) -> None:
    def replaced(name: str, module: nn.Module) -> Network:
        model = copy.deepcopy(staged.model)
        model.set_submodule(name, module)
        return replace(staged, model=model)

    found = changes_since_loaded(replaced("1.se.activation", nn.SiLU()))
    assert found is not None
    assert found.changes is None
    assert found.what.startswith("it is not known how: ")
    assert "its module '1.se.activation' is a SiLU" in found.what
    dilated = copy.deepcopy(staged.model)
    dilated.get_submodule("1.conv").dilation, dilated.get_submodule("1.conv").padding = (2, 2), (2, 2)
    hooked = copy.deepcopy(staged.model)
    hooked.get_submodule("1").register_forward_hook(lambda module, given, output: 2 * output)
    coded = copy.deepcopy(staged.model)
    coded.forward = lambda images: images.mean((2, 3))
    for model in (dilated, hooked, coded):
        found = changes_since_loaded(replace(staged, model=model))
        assert found == Changed(
            staged.spec, "it is not known how: settings, hooks or code of its modules are others", None
        )
    Path(staged.spec.removesuffix(":make")).unlink()
    found = changes_since_loaded(fold_to(staged, {"SE_2_2": 0.5}))
    assert found is not None
    assert "it is not known how: model" in found.what


def test_a_saved_network_is_what_its_directory_gives(staged: Network, tmp_path: Path) -> None:
    seviz.save(fold_to(staged, {"SE_2_2": 0.5}), tmp_path / "saved")
    loaded = seviz.load(str(tmp_path / "saved"), trust_code=True)
    assert changes_since_loaded(loaded) is None
    found = changes_since_loaded(remove(loaded, ["SE_2_3"]))
    assert found is not None
    assert (found.base, found.changes) == (staged.spec, Changes(removed=("1.se", "2.se")))


def test_other_input_and_classes(staged: Network) -> None:
    assert changes_since_loaded(replace(staged, input_size=(3, 32, 32))) == Changed(
        staged.spec, "other input size", Changes(), ("input size",)
    )
    wide = replace(fold_to(staged, {"SE_2_2": 0.5}), input_size=(3, 32, 32), preprocessing={"resize": 32})
    found = changes_since_loaded(wide)
    assert found is not None
    assert found.what == "1 module taken out (1.se), other weights, other input size, other preprocessing"
    assert found.settings == ("input size", "preprocessing")


def test_a_network_made_by_hand_counts_as_loaded_until_it_is_changed(tiny_network: Network) -> None:
    assert changes_since_loaded(tiny_network) is None
    found = changes_since_loaded(remove(tiny_network, ["SE_2_1"]))
    assert found is not None
    assert (found.base, found.changes) == ("tests/tiny", None)
    assert "it is not known how: model 'tests/tiny' is not understood" in found.what


def test_changes_in_words() -> None:
    assert str(Changes()) == ""
    assert not Changes()
    widths = {"a": {"in_channels": 2}, "b": {"in_channels": 2}}
    every = Changes(removed=("se",), spread={"c": ((0,), 2)}, widths=widths, shapes={"a.weight": (2,)})
    assert str(every) == "1 module taken out (se), 1 branch with fewer channels, 2 layers of other widths"
    assert str(Changes(spread={"c": ((0,), 2), "d": ((0,), 2)})) == "2 branches with fewer channels"
    assert str(Changes(shapes={"a.weight": (2,)})) == "1 tensor of other shapes"
