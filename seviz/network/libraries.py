"""Networks of timm, torchvision, seviz, the Hugging Face hub, and a person's own file or directory."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

import timm
import timm.data
import torch
import torchvision
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from torch import nn

from seviz.classes import CIFAR10, Classes
from seviz.errors import OptionError, SevizError, UnknownModelError, WeightsError
from seviz.network import reference
from seviz.network.axes import RANKS, axes_in_words, of_image
from seviz.network.backbones import DetectionPreprocess, SegmentationPreprocess, Task, whole_network
from seviz.network.checkpoints import load_checkpoint
from seviz.network.factories import made_by
from seviz.network.imagenet import imagenet_classes
from seviz.network.networks import Network
from seviz.network.onnx_modules import read_onnx
from seviz.network.positions import CONVOLUTIONS
from seviz.network.preprocessing import Preprocessing, of_arrays, of_timm, of_torchvision
from seviz.network.settings import Settings
from seviz.network.specs import LOCAL, MEMORY, ONNX
from seviz.network.trust import HUB, LIBRARIES, told

_WEIGHTS_ON_THE_HUB = ("model.safetensors", "pytorch_model.bin")


def load_base(spec: str, weights: str, settings: Settings) -> Network:
    """A network of a library, of the hub, of a directory or of a factory, its blocks not inserted yet."""
    if spec.startswith(MEMORY):
        raise UnknownModelError(
            f"model {spec!r} was a module in memory, which no spec makes again; hand it over in Python:"
            " seviz.wrap(module, example)"
        )
    if spec.startswith(ONNX):
        return _from_onnx(spec, weights, settings)
    if spec.startswith(HUB):
        return _from_hub(spec, weights, settings)
    if spec.startswith(LOCAL):
        return _from_local(spec, weights, settings)
    if ".py:" in spec:
        return _from_factory(spec, weights, settings)
    source, _, name = spec.partition("/")
    if source not in _LIBRARIES or not name:
        known = ", ".join(f"{library}/NAME" for library in _LIBRARIES)
        raise UnknownModelError(
            f"model {spec!r} is not understood; expected one of {known}, hf-hub:OWNER/NAME, {LOCAL}PATH,"
            f" {ONNX}FILE, path/to/file.py:factory, such as timm/seresnet50"
        )
    return _LIBRARIES[source](spec, name, weights, settings)


def _unknown(spec: str, name: str, known: list[str], source: str) -> UnknownModelError:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(f'{source}/{c}' for c in close)}?" if close else ""
    return UnknownModelError(f"model {spec!r} not found among the {len(known)} of {source}{hint}")


def _arguments(settings: Settings) -> dict[str, Any]:
    """The arguments of a model that were said."""
    said = {"num_classes": settings.num_classes, "in_chans": settings.in_chans}
    return {name: value for name, value in said.items() if value is not None} | dict(settings.model_kwargs)


@contextmanager
def _taking(spec: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """An argument that a library's model does not take is an OptionError."""
    try:
        yield
    except TypeError as error:
        named = next((name for name in arguments if f"'{name}'" in str(error)), None)
        if named is None:
            raise
        raise OptionError(f"{named} is given, and {spec} does not take it ({error}); leave it out") from error


def _from_timm(spec: str, name: str, weights: str, settings: Settings) -> Network:
    known = timm.list_models()
    architecture, _, tag = name.partition(".")
    if architecture not in known:
        raise _unknown(spec, architecture, known, "timm")
    if tag and name not in (tagged := timm.list_pretrained(f"{architecture}.*")):
        raise _unknown(spec, name, tagged, "timm")
    config = timm.get_pretrained_cfg(name)
    wanted = ""
    if config is not None and config.hf_hub_id:
        wanted = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
    elif config is not None:
        wanted = config.url or ""
    if weights == "pretrained" and not wanted:
        raise WeightsError(f"{spec} has no pretrained weights; give the path of a file as weights, or none")
    arguments = _arguments(settings)
    if settings.img_size is not None and config is not None and config.fixed_input_size:
        arguments.setdefault("img_size", settings.img_size)
    with _taking(spec, arguments), _fetching(spec, weights, wanted):
        model = timm.create_model(name, pretrained=weights == "pretrained", **arguments)
    network = _like_timm(spec, weights, model)
    trained_on = None if config is None else config.num_classes
    if weights == "pretrained" and settings.num_classes not in (None, trained_on):
        sentence = f"classes: the head of {settings.num_classes} is freshly drawn, since the pretrained weights have"
        network = replace(network, assumed=(f"{sentence} {trained_on} (num_classes)",))
    return network


