"""From a model spec ("timm/legacy_seresnet50") to a network: model, preprocessing, class names, SE blocks."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from seviz.errors import OptionError, SavedNetworkError, SevizWarning, WeightsError
from seviz.network.changes import apply_changes
from seviz.network.checkpoints import Checkpoint, load_checkpoint, load_fit, weights_file_sha256
from seviz.network.insertion import fresh_weights, insert_se
from seviz.network.libraries import load_base
from seviz.network.naming import Place
from seviz.network.networks import Loaded, Network, classes_named, logits_of_example
from seviz.network.preprocessing import SEEN, otherwise
from seviz.network.saved import read_record, structural_weights, weights_path
from seviz.network.settings import Ema, Settings
from seviz.network.trust import INSERTED, RECORD, factory_remark, is_saved_network, making, require_trust


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
    trust_code: bool = False,
    model: str | None = None,
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
          (input_size, mean, std, ...), preprocessing follows it; an input_size (channels, length) is that of signals,
          (channels, depth, height, width) that of volumes. If it has `class_names`, the classes are called so.
          The file's directory can be imported from.
        - "onnx:path/to/file.onnx": a classifier of images whose weights are in the file, or in others beside it. It
          is held against onnxruntime on random input. What the graph leaves open is taken from the settings below.
          Preprocessing is ImageNet's unless they say otherwise. Needs the extra `onnx`.

        and "+se" after any of them but a directory: with SE blocks inserted (where there is a backbone, into it), see
        `seviz.insert_se`. What is given here is executed; what a directory names is not, see `trust_code`.
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
    trust_code
        Of a directory: whether its `network.json` may name a Python file to execute, a network of the hub to fetch, or
        an ONNX file other than the one it was made from. By default only what is made from a network of timm,
        torchvision or seviz, or from that ONNX file, is loaded.
    model
        Of a directory: the spec that it is made from, given by you; it is trusted. Another than that in
        `network.json` takes its place.

    Returns
    -------
    Network
        In evaluation mode, on the CPU.

    Raises
    ------
    UnknownModelError
        If there is no such network.
    TrustError
        If a directory names what executes code or fetches from strangers, and that was not allowed.
    WeightsError
        If the weights are not there, do not fit, or would run code when read.
    SavedNetworkError
        If the directory of a network is damaged; its weights are compared before anything is built.
    FactoryError
        If a factory, or the file it is in, raises an exception.
    ModelError
        If an ONNX file cannot be read.
    OptionError
        If a setting is outside its range, or one that this network does not have, or `model` is given and the spec is
        no directory.

    Warns
    -----
    SevizWarning
        Of each assumption, such as that weights are a moving average: `Network.assumed`. And if the Python file that
        makes the network of a directory was changed since the directory was written.

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
    network = load_with(spec, weights, settings, trust_code=trust_code, model=model)
    for sentence in network.assumed:
        warnings.warn(sentence, SevizWarning, stacklevel=2)
    return network


def load_with(
    spec: str,
    weights: str | Path = "pretrained",
    settings: Settings = Settings(),  # noqa: B008 (it is frozen)
    *,
    trust_code: bool = False,
    model: str | None = None,
) -> Network:
    """Like `load`, with the settings in one, and without a warning of what was assumed."""
    if model is not None and not is_saved_network(spec):
        raise OptionError(
            f"model is {model!r}, but {spec!r} is no directory of a saved network, which could be made from it; leave"
            " model out"
        )
    network = _load(spec, str(weights), settings, trust_code=trust_code, model=model)
    return replace(network, loaded=Loaded.of(network))


def _load(
    spec: str, weights: str, settings: Settings, *, trust_code: bool = False, model: str | None = None
) -> Network:
    """As `load`, without what tells later whether the model was changed."""
    if is_saved_network(spec):
        return _from_directory(spec, weights, settings, trust_code=trust_code, model=model)
    if weights in ("pretrained", "none"):
        if settings.ema != "auto":
            raise OptionError(
                f"ema is {settings.ema}, and weights are {weights}; it chooses among the weights in a file"
            )
        return _named(_built(spec, weights, settings), settings)
    if not Path(weights).is_file():
        raise WeightsError(f"weights {weights!r} not found; expected pretrained, none, or the path of a file")
    return _with_file(spec, Path(weights), settings)


def _with_file(spec: str, file: Path, settings: Settings) -> Network:
    """A network with weights of a file; how many classes it has is read from them where it was not said."""
    digest = weights_file_sha256(file)
    checkpoint = Checkpoint.read(file)
    network = _built(spec, str(file), settings)
    part = network.task != "classification"
    fit, assumed = checkpoint.fit(network.model, settings.ema, part=part)
    if fit.classes is not None and settings.num_classes is None:
        said = settings.but(num_classes=fit.classes)
        try:
            again = _built(spec, str(file), said)
        except OptionError:
            again = network  # a factory without that argument: what does not fit is told below
        if again is not network:
            network, settings = again, said
            fit, assumed = checkpoint.fit(network.model, settings.ema)
            assumed = (*assumed, f"classes: {settings.num_classes}, as the weights in {file} have (num_classes)")
    load_fit(network.model, fit, file)
    network = replace(network, assumed=(*network.assumed, *assumed), settings=settings, weights_file_sha256=digest)
    return _named(network, settings)


def _built(spec: str, weights: str, settings: Settings) -> Network:
    """A network as its spec and settings say, its weights those of its library or freshly drawn."""
    base, inserted = spec.removesuffix(INSERTED), spec.endswith(INSERTED)
    with fresh_weights():
        network = _seen_otherwise(load_base(base, weights, settings), settings)
        size = None if network.of_images else network.input_size
        model = insert_se(network.model, input_size=size) if inserted else network.model
    trained = weights != "none" and not (inserted and weights == "pretrained")
    return replace(network, spec=spec, trained=trained, model=model.eval(), settings=settings)


def _named(network: Network, settings: Settings) -> Network:
    """A network whose classes are called as settings say."""
    if settings.class_names is None:
        return network
    return replace(network, classes=classes_named(settings.class_names, logits_of_example(network), network.spec))


def named_if_they_fit(network: Network, names: Sequence[str]) -> Network:
    """A network just loaded, its classes called so if there is a name for each; else as it is."""
    if network.task != "classification" or len(names) != logits_of_example(network):
        return network
    named = _named(network, network.settings.but(class_names=tuple(names)))
    sentence = f"classes: the {len(names)} names of the data's classes are those of the network too (class_names)"
    named = replace(
        named, settings=network.settings.but(class_names=tuple(names)), assumed=(*network.assumed, sentence)
    )
    return replace(named, loaded=Loaded.of(named))


def _from_directory(spec: str, weights: str, settings: Settings, *, trust_code: bool, model: str | None) -> Network:
    if weights == "none":
        raise WeightsError(f"{spec!r} is a network with weights of its own; leave weights out, or give a file")
    if said := [name for name in ("num_classes", "in_chans", "model_kwargs") if name in settings.given()]:
        raise OptionError(f"{said[0]} is given, and {spec!r} is a network that is made already; leave it out")
    path = Path(spec) / RECORD
    record = read_record(Path(spec))
    made = making(record.base)
    origin = record.base
    if model is not None and model != made.spec:
        origin, made, model = model, making(model), None  # in the place of what the file names
    else:
        require_trust(
            record.base,
            file=path,
            field="base",
            trust_code=trust_code,
            model=model,
            recorded=record.factory_sha256,
        )
    own = weights == "pretrained"
    file = weights_path(Path(spec), record) if own else Path(weights)
    digest = weights_file_sha256(file)
    if own and record.weights_file_sha256 not in (None, digest):  # before anything of it is built
        raise _other_weights(file)
    remark = factory_remark(made, record.factory_sha256, file=path)
    if remark:
        warnings.warn(remark, SevizWarning, stacklevel=5)
    base = _load(
        origin,
        structural_weights(origin),
        record.settings.but(ema="auto"),
        trust_code=trust_code,
        model=model if is_saved_network(origin) else None,
    )
    apply_changes(base.model, record.changes)
    _check_names(base.model, record.names or {}, Path(spec))
    assumed = load_checkpoint(base.model, file, ema=settings.ema)
    network = replace(
        base,
        spec=spec,
        weights=weights,
        trained=record.trained if own else True,
        model=base.model.eval(),
        names=record.names,
        base=origin,
        weights_file_sha256=digest,
        remarks=(*base.remarks, *([remark] if remark else [])),
        assumed=assumed,
        settings=settings,
    )
    if own and network.weights_sha256 != record.weights_sha256:
        raise _other_weights(file)
    return _named(_seen_otherwise(network, settings), settings)


def _other_weights(file: Path) -> SavedNetworkError:
    return SavedNetworkError(f"{str(file)!r} is damaged: its weights are not those that were written with {RECORD}")


def _check_names(model: nn.Module, names: Mapping[Place, str], directory: Path) -> None:
    """Raise SavedNetworkError if a name belongs to a module that is not there."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for (path, _), name in names.items():
        if path not in modules:
            raise SavedNetworkError(
                f"{str(directory / RECORD)!r} is damaged: names has {name} at {path!r}, and there is no such module in"
                f" this {type(model).__name__}"
            )


def _seen_otherwise(network: Network, settings: Settings) -> Network:
    """A network whose images are preprocessed as settings say."""
    channels = network.input_size[0]
    if not settings.given().keys() & set(SEEN) and len(network.preprocessing.get("mean", ())) in (0, channels):
        return network
    seen = otherwise(network.spec, network.preprocessing, settings, network.input_size)
    return replace(
        network,
        preprocess=seen.preprocess,
        preprocessing=seen.told,
        input_size=seen.input_size,
        assumed=(*network.assumed, *seen.assumed),
    )
