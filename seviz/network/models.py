"""From a model spec ("timm/legacy_seresnet50") to a network: model, preprocessing, class names, SE blocks."""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import timm.data
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.errors import UnknownModelError, WeightsError
from seviz.network import reference
from seviz.network.blocks import SEBlock, find_se_blocks


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model and what belongs to it.

    Attributes
    ----------
    spec
        Where the model comes from: "timm/NAME", "torchvision/NAME" or "seviz/NAME".
    weights
        "pretrained", "none" or the path of a file.
    model
        In evaluation mode. Takes (batch, 3, height, width), gives logits (batch, classes).
    preprocess
        From a PIL image in RGB to what the model takes, (3, height, width) float32.
    preprocessing
        What `preprocess` does, in words and numbers.
    input_size
        (channels, height, width).
    classes
        None where they are not known.
    """

    spec: str
    weights: str
    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    preprocessing: dict[str, Any]
    input_size: tuple[int, int, int]
    classes: Classes | None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the logits, or None where they are not known."""
        return self.classes.names if self.classes else None

    @property
    def trained(self) -> bool:
        """Whether the weights are other than freshly drawn."""
        return self.weights != "none"

    @cached_property
    def blocks(self) -> dict[str, SEBlock]:
        """The SE blocks by name; raises NoSEBlocksError if there is none."""
        return find_se_blocks(self.model, self.input_size)

    @cached_property
    def weights_sha256(self) -> str:
        """A fingerprint of all parameters and buffers."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def load(spec: str, weights: str | Path = "pretrained") -> Network:
    """Load a network by its spec.

    Parameters
    ----------
    spec
        "timm/NAME", "torchvision/NAME" or "seviz/NAME".
    weights
        "pretrained": what its library offers; "none": freshly drawn, the same at every call; else the path
        of a safetensors file or of a torch file that holds tensors only.

    Returns
    -------
    Network
        In evaluation mode, on the CPU.

    Raises
    ------
    UnknownModelError
        If there is no such network.
    WeightsError
        If the weights are not there, do not fit, or would run code when read.
    """
    source, _, name = spec.partition("/")
    if source not in _LOADERS or not name:
        known = ", ".join(f"{s}/NAME" for s in _LOADERS)
        raise UnknownModelError(f"model {spec!r} is not understood; expected one of {known}, such as timm/seresnet50")
    kind = str(weights)
    if kind not in ("pretrained", "none") and not Path(kind).is_file():
        raise WeightsError(f"weights {kind!r} not found; expected pretrained, none, or the path of a file")
    with _own_random_state():
        network = _LOADERS[source](spec, name, kind)
    if kind not in ("pretrained", "none"):
        _load_file(network.model, Path(kind))
    network.model.eval()
    return network


@contextmanager
def _own_random_state() -> Iterator[None]:
    """Fresh weights are the same at every call, and the caller's random numbers go on undisturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _unknown(spec: str, name: str, known: list[str], source: str) -> UnknownModelError:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(f'{source}/{c}' for c in close)}?" if close else ""
    return UnknownModelError(f"model {spec!r} not found among the {len(known)} of {source}{hint}")


def _from_timm(spec: str, name: str, weights: str) -> Network:
    known = timm.list_models()
    architecture, _, tag = name.partition(".")
    if architecture not in known:
        raise _unknown(spec, architecture, known, "timm")
    if tag and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise _unknown(spec, name, tagged, "timm")
    try:
        model = timm.create_model(name, pretrained=weights == "pretrained")
    except Exception as error:
        if weights != "pretrained":
            raise
        raise _no_pretrained(spec, error) from error
    config = timm.data.resolve_model_data_config(model)
    subset = timm.data.infer_imagenet_subset(model)
    classes = None
    if subset:
        classes = imagenet_classes(subset)
    return _network(spec, weights, model, config, classes)


def _from_torchvision(spec: str, name: str, weights: str) -> Network:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise _unknown(spec, name, known, "torchvision")
    choice = torchvision.models.get_model_weights(name).DEFAULT
    try:
        model = torchvision.models.get_model(name, weights=choice if weights == "pretrained" else None)
    except Exception as error:
        if weights != "pretrained":
            raise
        raise _no_pretrained(spec, error) from error
    preset = choice.transforms()
    classes = imagenet_classes("imagenet-1k") if len(choice.meta["categories"]) == 1000 else None
    preprocessing = {
        "library": "torchvision",
        "resize": list(preset.resize_size),
        "crop": list(preset.crop_size),
        "interpolation": preset.interpolation.value,
        "mean": list(preset.mean),
        "std": list(preset.std),
    }
    return Network(
        spec=spec,
        weights=weights,
        model=model,
        preprocess=preset,
        preprocessing=preprocessing,
        input_size=(3, preset.crop_size[0], preset.crop_size[0]),
        classes=classes,
    )


def _from_seviz(spec: str, name: str, weights: str) -> Network:
    if name not in reference.ARCHITECTURES:
        raise _unknown(spec, name, list(reference.ARCHITECTURES), "seviz")
    model = reference.build_reference(name)
    if weights == "pretrained":
        with resources.as_file(resources.files("seviz.network") / "weights" / f"{name}.safetensors") as path:
            _load_file(model, path)
    config = {
        "input_size": (3, reference.IMAGE_SIZE, reference.IMAGE_SIZE),
        "interpolation": "bicubic",
        "mean": reference.MEAN,
        "std": reference.STD,
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    return _network(spec, weights, model, config, Classes(reference.CLASS_NAMES, reference.CLASS_NAMES))


_LOADERS: dict[str, Callable[[str, str, str], Network]] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "seviz": _from_seviz,
}


def _network(spec: str, weights: str, model: nn.Module, config: dict[str, Any], classes: Classes | None) -> Network:
    """A network whose preprocessing is timm's, by a timm data config."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
    return Network(
        spec=spec,
        weights=weights,
        model=model,
        preprocess=timm.data.create_transform(**config, is_training=False),
        preprocessing={"library": "timm", **plain},
        input_size=tuple(config["input_size"]),
        classes=classes,
    )


def imagenet_classes(subset: str) -> Classes:
    """The classes of ImageNet, or of one of the larger sets that contain it.

    Parameters
    ----------
    subset
        As timm names it, such as "imagenet-1k".
    """
    ids = tuple(timm.data.ImageNetInfo(subset).label_names())
    return Classes(ids, imagenet_names(ids))


def imagenet_names(synsets: Sequence[str]) -> tuple[str, ...]:
    """What WordNet synsets such as "n01443537" are called in English ("goldfish"); unknown ones keep their id."""
    info = timm.data.ImageNetInfo("imagenet-22k-ms")
    known = dict(zip(info.label_names(), info.label_descriptions(), strict=True))
    return tuple(known.get(synset, synset).split(",")[0] for synset in synsets)


def _no_pretrained(spec: str, error: Exception) -> WeightsError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return WeightsError(
        f"the pretrained weights of {spec} could not be loaded ({type(error).__name__}: {reason}). Without a"
        " network connection, download the file elsewhere and give its path as weights, or give weights none."
    )


def _load_file(model: nn.Module, path: Path) -> None:
    """Load tensors from a file into a model; refuse what does not fit and what would run code."""
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"weights {str(path)!r} cannot be read ({type(error).__name__}: {reason}); expected a safetensors"
            " file, or a torch file that holds tensors only"
        ) from error
    own = model.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)):
        if names:
            raise WeightsError(
                f"weights {str(path)!r} are not of this network: {len(names)} {kind}, such as {names[0]!r}"
            )
    model.load_state_dict(state)
