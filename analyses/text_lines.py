"""Draw lines of text, upright and turned by 180 degrees, for a trained network that tells the two apart.

    python analyses/text_lines.py
    seviz capture onnx:PATH runs/text-lines/lines -o runs/text-lines/run ...    # as this script prints it

The network is the text-orientation classifier in the PyPI package rapidocr-onnxruntime, a MobileNetV3 with nine SE
blocks that was trained by PaddleOCR. No line is drawn twice, and none is in both classes.
"""

import argparse
import importlib.util
import shlex
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seviz.network.imagenet import imagenet_classes

HEIGHT, WIDTH = 48, 192
CLASSES = {"0": 0, "180": 180}
"""Directories, in the order of the network's outputs, and by how many degrees their lines are turned."""
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono")
"""Those that come with matplotlib, so that the lines are the same on every machine."""
SIZE = 32
LONGEST = 9
"""Of a line, in sizes of its font."""
GREY = (128, 128, 128)
"""About 0 for the network."""
MODEL = "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"


def classifier() -> Path:
    """The ONNX file of the classifier; its package is not imported."""
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None or found.origin is None:
        raise SystemExit("the classifier is in the package rapidocr-onnxruntime: pip install rapidocr-onnxruntime")
    return Path(found.origin).parent / MODEL


def line(random: np.random.Generator, words: tuple[str, ...], degrees: int) -> Image.Image:
    """A line of some words as the classifier is given lines: cut out, turned, brought to its height, padded with grey.

    Font, colours, margins and noise are drawn at random. What is turned is padded on the same side as what is not.
    """
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(fonts / f"{random.choice(FONTS)}.ttf"), SIZE)
    text = str(random.choice(words))
    while font.getlength(longer := f"{text} {random.choice(words)}") < LONGEST * SIZE:
        text = longer
    left, top, right, bottom = font.getbbox(text)
    margin = int(random.integers(2, 7))
    dark, light = (tuple(map(int, random.integers(*bounds, 3))) for bounds in ((0, 90), (165, 256)))
    ink, paper = (dark, light) if random.random() < 0.8 else (light, dark)
    image = Image.new("RGB", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin), paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=font)
    width = min(WIDTH, round(HEIGHT * image.width / image.height))
    image = image.rotate(degrees).resize((width, HEIGHT), Image.Resampling.BILINEAR)
    noisy = np.asarray(image) + random.normal(0, random.uniform(0, 12), (HEIGHT, width, 1))
    padded = Image.new("RGB", (WIDTH, HEIGHT), GREY)
    padded.paste(Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)))
    return padded


def draw(directory: Path, images: int, seed: int) -> None:
    """Draw so many lines of each class into directories called like the classes."""
    random = np.random.default_rng(seed)
    words = tuple(word for name in imagenet_classes("imagenet-1k").names for word in name.split())
    for name, degrees in CLASSES.items():
        (directory / name).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            line(random, words, degrees).save(directory / name / f"{number:05d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="lines of each class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/text-lines"))
    options = parser.parse_args()
    draw(options.out / "lines", options.images, options.seed)
    (options.out / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    print(f"{len(CLASSES) * options.images:,} lines in {options.out / 'lines'}. Their gates are recorded by")
    command = ["seviz", "capture", f"onnx:{classifier()}", str(options.out / "lines")]
    command += ["-o", str(options.out / "run"), "--class-names", str(options.out / "names.txt")]
    command += ["--img-size", f"{HEIGHT}x{WIDTH}", "--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"]
    print(shlex.join(command))


if __name__ == "__main__":
    main()
