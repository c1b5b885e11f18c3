"""Weights out of a file, found in whatever they are wrapped in, and loaded only if they fit.

A file may hold several states (the weights, their moving average, those of a teacher), each under names of its own,
with whatever the model was wrapped in before them. Which state is meant, and what stands before its names, is found by
matching names and shapes with the model's own. What was chosen where there was a choice is told.
"""

import argparse
import pathlib
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from seviz.errors import OptionError, WeightsError
from seviz.network.settings import Ema
from seviz.network.trust import file_sha256

_LARGEST = 2**40  # bytes; what the system makes up as it is read can say more
_DEPTH = 3  # of mappings in a file, in which states are looked for
_SHOWN = 3  # names of each kind in a message


@dataclass(frozen=True)
class Fit:
    """How a state of a file fits a model.

    Attributes
    ----------
    where
        The keys that lead to the state in the file, joined by dots; empty where the file is the state.
    before
        What stands before the model's names there, such as "module."; or, with a minus sign, what stands before the
        model's own names and not in the file.
    tensors
        Of the model's names, those that are there.
    own
        The model's own tensors.
    unknown
        Names beside them that the model does not have.
    others
        Names of what is no part of the model, as a loss is not.
    """

    where: str
    before: str
    tensors: Mapping[str, Tensor]
    own: Mapping[str, Tensor]
    unknown: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Names of the model that are not there; counters of batches came to BatchNorm late, and are not missed."""
        return sorted(n for n in self.own if n not in self.tensors and not n.endswith("num_batches_tracked"))

    @property
    def misshapen(self) -> list[str]:
        """Names of tensors of another shape."""
        return sorted(name for name, tensor in self.tensors.items() if tensor.shape != self.own[name].shape)

    @property
    def complete(self) -> bool:
        """Whether the state is that of the model."""
        return not (self.missing or self.misshapen or self.unknown)

    @property
    def is_ema(self) -> bool:
        """Whether it is a moving average, by what it is called."""
        return any("ema" in word.lower().split("_") for word in f"{self.where}.{self.before}".split("."))

    @property
    def name(self) -> str:
        """What it is called in the file."""
        return f"{self.where}.{self.before}".strip(".") or "the file's own names"

    @property
    def classes(self) -> int | None:
        """Number of classes of the state's head, where that and nothing else keeps it from fitting."""
        if self.missing or self.unknown or not (wrong := self.misshapen):
            return None
        mine, theirs = ([table[name].shape for name in wrong] for table in (self.own, self.tensors))
        if not all(a and b and a[1:] == b[1:] for a, b in zip(mine, theirs, strict=True)):
            return None
        rows = {(a[0], b[0]) for a, b in zip(mine, theirs, strict=True)}
        return rows.pop()[1] if len(rows) == 1 else None

    def same(self, other: "Fit") -> bool:
        """Whether another holds the same numbers."""
        return self.tensors.keys() == other.tensors.keys() and all(
            torch.equal(tensor, other.tensors[name]) for name, tensor in self.tensors.items()
        )


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes
    ----------
    path
        The file.
    states
        Names and tensors, by the keys that lead to them.
    """

    path: Path
    states: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """Read a safetensors file, or a torch file that holds no more than tensors and plain values.

        Raises
        ------
        WeightsError
            If the file cannot be read, would run code when read, or holds no tensors by name.
        """
        states = dict(_states(_content(path)))
        if not states:
            raise WeightsError(
                f"weights {str(path)!r} hold no state; expected names and tensors as of model.state_dict()"
            )
        return cls(path, states)

    def fit(self, model: nn.Module, ema: Ema = "auto", *, part: bool = False) -> tuple[Fit, tuple[str, ...]]:
        """The state that is the model's, and what was assumed in choosing it, a sentence each.

        Parameters
        ----------
        model
            Any module.
        ema
            Which is meant where there is a moving average too.
        part
            Whether the model is known to be a part of what files hold, so that it goes without saying that the rest is
            left out.

        Raises
        ------
        WeightsError
            If there is no moving average and it was asked for, or several states fit and hold different numbers.
        OptionError
            If `ema` is none of its values.
        """
        if ema not in get_args(Ema):
            raise OptionError(f"ema is {ema!r}, expected one of {', '.join(get_args(Ema))}")
        fits = [fit for where, state in self.states.items() for fit in _fits(where, state, model.state_dict())]
        most = max(fits, key=_agreement)
        good = [fit for fit in fits if fit.complete]
        if not good and most.classes is not None:
            good = [fit for fit in fits if fit.classes == most.classes]
        averages = [fit for fit in good if fit.is_ema]
        plain = [fit for fit in good if not fit.is_ema]
        if ema == "yes" and not averages:
            some = f"; it holds {', '.join(fit.name for fit in plain)}" if plain else ""
            raise WeightsError(f"weights {str(self.path)!r} hold no moving average (ema yes){some}; leave ema out")
        chosen = {"auto": averages or plain, "yes": averages, "no": plain}[ema]
        if not chosen:
            if averages:
                raise WeightsError(
                    f"weights {str(self.path)!r} hold a moving average only ({averages[0].name}, ema no); leave ema out"
                )
            return most, ()
        first, *further = chosen
        if other := next((fit for fit in further if not fit.same(first)), None):
            raise WeightsError(
                f"weights {str(self.path)!r} hold several states that fit this {type(model).__name__}:"
                f" {first.name} and {other.name}. Save the one that is meant by itself: torch.save(STATE, PATH)."
            )
        return first, tuple(self._assumed(first, averages, plain, ema, part=part))

    def _assumed(
        self, chosen: Fit, averages: Sequence[Fit], plain: Sequence[Fit], ema: Ema, *, part: bool
    ) -> Iterator[str]:
        if averages and plain and ema == "auto":
            yield f"weights: {chosen.name} of {self.path} (ema no for {plain[0].name})"
        if chosen.others and not part:
            yield f"weights: {_some(chosen.others)} of {self.path} left out, since they are no part of the model"


def load_checkpoint(model: nn.Module, path: Path, *, ema: Ema = "auto") -> tuple[str, ...]:
    """Load weights from a file into a model.

    Parameters
    ----------
    model
        Changed in place, or not at all.
    path
        A safetensors file, or a torch file that holds no more than tensors and plain values. The state may lie in
        mappings, under any keys; its names may have anything in common before them, as wrappers put it there.
    ema
        "yes" for the moving average of the weights, "no" for the weights; "auto" takes the average where there is one.

    Returns
    -------
    tuple of str
        What was assumed, a sentence each.

    Raises
    ------
    WeightsError
        If the file cannot be read, would run code when read, does not hold exactly the tensors of the model, or holds
        several states that fit.
    OptionError
        If `ema` is none of its values.

    Examples
    --------
    >>> import tempfile, torch
    >>> model = torch.nn.Linear(2, 3)
    >>> state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": state, "epoch": 7}, f"{folder}/last.pt")
    ...     load_checkpoint(model, Path(folder) / "last.pt")
    ()
    """
    checkpoint = Checkpoint.read(path)
    fit, assumed = checkpoint.fit(model, ema)
    load_fit(model, fit, path)
    return assumed


def load_fit(model: nn.Module, fit: Fit, path: Path) -> None:
    """Load a state into the model that it was matched with; raises WeightsError if it does not fit."""
    wrong = {"missing": fit.missing, "unexpected": sorted(fit.unknown), "of another shape": fit.misshapen}
    if not fit.complete:
        phrases = [f"{len(names)} {kind} ({_shown(names)})" for kind, names in wrong.items() if names]
        raise WeightsError(
            f"weights {str(path)!r} do not fit this {type(model).__name__}: of its {len(fit.own)} tensors"
            f" {', '.join(phrases)}. Give the weights of this very network."
        )
    model.load_state_dict({**fit.own, **fit.tensors})


def weights_file_sha256(path: Path) -> str:
    """SHA-256 of a file of weights; raises WeightsError if it cannot be read, or is no regular file of a usual size."""
    try:
        _check_file(path)
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(
            f"weights {str(path)!r} cannot be read ({error.strerror or error}); expected a safetensors file, or a torch"
            " file that holds tensors only"
        ) from error


def _check_file(path: Path) -> None:
    """Raise OSError unless there is a file with an end: to open a pipe is to wait, and a device gives for ever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    if not 0 < status.st_size <= _LARGEST:
        raise OSError(f"it has {status.st_size:,} bytes")


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} ({_shown(names)})"


