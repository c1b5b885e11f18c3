"""How images become what a network takes: what is known of the network, and what a person says otherwise.

Images are resized, cropped and normalised. Signals and volumes are never resized: they are normalised, if at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm.data
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from seviz.errors import OptionError
from seviz.network.axes import of_image
from seviz.network.settings import Settings

SEEN = ("in_chans", "img_size", "mean", "std", "interpolation", "crop_pct")
"""The settings that change how images are preprocessed."""


@dataclass(frozen=True)
class Preprocessing:
    """How images are preprocessed.

    Attributes
    ----------
    preprocess
        From a PIL image, or a tensor of the input's axes in [0, 1], to what the network takes, float32.
    told
        In words and numbers: the library whose transform it is, and its arguments.
    input_size
        (channels, positions...) of what it gives.
    assumed
        What was assumed, a sentence each.
    """

    preprocess: Callable[[Any], Tensor]
    told: dict[str, Any]
    input_size: tuple[int, ...]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Normalisation:
    """Takes the mean off each channel of a signal or a volume and divides by its standard deviation.

    Attributes
    ----------
    spec
        Of the network, for what is said.
    input_size
        (channels, positions...) of its input.
    mean, std
        Of each channel; empty where they are not known.
    """

    spec: str
    input_size: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __call__(self, values: Any) -> Tensor:
        """Normalise a tensor (channels, positions...); raises OptionError for a picture, and without mean and std."""
        if not isinstance(values, Tensor):
            raise OptionError(
                f"{self.spec} takes inputs of shape {self.input_size}, and a picture is none. Give tensors, or"
                " arrays:ROOT."
            )
        if not self.mean:
            raise OptionError(
                f"{self.spec} has no preprocessing; give mean and std, or leave preprocess out for arrays as they are"
            )
        shape = (-1, *(1,) * (values.ndim - 1))
        mean, std = (torch.tensor(each, dtype=values.dtype).reshape(shape) for each in (self.mean, self.std))
        return (values - mean) / std


def of_arrays(
    spec: str, size: Sequence[int], mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Preprocessing:
    """That of signals and volumes.

    Parameters
    ----------
    spec
        Of the network.
    size
        (channels, positions...) of its input.
    mean, std
        Of each channel; None where they are not known: then arrays are taken as they are.

    Raises
    ------
    OptionError
        If one of mean and std is given without the other, they are no lists of a number for each channel, or a std is
        not greater than 0.
    """
    if (mean is None) != (std is None):
        given, other = ("mean", "std") if std is None else ("std", "mean")
        raise OptionError(f"{given} is given and {other} is not; give both, or neither")
    size = tuple(size)
    if mean is None or std is None:
        return Preprocessing(Normalisation(spec, size), {"library": "none"}, size)
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, tuple | list) or not all(isinstance(each, int | float) for each in values):
            raise OptionError(f"{name} is {values!r:.80}, expected a list of numbers, one for each channel")
        _check_number(name, values, size[0])
    means, stds = tuple(map(float, mean)), tuple(map(float, std))
    if min(stds) <= 0:
        raise OptionError(f"std is {stds}, expected numbers greater than 0")
    told = {"library": "seviz", "mean": list(means), "std": list(stds)}
    return Preprocessing(Normalisation(spec, size, means, stds), told, size)


def of_timm(config: Mapping[str, Any]) -> Preprocessing:
    """timm's, by a data config of its own: input_size, interpolation, mean, std, crop_pct, crop_mode."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
    return Preprocessing(
        timm.data.create_transform(**config, is_training=False),
        {"library": "timm", **plain},
        tuple(config["input_size"]),
    )


def of_torchvision(preset: ImageClassification) -> Preprocessing:
    """torchvision's, by the preset of its weights."""
    (side,) = set(preset.crop_size)
    return Preprocessing(
        preset,
        {
            "library": "torchvision",
            "resize": list(preset.resize_size),
            "crop": list(preset.crop_size),
            "interpolation": preset.interpolation.value,
            "mean": list(preset.mean),
            "std": list(preset.std),
        },
        (3, side, side),
    )


