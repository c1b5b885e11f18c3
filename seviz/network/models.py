"""From a model spec ("timm/legacy_seresnet50") to a network: model, preprocessing, class names, SE blocks."""

import difflib
import json
import warnings
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
from seviz.errors import (
    NoSEBlocksError,
    OptionError,
    SavedNetworkError,
    SevizError,
    SevizWarning,
    UnknownModelError,
    WeightsError,
)
from seviz.network import reference
from seviz.network.backbones import (
    DetectionPreprocess,
    SegmentationPreprocess,
    Task,
    whole_network,
)
from seviz.network.blocks import SEBlock, Survey, survey, why_none
from seviz.network.changes import apply_changes
from seviz.network.checkpoints import Checkpoint, load_checkpoint, load_fit
from seviz.network.examples import Example, Given, is_shape, random_example, run_example
from seviz.network.factories import made_by
from seviz.network.identity import Identity, identity_of, weights_sha256
from seviz.network.insertion import fresh_weights, insert_se
from seviz.network.modes import undisturbed
from seviz.network.naming import Place, moved_names, names_of, with_names
from seviz.network.outputs import Outputs, logits_in
from seviz.network.preprocessing import SEEN, of_timm, of_torchvision, otherwise
from seviz.network.saved import RECORD, WEIGHTS, is_saved_network, read_record
from seviz.network.settings import Ema, Settings
from seviz.network.specs import MEMORY
from seviz.network.wrappers import uncompiled

_LOCAL = "timm/local-dir:"

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
    settings
        What was said of it beside its spec.
    assumed
        What was assumed in loading it, since nobody said it, a sentence each.
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
    settings: Settings = field(default_factory=Settings, repr=False)
    assumed: tuple[str, ...] = ()
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


def logits_of_example(network: Network) -> int | None:
    """How many logits a network gives for an example; None if it gives none."""
    example = network.example_size if network.example is None else network.example
    return count_logits(network.model, random_example(network.model, example), network.outputs)


def count_logits(module: nn.Module, given: Given, outputs: Outputs | None) -> int | None:
    """How many logits a module gives for random arguments; None if it gives none."""
    with undisturbed(module):
        logits = logits_in(run_example(module, given), outputs)
    return None if logits is None else logits.shape[1]


