"""A module from a function in a person's own Python file."""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from torch import nn

from seviz.errors import FactoryError, OptionError, UnknownModelError


@dataclass(frozen=True)
class Made:
    """What a factory made.

    Attributes
    ----------
    module
        Its network.
    sha256
        Of the file that was executed.
    """

    module: nn.Module
    sha256: str


def made_by(spec: str, arguments: Mapping[str, Any]) -> Made:
    """Import a file, call its function, and give the module that it returns.

    Parameters
    ----------
    spec
        "path/to/file.py:factory". The file's directory can be imported from, also later, as functions import what
        they need when they are called.
    arguments
        For the function, by name.

    Raises
    ------
    UnknownModelError
        If there is no such file or function, or it returns something else.
    OptionError
        If the function does not take an argument.
    FactoryError
        If the file or the function raises an exception.
    """
    path, _, name = spec.rpartition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        raise UnknownModelError(f"model {spec!r} not found: there is no file {path!r}")
    with _importable(file.resolve().parent):
        module, sha256 = _imported(spec, file)
        make = getattr(module, name, None)
        if not callable(make):
            some = ", ".join(n for n, value in vars(module).items() if callable(value) and not n.startswith("_"))
            raise UnknownModelError(f"model {spec!r}: {path!r} has no function {name!r}; it has {some or 'none'}")
        _check(spec, name, make, arguments)
        with _told(spec, file):
            made = make(**arguments)
    if not isinstance(made, nn.Module):
        raise UnknownModelError(f"model {spec!r}: {name}() gave a {type(made).__name__}, expected a torch.nn.Module")
    return Made(made, sha256)


class _AsRead(SourceFileLoader):
    """Executes the bytes that its fingerprint is of, never a compiled copy that lies beside them."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self._source = Path(path).read_bytes()
        self.sha256 = hashlib.sha256(self._source).hexdigest()

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self._source, self.path)
        return code


def _imported(spec: str, file: Path) -> tuple[Any, str]:
    """The file as a module, known under its name as long as no other module has it, and its fingerprint."""
    name = file.stem
    if name in sys.modules:
        name = f"{name}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    try:
        loader = _AsRead(name, str(file))
    except OSError as error:
        reason = error.strerror or error
        raise UnknownModelError(f"model {spec!r}: {str(file)!r} cannot be read ({reason})") from error
    found = importlib.util.spec_from_file_location(name, file, loader=loader)
    if found is None:
        raise UnknownModelError(f"model {spec!r} cannot be imported from {str(file)!r}")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # as dataclasses look for it there
    try:
        with _told(spec, file):
            loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module, loader.sha256


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    """A directory is looked in first, and afterwards last."""
    place = str(directory)
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)


def _check(spec: str, name: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    try:
        takes = inspect.signature(make)
    except (TypeError, ValueError):  # as of functions without one
        return
    try:
        takes.bind(**arguments)
    except TypeError as error:
        known = {p.name for p in takes.parameters.values()}
        unknown = [argument for argument in arguments if argument not in known]
        if unknown:
            raise OptionError(
                f"{unknown[0]} is given, and {name} of {spec!r} does not take it; it takes"
                f" {', '.join(sorted(known)) or 'nothing'}"
            ) from error
        raise OptionError(
            f"{name} of {spec!r} cannot be called ({error}); give its arguments as model_kwargs"
        ) from error


@contextmanager
def _told(spec: str, file: Path) -> Iterator[None]:
    """Whatever a person's code raises is a FactoryError that says where."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == file.name
        ]
        where = f"{file}, line {frames[-1].lineno}" if frames else str(file)
        if isinstance(error, SyntaxError):
            where = f"{error.filename}, line {error.lineno}"
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
        raise FactoryError(f"model {spec!r} raised {reason} ({where}); mend the file, --traceback shows all") from error
