"""The options by which commands take what a person says of a network beside its spec."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from seviz.capture.class_names import ClassNames, is_by_id, listed_names
from seviz.cli.reporting import say
from seviz.cli.trusting import Trust
from seviz.errors import OptionError
from seviz.lists import split_list
from seviz.network.models import load_with, named_if_they_fit
from seviz.network.networks import Network
from seviz.network.settings import Settings, model_kwargs_of

_PANEL = "The network"


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PANEL)


_OPTIONS: dict[str, Any] = {
    "num_classes": Annotated[int | None, _option("classes of its head; of weights in a file read from them")],
    "in_chans": Annotated[int | None, _option("channels of its input")],
    "img_size": Annotated[str | None, _option("pixels of a side of its input, or HEIGHTxWIDTH")],
    "mean": Annotated[str | None, _option("of each channel, on a scale of 0 to 1; with commas")],
    "std": Annotated[str | None, _option("of each channel, on a scale of 0 to 1; with commas")],
    "interpolation": Annotated[str | None, _option("how images are resized: bilinear, bicubic, ...")],
    "crop_pct": Annotated[float | None, _option("side of the crop as a share of the resized side")],
    "ema": Annotated[str, _option("take the moving average of the weights in a file: auto, yes, no")],
    "model_kwargs": Annotated[
        list[str] | None, _option("further arguments of the model: NAME=VALUE, or an object of JSON")
    ],
}
_DEFAULTS = {"ema": "auto"}

CONTRACT = (
    "FILE.py:FACTORY is a function that returns a torch.nn.Module. It is given those of num_classes, in_chans and"
    " model_kwargs that are said. If the module has pretrained_cfg (input_size, mean, std, ...), inputs are"
    " preprocessed so, and an input_size (channels, length) or (channels, depth, height, width) is one of signals or"
    " volumes; if it has class_names, its classes are called so."
)
"""What a factory is, for the help of commands."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options above, which it gets in one as `settings`."""

    @wraps(command)
    def wrapper(**options: Any) -> None:
        said = {name: options.pop(name) for name in _OPTIONS}
        command(**options, settings=_settings(said))

    own = inspect.signature(command)
    kept = [parameter for name, parameter in own.parameters.items() if name != "settings"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    kept = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in kept]
    wrapper.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in (*kept, *added)}
    wrapper.__doc__ = CONTRACT
    return wrapper


def load(spec: str, weights: str, settings: Settings, trust: Trust, class_names: ClassNames | None = None) -> Network:
    """Load a network, and say what was assumed.

    Of a network that has no names for its classes, names in a file are its own if there is one for each.
    """
    network = load_with(spec, weights, settings, **trust)
    if class_names is not None and network.classes is None and not is_by_id(class_names):
        network = named_if_they_fit(network, listed_names(class_names))
    for sentence in network.assumed:
        say(f"assumed: {sentence}")
    return network


def _settings(said: dict[str, Any]) -> Settings:
    return Settings.of(
        **said
        | {
            "img_size": _size(said["img_size"]),
            "mean": _numbers("mean", said["mean"]),
            "std": _numbers("std", said["std"]),
            "model_kwargs": model_kwargs_of(said["model_kwargs"] or ()),
        }
    )


def _size(text: str | None) -> Any:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise OptionError(f"img-size is {text!r}, expected pixels such as 224, or HEIGHTxWIDTH such as 224x192")
    return [int(side) for side in (sides * 2)[:2]]


def _numbers(name: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in split_list(text) or []]
    except ValueError as error:
        raise OptionError(f"{name} is {text!r}, expected a number for each channel, such as 0.5,0.5,0.5") from error
