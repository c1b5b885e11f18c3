"""A tiny SE network with known weights, folders of real image files, and runs that many tests read."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

# The test processes already use every core: BLAS gets one thread in each, and in what they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import seviz
from seviz.capture.datasets import open_dataset
from seviz.classes import Classes
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.network.evil import Evil, make_evil
from tests.touched import Touched, changed_files

torch.set_num_threads(1)


# takes the place of `python -m seviz`: starts a process of its own, tells its progress, and waits for long
WORK = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("begun", file=sys.stderr)
print(json.dumps({"progress": "half", "done": 1, "total": 2}), file=sys.stderr)
print(child.pid, flush=True)
time.sleep(600)
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--touched", action="store_true", help="run what the change touches, as far as a minute allows")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by inheritance, as behind `&` in a script
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started here shall hear of its end at once
    if config.getoption("touched"):
        config.pluginmanager.register(Touched.by(changed_files()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="there is no GPU"))


class TinyBlock(nn.Module):
    """Squeeze, two matrices, sigmoid, scale: the paper's block, written down plainly."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, squeezed)
        self.expand = nn.Linear(squeezed, channels)
        self.gate = nn.Sigmoid()
        with torch.no_grad():  # so that gates differ visibly between images
            self.reduce.weight *= 8
            self.expand.weight *= 8

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        s = self.gate(self.expand(torch.relu(self.reduce(u.mean((2, 3))))))
        return u * s[:, :, None, None]


class TinyNet(nn.Module):
    """Three stages of one SE block each, for images of 16x16, at strides 1, 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(i, o, 3, stride=stride, padding=1), nn.ReLU(), TinyBlock(o, 4))
                for i, o, stride in ((3, 8, 1), (8, 12, 2), (12, 16, 2))
            )
        )
        self.head = nn.Linear(16, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(images).mean((2, 3)))


@pytest.fixture
def tiny_net() -> TinyNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return TinyNet().eval()


@pytest.fixture
def tiny_network(tiny_net: TinyNet) -> Network:
    names = ("blue", "green", "red")
    return Network(
        spec="tests/tiny",
        weights="pretrained",
        trained=True,
        model=tiny_net,
        preprocess=v2.Compose([v2.Resize((16, 16)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]),
        preprocessing={"resize": [16, 16]},
        input_size=(3, 16, 16),
        classes=Classes(names, names),
    )


@pytest.fixture
def evil(tmp_path: Path) -> Evil:
    """A Python file that must not be executed unasked."""
    return make_evil(tmp_path / "evil")


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder of PNG files, each class of one colour with noise."""

    def make(classes: dict[str, int], name: str = "data") -> Path:
        random = np.random.default_rng(0)
        for k, (folder, count) in enumerate(classes.items()):
            (tmp_path / name / folder).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 120, (20, 24, 3), dtype=np.uint8)
                pixels[:, :, k % 3] += 100
                Image.fromarray(pixels).save(tmp_path / name / folder / f"{index:03d}.png")
        return tmp_path / name

    return make


@pytest.fixture
def tiny_run(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> Run:
    """A finished run over 30 images of three classes of unequal size, in three chunks."""
    with pytest.warns(UserWarning, match="near chance"):
        return seviz.collect(
            tiny_network,
            make_folder({"blue": 9, "green": 8, "red": 13}),
            tmp_path / "run",
            signals=("excitation", "squeeze", "response"),
            batch_size=4,
            chunk_size=11,
        )


@pytest.fixture(scope="session")
def make_once(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a directory that all test processes of this session read: the first that asks makes it, others wait."""
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        root = root.parent  # that of the whole session, not of this process

    def made(name: str, make: Callable[[Path], object]) -> Path:
        with FileLock(root / f"{name}.lock"):
            if not (root / f"{name}.made").exists():
                make(root / name)
                (root / f"{name}.made").touch()
        return root / name

    return made


@pytest.fixture(scope="session")
def bundled_run(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Run:
    """The bundled network on ten bundled images of each class, with all gates and signals; no table computed.

    Many tests share it: one that writes into a run copies it first (`shutil.copytree`).
    """

    def collect(out: Path) -> None:
        seviz.collect(
            seviz.load("seviz/seresnet50-cifar10"),
            open_dataset("bundled", per_class=10),
            out=out,
            signals=("excitation", "squeeze", "response"),
            keep_gates="all",
            compile="off",
            workers=0,
        )

    return seviz.open_run(make_once("bundled", collect))


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`python -m seviz` is a module that does WORK."""
    (tmp_path / "elsewhere" / "seviz").mkdir(parents=True)
    (tmp_path / "elsewhere" / "seviz" / "__init__.py").write_text("")
    (tmp_path / "elsewhere" / "seviz" / "__main__.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
