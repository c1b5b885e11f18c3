"""Runs of every kind that a person may have, of one small network: for every command on every kind."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seviz
from seviz.compression.folding import fold_to
from seviz.network.networks import Network
from tests.cli.commands import run

NETWORK = """
import torch
from torch import nn


class Excite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.gate = nn.Sigmoid()  # whose bounds are known by its class: found without a search
        with torch.no_grad():
            self.expand.weight *= 8  # so that gates differ visibly between images

    def forward(self, u):
        return u * self.gate(self.expand(self.reduce(u.mean((2, 3), keepdim=True)).relu()))


def layer(inputs, channels):
    convolution = nn.Conv2d(inputs, channels, 3, stride=2, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels), nn.ReLU(), Excite(channels)]


def named(layers, classes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, len(classes))
        model = nn.Sequential(*layers(), *head)
    model.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0}
    model.class_names = classes
    return model.eval()


def network(classes=("ant", "bee", "cat")):
    return named(lambda: (*layer(3, 4), *layer(4, 6)), classes)


def two():
    return network(("ant", "bee"))


def plain():
    return named(lambda: (nn.Conv2d(3, 6, 3), nn.ReLU()), ("ant", "bee", "cat"))
"""
CLASSES = ("ant", "bee", "cat")
QUICK = ("--workers", "0", "--device", "cpu")
BLOCK = "SE_3_1"
"""The last of the two, which is in all runs."""

CAPTURED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "single label": ("network", "data", ()),
    "several labels": ("network", "csv:{root}/data/several.csv", ()),
    "gates of none": ("network", "data", ("--keep-gates", "none")),
    "gates of some": ("network", "data", ("--keep-gates", "per-class:2")),
    "untrained": ("network", "data", ("--weights", "none")),
    "no accuracy": ("network", "other", ()),
    "two classes": ("two", "two", ()),
    "without squeeze": ("network", "data", ("--signals", "excitation")),
    "of a saved network": ("saved", "data", ("--trust-code",)),
    "with failures": ("network", "broken", ("--max-failures", "1")),
    "failures only": ("network", "all broken", ("--max-failures", "1")),
    "one class": ("network", "one", ()),
    "another": ("network", "more", ()),
}
"""By the kind of run: the network, the data, and options of `seviz capture`."""

KINDS = ("from memory", "merged", *(kind for kind in CAPTURED if kind != "another"))


def capture(root: Path, kind: str) -> tuple[str, ...]:
    """The command that captures a run of a kind."""
    network, data, options = CAPTURED[kind]
    model = root / network if network == "saved" else f"{root / 'small.py'}:{network}"
    spec = data.format(root=root) if ":" in data else root / data
    signals = () if "--signals" in options else ("--signals", "excitation,squeeze")
    run_of = ("-o", root / "runs" / kind, *signals, "--compile", "off")
    return tuple(map(str, ("capture", model, spec, *run_of, *QUICK, *options)))


@pytest.fixture(scope="session")
def kinds(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A run of every kind, and what they were made of: not to be written into."""
    return make_once("kinds", make_kinds)


def make_kinds(root: Path) -> None:
    """Write a run of each of `KINDS` into a directory, what the command said beside it, and what they were made of."""
    root.mkdir()
    (root / "small.py").write_text(NETWORK)
    _make_data(root)
    network = seviz.load(f"{root / 'small.py'}:network")
    seviz.save(fold_to(network, {"SE_2_1": 0.5}), root / "saved")
    said = {kind: run(*capture(root, kind)) for kind in CAPTURED}
    runs = root / "runs"
    said["merged"] = run("merge", runs / "single label", runs / "another", "-o", runs / "merged")
    _collect_batches(network, runs / "from memory")
    for kind, result in said.items():
        assert result.exit_code == 0, (kind, result.output, result.exception)
        (runs / f"{kind}.txt").write_text(result.stdout)


def _make_data(root: Path) -> None:
    """Five images a class; of "broken" three of the second class and all of the third are none."""
    data = _images(root / "data")
    lines = ["path,label"]
    for path in sorted(data.rglob("*.png")):
        label = path.parent.name
        lines.append(f"{path.relative_to(data)},{label}{'|cat' if label != 'cat' and path.stem in '02' else ''}")
    (data / "several.csv").write_text("\n".join(lines))
    broken = [*_images(root / "all broken").rglob("*.png"), *(_images(root / "broken") / "cat").glob("*.png")]
    for path in (*broken, *(root / "broken" / "bee" / f"{number}.png" for number in range(3))):
        path.write_bytes(b"none")
    _images(root / "other", ("one", "six", "two"))
    _images(root / "two", CLASSES[:2])
    _images(root / "one", CLASSES[:1])
    _images(root / "more", first=20)
    _images(root / "else", first=40)


def _images(directory: Path, classes: tuple[str, ...] = CLASSES, *, each: int = 5, first: int = 0) -> Path:
    """A folder of images of some classes, each of one colour with noise."""
    random = np.random.default_rng(first)
    for label, name in enumerate(classes):
        (directory / name).mkdir(parents=True)
        for number in range(first, first + each):
            pixels = random.integers(0, 150, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, label] += 100
            Image.fromarray(pixels).save(directory / name / f"{number}.png")
    return directory


def _collect_batches(network: Network, out: Path) -> None:
    batch = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what the run's remarks say
        seviz.collect(network, [batch], out, signals=("excitation", "squeeze"), compile="off")
