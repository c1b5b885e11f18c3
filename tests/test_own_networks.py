"""The whole way, from check to report, of networks as people have them."""

import argparse
import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

import seviz
from seviz.compression.checking import check
from tests.cli.commands import run as run_command
from tests.network.own_modules import Own

CLASSES = ("cat", "dog", "owl", "fox", "hen")
SIZE = 48


@dataclasses.dataclass(frozen=True)
class Case:
    """A network as the command line takes it.

    Attributes
    ----------
    spec
        Of the model.
    options
        What is said beside it.
    classes
        Of the data.
    blocks
        How many SE blocks it has.
    capture
        What is said when images are captured.
    status
        What becomes of the images.
    """

    spec: str
    options: tuple[str, ...] = ()
    classes: int = 5
    blocks: int = 9
    capture: tuple[str, ...] = ()
    status: str = "ok"


def small(**known: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return timm.create_model("mobilenetv3_small_050", **known)


def fine_tuned(folder: Path) -> Case:
    torch.save({"state_dict": small(num_classes=5).state_dict(), "epoch": 3}, folder / "last.pth.tar")
    return Case("timm/mobilenetv3_small_050", ("--weights", f"{folder}/last.pth.tar", "--img-size", "48"))


def one_logit(folder: Path) -> Case:
    model = torchvision.models.mobilenet_v3_small(num_classes=1)
    torch.save(model.state_dict(), folder / "w.pt")
    names = folder / "names.txt"
    names.write_text("cat\ndog\n")
    options = ("--weights", f"{folder}/w.pt", "--img-size", "48")
    return Case("torchvision/mobilenet_v3_small", options, classes=2, capture=("--class-names", str(names)))


def grey(folder: Path) -> Case:
    torch.save(small(in_chans=1, num_classes=5).state_dict(), folder / "grey.pt")
    options = (
        "--weights",
        f"{folder}/grey.pt",
        "--in-chans",
        "1",
        "--mean",
        "0.5",
        "--std",
        "0.25",
        "--img-size",
        "48",
    )
    return Case("timm/mobilenetv3_small_050", options, status="coerced")


LIGHTNING = """
import timm
from neighbour import WIDTH, Head
from torch import nn

def make(num_classes=1000):
    body = timm.create_model(f"mobilenetv3_small_{WIDTH}", num_classes=num_classes)
    return Head(body)
"""
NEIGHBOUR = """
from torch import nn

WIDTH = "050"

class Head(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.num_classes = body.num_classes

    def forward(self, x):
        return {"logits": self.body(x)}
"""


def lightning(folder: Path) -> Case:
    """A checkpoint with hyper-parameters, of a factory that imports its neighbour."""
    (folder / "nets.py").write_text(LIGHTNING)
    (folder / "neighbour.py").write_text(NEIGHBOUR)
    state = {f"net.body.{name}": tensor for name, tensor in small(num_classes=5).state_dict().items()}
    content = {
        "state_dict": state | {"loss.weight": torch.ones(5)},
        "hyper_parameters": argparse.Namespace(lr=0.1, root=Path("/data")),
        "pytorch-lightning_version": "2.5.0",
        "best_score": np.float64(0.9),
    }
    torch.save(content, folder / "epoch=3.ckpt")
    return Case(f"{folder}/nets.py:make", ("--weights", f"{folder}/epoch=3.ckpt", "--img-size", "48"))


def wrapped(folder: Path) -> Case:
    """Saved by a compiled network in DistributedDataParallel, with its moving average."""
    state = {f"module._orig_mod.{name}": tensor for name, tensor in small(num_classes=5).state_dict().items()}
    average = {name: tensor.clone() for name, tensor in state.items()}
    torch.save({"model": state, "model_ema": average, "step": np.int64(7)}, folder / "w.pt")
    return Case("timm/mobilenetv3_small_050", ("--weights", f"{folder}/w.pt", "--img-size", "48", "--ema", "yes"))


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], Path]:
    def make(classes: int) -> Path:
        random = np.random.default_rng(0)
        for k, name in enumerate(CLASSES[:classes]):
            (tmp_path / "photos" / name).mkdir(parents=True)
            for number in range(3):
                pixels = random.integers(30 * k, 30 * k + 100, (52, 60, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
        return tmp_path / "photos"

    return make


def done(*arguments: object) -> str:
    result = run_command(*arguments)
    assert result.exit_code == 0, (arguments, result.stderr, result.exception)
    return result.stdout


def shown(run: Path) -> None:
    """Figures and report of a run."""
    done("figures", run, "-o", run / "figures", "--only", "excitation,specificity")
    assert {path.suffix for path in (run / "figures").iterdir()} >= {".png", ".csv"}
    done("report", run, "-o", run.parent / "report.html")
    assert "<h1" in (run.parent / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("make", [fine_tuned, one_logit, grey, lightning, wrapped])
def test_on_the_command_line(make: Callable[[Path], Case], photos: Callable[[int], Path], tmp_path: Path) -> None:
    (tmp_path / "her").mkdir()
    case = make(tmp_path / "her")
    checked = json.loads(done("check", case.spec, *case.options, "--json"))
    assert checked["vouched"]
    assert len(json.loads(done("blocks", case.spec, *case.options, "--json"))) == case.blocks
    run = tmp_path / "run"
    done("capture", case.spec, photos(case.classes), "-o", run, *case.options, *case.capture)
    opened = seviz.open_run(run)
    assert (len(opened.blocks), len(opened.samples)) == (case.blocks, 3 * case.classes)
    assert set(opened.samples["status"]) == {case.status}
    shown(run)


class Two(nn.Module):
    """An image and a number for each."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Own()

    def forward(self, image: Tensor, scale: Tensor) -> Tensor:
        return self.inner(image * scale[:, None, None, None])


def hugging_face() -> tuple[nn.Module, Any]:
    from transformers import RegNetConfig, RegNetForImageClassification

    config = RegNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, groups_width=8, layer_type="y", num_labels=3
    )
    items = [{"pixel_values": torch.randn(3, 64, 64), "labels": k % 3} for k in range(9)]
    return RegNetForImageClassification(config), DataLoader(items, batch_size=4)


def two_inputs() -> tuple[nn.Module, Any]:
    return Two(), [((torch.randn(9, 1, 12, 12), torch.rand(9)), torch.arange(9) % 3)]


@pytest.mark.parametrize(("make", "blocks"), [(hugging_face, 4), (two_inputs, 1)])
def test_in_memory(make: Callable[[], tuple[nn.Module, Any]], blocks: int, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, data = make()
    first = next(iter(data))
    example = {"pixel_values": first["pixel_values"]} if isinstance(first, dict) else first[0]
    network = seviz.wrap(module, example)
    assert check(network).vouched
    assert len(network.blocks) == blocks
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Top-1 accuracy")
        run = seviz.collect(module, data, tmp_path / "run", device="cpu", class_names=CLASSES[:3])
    assert run.accuracy is not None
    shown(tmp_path / "run")