def classes_named(names: Sequence[str], count: int | None, whose: str) -> Classes:
    """Classes by the names that a person gives; raises OptionError if there are fewer or more than logits."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"class_names is {names!r:.80}, expected a list of names")
    if count is not None and len(names) != count:
        raise OptionError(f"class_names has {len(names)} names, and {whose} tells {count} classes; give {count}")
    names = tuple(names)
    ids = names if len(set(names)) == len(names) else tuple(f"{k} {name}" for k, name in enumerate(names))
    return Classes(ids, names)


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
            "settings": json.dumps(network.settings.given(), sort_keys=True, default=str),
        }
        return cls(identity_of(network.model), settings)


def load(
    spec: str,
    weights: str | Path = "pretrained",
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    img_size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    interpolation: str | None = None,
    crop_pct: float | None = None,
    class_names: Sequence[str] | None = None,
    ema: Ema = "auto",
    model_kwargs: Mapping[str, Any] | None = None,
) -> Network:
    """Load a network by its spec.

    Parameters
    ----------
    spec
        One of

        - "timm/NAME", "torchvision/NAME", "seviz/NAME". Of torchvision's networks for detection and segmentation
          the backbone is loaded, with the preprocessing of the whole network.
        - "hf-hub:OWNER/NAME": from the Hugging Face hub, through timm; "timm/local-dir:PATH": from a directory laid
          out like there
        - "path/to/directory" of a network that `seviz.save` or a compression wrote
        - "path/to/file.py:factory": a function that returns a module. Of the settings below it is given those that
          were said and that are arguments of a model. If the module has a `pretrained_cfg` as timm's have
          (input_size, mean, std, ...), preprocessing follows it; if it has `class_names`, the classes are called so.
          The file's directory can be imported from.

        and "+se" after any of them but a directory: with SE blocks inserted (where there is a backbone, into it), see
        `seviz.insert_se`.
    weights
        "pretrained": what its library offers, or the factory returns; "none": freshly drawn, the same at every
        call; else the path of a safetensors file or of a torch file that holds no more than tensors and plain values.
        With "+se", "pretrained" weights are those of the network without SE blocks, a file those of the network with
        them. A file for a backbone is that of the whole network, or of the backbone alone. What a file calls its
        tensors may have anything before the model's names.
    num_classes, in_chans, model_kwargs
        Arguments of the model: number of classes (of weights in a file it is read from them), channels of its input,
        and what else it takes.
    img_size, mean, std, interpolation, crop_pct
        Preprocessing, where it is not what is known of the network: see `seviz.network.settings.Settings`.
    class_names
        In the order of the logits.
    ema
        "yes" for the moving average of the weights in a file, "no" for the weights, "auto" for the average where there
        is one.

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
    FactoryError
        If a factory, or the file it is in, raises an exception.
    OptionError
        If a setting is outside its range, or one that this network does not have.

    Warns
    -----
    SevizWarning
        Of each assumption, such as that weights are a moving average: `Network.assumed`.

    Examples
    --------
    >>> import seviz
    >>> network = seviz.load("timm/mobilenetv3_small_050", weights="none", num_classes=2, class_names=["cat", "dog"])
    >>> network.class_names, len(network.blocks)
    (('cat', 'dog'), 9)
    """
    settings = Settings.of(
        num_classes=num_classes,
        in_chans=in_chans,
        img_size=img_size,
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop_pct=crop_pct,
        class_names=class_names,
        ema=ema,
        model_kwargs=model_kwargs,
    )
    network = load_with(spec, weights, settings)
    for sentence in network.assumed:
        warnings.warn(sentence, SevizWarning, stacklevel=2)
    return network


def load_with(spec: str, weights: str | Path, settings: Settings) -> Network:
    """Like `load`, with the settings in one, and without a warning of what was assumed."""
    network = _load(spec, weights, settings)
    return replace(network, loaded=Loaded.of(network))


def _load(spec: str, weights: str | Path, settings: Settings = Settings()) -> Network:  # noqa: B008 (it is frozen)
    """As `load`, without what tells later whether the model was changed."""
    if is_saved_network(spec):
        return _from_directory(spec, str(weights), settings)
    kind = str(weights)
    if kind in ("pretrained", "none"):
        if settings.ema != "auto":
            raise OptionError(f"ema is {settings.ema}, and weights are {kind}; it chooses among the weights in a file")
        return _named(_built(spec, kind, settings), settings)
    if not Path(kind).is_file():
        raise WeightsError(f"weights {kind!r} not found; expected pretrained, none, or the path of a file")
    checkpoint = Checkpoint.read(Path(kind))
    network = _built(spec, kind, settings)
    part = network.task != "classification"
    fit, assumed = checkpoint.fit(network.model, settings.ema, part=part)
    if fit.classes is not None and settings.num_classes is None:
        said = settings.but(num_classes=fit.classes)
        try:
            again = _built(spec, kind, said)
        except OptionError:
            again = network  # a factory without that argument: what does not fit is told below
        if again is not network:
            network, settings = again, said
            fit, assumed = checkpoint.fit(network.model, settings.ema)
            assumed = (*assumed, f"classes: {settings.num_classes}, as the weights in {kind} have (num_classes)")
    load_fit(network.model, fit, Path(kind))
    return _named(replace(network, assumed=(*network.assumed, *assumed), settings=settings), settings)


def _built(spec: str, weights: str, settings: Settings) -> Network:
    """A network as its spec and settings say, its weights those of its library or freshly drawn."""
    base, inserted = spec.removesuffix("+se"), spec.endswith("+se")
    with fresh_weights():
        network = _seen_otherwise(_load_base(base, weights, settings), settings)
        model = insert_se(network.model) if inserted else network.model
    trained = weights != "none" and not (inserted and weights == "pretrained")
    return replace(network, spec=spec, trained=trained, model=model.eval(), settings=settings)


def _named(network: Network, settings: Settings) -> Network:
    """A network whose classes are called as settings say."""
    if settings.class_names is None:
        return network
    return replace(network, classes=classes_named(settings.class_names, logits_of_example(network), network.spec))


def _from_directory(spec: str, weights: str, settings: Settings) -> Network:
    if weights == "none":
        raise WeightsError(f"{spec!r} is a network with weights of its own; leave weights out, or give a file")
    record = read_record(Path(spec))
    base = _load(record.base, "none", record.settings.but(ema="auto"))
    apply_changes(base.model, record.changes)
    _check_names(base.model, record.names or {}, Path(spec))
    own = weights == "pretrained"
    assumed = load_checkpoint(base.model, Path(spec) / WEIGHTS if own else Path(weights), ema=settings.ema)
    network = replace(
        base,
        spec=spec,
        weights=weights,
        trained=record.trained if own else True,
        model=base.model.eval(),
        names=record.names,
        assumed=assumed,
        settings=settings,
    )
    if own and network.weights_sha256 != record.weights_sha256:
        raise SavedNetworkError(
            f"{str(Path(spec) / WEIGHTS)!r} is damaged: its weights are not those that were written with {RECORD}"
        )
    if said := [name for name in ("num_classes", "in_chans", "model_kwargs") if name in settings.given()]:
        raise OptionError(f"{said[0]} is given, and {spec!r} is a network that is made already; leave it out")
    return _named(_seen_otherwise(network, settings), settings)


def _check_names(model: nn.Module, names: Mapping[Place, str], directory: Path) -> None:
    """Raise SavedNetworkError if a name belongs to a module that is not there."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for (path, _), name in names.items():
        if path not in modules:
            raise SavedNetworkError(
                f"{str(directory / RECORD)!r} is damaged: names has {name} at {path!r}, and there is no such module in"
                f" this {type(model).__name__}"
            )