def _from_hub(spec: str, weights: str, settings: Settings) -> Network:
    wanted = f"https://huggingface.co/{spec.removeprefix(HUB)}/resolve/main/ (config.json, model.safetensors)"
    arguments = _arguments(settings)
    with _taking(spec, arguments), _fetching(spec, "pretrained", wanted):  # the config, too, is on the hub
        model = timm.create_model(spec, pretrained=weights == "pretrained", **arguments)
    return _like_timm(spec, weights, model)


def _from_local(spec: str, weights: str, settings: Settings) -> Network:
    """A network in a directory that is laid out as on the hub: config.json, and weights beside it."""
    directory = Path(spec.removeprefix(LOCAL)).expanduser()
    if not (directory / "config.json").is_file():
        raise UnknownModelError(f"model {spec!r} not found: {str(directory)!r} has no config.json, as timm writes it")
    arguments = _arguments(settings)
    try:
        with _taking(spec, arguments):
            model = timm.create_model(f"local-dir:{directory}", pretrained=weights == "pretrained", **arguments)
    except SevizError:
        raise
    except Exception as error:  # whatever timm stumbles over in what a person wrote
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"model {spec!r} cannot be made of {str(directory)!r} ({type(error).__name__}: {reason}); expected"
            " config.json and model.safetensors as timm's save_for_hf writes them"
        ) from error
    return _like_timm(spec, weights, model)


def _from_factory(spec: str, weights: str, settings: Settings) -> Network:
    made = made_by(spec, _arguments(settings))
    model = made.module
    known = getattr(model, "pretrained_cfg", None)
    if not (known and known.get("input_size")):
        _refuse_unknown_size(spec, model)
    network = replace(_like_timm(spec, weights, model), factory_sha256=made.sha256)
    if known is not None:
        return network
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    channels = settings.in_chans or (3 if first is None else first.in_channels)
    network = replace(network, input_size=(channels, *network.input_size[1:]))
    said = settings.given()
    unsaid = [name for name in ("mean", "std", "img_size") if name not in said]
    assumed = []
    if channels != 3 and settings.in_chans is None:
        assumed.append(
            f"input: {channels} channel{'s' if channels > 1 else ''}, as the first convolution takes (in_chans)"
        )
    if unsaid:
        assumed.append(f"preprocessing: ImageNet's, since the factory gives none ({', '.join(unsaid)})")
    return replace(network, assumed=tuple(assumed))


def _refuse_unknown_size(spec: str, model: nn.Module) -> None:
    """Raise OptionError if the convolutions of a factory's network are of signals or of volumes, whose size is unknown.

    Images have a usual size; the others have none that could be assumed.
    """
    ranks = {len(module.kernel_size) for module in model.modules() if isinstance(module, CONVOLUTIONS)}
    if ranks in ({1}, {3}):
        first = next(module for module in model.modules() if isinstance(module, CONVOLUTIONS))
        axes = axes_in_words((1, *first.kernel_size))
        raise OptionError(
            f"{spec} gives a network of {type(first).__name__}, and the size of its input is not known; in the factory"
            f' give the module pretrained_cfg = {{"input_size": {axes}}} with its numbers'
        )


