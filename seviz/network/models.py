"""From a model spec ("timm/legacy_seresnet50") to a network: model, preprocessing, class names, SE blocks."""

import difflib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import timm
import timm.data
import torchvision
from PIL import Image
from torch import Tensor, nn

from seviz.classes import CIFAR10, Classes
from seviz.errors import NoSEBlocksError, SavedNetworkError, UnknownModelError, WeightsError
from seviz.network import reference
from seviz.network.backbones import (
    DetectionPreprocess,
    SegmentationPreprocess,
    Task,
    whole_network,
)
from seviz.network.blocks import SEBlock, Survey, survey, why_none
from seviz.network.changes import apply_changes
from seviz.network.checkpoints import load_checkpoint
from seviz.network.examples import Example, is_shape
from seviz.network.identity import Identity, identity_of, weights_sha256
from seviz.network.insertion import fresh_weights, insert_se
from seviz.network.naming import Place, moved_names, names_of, with_names
from seviz.network.outputs import Outputs
from seviz.network.saved import RECORD, WEIGHTS, is_saved_network, read_record
from seviz.network.specs import MEMORY
from seviz.network.wrappers import uncompiled

_SMALL = (3, 224, 224)  # shows the blocks of a network that takes any size, in a tenth of the time that 800x800 takes


@dataclass(frozen=True, kw_only=True)
class Network:
    """A model and what belongs to it.

    Attributes
    ----------
    spec
        Where the model comes from: see `load`.
    weights
        "pretrained", "none" or the path of a file.
    trained
        Whether the weights of the SE blocks are other than freshly drawn.
    model
        Parallel wrappers and `torch.compile` are taken off. Takes (batch, 3, height, width), gives logits (batch,
        classes); one that was wrapped takes what its `example` is, and gives what `outputs` reads. Of a network that
        detects or segments it is the backbone, which gives feature maps, (batch, channels, height, width) each, in a
        dict.
    preprocess
        From a PIL image to what the model takes, (channels, height, width) float32.
    preprocessing
        What `preprocess` does, in words and numbers.
    input_size
        (channels, height, width) of what `preprocess` gives; where sizes differ, of a square image's.
    classes
        None where they are not known, and of a backbone: they tell what the logits mean, and it gives none.
    task
        "classification", "detection" or "segmentation"; other than the first, the model is a backbone that gives no
        logits.
    fixed_size
        Whether `preprocess` gives every image the size `input_size`. If not, images cannot be stacked to a batch.
    names
        Names that SE blocks keep, by place: the path of the module around the product, and the product's number in it.
        None where no name was given yet: then blocks are named as they are found.
    example
        What the model takes, where it was wrapped: see `seviz.wrap`. None for one image tensor of `input_size`.
    outputs
        From what the model returns to logits; None for the rules of `seviz.network.outputs.logits_in`.
    loaded
        What the model was when it was loaded: where it is something else now, it was changed since. None where it was
        not loaded by a spec; then it is taken to be what its spec and weights give.
    """

    spec: str
    weights: str
    trained: bool
    model: nn.Module
    preprocess: Callable[[Image.Image], Tensor]
    preprocessing: dict[str, Any]
    input_size: tuple[int, int, int]
    classes: Classes | None
    task: Task = "classification"
    fixed_size: bool = True
    names: Mapping[Place, str] | None = None
    example: Example | None = field(default=None, repr=False)
    outputs: Outputs | None = None
    loaded: "Loaded | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", uncompiled(self.model))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of the logits, or None where they are not known."""
        return self.classes.names if self.classes else None

    @cached_property
    def blocks(self) -> dict[str, SEBlock]:
        """The SE blocks by name, in the order of the forward pass; empty where there is none."""
        return with_names(self.survey.blocks, self.names)

    @property
    def example_size(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image that shows the blocks."""
        return self.input_size if self.fixed_size else _SMALL

    @property
    def takes_images(self) -> bool:
        """Whether the model takes one tensor, and not several."""
        return self.example is None or not isinstance(self.example, dict | tuple) or is_shape(self.example)

    @property
    def in_memory(self) -> bool:
        """Whether the model was handed over as a module, so that no spec tells how to make it again."""
        return self.spec.startswith(MEMORY)

    @cached_property
    def survey(self) -> Survey:
        """How the network scales its feature maps; its blocks go by the names that the search gives."""
        return survey(self.model, self.example_size if self.example is None else self.example)

    def require_blocks(self) -> dict[str, SEBlock]:
        """The SE blocks by name, for what cannot go on without; raises NoSEBlocksError if there is none."""
        if not self.blocks:
            raise NoSEBlocksError(why_none(self.model, self.survey))
        return self.blocks

    def changed(self, model: nn.Module, *, trained: bool | None = None, modules: bool = True) -> "Network":
        """This network with a model that was made from its own: the blocks that are left keep their names.

        `dataclasses.replace(network, model=model)`, in contrast, names the blocks anew, unless `names` was given.

        Parameters
        ----------
        model
            A copy of this network's model, changed.
        trained
            Whether the weights of the SE blocks are trained now; None for as before.
        modules
            Whether modules or their widths may have changed. If not, only weights have, and blocks that were not
            looked for yet are not looked for now.

        Returns
        -------
        Network
            A new one; this stays as it is.
        """
        names = dict(self.names or {})
        if modules or "blocks" in self.__dict__:
            names |= names_of(self.blocks)
        return replace(
            self,
            model=model,
            trained=self.trained if trained is None else trained,
            names=moved_names(names, self.model, model) or self.names,
            loaded=self.loaded or Loaded.of(self),
        )

    @cached_property
    def weights_sha256(self) -> str:
        """A fingerprint of all parameters and buffers."""
        return weights_sha256(self.model)


