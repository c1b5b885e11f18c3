"""One image through a network: what it is taken for, and its gates beside those of the classes of a run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from seviz.capture.arrays import EXTENSIONS as ARRAYS
from seviz.capture.arrays import Arrays
from seviz.capture.datasets import Dataset
from seviz.capture.images import EXTENSIONS
from seviz.capture.indexed import Preprocess
from seviz.capture.pictures import described, picture_of
from seviz.capture.sources import read_batches
from seviz.classes import Classes
from seviz.errors import ImageFormatError
from seviz.experiments.attribution import Attributions, Baseline, Method, attribute
from seviz.experiments.evaluation import classes_of, on_device
from seviz.network.axes import of_image
from seviz.network.dtype import as_taken
from seviz.network.gates import capture_gates
from seviz.network.networks import Network
from seviz.network.outputs import logits_in
from seviz.run.chunks import Chunk, decode_gates
from seviz.run.store import Run
from seviz.stats.distances import Metric

SHOWN = 512
"""Pixels of a side of the picture that is kept to be shown, at most."""

_ROUNDING = 1e-7  # of the greatest mean, in float32: less is no deviation
_ONE = Classes(("image",), ("image",))


@dataclass(frozen=True, kw_only=True)
class OneImage:
    """What a network made of one image.

    Attributes
    ----------
    picture
        The image as it was decoded, in RGB, or an array as `seviz.capture.pictures.picture_of` shows it; no larger
        than `SHOWN`.
    size
        Width and height that it had.
    described
        What it is, in words: "24 x 20 pixels", "a signal of shape (2, 64), its channels as lines".
    reason
        What was done to it when it was decoded, or is to be known of it; mostly empty.
    pixels
        What the network was given, (channel, positions...) float32.
    gates
        By the name of the block, (channel) float32.
    logits
        (class) float64; None where the network gives none, as the backbone of one that detects.
    classes
        Of the logits.
    """

    picture: Image.Image
    size: tuple[int, int]
    described: str
    reason: str
    pixels: NDArray[np.float32]
    gates: dict[str, NDArray[np.float32]]
    logits: NDArray[np.float64] | None
    classes: Classes

    @property
    def predicted(self) -> int | None:
        """The class with the greatest logit; None where there are no logits, or one is not finite."""
        if self.logits is None or not len(self.logits) or not np.isfinite(self.logits).all():
            return None
        return int(self.logits.argmax())

    def best(self, number: int = 5) -> pd.DataFrame:
        """The classes with the greatest logits, best first.

        Columns: index; class, its id, and class_name; logit; probability, the softmax over all classes, in [0, 1].
        No rows where nothing is predicted.
        """
        logits = np.zeros(0) if self.logits is None or self.predicted is None else self.logits
        chosen = np.argsort(-logits, kind="stable")[:number]
        likely = np.exp(logits - logits.max(initial=-np.inf))
        return pd.DataFrame(
            {
                "index": chosen,
                "class": [self.classes.ids[k] for k in chosen],
                "class_name": [self.classes.names[k] for k in chosen],
                "logit": logits[chosen],
                "probability": (likely / likely.sum())[chosen],
            }
        )


@contextmanager
def image_file(content: bytes, name: str = "", preprocess: Preprocess = "none") -> Iterator[Dataset]:
    """The bytes of a file as a data set of one image or array; they lie in a temporary file inside the context.

    Parameters
    ----------
    content
        The bytes.
    name
        What the file is called: its ending tells arrays, and TIFF files with a page for each channel.
    preprocess
        What becomes of an array, as of `seviz.capture.datasets.open_dataset`.
    """
    ending = Path(name).suffix.lower()
    file = f"image{ending if ending in EXTENSIONS | ARRAYS else ''}"
    with TemporaryDirectory(prefix="seviz-image-") as folder:
        (Path(folder) / file).write_bytes(content)
        one = (Path(folder), _ONE, (file,), np.zeros(1, np.int64))
        yield Arrays("one array", *one, preprocess=preprocess) if ending in ARRAYS else Dataset("one image", *one)


def run_image(network: Network, data: Dataset, index: int = 0, *, rotate: bool = False) -> OneImage:
    """Run a network on one image of a data set, on the CPU.

    Parameters
    ----------
    network
        Comes back as it was given. Not to be run by two threads at once.
    data, index
        Which image; it passes the checks of a capture.
    rotate
        Turn it as its EXIF orientation says.

    Raises
    ------
    ImageFormatError
        If it cannot be read, or not be made into what the network takes.
    OptionError
        If the network takes no such images, as where the data are images and it takes signals.
    """
    batch = next(read_batches(data, network, [[index]], rotate=rotate, workers=0))
    if batch.statuses[0] == "failed":
        raise ImageFormatError(f"the image cannot be read: {batch.reasons[0]}. Give another.")
    decoded = data.read(index, rotate=rotate, channels=network.input_size[0])
    if isinstance(decoded.image, Image.Image):
        whole = decoded.image
        told = f"{whole.width:,} × {whole.height:,} pixels"
    else:
        values = np.asarray(decoded.image)
        whole, told = picture_of(values), described(values.shape)
    picture = whole.convert("RGB")
    picture.thumbnail((SHOWN, SHOWN))
    gates, logits = _pass(network, batch.images[0])
    return OneImage(
        picture=picture,
        size=whole.size,
        described=told,
        reason=decoded.reason,
        pixels=batch.images[0].numpy().astype(np.float32),
        gates=gates,
        logits=logits,
        classes=classes_of(network, 0 if logits is None else len(logits)),
    )


def _pass(network: Network, image: Tensor) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float64] | None]:
    """Gates and logits of one forward pass."""
    with (
        on_device(network.model, "cpu") as place,
        capture_gates(network.model, network.blocks, detach=True) as gates,
    ):
        output = network.model(as_taken(image[None].to(place), network.model))
    logits = logits_in(output, network.outputs) if network.task == "classification" else None
    return (
        {name: gate[0].float().numpy() for name, gate in gates.items()},
        None if logits is None else logits[0].double().numpy(),
    )


def as_seen(pixels: NDArray[Any], preprocessing: Mapping[str, Any]) -> NDArray[np.uint8]:
    """What a network was given, as a picture, (height, width, 3).

    Parameters
    ----------
    pixels
        (channel, positions...).
    preprocessing
        Of the network. Of an image its mean and std are undone; where it has none, and of signals and volumes, the
        least value is black and the greatest white.
    """
    if of_image(pixels.shape) and len(preprocessing.get("mean", ())) == len(preprocessing.get("std", ())) == len(
        pixels
    ):
        mean, std = (np.reshape(preprocessing[each], (-1, 1, 1)) for each in ("mean", "std"))
        pixels = np.rint(np.clip(pixels * std + mean, 0, 1) * 255).astype(np.uint8)
    return np.asarray(picture_of(pixels).convert("RGB"))


def attribute_image(
    network: Network,
    pixels: NDArray[np.float32],
    target: int,
    *,
    method: Method = "gradient_x_activation",
    baseline: Baseline = 0.0,
    blocks: Sequence[str] | None = None,
    steps: int = 32,
) -> Attributions:
    """Attribute a logit of one image to the gates of each block, on the CPU.

    Parameters
    ----------
    network
        Comes back as it was given. Not to be run by two threads at once.
    pixels
        As of `OneImage`.
    target
        The class whose logit it is.
    method, baseline, blocks, steps
        As of `seviz.experiments.attribution.attribute`, which tells what is raised.
    """
    return attribute(
        network,
        data=[(torch.as_tensor(pixels)[None], torch.zeros(1, dtype=torch.int64))],
        target=target,
        method=method,
        baseline=baseline,
        blocks=blocks,
        steps=steps,
        device="cpu",
    )


def together(parts: Sequence[Attributions]) -> Attributions:
    """Attributions of one image to some blocks each, as one; at least one."""
    values: dict[str, NDArray[np.float32]] = {}
    stages: dict[str, int] = {}
    for part in parts:
        values |= part.values  # noqa: PD011 - no table of pandas
        stages |= part.stages
    return replace(parts[0], values=values, stages=stages)


def kept_gates_of(run: Run, row: int) -> dict[str, NDArray[np.float32]] | None:
    """The gates of one image that a run keeps, by the name of the block, (channel).

    Parameters
    ----------
    run
        A finished run.
    row
        The image, of `run.samples`.

    Returns
    -------
    dict or None
        None where the image failed or its gates are not kept.

    Raises
    ------
    DamagedRunError
        If the chunk that holds them cannot be read.
    """
    sample = run.samples.iloc[row]
    if not sample["kept"] or sample["status"] == "failed":
        return None
    first = 0
    for path, number in zip(run.chunk_paths(), run.images_of_chunks, strict=True):
        if row < first + number:
            chunk = Chunk.read(path, run.manifest)
            place = int(chunk.samples.kept[: row - first].sum())
            return {block: decode_gates(chunk.gates["excitation", block][place]) for block in run.blocks}
        first += number
    return None


def distances_to(
    vector: NDArray[np.floating], vectors: NDArray[np.floating], *, metric: Metric = "correlation"
) -> NDArray[np.float64]:
    """How unlike a vector others are: a row of `seviz.stats.distances.distances`, without the rest of the matrix.

    Parameters
    ----------
    vector, vectors
        (feature), and (item, feature).
    metric
        As there.

    Returns
    -------
    numpy.ndarray
        (item), in [0, 2]; NaN where either has no direction, or is NaN.
    """
    one, others = np.asarray(vector, np.float64)[None], np.asarray(vectors, np.float64)
    result: NDArray[np.float64] = np.clip(1 - _directions(others, metric) @ _directions(one, metric)[0], 0, 2)
    return result


def _directions(vectors: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    """Vectors of length 1; NaN where they have no direction but by rounding."""
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric == "correlation":
        vectors = vectors - vectors.mean(1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.full_like(vectors, np.nan)
    np.divide(vectors, length, out=unit, where=length > 1e-12 * size)
    return unit


def likeness(
    gates: Mapping[str, NDArray[np.floating]], means: Mapping[str, NDArray[np.floating]], *, centred: bool = True
) -> pd.DataFrame:
    """How like the gates of an image are to the mean gates of classes, block by block.

    Parameters
    ----------
    gates
        By the name of the block, (channel).
    means
        By the name of the block, (class, channel); NaN for classes without images.
    centred
        Whether the mean over classes is taken off each channel first, of the image too. Without it all classes are
        alike in a block that does not tell them apart, since they share what is the same for all.

    Returns
    -------
    pandas.DataFrame
        (block, class), by name and number: one minus the correlation distance over channels, in [-1, 1]. NaN where a
        class has no images, or no direction.
    """
    rows = {}
    for block, mean in means.items():
        seen = np.isfinite(mean).all(1)
        middle = mean[seen].mean(0, dtype=float) if centred and seen.any() else np.zeros(mean.shape[1])
        off = mean - middle
        off[np.abs(off) <= _ROUNDING * np.abs(mean[seen]).max(initial=0)] = 0
        rows[block] = 1 - distances_to(gates[block] - middle, off)
    return pd.DataFrame.from_dict(rows, orient="index")


def beside(gates: NDArray[np.floating], mean: NDArray[np.floating], std: NDArray[np.floating]) -> pd.DataFrame:
    """The gates of an image beside the mean and the spread of others, a row a channel.

    Columns: channel; gate; mean and std of the others; difference, gate less mean; deviations, the difference in
    standard deviations, NaN where these are 0 or not known.
    """
    difference = np.asarray(gates, float) - mean
    spread = np.where(std > 0, std, np.nan)
    return pd.DataFrame(
        {
            "channel": np.arange(len(difference)),
            "gate": np.asarray(gates, float),
            "mean": np.asarray(mean, float),
            "std": np.asarray(std, float),
            "difference": difference,
            "deviations": difference / spread,
        }
    )
