"""What a person may say of a network beside its spec: classes, channels, size, normalisation, weights.

Settings are part of what a network is made of: a run keeps them in its manifest, a saved network in its record, and
both are made again with them.
"""

import ast
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

from seviz.errors import OptionError

Ema = Literal["auto", "yes", "no"]
"""Whether the moving average of weights is meant where a file holds it: where there is one, always, never."""

MOST_CLASSES, MOST_CHANNELS, LONGEST_SIDE = 1 << 17, 1 << 12, 1 << 14
"""What settings may ask for: a file can say any number."""

_NO_ARGUMENTS = frozenset(
    {
        *(
            "pretrained",
            "pretrained_cfg",
            "pretrained_cfg_overlay",
            "pretrained_strict",
            "checkpoint_path",
            "cache_dir",
        ),
        *("weights", "weights_backbone", "progress", "features_only", "scriptable", "exportable", "no_jit"),
    }
)
"""Arguments that lead elsewhere than to the model's own form, such as to files."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
"""How images may be resized, as timm and Pillow call it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is said of a network beside its spec; None where nothing is.

    Attributes
    ----------
    num_classes
        Number of classes, at least 1. Of weights in a file it is read from them.
    in_chans
        Channels of its input, at least 1.
    img_size
        Height and width of its input in pixels; one number for both.
    mean, std
        Of each channel, of images on a scale of 0 to 1.
    interpolation
        How images are resized: one of `INTERPOLATIONS`.
    crop_pct
        Side of the crop as a share of the side that images are resized to, in (0, 1].
    class_names
        In the order of the logits.
    ema
        Which of the weights in a file are meant.
    model_kwargs
        Further arguments of timm's or torchvision's model or of the factory, such as {"drop_path_rate": 0.1}.

    Raises
    ------
    OptionError
        If a value is outside its range.
    """

    num_classes: int | None = None
    in_chans: int | None = None
    img_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_pct: float | None = None
    class_names: tuple[str, ...] | None = None
    ema: Ema = "auto"
    model_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, most in (("num_classes", MOST_CLASSES), ("in_chans", MOST_CHANNELS)):
            value = getattr(self, name)
            if value is not None and not (_whole(value) and 1 <= value <= most):
                raise OptionError(f"{name} is {value!r}, expected a whole number from 1 to {most:,}")
        if self.img_size is not None and not (
            len(self.img_size) == 2 and all(_whole(side) and 1 <= side <= LONGEST_SIDE for side in self.img_size)
        ):
            raise OptionError(
                f"img_size is {self.img_size!r}, expected pixels of a side, or (height, width), each from 1 to"
                f" {LONGEST_SIDE:,}"
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not (values and all(_number(value) for value in values)):
                raise OptionError(f"{name} is {values!r}, expected a number for each channel")
        if self.std is not None and min(self.std) <= 0:
            raise OptionError(f"std is {self.std!r}, expected numbers greater than 0")
        if self.interpolation is not None and self.interpolation not in INTERPOLATIONS:
            raise OptionError(f"interpolation is {self.interpolation!r}, expected one of {', '.join(INTERPOLATIONS)}")
        if self.crop_pct is not None and not (_number(self.crop_pct) and 0 < self.crop_pct <= 1):
            raise OptionError(f"crop_pct is {self.crop_pct!r}, expected a share in (0, 1]")
        if self.ema not in get_args(Ema):
            raise OptionError(f"ema is {self.ema!r}, expected one of {', '.join(get_args(Ema))}")
        if not all(isinstance(name, str) for name in self.class_names or ()):
            raise OptionError("class_names holds something else than names")
        if not isinstance(self.model_kwargs, Mapping) or not all(isinstance(name, str) for name in self.model_kwargs):
            raise OptionError(f"model_kwargs is {self.model_kwargs!r:.80}, expected arguments by name")
        if refused := sorted(_NO_ARGUMENTS & self.model_kwargs.keys()):
            raise OptionError(
                f"model_kwargs has {refused[0]!r}, which is no argument of the model's form; weights are given as"
                " weights, and the rest is left out"
            )

    @classmethod
    def of(
        cls,
        *,
        img_size: int | Sequence[int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        class_names: Sequence[str] | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Self:
        """Settings as a person gives them: one number for a square, any sequences."""
        if isinstance(class_names, str):
            raise OptionError(f"class_names is {class_names!r:.80}, expected a list of names")
        return cls(
            img_size=(img_size, img_size) if isinstance(img_size, int) else _tuple(img_size),
            mean=_tuple(mean),
            std=_tuple(std),
            class_names=_tuple(class_names),
            model_kwargs=dict(model_kwargs or {}),
            **others,
        )

    def given(self) -> dict[str, Any]:
        """Those that say something, by name, as JSON has them."""
        default = type(self)()
        told = {k: v for k, v in asdict(self).items() if v != getattr(default, k)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in told.items()}

    @classmethod
    def from_given(cls, given: Mapping[str, Any]) -> Self:
        """Settings as `given` tells them; raises OptionError if there is another, or one is outside its range."""
        known = [each.name for each in fields(cls)]
        for name in given:
            if name not in known:
                raise OptionError(f"there is no setting {name!r}, expected some of {', '.join(known)}")
        return cls.of(**given)

    def but(self, **changes: Any) -> Self:
        """The same settings with some of them others."""
        return replace(self, **changes)


def model_kwargs_of(texts: Iterable[str]) -> dict[str, Any]:
    """Arguments of a model as a command takes them.

    Parameters
    ----------
    texts
        "NAME=VALUE" each, the value as Python writes it, else text; several in one are parted by spaces. Or an object
        of JSON.

    Raises
    ------
    OptionError
        If one is neither.

    Examples
    --------
    >>> model_kwargs_of(["drop_path_rate=0.1 act_layer=relu", '{"blocks": [1, 2]}'])
    {'drop_path_rate': 0.1, 'act_layer': 'relu', 'blocks': [1, 2]}
    """
    found: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                found |= json.loads(text)
            except ValueError as error:
                raise OptionError(f"model-kwargs is {text!r}, which is no JSON ({error})") from error
            continue
        for part in text.split():
            name, equals, value = part.partition("=")
            if not equals or not name.isidentifier():
                raise OptionError(f"model-kwargs has {part!r}, expected NAME=VALUE, or an object of JSON")
            try:
                found[name] = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                found[name] = value
    return found


def _tuple(values: Any) -> Any:
    if values is None:
        return None
    try:
        return tuple(values)
    except TypeError as error:
        raise OptionError(f"{values!r} is one value, expected several") from error


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