@dataclass(frozen=True)
class Loaded:
    """What a network was when it was loaded.

    Attributes
    ----------
    model
        Its model.
    settings
        By name what else a run of it depends on: spec, input size, preprocessing, classes, task, as text.
    """

    model: Identity
    settings: Mapping[str, str]

    @classmethod
    def of(cls, network: Network) -> "Loaded":
        """What a network is now."""
        settings = {
            "spec": network.spec,
            "input size": str(tuple(network.input_size)),
            "preprocessing": json.dumps(network.preprocessing, sort_keys=True, default=str),
            "classes": str(network.classes),
            "task": network.task,
        }
        return cls(identity_of(network.model), settings)


def load(spec: str, weights: str | Path = "pretrained") -> Network:
    """Load a network by its spec.

    Parameters
    ----------
    spec
        One of

        - "timm/NAME", "torchvision/NAME", "seviz/NAME". Of torchvision's networks for detection and segmentation
          the backbone is loaded, with the preprocessing of the whole network.
        - "hf-hub:OWNER/NAME": from the Hugging Face hub, through timm
        - "path/to/directory" of a network that `seviz.save` or a compression wrote
        - "path/to/file.py:factory": a function without arguments that returns a module. If the module has a
          `pretrained_cfg` as timm's have (input_size, mean, std, ...), preprocessing follows it; if it has
          `class_names`, the classes are called so.

        and "+se" after any of them but a directory: with SE blocks inserted (where there is a backbone, into it), see
        `seviz.insert_se`.
    weights
        "pretrained": what its library offers, or the factory returns; "none": freshly drawn, the same at every
        call; else the path of a safetensors file or of a torch file that holds tensors only. With "+se",
        "pretrained" weights are those of the network without SE blocks, a file those of the network with them. A
        file for a backbone is that of the whole network, or of the backbone alone.

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
    SavedNetworkError
        If the directory of a network is damaged.
    """
    network = _load(spec, weights)
    return replace(network, loaded=Loaded.of(network))


def _load(spec: str, weights: str | Path) -> Network:
    """As `load`, without what tells later whether the model was changed."""
    if is_saved_network(spec):
        return _from_directory(spec, str(weights))
    base, inserted = spec.removesuffix("+se"), spec.endswith("+se")
    kind = str(weights)
    if kind not in ("pretrained", "none") and not Path(kind).is_file():
        raise WeightsError(f"weights {kind!r} not found; expected pretrained, none, or the path of a file")
    with fresh_weights():
        network = _load_base(base, kind)
        model = insert_se(network.model) if inserted else network.model
    if kind not in ("pretrained", "none"):
        load_checkpoint(model, Path(kind))
    trained = kind != "none" and not (inserted and kind == "pretrained")
    return replace(network, spec=spec, trained=trained, model=model.eval())


def _from_directory(spec: str, weights: str) -> Network:
    if weights == "none":
        raise WeightsError(f"{spec!r} is a network with weights of its own; leave weights out, or give a file")
    record = read_record(Path(spec))
    base = _load(record.base, weights="none")
    apply_changes(base.model, record.changes)
    _check_names(base.model, record.names or {}, Path(spec))
    own = weights == "pretrained"
    load_checkpoint(base.model, Path(spec) / WEIGHTS if own else Path(weights))
    network = replace(
        base,
        spec=spec,
        weights=weights,
        trained=record.trained if own else True,
        model=base.model.eval(),
        names=record.names,
    )
    if own and network.weights_sha256 != record.weights_sha256:
        raise SavedNetworkError(
            f"{str(Path(spec) / WEIGHTS)!r} is damaged: its weights are not those that were written with {RECORD}"
        )
    return network