def _load_base(spec: str, weights: str, settings: Settings) -> Network:
    if spec.startswith(MEMORY):
        raise UnknownModelError(
            f"model {spec!r} was a module in memory, which no spec makes again; hand it over in Python:"
            " seviz.wrap(module, example)"
        )
    if spec.startswith("hf-hub:"):
        return _from_hub(spec, weights, settings)
    if spec.startswith(_LOCAL):
        return _from_local(spec, weights, settings)
    if ".py:" in spec:
        return _from_factory(spec, weights, settings)
    source, _, name = spec.partition("/")
    if source not in _LIBRARIES or not name:
        known = ", ".join(f"{library}/NAME" for library in _LIBRARIES)
        raise UnknownModelError(
            f"model {spec!r} is not understood; expected one of {known}, hf-hub:OWNER/NAME, {_LOCAL}PATH,"
            " path/to/file.py:factory, such as timm/seresnet50"
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
    wanted = f"https://huggingface.co/{spec.removeprefix('hf-hub:')}/resolve/main/ (config.json, model.safetensors)"
    arguments = _arguments(settings)
    with _taking(spec, arguments), _fetching(spec, "pretrained", wanted):  # the config, too, is on the hub
        model = timm.create_model(spec, pretrained=weights == "pretrained", **arguments)
    return _like_timm(spec, weights, model)


def _from_local(spec: str, weights: str, settings: Settings) -> Network:
    """A network in a directory that is laid out as on the hub: config.json, and weights beside it."""
    directory = Path(spec.removeprefix(_LOCAL)).expanduser()
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
    model = made_by(spec, _arguments(settings))
    network = _like_timm(spec, weights, model)
    if hasattr(model, "pretrained_cfg"):
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
    return _network(spec, weights, model, config, CIFAR10)


_TASKS: dict[Task, ModuleType] = {
    "classification": torchvision.models,
    "detection": torchvision.models.detection,
    "segmentation": torchvision.models.segmentation,
}
"""Where torchvision keeps the networks of each task."""

_LIBRARIES: dict[str, Callable[[str, str, str, Settings], Network]] = {
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "seviz": _from_seviz,
}


def _like_timm(spec: str, weights: str, model: nn.Module) -> Network:
    """A network whose preprocessing and classes are those that timm knows of the model."""
    config = timm.data.resolve_model_data_config(model)
    subset = timm.data.infer_imagenet_subset(model) if hasattr(model, "pretrained_cfg") else None
    classes = imagenet_classes(subset) if subset else None
    if classes is not None and getattr(model, "num_classes", len(classes)) != len(classes):
        classes = None
    if (names := getattr(model, "class_names", None)) is not None:
        classes = Classes(tuple(names), tuple(names))
    return _network(spec, weights, model, config, classes)


def _network(spec: str, weights: str, model: nn.Module, config: dict[str, Any], classes: Classes | None) -> Network:
    """A network whose preprocessing is timm's, by a timm data config."""
    seen = of_timm(config)
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


def _seen_otherwise(network: Network, settings: Settings) -> Network:
    """A network whose images are preprocessed as settings say."""
    channels = network.input_size[0]
    if not settings.given().keys() & set(SEEN) and len(network.preprocessing.get("mean", ())) in (0, channels):
        return network
    seen = otherwise(network.preprocessing, settings, network.input_size)
    return replace(
        network,
        preprocess=seen.preprocess,
        preprocessing=seen.told,
        input_size=seen.input_size,
        assumed=(*network.assumed, *seen.assumed),
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
