"""thingsvision's extractor on the gates, as `ways.py` has the other ways; it needs an older torch, so it runs in an
environment of its own, without seviz."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from thingsvision import get_extractor_from_model
from torch.utils.data import DataLoader, TensorDataset
from turns import Gate

CLASSES = 4


class Pictures(torch.utils.data.Dataset):
    """Image files, prepared as timm does for a network."""

    def __init__(self, paths: list[Path], model: torch.nn.Module) -> None:
        self.paths = paths
        self.prepare = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.prepare(Image.open(self.paths[index]).convert("RGB"))


def main() -> None:
    options = json.loads(sys.argv[1])
    gate = Gate()
    print(f"torch {torch.__version__}")
    model = timm.create_model(options["spec"].removeprefix("timm/")).eval()
    extractor = get_extractor_from_model(model=model, device="cpu", backend="pt")
    names, count, batch = options["gate_paths"], options["images"], options["batch"]
    paths = sorted(Path(options["jpegs"]).glob("*/*.jpg")) if options["jpegs"] else []
    size = timm.data.resolve_data_config({}, model=model)["input_size"]
    tensors = TensorDataset(torch.randn(count, *size, generator=torch.Generator().manual_seed(0)))
    turn = 0
    while True:
        if paths:
            some = paths[turn * count : (turn + 1) * count]
            batches = DataLoader(Pictures(some, model), batch, num_workers=1)
            labels = np.array([int(path.parent.name) for path in some])
        else:
            batches = DataLoader(tensors, batch, collate_fn=lambda rows: torch.stack([row[0] for row in rows]))
            labels = np.arange(count) * CLASSES // count
        gates = extractor.extract_features(batches=batches, module_names=names, flatten_acts=True)
        for values in gates.values():
            for label in np.unique(labels):
                values[labels == label].mean(0)
        turn += 1
        gate()


if __name__ == "__main__":
    main()
