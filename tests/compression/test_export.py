import logging
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from seviz.compression.export import export_onnx, export_program
from seviz.errors import CompiledModelError, EngineError, MissingPackageError, OptionError, WriteError
from seviz.network.networks import Network
from seviz.network.spread import Spread


class Branched(nn.Module):
    """A stream that a branch of fewer channels is added into by index."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 1)
        self.spread, self.head = Spread([1, 4, 6], 8), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        u = self.stem(images)
        return self.head(torch.relu(u + self.spread(self.branch(u))).mean((2, 3)))


class OneByOne(nn.Module):
    """Decides by the number of images."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * (2 if len(images) % 2 else 3)


class Asking(nn.Module):
    """Decides by a value."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * (2 if images.sum() > 0 else 3)


class Otherwise(nn.Module):
    """Gives something else while it is traced."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * (2 if torch.compiler.is_compiling() else 1)


def network_of(name: str, tiny: Network) -> Network:
    models = {
        "tiny": lambda: tiny.model,
        "branched": Branched,
        "bottlenecks": bottlenecks,
        "inverted residuals": inverted_residuals,
    }
    return replace(tiny, model=models[name]().eval())


def bottlenecks() -> nn.Module:
    """The bundled network's architecture with one block in each stage."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model("seresnet50", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8), num_classes=3)


def inverted_residuals() -> nn.Module:
    """Two blocks of MobileNetV3: depthwise convolutions, hard swish, hard sigmoid, strides in the block."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = [
            InvertedResidualConfig(8, 3, 16, 8, True, "RE", 2, 1, 1.0),
            InvertedResidualConfig(8, 5, 24, 8, True, "HS", 1, 1, 1.0),
        ]
        return MobileNetV3(blocks, last_channel=16, num_classes=3)


def images_of(network: Network, count: int) -> Tensor:
    return torch.randn(count, *network.input_size, generator=torch.Generator().manual_seed(7))


def assert_near(found: np.ndarray, network: Network, images: Tensor) -> None:
    with torch.no_grad():
        expected = network.model(images).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


NETWORKS = ("tiny", "bottlenecks", "inverted residuals", "branched")


def test_programs_run_in_plain_torch(tiny_network: Network, tmp_path: Path) -> None:
    """One process runs them all."""
    networks = {name: network_of(name, tiny_network) for name in NETWORKS}
    for name, network in networks.items():
        folder = tmp_path / name
        done = export_program(network, folder / "network.pt2")
        assert (done.path, done.bytes) == (folder / "network.pt2", done.path.stat().st_size)
        assert (done.batch, done.remark) == ("dynamic", "")
        assert 0 <= done.apart <= 1e-4
        for count in (1, 4):
            torch.save(images_of(network, count), folder / f"{count}.pt")
    alone = """
import sys, torch
for folder in sys.argv[1:]:
    network = torch.export.load(f"{folder}/network.pt2").module()
    for count in (1, 4):
        torch.save(network(torch.load(f"{folder}/{count}.pt")).detach(), f"{folder}/{count}.pt")
print([name for name in sys.modules if name.split(".")[0] in ("seviz", "timm")])
"""
    command = [sys.executable, "-c", alone, *(str(tmp_path / name) for name in networks)]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.strip()) == (0, "[]"), told.stderr
    for name, network in networks.items():
        for count in (1, 4):
            assert_near(torch.load(tmp_path / name / f"{count}.pt").numpy(), network, images_of(network, count))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_gives_the_outputs_of_torch(name: str, tiny_network: Network, tmp_path: Path) -> None:
    network = network_of(name, tiny_network)
    done = export_onnx(network, str(tmp_path / "network.onnx"))
    assert done.path == tmp_path / "network.onnx"
    assert (done.bytes, done.batch, done.remark) == (done.path.stat().st_size, "dynamic", "")
    onnx.checker.check_model(onnx.load(done.path))
    session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, output.name) == ("images", ["batch", *network.input_size], "logits")
    for count in (1, 4):
        images = images_of(network, count)
        assert_near(session.run(None, {"images": images.numpy()})[0], network, images)
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]


