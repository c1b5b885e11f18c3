"""Runs of every kind that a person may have, of one small network: for every command on every kind."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import seviz
from seviz.compression.folding import fold_to
from seviz.network.networks import Network
from seviz.run.joining import join

CLASSES = ("ant", "bee", "cat")

NETWORK = """
import torch
from torch import nn


class Excite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        with torch.no_grad():
            self.expand.weight *= 8

    def forward(self, u):
        return u * self.expand(self.reduce(u.mean((2, 3), keepdim=True)).relu()).sigmoid()


def layer(inputs, channels):
    convolution = nn.Conv2d(inputs, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(), Excite(channels))


def network(classes=("ant", "bee", "cat")):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            layer(3, 8), layer(8, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, len(classes))
        )
    model.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0}
    model.class_names = classes
    return model.eval()


def two():
    return network(("ant", "bee"))


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
"""


def images(directory: Path, classes: tuple[str, ...] = CLASSES, *, each: int = 5, first: int = 0) -> Path:
    """A folder of images of some classes, each of one colour with noise."""
    random = np.random.default_rng(first)
    for label, name in enumerate(classes):
        (directory / name).mkdir(parents=True)
        for number in range(first, first + each):
            pixels = random.integers(0, 150, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, label] += 100
            Image.fromarray(pixels).save(directory / name / f"{number}.png")
    return directory


def _captured(network: Network, data: object, out: Path, **options: object) -> None:
    options = {"signals": ("excitation", "squeeze"), "workers": 0, "compile": "off", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # remarks, which the commands print
        seviz.collect(network, data, out, **options)  # type: ignore[arg-type]


def make_kinds(root: Path) -> None:
    """Write a run of every kind into a directory, each under its name, beside the networks."""
    root.mkdir(parents=True)
    (root / "small.py").write_text(NETWORK)
    network = seviz.load(f"{root / 'small.py'}:network")
    data = images(root / "data")
    listed = [
        f"{p.relative_to(data)},{p.parent.name}{'|cat' if p.stem in '02' and p.parent.name != 'cat' else ''}"
        for p in sorted(data.rglob("*.png"))
    ]
    (data / "several.csv").write_text("\n".join(["path,label", *listed]))
    broken = images(root / "broken", each=6)
    for number in range(4):
        (broken / "bee" / f"{number}.png").write_bytes(b"no image")
    for number in range(6):
        (broken / "cat" / f"{number}.png").write_bytes(b"no image")
    for path in images(root / "all broken").rglob("*.png"):
        path.write_bytes(b"no image")
    seviz.save(fold_to(network, {"SE_2_1": np.full(8, 0.5)}), root / "saved")
    (root / "runs").mkdir()

    def run(name: str, data: object = data, network: Network = network, **options: object) -> None:
        _captured(network, data, root / "runs" / name, **options)

    run("single label")
    run("several labels", f"csv:{data / 'several.csv'}")
    run("gates of none", keep_gates="none")
    run("gates of some", keep_gates="per-class:2")
    generator = torch.Generator().manual_seed(0)
    run("from memory", [(torch.rand(9, 3, 16, 16, generator=generator), torch.arange(9) % 3)])
    run("untrained", network=seviz.load(f"{root / 'small.py'}:network", weights="none"))
    run("no accuracy", images(root / "other", ("one", "two", "six")))
    run("two classes", images(root / "two", CLASSES[:2]), seviz.load(f"{root / 'small.py'}:two"))
    run("without squeeze", signals=("excitation",))
    run("of a saved network", network=seviz.load(str(root / "saved"), trust_code=True))
    run("with failures", broken, max_failures=1)
    run("failures only", root / "all broken", max_failures=1)
    run("one class", images(root / "one", CLASSES[:1]))
    run("one image", images(root / "single", CLASSES[:1], each=1))
    run("of half", images(root / "half", each=3, first=20))
    join([root / "runs" / "single label", root / "runs" / "of half"], root / "runs" / "merged")
