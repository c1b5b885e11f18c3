"""Tables, figures, criteria and layouts: each declared once, and found without being imported.

A member is a file in the folder of its kind, such as `seviz/tables/specificity.py`, with a function of the same name
under the decorator of its kind; or an entry point of another package, in the group of its kind, that names such a
function. The names and the first lines of docstrings are read from the source. A member's module is imported when the
member is looked up, so that a list of all members costs no torch, pandas or scipy. This module imports none of them.
"""

import ast
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from seviz.errors import DeclarationError, OptionError, SevizWarning

F = TypeVar("F", bound=Callable[..., Any])
D = TypeVar("D", bound="Declaration")

Need = Literal["gates", "squeeze", "response", "labels", "predictions", "other", "network", "images"]
"""What a member needs beyond the moments of a finished run: the kept gates of single images, a signal, the true
classes, predictions that can be right or wrong, a second run, the network, or the image files."""
Cost = Literal["moments", "gates", "fits"]
"""What the time grows with: nothing but blocks, channels and classes; images with kept gates; models fitted to them."""

_MARK = "__seviz_declaration__"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    low, high
        Least and greatest value, included; every finite number on that side where infinite.
    unit
        Unit of the values; empty for numbers without one.
    key
        Whether the column belongs to the key that tells rows apart.
    """

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    key: bool = False


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is declared of every member.

    Attributes
    ----------
    function
        The function under the decorator.
    title
        A few words, for headings and lists.
    caption
        What is shown and how to read it, in sentences.
    needs
        What is needed beyond the moments of a run.
    cost
        What the time grows with.
    extra
        Optional dependency of seviz without which it cannot be had, such as "umap"; empty where there is none.
    """

    function: Callable[..., Any]
    title: str
    caption: str = ""
    needs: tuple[Need, ...] = ()
    cost: Cost = "moments"
    extra: str = ""

    @property
    def name(self) -> str:
        """Name of the function, which is the name of the member."""
        return self.function.__name__

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Parameters of the function, by name."""
        return inspect.signature(self.function).parameters


@dataclass(frozen=True, kw_only=True)
class Table(Declaration):
    """A table: a function of a run (and, where it says so, a block or another run) that gives a data frame.

    Attributes
    ----------
    columns
        By name; `EACH` stands for all that are not named, as in a matrix.
    """

    columns: Mapping[str, Column] = field(default_factory=dict)

    @property
    def of_block(self) -> bool:
        """Whether it is a table of one block, given as `block`."""
        return "block" in self.required

    @property
    def required(self) -> tuple[str, ...]:
        """Parameters without a default, but the run."""
        _, *others = self.parameters.values()
        empty = inspect.Parameter.empty
        return tuple(each.name for each in others if each.default is empty and each.kind is not each.VAR_KEYWORD)

    @property
    def of_run_alone(self) -> bool:
        """Whether a run gives it, block by block where it is of one, without anything else that a person chooses."""
        return not self.extra and {*self.required} <= {"block"}

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that tell rows apart."""
        return tuple(name for name, column in self.columns.items() if column.key)


EACH = "*"


@dataclass(frozen=True, kw_only=True)
class Figure(Declaration):
    """A figure of a run: a function of an album and the name of the figure that yields drawings, or why there is none.

    Attributes
    ----------
    order
        Place in the album; figures with equal ones by name.
    tables
        Names of the tables that it is drawn from.
    takes
        Choices of the album that change it: "classes", "blocks", "channels", "seed", "other".
    each_block
        Whether each block has a figure of its own.
    leads
        Whether it opens the report, which shows the figures that have a caption.
    """

    order: float = math.inf
    tables: tuple[str, ...] = ()
    takes: tuple[Literal["classes", "blocks", "channels", "seed", "other"], ...] = ()
    each_block: bool = False
    leads: bool = False


