"""How far gates err in half precision: under plain autocast, and as seviz runs it, with the SE blocks in float32.

    python analyses/half_precision.py
    python analyses/half_precision.py timm/legacy_seresnet50 --data imagenet:path/to/imagenet --device cuda

On the bundled network and images unless told otherwise, against the same network in float32.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

import seviz
from seviz.capture.datasets import open_dataset
from seviz.capture.engines import PRECISIONS, running
from seviz.network.networks import Network
from seviz.run.manifest import EngineRecord


def plainly(network: Network, images: torch.Tensor, precision: torch.dtype) -> NDArray[np.float32]:
    """Gates of all blocks, (image, channel), under autocast with nothing kept from it."""
    with (
        torch.no_grad(),
        torch.autocast(images.device.type, precision),
        seviz.capture_gates(network.model, network.blocks, detach=True) as gates,
    ):
        network.model(images)
    return torch.cat([gate.float() for gate in gates.values()], 1).cpu().numpy()


def as_captured(network: Network, images: torch.Tensor, precision: str) -> NDArray[np.float32]:
    """The same as a capture reads them."""
    engine = EngineRecord(
        name="eager",
        reason="",
        device=str(images.device),
        precision=precision,
        batch_size=len(images),
        threads=torch.get_num_threads(),
        rotate=False,
    )
    options = {"signals": ("excitation",), "input_size": network.input_size}
    with running(network.model, network.blocks, engine, **options) as forward:
        _, values = forward(list(images.cpu())).numpy()
    return np.concatenate(list(values.values()), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="seviz/seresnet50-cifar10", help="a spec")
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    network, data = seviz.load(options.model), open_dataset(options.data)
    chosen = np.linspace(0, len(data) - 1, options.images).astype(int)
    read = [data.read(int(k)).image for k in chosen]
    images = torch.stack([network.preprocess(image) for image in read if image is not None]).to(options.device)
    network.model.to(options.device)
    exact = as_captured(network, images, "float32")
    print(f"`{options.model}`, {len(images)} images, {options.device}: distance of gates from those in float32\n")
    print("| precision | way | mean | 99 % are below | at most | at most, of gates above 0.9 |")
    print("|---|---|---|---|---|---|")
    for name in ("bfloat16", "float16"):
        ways: dict[str, Callable[[], NDArray[np.float32]]] = {
            "plain autocast": lambda name=name: plainly(network, images, PRECISIONS[name]),
            "seviz, SE blocks in float32": lambda name=name: as_captured(network, images, name),
        }
        for way, function in ways.items():
            error = np.abs(function() - exact)
            near_one = error[exact > 0.9].max(initial=0)
            cells = (error.mean(), np.quantile(error, 0.99), error.max(), near_one)
            print(f"| {name} | {way} | {' | '.join(f'{cell:.1e}' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
