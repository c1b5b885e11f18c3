"""The README's lines on networks and images of one's own, run as they stand there."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import seviz
from tests.cli.commands import run as run_command

README = Path(__file__).parents[1] / "README.md"
SECTION, ARRAYS = "## Your network, your images", "## Signals and volumes"
NETS = """
import timm

def make(num_classes=2):
    return timm.create_model("mobilenetv3_small_050", num_classes=num_classes)
"""


def code(language: str, section: str = SECTION) -> str:
    """All code of a language in a section."""
    section = README.read_text(encoding="utf-8").split(f"\n{section}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL))


@pytest.fixture
def workplace(tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the section takes for granted: photos, checkpoints, a module, a loader; all networks are small ones."""
    make_folder({"cat": 2, "dog": 2}, "photos")
    monkeypatch.chdir(tmp_path)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **k: create(name.replace("seresnet50", SMALL), **k))
    known = timm.get_pretrained_cfg
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: known(name.replace("seresnet50", SMALL)))
    Path("names.txt").write_text("cat\ndog\n")
    Path("nets.py").write_text(NETS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = create(SMALL, num_classes=2)
        x, y = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
    state = {f"model.{name}": tensor for name, tensor in module.state_dict().items()}
    torch.save({"state_dict": module.state_dict(), "best": np.float64(0.9)}, "last.pt")
    torch.save({"state_dict": state, "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.5"}, "last.ckpt")
    loader = DataLoader(TensorDataset(x, y), batch_size=2)
    return {"seviz": seviz, "torch": torch, "module": module, "loader": loader, "x": x, "y": y}


SMALL = "mobilenetv3_small_050"


def test_the_commands_run(workplace: dict[str, Any]) -> None:
    commands = code("sh").splitlines()
    assert len(commands) == 3
    for line in commands:
        words = shlex.split(line, comments=True)
        result = run_command(*words[1:])
        assert (words[0], result.exit_code) == ("seviz", 0), result.stderr
        run = seviz.open_run(words[words.index("-o") + 1])
        assert len(run.samples) == 4
        assert run.manifest.model.settings


@pytest.mark.filterwarnings(
    "ignore:classes. 2, as the weights", "ignore:Top-1 accuracy", "ignore:The classes of the data"
)
def test_the_python_lines_run(workplace: dict[str, Any]) -> None:
    exec(code("python"), workplace)
    for name in "defg":
        assert len(seviz.open_run(f"runs/{name}").samples) == 4
    assert workplace["network"].spec == "memory:MobileNetV3"


SOUND = """
from torch import nn
from tests.test_readme import Small

def make():
    module = Small(nn.Conv1d, 2)
    module.pretrained_cfg = {"input_size": (2, 64)}
    return module
"""


class Small(nn.Module):
    """One SE block between a convolution and a classifier."""

    def __init__(self, convolution: type[nn.Conv1d] | type[nn.Conv3d], channels: int) -> None:
        super().__init__()
        self.stem = convolution(channels, 8, 3, stride=2, padding=1)  # type: ignore[arg-type]
        self.fc = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 8), nn.Sigmoid())
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = self.stem(x)
        s = self.fc(u.flatten(2).mean(2))
        return self.head((u * s.reshape(*s.shape, *(1,) * (u.ndim - 2))).flatten(2).mean(2))


@pytest.mark.filterwarnings("ignore:Top-1 accuracy", "ignore:The classes of the data")
def test_the_lines_on_signals_and_volumes_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("alarm", "bird"):
        (tmp_path / "recordings" / name).mkdir(parents=True)
        for k in range(3):
            np.save(tmp_path / "recordings" / name / f"{k}.npy", random.normal(size=(2, 64)))
    (tmp_path / "sound.py").write_text(SOUND)
    for line in code("sh", ARRAYS).splitlines():
        words = shlex.split(line, comments=True)
        result = run_command(*words[1:])
        assert (words[0], result.exit_code) == ("seviz", 0), result.stderr
    assert (tmp_path / "figures" / "sound" / "gallery.png").exists()
    known = {
        "seviz": seviz,
        "ecg": Small(nn.Conv1d, 2).eval(),
        "scanner": Small(nn.Conv3d, 1).eval(),
        "signals": torch.randn(4, 2, 64),
        "volumes": torch.randn(4, 1, 6, 8, 8),
        "labels": torch.tensor([0, 1, 0, 1]),
    }
    exec(code("python", ARRAYS), known)
    for name, number in (("sound", 6), ("ecg", 4), ("ecg-files", 6), ("scans", 4)):
        assert set(seviz.open_run(f"runs/{name}").samples["status"]) == {"ok"}
        assert len(seviz.open_run(f"runs/{name}").samples) == number


@pytest.mark.filterwarnings("ignore:Top-1 accuracy", "ignore:There is something to know")
def test_the_first_python_lines_run_on_the_bundled_network(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder({"cat": 2, "dog": 2}, "path/to/images")
    block = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[0]
    known: dict[str, Any] = {"images": torch.zeros(2, 3, 32, 32)}
    exec(block, known)
    assert known["gates"]["SE_5_1"].shape == (2, 512)
    assert len(known["run"].samples) == 4
