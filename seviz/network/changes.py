"""What makes a network other than the one that its spec gives: modules taken out, layers narrower."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from seviz.errors import SavedNetworkError
from seviz.network.positions import CONVOLUTIONS, Layout
from seviz.network.spread import Spread, is_spread

_FORMS: tuple[tuple[type[nn.Module], tuple[str, ...]], ...] = (
    *((kind, ("in_channels", "out_channels", "groups")) for kind in CONVOLUTIONS),
    (nn.Linear, ("in_features", "out_features")),
    (nn.modules.batchnorm._BatchNorm, ("num_features",)),
    (nn.LayerNorm, ("normalized_shape",)),
    (nn.GroupNorm, ("num_channels", "num_groups")),
    (nn.PReLU, ("num_parameters",)),
)
"""What tells the widths of a layer."""
_LISTED = 3  # paths in words


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Structural changes of a network.

    Attributes
    ----------
    removed
        Paths of modules that an identity stands for.
    spread
        By the path of a module whose outputs are fewer: where each belongs, and of how many channels in all.
    last
        Those of these paths whose outputs have the channels last.
    widths
        By the path of a layer: its attributes that changed, such as in_channels.
    shapes
        By name, of parameters and buffers whose shape changed.
    """

    removed: tuple[str, ...] = ()
    spread: Mapping[str, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    last: tuple[str, ...] = ()
    widths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any((self.removed, self.spread, self.widths, self.shapes))

    def __str__(self) -> str:
        """In words, such as "1 module taken out (layer1.0.se), 4 layers of other widths"; empty for no change."""
        several = len(self.removed) > _LISTED
        listed = ", ".join(self.removed[:_LISTED]) + (", ..." if several else "")
        return ", ".join(
            words
            for count, words in (
                (len(self.removed), f"{_counted(len(self.removed), 'module')} taken out ({listed})"),
                (len(self.spread), f"{_counted(len(self.spread), 'branch')} with fewer channels"),
                (len(self.widths), f"{_counted(len(self.widths), 'layer')} of other widths"),
                (len(self.shapes) if not self.widths else 0, f"{_counted(len(self.shapes), 'tensor')} of other shapes"),
            )
            if count
        )

    def to_json(self) -> dict[str, Any]:
        """As what JSON holds; without `last` where that is empty, as versions wrote it that did not know of it."""
        record = asdict(self)
        if not self.last:
            del record["last"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Changes":
        """From what `to_json` gave; raises KeyError, TypeError or ValueError if it is something else."""
        return cls(
            removed=tuple(map(str, record["removed"])),
            spread={
                path: (tuple(map(int, kept)), int(channels)) for path, (kept, channels) in record["spread"].items()
            },
            last=tuple(map(str, record.get("last", ()))),  # files of older versions have none
            widths={
                path: {name: tuple(value) if isinstance(value, list) else int(value) for name, value in widths.items()}
                for path, widths in record["widths"].items()
            },
            shapes={name: tuple(map(int, shape)) for name, shape in record["shapes"].items()},
        )


def changes_between(base: nn.Module, model: nn.Module) -> Changes:
    """What was changed in a base to get a model.

    Raises
    ------
    SavedNetworkError
        If that is more than modules taken out, branches spread, and layers of other widths.
    """
    removed: list[str] = []
    spread: dict[str, tuple[tuple[int, ...], int]] = {}
    widths: dict[str, dict[str, Any]] = {}
    mine = dict(model.named_modules(remove_duplicate=False))
    wrapped: list[str] = []
    last: list[str] = []
    for path, was in base.named_modules(remove_duplicate=False):
        if any(path.startswith(f"{outer}.") for outer in removed):
            continue
        now = mine.get(_inner(path, wrapped))
        if now is None:
            raise _unknown(path, was, "is missing")
        if is_spread(now):
            wrapped.append(path)
            kept: Spread = now.get_submodule("spread")
            spread[path] = tuple(kept.kept.tolist()), kept.channels
            if kept.layout == "last":
                last.append(path)
            now = now.get_submodule("block")
        if isinstance(now, nn.Identity) and not isinstance(was, nn.Identity):
            removed.append(path)
        elif _kind(now) != _kind(was):
            raise _unknown(path, was, f"is a {type(now).__name__}")
        elif changed := {name: getattr(now, name) for name in _form(was) if getattr(now, name) != getattr(was, name)}:
            widths[path] = changed
    plain, state = base.state_dict(), model.state_dict()
    shapes = {}
    for name, tensor in plain.items():
        if any(name.startswith(f"{outer}.") for outer in removed):
            continue
        other = state.get(_inner(name, wrapped))
        if other is None:
            raise SavedNetworkError(f"the network cannot be written down: it has no {name!r}")
        if other.shape != tensor.shape:
            shapes[name] = tuple(other.shape)
    expected = {_inner(name, wrapped) for name in plain} | {f"{path}.spread.kept" for path in wrapped}
    if more := sorted(state.keys() - expected):
        raise SavedNetworkError(f"the network cannot be written down: {more[0]!r} is not in what its spec gives")
    return Changes(removed=tuple(removed), spread=spread, last=tuple(last), widths=widths, shapes=shapes)


def apply_changes(model: nn.Module, changes: Changes) -> None:
    """Change a model in place; what has another shape afterwards holds no values yet.

    Raises
    ------
    SavedNetworkError
        If it has not the modules that are to be changed.
    """
    try:
        for path, widths in changes.widths.items():
            module = model.get_submodule(path)
            for name, value in widths.items():
                if name not in _form(module):
                    raise AttributeError(f"{path!r} has no {name}")
                setattr(module, name, value)
        for name, shape in changes.shapes.items():
            path, _, last = name.rpartition(".")
            module = model.get_submodule(path)
            tensor = module.get_parameter(last) if last in module._parameters else module.get_buffer(last)
            empty = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
            setattr(module, last, nn.Parameter(empty, tensor.requires_grad) if last in module._parameters else empty)
        for path in changes.removed:
            model.get_submodule(path)
            model.set_submodule(path, nn.Identity())
        for path, (kept, channels) in changes.spread.items():
            wrapper = nn.Sequential()
            wrapper.add_module("block", model.get_submodule(path))
            layout: Layout = "last" if path in changes.last else "first"
            wrapper.add_module("spread", Spread(kept, channels, layout=layout))
            model.set_submodule(path, wrapper)
    except (AttributeError, ValueError) as error:
        raise SavedNetworkError(f"the changes do not fit this {type(model).__name__}: {error}") from error


def _kind(module: nn.Module) -> tuple[str, str]:
    """What a type is called: a person's file is run anew each time that it is loaded, and so makes types anew."""
    return type(module).__module__, type(module).__qualname__


def _counted(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _form(module: nn.Module) -> tuple[str, ...]:
    return next((names for kind, names in _FORMS if isinstance(module, kind)), ())


def _inner(path: str, wrapped: list[str]) -> str:
    """What a path of the base is called where modules on its way were wrapped."""
    for outer in wrapped:
        if path.startswith(f"{outer}."):
            return f"{outer}.block{path[len(outer) :]}"
    return path


def _unknown(path: str, was: nn.Module, what: str) -> SavedNetworkError:
    return SavedNetworkError(
        f"the network cannot be written down: its module {path!r} {what}, where its spec gives a"
        f" {type(was).__name__}; what is known are modules taken out, and layers of other widths"
    )
