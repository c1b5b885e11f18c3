"""Class folders of random signals, images or volumes in files, and a Python file that makes a network for them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.dimensions import CLASSES, Layout, inputs, network

NAMES = ("bell", "drum", "horn", "lute")[:CLASSES]
FACTORY = """
from tests.dimensions import network

def make():
    module = network({d}, {layout!r})
    module.pretrained_cfg = {known!r}
    module.class_names = {names!r}
    return module
"""


def factory(folder: Path, d: int, layout: Layout = "first", **known: Any) -> str:
    """The spec of `tests.dimensions.network`, with the size of its input, in a file of the folder."""
    size = tuple(inputs(d, layout).shape[1:])
    file = folder / f"net_{d}_{layout}.py"
    file.write_text(FACTORY.format(d=d, layout=layout, known={"input_size": size} | known, names=NAMES))
    return f"{file}:make"


def arrays(folder: Path, d: int, layout: Layout = "first", each: int = 3) -> Path:
    """As many files a class as asked for, of the three kinds, whose class is what the network predicts most of."""
    x = inputs(d, layout, rows=each * CLASSES)
    with torch.no_grad():
        margins = network(d, layout)(x).log_softmax(1)
    left = list(range(len(x)))
    for number, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for k in range(each):
            row = max(left, key=lambda row: margins[row, number])
            left.remove(row)
            file = folder / name / f"{k}"
            if k == 0:
                np.save(file.with_suffix(".npy"), x[row].numpy())
            elif k == 1:
                np.savez(file.with_suffix(".npz"), x=x[row].numpy())
            else:
                torch.save(x[row].clone(), file.with_suffix(".pt"))
    return folder