@pytest.mark.parametrize(("export_it", "suffix"), [(export_program, "pt2"), (export_onnx, "onnx")])
def test_a_batch_that_is_fixed(export_it: object, suffix: str, tiny_network: Network, tmp_path: Path) -> None:
    assert callable(export_it)
    done = export_it(tiny_network, tmp_path / f"three.{suffix}", batch=3)
    assert (done.batch, done.remark) == (3, "")
    odd = replace(tiny_network, model=OneByOne())
    done = export_it(odd, tmp_path / f"one.{suffix}")
    assert done.batch == 1
    assert done.remark.startswith("one image at a time: with any number of them OneByOne cannot be exported (")
    if suffix == "pt2":
        loaded = torch.export.load(done.path).module()
        assert_near(loaded(images_of(odd, 1)).numpy(), odd, images_of(odd, 1))


@pytest.mark.parametrize(("export_it", "suffix"), [(export_program, "pt2"), (export_onnx, "onnx")])
def test_networks_stay_as_they_are(export_it: object, suffix: str, tiny_network: Network, tmp_path: Path) -> None:
    assert callable(export_it)
    tiny_network.model.train()
    tiny_network.model.to(memory_format=torch.channels_last)
    before = {name: (p, p.clone(), p.stride()) for name, p in tiny_network.model.named_parameters()}
    disabled, filters = logging.root.manager.disable, list(warnings.filters)
    export_it(tiny_network, tmp_path / f"tiny.{suffix}")
    assert (logging.root.manager.disable, warnings.filters) == (disabled, filters)
    assert tiny_network.model.training
    for name, p in tiny_network.model.named_parameters():
        same, values, strides = before[name]
        assert p is same
        assert p.requires_grad
        assert p.stride() == strides
        assert torch.equal(p, values)


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_onnx_needs_packages(name: str, tiny_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=rf"an ONNX file needs {name} .*: pip install 'seviz\[onnx\]'"):
        export_onnx(tiny_network, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_that_are_not_finite_cannot_be_vouched_for(tiny_network: Network, tmp_path: Path) -> None:
    with torch.no_grad():
        tiny_network.model.head.bias[1] = torch.nan
    with pytest.raises(EngineError, match="TinyNet gives other outputs when exported, by inf of the largest"):
        export_program(tiny_network, tmp_path / "network.pt2", batch=1)


@pytest.mark.parametrize(("export_it", "suffix"), [(export_program, "pt2"), (export_onnx, "onnx")])
def test_nothing_is_half_written(export_it: object, suffix: str, tiny_network: Network, tmp_path: Path) -> None:
    assert callable(export_it)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WriteError, match=rf"network\.{suffix} could not be written"):
        export_it(tiny_network, tmp_path / "file" / f"network.{suffix}")
    there = tmp_path / f"network.{suffix}"
    there.write_text("of before")
    with pytest.raises(EngineError, match=r"Asking cannot be exported \("):
        export_it(replace(tiny_network, model=Asking()), there, batch=1)
    with pytest.raises(EngineError, match=r"Otherwise gives other outputs when exported, by .* of the largest"):
        export_it(replace(tiny_network, model=Otherwise()), there, batch=1)
    assert there.read_text() == "of before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", there.name]


def test_wrong_use(tiny_network: Network, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"path is '.*network\.pt', expected one that ends in \.pt2"):
        export_program(tiny_network, tmp_path / "network.pt")
    with pytest.raises(OptionError, match=r"expected one that ends in \.onnx"):
        export_onnx(tiny_network, tmp_path / "network.pt2")
    for batch in (0, "any", 1.5):
        with pytest.raises(OptionError, match=f"batch is {batch!r}, expected dynamic or a number of at least 1"):
            export_program(tiny_network, tmp_path / "network.pt2", batch=batch)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"Conv2d gives \(1, 8, 14, 14\) for 1 images, expected \(batch, classes\)"):
        export_program(replace(tiny_network, model=nn.Conv2d(3, 8, 3)), tmp_path / "network.pt2")
    tiny_network.model.head.compile()
    with pytest.raises(CompiledModelError, match="its module 'head' was compiled"):
        export_program(tiny_network, tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())
