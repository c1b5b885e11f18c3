"""Criteria for the worth of a channel: one file each, declared with `seviz.registry.criterion`.

A criterion is called as `criterion(network, run, channels)`, with what stands behind the colon of its name as a keyword
(`seed`, `classes` or `argument`), and returns the score of each channel: a mapping from each key of
`channels` (`seviz.compression.scoring.Channels`) to finite numbers, (channels). A higher score is worth more. The same
holds for a function that is given in place of a name.

References
----------
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv:1709.01507.
Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710 (l1).
Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network Slimming",
arXiv:1708.06519 (bn_gamma).
Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource Efficient Inference",
arXiv:1611.06440 (taylor).
Hu, Peng, Tai, Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures",
arXiv:1607.03250 (apoz).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from seviz.errors import DeclarationError, OptionError
from seviz.lists import fields_of
from seviz.registry import CRITERIA, Criterion, declaration_of

IN_WORDS = {
    "gated": "the channels that SE blocks scale",
    "inner": "inner channels, before the convolutions that make these",
    "stream": "the channels of residual streams",
}
"""Kinds of channels."""
_DIGITS = 18  # of a seed


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """A criterion that was asked for.

    Attributes
    ----------
    name
        Name in tables and cards: as it was asked for, or the name of the function.
    declaration
        What it needs; nothing where a function without a declaration was given.
    argument
        Keywords for the function, from what stands behind the colon.
    alone
        Whether its scores depend on nothing but the weights of the network.
    """

    name: str
    declaration: Criterion
    argument: Mapping[str, Any] = field(default_factory=dict)
    alone: bool = False

    def seeded(self, seed: int) -> "Chosen":
        """With this seed, if it takes one and was given none."""
        if self.declaration.argument != "SEED" or "seed" in self.argument:
            return self
        return replace(self, name=f"{self.name}:{seed}", argument={"seed": seed}, alone=True)

    def require(self, kind: str, *, run: bool, data: bool) -> None:
        """Check that it scores a kind of channels, and has what it needs.

        Raises
        ------
        OptionError
            If it does not, or a run or images are missing.
        """
        if kind not in self.declaration.kinds:
            others = (each.name for each in CRITERIA.outlines() if kind in each.kinds)
            raise OptionError(
                f"criterion {self.name!r} does not score {IN_WORDS[kind]}; expected one of {', '.join(others)}"
            )
        needs_data = "images" in self.declaration.needs
        for missing, what in (
            (bool(self.declaration.signals) and not run, "a run of this network"),
            (needs_data and not data, "images, as data"),
        ):
            if missing:
                raise OptionError(f"criterion {self.name!r} needs {what}, and none was given")


Asked = str | Callable[..., Mapping[Any, Any]] | Chosen
"""A criterion by name, such as "random:3", or as a function."""


def criterion_of(asked: Asked) -> Chosen:
    """Read a criterion as it was asked for, by name or as a function.

    Parameters
    ----------
    asked
        A name, with its argument behind a colon where it takes one: "gate_mean", "random:3" (seed),
        "gate_class:cat,dog" (ids or names; one with a comma in quotes, as in CSV). Or a function, see this module.

    Raises
    ------
    OptionError
        If there is no such criterion, or its argument is not what it takes.
    """
    if isinstance(asked, Chosen):
        return asked
    if isinstance(asked, str):
        name, colon, argument = asked.partition(":")
        if name not in CRITERIA:
            raise OptionError(f"no criterion {asked!r}; expected one of {', '.join(known_criteria())}")
        return _chosen(asked, CRITERIA.outline(name), argument if colon else None)
    if not callable(asked):
        raise OptionError(f"criterion is {asked!r}, expected a name, such as 'gate_mean', or a function")
    name = getattr(asked, "__name__", type(asked).__name__)
    with suppress(DeclarationError):
        if isinstance(declared := declaration_of(asked), Criterion):
            return _chosen(name, declared, None)
    return Chosen(name=name, declaration=Criterion(function=asked, title=name, kinds=("gated", "inner")))


def _chosen(text: str, declared: Criterion, argument: str | None) -> Chosen:
    given = _argument(text, declared, argument)
    alone = not declared.signals and not declared.needs and (declared.argument != "SEED" or "seed" in given)
    return Chosen(name=text, declaration=declared, argument=given, alone=alone)


def _argument(text: str, declared: Criterion, argument: str | None) -> dict[str, Any]:
    form = declared.argument
    if not form:
        if argument is not None:
            raise OptionError(f"criterion {text!r} has something behind the colon, expected {declared.name} alone")
        return {}
    if form == "SEED":
        if argument is None:
            return {}
        if not (argument.isascii() and argument.isdigit() and len(argument) <= _DIGITS):
            raise OptionError(
                f"criterion {text!r} has the seed {argument!r}, expected a whole number of at most {_DIGITS} digits,"
                f" such as {declared.name}:0"
            )
        return {"seed": int(argument)}
    parts = fields_of(argument or "") if form == "NAME[,NAME]" else [argument or ""]
    if not parts or not all(part.strip() for part in parts):
        what = "a class" if form == "NAME[,NAME]" else "something behind the colon"
        raise OptionError(f"criterion {text!r} lacks {what}; expected {declared.name}:{form}")
    return {"classes": tuple(part.strip() for part in parts)} if form == "NAME[,NAME]" else {"argument": argument}


def known_criteria() -> list[str]:
    """Names of all criteria, each with the form of its argument: "random:SEED"."""
    return [_form(name) for name in CRITERIA]


def _form(name: str) -> str:
    try:
        argument = CRITERIA.outline(name).argument
    except DeclarationError:  # another package's mistake, of which its use tells
        return name
    return f"{name}:{argument}" if argument else name