def otherwise(spec: str, known: Mapping[str, Any], settings: Settings, size: tuple[int, ...]) -> Preprocessing:
    """What is known of a network, with what a person says otherwise.

    Parameters
    ----------
    spec
        Of the network.
    known
        As `Preprocessing.told`.
    settings
        What is said.
    size
        (channels, positions...) of the network's input, as far as is known.

    Raises
    ------
    OptionError
        If mean or std have a number of values other than the channels, if signals or volumes are to be resized, or the
        preprocessing is neither timm's nor torchvision's and cannot be changed.
    """
    if not of_image(size):
        return _arrays_otherwise(spec, known, settings, size)
    library = known.get("library")
    if library not in ("timm", "torchvision") or known.keys().isdisjoint({"crop", "crop_pct"}):
        said = next(name for name in SEEN if name in settings.given())
        raise OptionError(f"{said} is given, and the preprocessing is the network's own; leave it out")
    channels = settings.in_chans or size[0]
    mean, std, assumed = _normalisation(known, settings, channels)
    height, width = settings.img_size or size[1:]
    if library == "torchvision":
        return _torchvision_otherwise(known, settings, (height, width), mean, std)
    config = {key: value for key, value in known.items() if key != "library"} | {
        "input_size": (channels, height, width),
        "mean": mean,
        "std": std,
        "interpolation": settings.interpolation or known["interpolation"],
        "crop_pct": settings.crop_pct or known["crop_pct"],
    }
    made = of_timm(config)
    return Preprocessing(made.preprocess, made.told, made.input_size, assumed)


def _arrays_otherwise(spec: str, known: Mapping[str, Any], settings: Settings, size: tuple[int, ...]) -> Preprocessing:
    if said := [name for name in ("img_size", "interpolation", "crop_pct") if name in settings.given()]:
        raise OptionError(
            f"{said[0]} is given, and {spec} takes inputs of shape {size}, which are not resized; leave it out"
        )
    size = (settings.in_chans or size[0], *size[1:])
    return of_arrays(spec, size, settings.mean or known.get("mean"), settings.std or known.get("std"))


def _normalisation(
    known: Mapping[str, Any], settings: Settings, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Mean and std of each channel, and what was assumed of them."""
    for name in ("mean", "std"):
        values = getattr(settings, name)
        if values is not None:
            _check_number(name, values, channels)
    mean, std = settings.mean or tuple(known["mean"]), settings.std or tuple(known["std"])
    if len(mean) == len(std) == channels:
        return mean, std, ()
    if channels == 1:
        values = tuple(sum(numbers) / len(numbers) for numbers in (mean, std))
        sentence = f"preprocessing: grey images by the average of RGB's mean {values[0]:.4g} and std {values[1]:.4g}"
        return settings.mean or values[:1], settings.std or values[1:], (f"{sentence} (mean, std)",)
    sentence = f"preprocessing: {channels} channels as they are, since their mean and std are not known (mean, std)"
    return settings.mean or (0.0,) * channels, settings.std or (1.0,) * channels, (sentence,)


def _check_number(name: str, values: Sequence[float], channels: int) -> None:
    if len(values) != channels:
        raise OptionError(
            f"{name} has {len(values)} number{'s' if len(values) > 1 else ''}, and the network takes {channels}"
            f" channel{'s' if channels > 1 else ''}; give {channels}"
        )


def _torchvision_otherwise(
    known: Mapping[str, Any], settings: Settings, size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> Preprocessing:
    height, width = size
    if height != width:
        raise OptionError(f"img_size is {size}, and torchvision's preprocessing crops squares; give one number")
    (resize, *_), (crop, *_) = known["resize"], known["crop"]
    share = settings.crop_pct or crop / resize
    return of_torchvision(
        ImageClassification(
            crop_size=height,
            resize_size=round(height / share),
            mean=mean,
            std=std,
            interpolation=InterpolationMode(settings.interpolation or known["interpolation"]),
        )
    )