def _from_onnx(spec: str, weights: str, settings: Settings) -> Network:
    """A network in an ONNX file, preprocessed as ImageNet's are unless it is said otherwise."""
    if weights == "none":
        raise WeightsError(f"{spec} has its weights in the file, and none can be drawn; leave weights out")
    for name in ("num_classes", "model_kwargs"):
        if name in settings.given():
            raise OptionError(f"{name} is given, and {spec} is a network that is made already; leave it out")
    read = read_onnx(spec, Path(spec.removeprefix(ONNX)).expanduser(), settings)
    if not of_image(read.size):
        seen = of_arrays(spec, read.size, settings.mean, settings.std)
        network = _network(spec, weights, read.module, seen, None)
        return replace(network, factory_sha256=read.sha256, assumed=read.assumed)
    config = timm.data.resolve_data_config({"input_size": read.size, "crop_pct": 1.0})
    unsaid = [name for name in ("mean", "std") if name not in settings.given()]
    assumed = read.assumed
    if unsaid:
        assumed = (*assumed, f"preprocessing: ImageNet's, since an ONNX file gives none ({', '.join(unsaid)})")
    network = _network(spec, weights, read.module, of_timm(config), None)
    return replace(network, factory_sha256=read.sha256, assumed=assumed)


def _from_torchvision(spec: str, name: str, weights: str, settings: Settings) -> Network:
    tasks = {known: task for task, module in _TASKS.items() for known in torchvision.models.list_models(module=module)}
    if name not in tasks:
        _refuse_other_inputs(spec, name)
        raise _unknown(spec, name, list(tasks), "torchvision")
    if settings.in_chans not in (None, 3):
        raise OptionError(f"in_chans is {settings.in_chans}, and torchvision's networks take 3; leave it out")
    arguments = {name: value for name, value in _arguments(settings).items() if name != "in_chans"}
    if tasks[name] != "classification":
        if arguments:
            raise OptionError(f"{next(iter(arguments))} is given, and of {spec} the backbone is taken; leave it out")
        return _from_whole_network(spec, name, weights, tasks[name])
    choice = torchvision.models.get_model_weights(name).DEFAULT
    count = len(choice.meta["categories"])
    if weights == "pretrained" and settings.num_classes not in (None, count):
        raise OptionError(
            f"num_classes is {settings.num_classes}, and the pretrained weights of {spec} have {count}; leave it out,"
            " or give weights none or a file"
        )
    with _taking(spec, arguments), _fetching(spec, weights, choice.url):
        model = torchvision.models.get_model(name, weights=choice if weights == "pretrained" else None, **arguments)
    seen = of_torchvision(choice.transforms())
    return Network(
        spec=spec,
        weights=weights,
        trained=weights != "none",
        model=model,
        preprocess=seen.preprocess,
        preprocessing=seen.told,
        input_size=seen.input_size,
        classes=imagenet_classes("imagenet-1k") if count == (settings.num_classes or count) == 1000 else None,
    )


def _from_whole_network(spec: str, name: str, weights: str, task: Task) -> Network:
    choice = torchvision.models.get_model_weights(name).DEFAULT
    with _fetching(spec, weights, choice.url):
        whole = whole_network(name, choice if weights == "pretrained" else None)
    preprocess = (
        DetectionPreprocess(whole.transform) if task == "detection" else SegmentationPreprocess(choice.transforms())
    )
    _, height, width = preprocess(Image.new("RGB", (64, 64))).shape
    return Network(
        spec=spec,
        weights=weights,
        trained=weights != "none",
        model=whole.get_submodule("backbone"),
        preprocess=preprocess,
        preprocessing=preprocess.description,
        input_size=(3, height, width),
        classes=None,
        task=task,
        fixed_size=preprocess.fixed_size,
    )


def _refuse_other_inputs(spec: str, name: str) -> None:
    """Raise UnknownModelError if torchvision has the network, but not as one of single images in floating point."""
    plain = name.removeprefix("quantized_")
    for module, reason, instead in (
        (torchvision.models.video, "it takes videos", "mobilenet_v3_large"),
        (torchvision.models.optical_flow, "it takes pairs of images", "mobilenet_v3_large"),
        (torchvision.models.quantization, "it computes in whole numbers", plain),
    ):
        if name in torchvision.models.list_models(module=module):
            raise UnknownModelError(
                f"model {spec!r} is not supported: {reason}; expected a network that takes single images and computes"
                f" in floating point, such as torchvision/{instead}"
            )