def _agreement(fit: Fit) -> tuple[int, int]:
    """How much of the model is there: tensors of the right shape, then tensors."""
    return len(fit.tensors) - len(fit.misshapen), len(fit.tensors) - len(fit.unknown)


def _fits(where: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Iterator[Fit]:
    """How a state fits, for everything that may stand before the model's names in it; for nothing, if none does."""
    befores: dict[str, int] = {}
    for name in state:
        for start in _starts(name):
            if name[start:] in own:
                befores[name[:start]] = befores.get(name[:start], 0) + 1
    most = max(befores.values(), default=0)
    found = False
    for before in [b for b, count in befores.items() if 2 * count >= most] or [""]:
        inside = {name[len(before) :]: tensor for name, tensor in state.items() if name.startswith(before)}
        outside = tuple(name for name in state if not name.startswith(before))
        fit = _fit(where, before, inside, own, outside)
        found = found or fit.complete
        yield fit
    if not found:  # the model may be a wrapper around what was saved
        for before in {name[:start] for name in list(own)[:1] for start in _starts(name) if start}:
            if all(f"{before}{name}" in own for name in state):
                yield _fit(where, f"-{before}", {f"{before}{name}": t for name, t in state.items()}, own, ())


def _fit(
    where: str, before: str, inside: Mapping[str, Tensor], own: Mapping[str, Tensor], outside: tuple[str, ...]
) -> Fit:
    tensors = {name: tensor for name, tensor in inside.items() if name in own}
    return Fit(where, before, tensors, own, tuple(name for name in inside if name not in own), outside)


def _starts(name: str) -> Iterator[int]:
    """Where a name, or what follows one of its dots, begins."""
    yield 0
    for place, letter in enumerate(name):
        if letter == ".":
            yield place + 1


def _states(content: Any, where: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The mappings of names to tensors in what a file holds, by the keys that lead to them."""
    if not isinstance(content, Mapping) or depth > _DEPTH:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield where, tensors
    for key, value in content.items():
        if isinstance(key, str):
            yield from _states(value, f"{where}.{key}".strip("."), depth + 1)


def _content(path: Path) -> Any:
    try:
        _check_file(path)
        if _is_safetensors(path):
            return safetensors.torch.load_file(path)
        with torch.serialization.safe_globals(_PLAIN):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make readers raise whatever they stumble over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise WeightsError(
                f"weights {str(path)!r} hold more than tensors, and to read them would run code from the file. Where"
                " you trust it, save its tensors anew: torch.save(model.state_dict(), PATH), or"
                " safetensors.torch.save_file(model.state_dict(), PATH)."
            ) from error
        raise WeightsError(
            f"weights {str(path)!r} cannot be read ({type(error).__name__}: {reason}); expected a safetensors file,"
            " or a torch file that holds tensors only"
        ) from error


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{" or path.suffix == ".safetensors"


def _called(function: Callable[..., Any], module: str, name: str) -> Callable[..., Any]:
    """A function under the name by which files call it."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _plain_globals() -> list[Any]:
    """What stands in training scripts' files beside tensors, and does no more than hold a value: numpy's numbers and
    arrays, as numpy 1 and 2 call them, `argparse.Namespace`, and paths, which become pure ones of any system."""
    scalar: Any = np.float64(0).__reduce__()[0]
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    known: list[Any] = [argparse.Namespace, np.ndarray, np.dtype]
    known += {type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFDGSU"}
    for package in ("numpy.core", "numpy._core"):
        known += [_called(scalar, f"{package}.multiarray", "scalar")]
        known += [_called(reconstruct, f"{package}.multiarray", "_reconstruct")]
    for module in ("pathlib", "pathlib._local"):
        for kind in ("PosixPath", "PurePosixPath"):
            known.append(_called(pathlib.PurePosixPath, module, kind))
        for kind in ("WindowsPath", "PureWindowsPath"):
            known.append(_called(pathlib.PureWindowsPath, module, kind))
    return known


_PLAIN = _plain_globals()