@dataclass(frozen=True, kw_only=True)
class Criterion(Declaration):
    """A way to score channels.

    Attributes
    ----------
    signals
        Signals of the run that it is made from; empty where no run is needed.
    kinds
        Kinds of channels that it scores: "gated", "inner".
    argument
        What stands behind the colon of its name: "SEED", a whole number that may be left out, given to the function as
        `seed`; "NAME[,NAME]", classes, as `classes`; other words, text, as `argument`; empty where nothing does.
    passes
        Forward passes for each image that it takes, about; a pass back counts as two.
    """

    signals: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("gated",)
    argument: str = ""
    passes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Layout(Declaration):
    """A way in which data sets lie on disk.

    The function takes the spec, where the data set is and, by name, those of `split` (which part), `root` (where its
    images are, if not where the spec says), `preprocess` and `label_separator` that mean something to it.

    Attributes
    ----------
    forms
        How it is given on the command line.
    packed
        Whether its images are not files by themselves.
    """

    forms: tuple[str, ...]
    packed: bool = False


class Registry(Mapping[str, D], Generic[D]):
    """All members of a kind by name: seviz's own, then those of other packages.

    Parameters
    ----------
    made
        The class of the declarations.
    package
        Where seviz's own lie; also the group of entry points.
    group
        Group of entry points; the package by default.
    """

    def __init__(self, made: type[D], package: str, *, group: str | None = None) -> None:
        self._made, self._package, self.group = made, package, group or package
        self.kind = made.__name__.lower()

    def __getitem__(self, name: str) -> D:
        if name in self._own:
            function = getattr(import_module(f"{self._package}.{name}"), name)
        elif name in self._foreign:
            entry = self._foreign[name]
            try:
                function = entry.load()
            except Exception as error:
                raise DeclarationError(
                    f"the {self.kind} {name!r} of {_origin(entry)} cannot be loaded: {type(error).__name__}: {error}"
                ) from error
        else:
            raise OptionError(f"no {self.kind} {name!r}; expected one of {', '.join(self)}")
        declared = getattr(function, _MARK, None)
        if not isinstance(declared, self._made):
            where = _origin(self._foreign[name]) if name in self._foreign else self._package
            raise DeclarationError(
                f"the {self.kind} {name!r} of {where} is not declared: put @seviz.registry.{self.kind} above it"
            )
        if declared.name != name:
            raise DeclarationError(
                f"the {self.kind} {name!r} of {_origin(self._foreign[name])} is declared as {declared.name!r}:"
                " entry point and function need the same name"
            )
        return declared

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._foreign

    def __len__(self) -> int:
        return len(self._own) + len(self._foreign)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._foreign

    def is_own(self, name: str) -> bool:
        """Whether a member is seviz's own, rather than another package's."""
        return name in self._own

    def base(self, name: str) -> str:
        """The member that `name` is a variant of: NAME of NAME_by_X, where both are seviz's own or both are not."""
        base, by, _ = name.partition("_by_")
        return base if by and base in self and self.is_own(base) == self.is_own(name) else ""

    def outline(self, name: str) -> D:
        """The declaration of a member as its source states it; the module is imported when the function is called.

        The parameters of the function are not in it. A member whose source states more than literals is imported.
        """
        source, called = "", name
        if name in self._own:
            source = self._file(name).read_text(encoding="utf-8")
        elif name in self._foreign:
            source, called = _source(self._foreign[name]) or "", self._foreign[name].attr
        for node in ast.parse(source).body:
            if (decorator := _decorator(node, called, self.kind)) is not None:
                try:
                    stated = {each.arg: ast.literal_eval(each.value) for each in decorator.keywords if each.arg}
                except ValueError:
                    break

                def function(*args: Any, **options: Any) -> Any:
                    return self[name].function(*args, **options)

                function.__name__ = name
                return self._made(function=function, **stated)
        return self[name]

    def outlines(self) -> Iterator[D]:
        """The outlines of all members; one that cannot be had is warned of and left out."""
        for name in self:
            try:
                yield self.outline(name)
            except DeclarationError as error:
                warnings.warn(str(error), SevizWarning, stacklevel=2)

    def summary(self, name: str) -> str:
        """First line of the docstring of a member's module, read without importing it; empty where it has none."""
        return self._own[name] if name in self._own else first_line(_source(self._foreign[name]))

    @cached_property
    def _own(self) -> Mapping[str, str]:
        found = {}
        for path in sorted(self._file("*").parent.glob("*.py")):
            source = path.read_text(encoding="utf-8")
            if f"\n@{self.kind}(" in source and f"\ndef {path.stem}(" in source:
                found[path.stem] = first_line(source)
        return MappingProxyType(found)

    @cached_property
    def _foreign(self) -> Mapping[str, metadata.EntryPoint]:
        found: dict[str, metadata.EntryPoint] = {}
        for entry in sorted(metadata.entry_points(group=self.group), key=lambda each: each.name):
            if entry.name in self._own or entry.name in found:
                owner = "seviz" if entry.name in self._own else _origin(found[entry.name])
                warnings.warn(
                    f"the {self.kind} {entry.name!r} of {_origin(entry)} is not used: {owner} has one of that name",
                    SevizWarning,
                    stacklevel=2,
                )
                continue
            found[entry.name] = entry
        return MappingProxyType(found)

    def _file(self, name: str) -> Path:
        return Path(__file__).parent.joinpath(*self._package.split(".")[1:], f"{name}.py")

    def refresh(self) -> None:
        """Look again for members, after a package was installed."""
        for name in ("_own", "_foreign"):
            self.__dict__.pop(name, None)