def _check_names(model: nn.Module, names: Mapping[Place, str], directory: Path) -> None:
    """Raise SavedNetworkError if a name belongs to a module that is not there."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for (path, _), name in names.items():
        if path not in modules:
            raise SavedNetworkError(
                f"{str(directory / RECORD)!r} is damaged: names has {name} at {path!r}, and there is no such module in"
                f" this {type(model).__name__}"
            )


def _load_base(spec: str, weights: str) -> Network:
    if spec.startswith(MEMORY):
        raise UnknownModelError(
            f"model {spec!r} was a module in memory, which no spec makes again; hand it over in Python:"
            " seviz.wrap(module, example)"
        )
    if spec.startswith("hf-hub:"):
        return _from_hub(spec, weights)
    if ".py:" in spec:
        return _from_file(spec, weights)
    source, _, name = spec.partition("/")
    if source not in _LIBRARIES or not name:
        known = ", ".join(f"{library}/NAME" for library in _LIBRARIES)
        raise UnknownModelError(
            f"model {spec!r} is not understood; expected one of {known}, hf-hub:OWNER/NAME, path/to/file.py:factory,"
            " such as timm/seresnet50"
        )
    return _LIBRARIES[source](spec, name, weights)


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
    config = timm.get_pretrained_cfg(name)
    wanted = ""
    if config is not None and config.hf_hub_id:
        wanted = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
    elif config is not None:
        wanted = config.url or ""
    if weights == "pretrained" and not wanted:
        raise WeightsError(f"{spec} has no pretrained weights; give the path of a file as weights, or none")
    with _fetching(spec, weights, wanted):
        model = timm.create_model(name, pretrained=weights == "pretrained")
    return _like_timm(spec, weights, model)


def _from_hub(spec: str, weights: str) -> Network:
    wanted = f"https://huggingface.co/{spec.removeprefix('hf-hub:')}/resolve/main/ (config.json, model.safetensors)"
    with _fetching(spec, "pretrained", wanted):  # the config, too, is on the hub
        model = timm.create_model(spec, pretrained=weights == "pretrained")
    return _like_timm(spec, weights, model)


def _from_file(spec: str, weights: str) -> Network:
    path, _, factory = spec.rpartition(":")
    if not Path(path).is_file():
        raise UnknownModelError(f"model {spec!r} not found: there is no file {path!r}")
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if module_spec is None or module_spec.loader is None:
        raise UnknownModelError(f"model {spec!r} cannot be imported from {path!r}")
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    make = getattr(module, factory, None)
    if not callable(make):
        some = ", ".join(name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))
        raise UnknownModelError(f"model {spec!r}: {path!r} has no function {factory!r}; it has {some or 'none'}")
    model = make()
    if not isinstance(model, nn.Module):
        raise UnknownModelError(
            f"model {spec!r}: {factory}() gave a {type(model).__name__}, expected a torch.nn.Module"
        )
    return _like_timm(spec, weights, model)


def _from_torchvision(spec: str, name: str, weights: str) -> Network:
    tasks = {known: task for task, module in _TASKS.items() for known in torchvision.models.list_models(module=module)}
    if name not in tasks:
        _refuse_other_inputs(spec, name)
        raise _unknown(spec, name, list(tasks), "torchvision")
    if tasks[name] != "classification":
        return _from_whole_network(spec, name, weights, tasks[name])
    choice = torchvision.models.get_model_weights(name).DEFAULT
    with _fetching(spec, weights, choice.url):
        model = torchvision.models.get_model(name, weights=choice if weights == "pretrained" else None)
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
        trained=weights != "none",
        model=model,
        preprocess=preset,
        preprocessing=preprocessing,
        input_size=(3, preset.crop_size[0], preset.crop_size[0]),
        classes=classes,
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


def _from_seviz(spec: str, name: str, weights: str) -> Network:
    if name not in reference.ARCHITECTURES:
        raise _unknown(spec, name, list(reference.ARCHITECTURES), "seviz")
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
    return _network(spec, weights, model, config, CIFAR10)


_TASKS: dict[Task, ModuleType] = {
    "classification": torchvision.models,
    "detection": torchvision.models.detection,
    "segmentation": torchvision.models.segmentation,
}
"""Where torchvision keeps the networks of each task."""

_LIBRARIES: dict[str, Callable[[str, str, str], Network]] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "seviz": _from_seviz,
}


def _like_timm(spec: str, weights: str, model: nn.Module) -> Network:
    """A network whose preprocessing and classes are those that timm knows of the model."""
    config = timm.data.resolve_model_data_config(model)
    subset = timm.data.infer_imagenet_subset(model) if hasattr(model, "pretrained_cfg") else None
    classes = imagenet_classes(subset) if subset else None
    if (names := getattr(model, "class_names", None)) is not None:
        classes = Classes(tuple(names), tuple(names))
    return _network(spec, weights, model, config, classes)


def _network(spec: str, weights: str, model: nn.Module, config: dict[str, Any], classes: Classes | None) -> Network:
    """A network whose preprocessing is timm's, by a timm data config."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}
    return Network(
        spec=spec,
        weights=weights,
        trained=weights != "none",
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


@contextmanager
def _fetching(spec: str, weights: str, wanted: str) -> Iterator[None]:
    """Say which file was wanted where pretrained weights cannot be had."""
    try:
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
