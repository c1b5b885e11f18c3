import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import seviz
from seviz.errors import WeightsError
from seviz.network.checkpoints import load_checkpoint


@pytest.fixture
def trained(tiny_net: nn.Module) -> dict[str, Tensor]:
    """The state of a tiny network of other weights than the one that is loaded into."""
    return {name: torch.randn_like(value) for name, value in tiny_net.state_dict().items()}


def loads(model: nn.Module, path: Path, expected: dict[str, Tensor]) -> bool:
    load_checkpoint(model, path)
    return all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_safetensors(tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path) -> None:
    safetensors.torch.save_file(trained, tmp_path / "w.safetensors")
    assert loads(tiny_net, tmp_path / "w.safetensors", trained)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"step": torch.tensor(1)}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module._orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {"state_dict": {name: 0 * value for name, value in state.items()}, "state_dict_ema": state},
    ],
    ids=["plain", "state_dict", "model", "DataParallel", "compiled", "Lightning", "EMA"],
)
def test_whatever_it_is_wrapped_in(
    tiny_net: nn.Module, wrap: object, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(wrap(trained), tmp_path / "w.pt")
    assert loads(tiny_net, tmp_path / "w.pt", trained)


def test_a_model_whose_own_names_begin_with_model(tmp_path: Path) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = nn.Linear(2, 2)

    model, state = Outer(), Outer().state_dict()
    torch.save(state, tmp_path / "w.pt")
    load_checkpoint(model, tmp_path / "w.pt")
    assert torch.equal(model.model.weight, state["model.weight"])


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    state = {name: value + 1 for name, value in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "w.pt")
    load_checkpoint(model, tmp_path / "w.pt")
    assert torch.equal(model[1].running_mean, state["1.running_mean"])


def test_what_does_not_fit_is_listed_shortly_and_changes_nothing(
    tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    wrong = {**trained, "head.weight": torch.zeros(9, 16), "extra": torch.zeros(1)}
    for name in list(wrong):
        if name.startswith("stages.0"):
            del wrong[name]
    torch.save(wrong, tmp_path / "w.pt")
    model = tiny_net
    before = {name: value.clone() for name, value in model.state_dict().items()}
    message = (
        r"do not fit this TinyNet: of its 20 tensors 6 missing \(stages.0.0.bias, stages.0.0.weight,"
        r" stages.0.2.expand.bias, \.\.\.\), 1 unexpected \(extra\), 1 of another shape \(head.weight\)\."
    )
    with pytest.raises(WeightsError, match=message):
        load_checkpoint(model, tmp_path / "w.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused(tiny_net: nn.Module, tmp_path: Path) -> None:
    sign = tmp_path / "ran"
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(sign)))
    torch.save({"state_dict": {"x": Bomb(sign)}}, tmp_path / "zipped.pt")
    torch.save(tiny_net, tmp_path / "whole module.pt")
    for name in ("zipped.pt", "whole module.pt"):
        with pytest.raises(WeightsError, match="hold more than tensors, and to read them would run code from the file"):
            load_checkpoint(tiny_net, tmp_path / name)
    with pytest.raises(WeightsError, match=r"plain\.pt' "):
        load_checkpoint(tiny_net, tmp_path / "plain.pt")
    assert not sign.exists()


def test_what_is_no_checkpoint(tiny_net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    (tmp_path / "text.safetensors").write_text("no")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    torch.save({"state_dict": {}}, tmp_path / "nothing.pt")
    for name, message in (
        ("empty.pt", "cannot be read"),
        ("text.safetensors", "cannot be read .*expected a safetensors file"),
        ("list.pt", "cannot be read|hold no state"),
        ("nothing.pt", "hold no state; expected names and tensors"),
    ):
        with pytest.raises(WeightsError, match=message):
            load_checkpoint(tiny_net, tmp_path / name)


def test_through_the_public_door(tmp_path: Path) -> None:
    model = timm.create_model("mobilenetv3_small_050")
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    network = seviz.load("timm/mobilenetv3_small_050", weights=path)
    assert torch.equal(network.model.conv_stem.weight, model.conv_stem.weight)
    assert (network.weights, network.trained) == (str(path), True)