def declaration_of(function: Callable[..., Any]) -> Declaration:
    """What was declared of a function; raises DeclarationError where nothing was."""
    declared = getattr(function, _MARK, None)
    if not isinstance(declared, Declaration):
        raise DeclarationError(f"{function!r} is not declared: put a decorator of seviz.registry above it")
    return declared


def _declares(made: type[Declaration]) -> Callable[..., Callable[[F], F]]:
    def declare(**declared: Any) -> Callable[[F], F]:
        def mark(function: F) -> F:
            setattr(function, _MARK, made(function=function, **declared))
            return function

        return mark

    return declare


table, figure, criterion, layout = (_declares(made) for made in (Table, Figure, Criterion, Layout))
TABLES = Registry(Table, "seviz.tables")
FIGURES = Registry(Figure, "seviz.figures")
CRITERIA = Registry(Criterion, "seviz.compression.criteria", group="seviz.criteria")
LAYOUTS = Registry(Layout, "seviz.capture.layouts", group="seviz.layouts")


def _decorator(node: ast.stmt, name: str, kind: str) -> ast.Call | None:
    """The decorator of a kind on the function of a name; None where a statement is no such function."""
    if not isinstance(node, ast.FunctionDef) or node.name != name:
        return None
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)]
    return next((each for each in calls if isinstance(each.func, ast.Name) and each.func.id == kind), None)


def first_line(source: str) -> str:
    """First line of the docstring of a module, read from its source; empty where there is none."""
    end = source.find('"""', 3)
    head = source[: end + 3] if source.startswith('"""') and end > 0 else source  # what follows takes time to parse
    try:
        return (ast.get_docstring(ast.parse(head)) or "").partition("\n")[0]
    except (SyntaxError, ValueError):
        return ""


def _origin(entry: metadata.EntryPoint) -> str:
    return "an unknown package" if entry.dist is None else f"the package {entry.dist.name!r}"


def _source(entry: metadata.EntryPoint) -> str:
    """Source of the module of an entry point; empty where its distribution does not have it as a file."""
    if entry.dist is None:
        return ""
    parts = entry.module.replace(".", "/")
    for path in (f"{parts}.py", f"{parts}/__init__.py"):
        try:
            return Path(str(entry.dist.locate_file(path))).read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
    return ""
