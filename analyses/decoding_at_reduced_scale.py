"""What JPEG decoding at reduced scale would gain in time, and how far it moves the values a network is given.

    python analyses/decoding_at_reduced_scale.py
    python analyses/decoding_at_reduced_scale.py --folder ~/photographs

A JPEG decoder can leave out high frequencies and give an image of a half, a quarter or an eighth of the size at once
(Pillow's `Image.draft`); Pillow takes the smallest whose shorter side still is what preprocessing resizes to.

There are no photographs here. Unless a folder of JPEG files is given, images are made of the bundled ones of CIFAR-10:
twelve, enlarged, side by side, with noise, as JPEG of quality 90. That is less detail than a photograph has, and so
less to move.
"""

import argparse
import io
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import timm
import torch
from PIL import Image

from seviz.capture.datasets import open_dataset

MODEL = "legacy_seresnet50"
SIZES = ((500, 375), (640, 513), (1024, 768), (2048, 1536))
"""Of the images made: ImageNet's most frequent; one whose odd side is rounded when it is halved; and larger ones."""
TOLERANCE = 1  # of 255: what rounding to 8 bits does in preprocessing

Transform = Callable[[Image.Image], torch.Tensor]


@dataclass(frozen=True)
class Measured:
    """One image, decoded whole and at reduced scale.

    Attributes
    ----------
    size
        Width and height of the file.
    scale
        By how much less was decoded: 1, 2, 4 or 8.
    whole, reduced
        Seconds for decoding and preprocessing.
    moved
        How far the preprocessed values moved, of 255.
    """

    size: tuple[int, int]
    scale: int
    whole: float
    reduced: float
    moved: np.ndarray


def made(size: tuple[int, int], count: int, seed: int = 0) -> list[bytes]:
    """JPEG files of bundled images, enlarged and side by side, with noise."""
    data, random = open_dataset("bundled"), np.random.default_rng(seed)
    tile = math.ceil(size[0] / 4), math.ceil(size[1] / 3)
    files = []
    for _ in range(count):
        whole = Image.new("RGB", size)
        for place, index in enumerate(random.choice(len(data), 12, replace=False)):
            part = data.read(int(index)).image
            assert part is not None
            corner = place % 4 * tile[0], place // 4 * tile[1]
            whole.paste(part.resize(tile, Image.Resampling.BICUBIC), corner)
        noisy = np.asarray(whole) + random.normal(0, 8, (size[1], size[0], 3))
        file = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def found(folder: Path, count: int) -> list[bytes]:
    """The first JPEG files of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not paths:
        raise SystemExit(f"{folder} holds no file called .jpg or .jpeg; give a folder that does, or none")
    return [path.read_bytes() for path in paths[:count]]


def opened(data: bytes, side: int | None = None) -> Image.Image:
    """A JPEG in RGB; with a side, decoded at the smallest scale at which no side is shorter."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as file:
        if side is not None:
            file.draft("RGB", (side, side))
        return file.convert("RGB")


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(data: bytes, preprocess: Transform, in_8_bits: Transform, side: int, rounds: int) -> Measured:
    """Decode and preprocess one image both ways, in turn."""
    pairs = [
        (seconds(lambda: preprocess(opened(data))), seconds(lambda: preprocess(opened(data, side))))
        for _ in range(rounds + 1)  # the first warms up
    ]
    whole, reduced = opened(data), opened(data, side)
    moved = (in_8_bits(whole).int() - in_8_bits(reduced).int()).abs().numpy()
    times = [median(column) for column in zip(*pairs[1:], strict=True)]
    return Measured(whole.size, round(whole.width / reduced.width), times[0], times[1], moved)


def row(measured: Sequence[Measured]) -> str:
    """A line of the table, of images of one scale."""
    moved = np.concatenate([m.moved.ravel() for m in measured])
    sizes = {f"{width} x {height}" for width, height in (m.size for m in measured)}
    cells = [
        *(sizes.pop() if len(sizes) == 1 else "several", f"1/{measured[0].scale}", f"{len(measured)}"),
        *(f"{1000 * median(getattr(m, name) for m in measured):.2f}" for name in ("whole", "reduced")),
        f"{median(m.whole / m.reduced for m in measured):.2f}",
        *(f"{moved.max()}", f"{moved.mean():.3f}", f"{(moved > TOLERANCE).mean():.1%}"),
    ]
    return f"| {' | '.join(cells)} |"


def verdict(measured: Sequence[Measured]) -> str:
    """Whether decoding at reduced scale is allowed."""
    reduced = [m for m in measured if m.scale > 1]
    if not reduced:
        return "Verdict: nothing to allow, no image is large enough to be decoded at reduced scale"
    furthest = max(int(m.moved.max()) for m in reduced)
    allowed = "allowed" if furthest <= TOLERANCE else "NOT allowed"
    return f"Verdict: {allowed}; values move by up to {furthest}/255, and may by {TOLERANCE}/255"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of JPEG files, at any depth")
    parser.add_argument("--count", type=int, default=20, help="images of the folder, or of each size made")
    parser.add_argument("--rounds", type=int, default=7, help="timings of each image")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    with torch.device("meta"):  # only its configuration is read
        config = timm.data.resolve_model_data_config(timm.create_model(MODEL, pretrained=False))
    preprocess = timm.data.create_transform(**config, is_training=False)
    in_8_bits = timm.data.create_transform(**config, is_training=False, normalize=False)
    side = math.floor(config["input_size"][-1] / config["crop_pct"])
    if options.folder is None:
        files = [file for size in SIZES for file in made(size, options.count)]
    else:
        files = found(options.folder, options.count)
    measured = [measure(file, preprocess, in_8_bits, side, options.rounds) for file in files]

    groups = defaultdict(list)
    for m in measured:
        groups[m.size if options.folder is None else (), m.scale].append(m)
    print(f"{MODEL}: shorter side to {side}, {config['interpolation']}, the middle {config['input_size'][1:]}\n")
    print("| size | decoded at | images | whole, ms | reduced, ms | faster by | moved, max | mean | by more than 1 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for key in sorted(groups):
        print(row(groups[key]))
    print(f"\nMoved: preprocessed values, of 255. {verdict(measured)}.")


if __name__ == "__main__":
    main()
