import argparse
import pickle
import zipfile
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

import seviz
from seviz.errors import OptionError, WeightsError
from seviz.network.checkpoints import Checkpoint, load_checkpoint


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
        lambda state: {"state_dict": {f"net.backbone.{name}": value for name, value in state.items()}},
        lambda state: {"epoch": {"best": {"weights": state}}},
        lambda state: {"n_averaged": torch.tensor(3)} | {f"module.{name}": v for name, v in state.items()},
        lambda state: {"model": state, "best": np.float64(0.9), "at": np.int64(3), "mean": np.array([0.5, 0.4])},
        lambda state: {"model": state, "args": argparse.Namespace(data=Path("a/b"), lr=0.1)},
        lambda state: {"model": state, "out": PureWindowsPath("c:/runs")},
        lambda state: {"net": state, "model": {name: value.clone() for name, value in state.items()}},
    ],
    ids=[
        "plain",
        "state_dict",
        "model",
        "DataParallel",
        "compiled",
        "Lightning",
        "EMA",
        "a part of another module",
        "deep",
        "AveragedModel",
        "numpy",
        "Namespace and path",
        "path of another system",
        "twice",
    ],
)
def test_whatever_it_is_wrapped_in(
    tiny_net: nn.Module, wrap: object, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(wrap(trained), tmp_path / "w.pt")
    assert loads(tiny_net, tmp_path / "w.pt", trained)


def test_numbers_of_numpy_1(tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path) -> None:
    """Which calls its modules otherwise."""
    torch.save({"model": trained, "best": np.float64(0.9)}, tmp_path / "2.pt")
    with zipfile.ZipFile(tmp_path / "2.pt") as new, zipfile.ZipFile(tmp_path / "1.pt", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            assert not name.endswith("data.pkl") or b"numpy._core.multiarray" in content
            old.writestr(name, content.replace(b"cnumpy._core.", b"cnumpy.core."))
    assert loads(tiny_net, tmp_path / "1.pt", trained)


def test_what_files_may_hold_is_allowed_only_while_they_are_read(tiny_net: nn.Module, tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    torch.save({"model": tiny_net.state_dict(), "args": argparse.Namespace(lr=0.1)}, tmp_path / "w.pt")
    load_checkpoint(tiny_net, tmp_path / "w.pt")
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pt", weights_only=True)


def test_weights_of_what_a_wrapper_holds(tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(trained, tmp_path / "w.pt")
    wrapper = nn.ModuleDict({"net": tiny_net})
    load_checkpoint(wrapper, tmp_path / "w.pt")
    assert all(torch.equal(value, trained[name]) for name, value in tiny_net.state_dict().items())


def test_the_moving_average_is_a_choice_and_said(
    tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    average = {name: value + 1 for name, value in trained.items()}
    path = tmp_path / "w.pt"
    torch.save({"state_dict": trained, "model_ema": average}, path)
    said = {ema: load_checkpoint(tiny_net, path, ema=ema) for ema in ("auto", "yes", "no")}
    assert said == {"auto": (f"weights: model_ema of {path} (ema no for state_dict)",), "yes": (), "no": ()}
    for ema, expected in (("auto", average), ("no", trained), ("yes", average)):
        load_checkpoint(tiny_net, path, ema=ema)
        assert all(torch.equal(value, expected[name]) for name, value in tiny_net.state_dict().items())
    torch.save({"state_dict": trained}, path)
    with pytest.raises(WeightsError, match=r"hold no moving average \(ema yes\); it holds state_dict; leave ema out"):
        load_checkpoint(tiny_net, path, ema="yes")
    torch.save({"ema": average}, path)
    with pytest.raises(WeightsError, match=r"hold a moving average only \(ema, ema no\); leave ema out"):
        load_checkpoint(tiny_net, path, ema="no")
    with pytest.raises(OptionError, match="ema is 'maybe', expected one of auto, yes, no"):
        load_checkpoint(tiny_net, path, ema="maybe")


def test_what_is_no_part_of_the_model_is_left_out_and_said(
    tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {f"model.{name}": value for name, value in trained.items()} | {"loss.weight": torch.ones(9)}
    torch.save({"state_dict": state}, tmp_path / "w.ckpt")
    said = load_checkpoint(tiny_net, tmp_path / "w.ckpt")
    path = tmp_path / "w.ckpt"
    assert said == (f"weights: 1 tensor (loss.weight) of {path} left out, since they are no part of the model",)


def test_several_states_that_fit(tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path) -> None:
    state = {f"student.{name}": value for name, value in trained.items()}
    state |= {f"teacher.{name}": value + 1 for name, value in trained.items()}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"hold several states that fit this TinyNet: student and teacher\. Save"):
        load_checkpoint(tiny_net, tmp_path / "w.pt")


@pytest.mark.parametrize("classes", [1, 5, 12])
def test_classes_are_read_from_the_head(classes: int, tmp_path: Path) -> None:
    torch.save(timm.create_model("mobilenetv3_small_050", num_classes=classes).state_dict(), tmp_path / "w.pt")
    fit, _ = Checkpoint.read(tmp_path / "w.pt").fit(timm.create_model("mobilenetv3_small_050", num_classes=10))
    assert fit.classes == classes
    assert fit.misshapen == ["classifier.bias", "classifier.weight"]


def test_other_shapes_are_no_other_head(tiny_net: nn.Module, trained: dict[str, Tensor], tmp_path: Path) -> None:
    changed = next(name for name in trained if trained[name].ndim == 4)
    for wrong in ({changed: trained[changed][:, :1]}, {"head.weight": trained["head.weight"][:-1]}):
        torch.save({**trained, **wrong, "extra": torch.ones(1)}, tmp_path / "w.pt")
        assert Checkpoint.read(tmp_path / "w.pt").fit(tiny_net)[0].classes is None


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