def _from_seviz(spec: str, name: str, weights: str, settings: Settings) -> Network:
    if name not in reference.ARCHITECTURES:
        raise _unknown(spec, name, list(reference.ARCHITECTURES), "seviz")
    if arguments := _arguments(settings):
        raise OptionError(f"{next(iter(arguments))} is given, and {spec} is made in one way; leave it out")
    model = reference.build_reference(name)
    if weights == "pretrained":
        with resources.as_file(resources.files("seviz.network") / "weights" / f"{name}.safetensors") as path:
            load_checkpoint(model, path)
    config = {
        "input_size": (3, reference.IMAGE_SIZE, reference.IMAGE_SIZE),
        "interpolation": "bicubic",
        "mean": reference.MEAN,
        "std": reference.STD,
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    return _network(spec, weights, model, of_timm(config), CIFAR10)


_TASKS: dict[Task, ModuleType] = {
    "classification": torchvision.models,
    "detection": torchvision.models.detection,
    "segmentation": torchvision.models.segmentation,
}
"""Where torchvision keeps the networks of each task."""

_LIBRARIES: dict[str, Callable[[str, str, str, Settings], Network]] = dict(
    zip(LIBRARIES, (_from_timm, _from_torchvision, _from_seviz), strict=True)
)


def _like_timm(spec: str, weights: str, model: nn.Module) -> Network:
    """A network whose preprocessing and classes are those that timm knows of the model."""
    size = input_size_of(spec, model)
    subset = timm.data.infer_imagenet_subset(model) if hasattr(model, "pretrained_cfg") else None
    classes = imagenet_classes(subset) if subset else None
    if classes is not None and getattr(model, "num_classes", len(classes)) != len(classes):
        classes = None
    if (names := getattr(model, "class_names", None)) is not None:
        classes = Classes(tuple(names), tuple(names))
    if of_image(size):
        return _network(spec, weights, model, of_timm(timm.data.resolve_model_data_config(model)), classes)
    known: Any = model.pretrained_cfg
    network = _network(spec, weights, model, of_arrays(spec, size, known.get("mean"), known.get("std")), classes)
    return replace(network, fixed_size=known.get("fixed_input_size", True))


def input_size_of(spec: str, model: nn.Module) -> tuple[int, ...]:
    """The size of a model's input by its `pretrained_cfg`, as timm has it; that of ImageNet's images without one.

    Raises
    ------
    OptionError
        If it is no size of a signal, an image or a volume.
    """
    size: Any = timm.data.resolve_model_data_config(model)["input_size"]
    if not isinstance(size, tuple | list) or len(size) not in RANKS or not all(type(n) is int and n > 0 for n in size):
        known = ", ".join(axes_in_words((1,) * rank) for rank in RANKS)
        raise OptionError(f"{spec}: pretrained_cfg has input_size {size!r}, expected whole numbers, one of {known}")
    return tuple(size)


def _network(spec: str, weights: str, model: nn.Module, seen: Preprocessing, classes: Classes | None) -> Network:
    """A network with its preprocessing."""
    return Network(
        spec=spec,
        weights=weights,
        trained=weights != "none",
        model=model,
        preprocess=seen.preprocess,
        preprocessing=seen.told,
        input_size=seen.input_size,
        classes=classes,
    )


@contextmanager
def _fetching(spec: str, weights: str, wanted: str) -> Iterator[None]:
    """Say what is downloaded before it is, and which file was wanted where pretrained weights cannot be had."""
    try:
        if weights == "pretrained" and not _cached(wanted):
            told(f"model {spec}: downloading {wanted}")
        yield
    except Exception as error:
        if weights != "pretrained":
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"the pretrained weights of {spec} could not be loaded: {wanted} is neither in the cache nor could it be"
            f" fetched ({type(error).__name__}: {reason}). Download it elsewhere and give the file's path as weights,"
            " or give weights none."
        ) from error


def _cached(wanted: str) -> bool:
    """Whether what lies at an address was downloaded before."""
    address = urlparse(wanted)
    owner, name, *rest = [*address.path.split("/")[1:], "", ""]
    if address.netloc == "huggingface.co" and rest[:2] == ["resolve", "main"]:
        known = (try_to_load_from_cache(f"{owner}/{name}", file) for file in _WEIGHTS_ON_THE_HUB)
        return any(isinstance(path, str) for path in known)
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(address.path).name).is_file()
