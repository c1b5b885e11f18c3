"""Which specs may be acted on: those that a person gives, and of those that stand in files the plain names.

A manifest or a `network.json` is text that anyone may have written, and a spec in it can name a Python file to execute
or a network to fetch. Such a spec is acted on only if it is a name of timm, torchvision or seviz, or the person says
so: for all that is named there (`trust_code`), or by giving the same spec (`model`).

The directory of a saved network is no code: it is JSON and tensors. What it is made from is a spec in its
`network.json`, and judged like any other, also through several such directories. An ONNX file is no code either; one
that a file names is read only if its SHA-256 is the one recorded there.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seviz.errors import SavedNetworkError, TrustError
from seviz.foreign import MEGABYTE, line, parse_json, read_regular, regular
from seviz.foreign import shown as value_shown
from seviz.network.specs import ONNX

LIBRARIES = ("timm", "torchvision", "seviz")
"""Whose networks can be named in a file: their code is installed already."""
HUB = "hf-hub:"
INSERTED = "+se"
"""Behind a spec: with SE blocks inserted."""
RECORD = "network.json"
"""What makes a directory that of a saved network."""

_NAME = re.compile(rf"({'|'.join(LIBRARIES)})/\w[\w.\-]*({re.escape(INSERTED)})?", re.ASCII)
_LARGEST = 64 * MEGABYTE  # bytes of a network.json
_LARGEST_ONNX = 2048 * MEGABYTE
_NESTED = 8  # directories, each made from the next
_SHOWN = 300  # characters of what a file says, in a message


@dataclass(frozen=True)
class Making:
    """What a network is made from in the end.

    Attributes
    ----------
    spec
        That is no directory of a saved network.
    directories
        Of the saved networks that lead there, the outermost first; none where the spec itself is `spec`.
    """

    spec: str
    directories: tuple[str, ...] = ()

    @property
    def foreign(self) -> bool:
        """Whether it takes more than code that is installed, and what its library offers."""
        return not self.onnx and not _NAME.fullmatch(self.spec)

    @property
    def code(self) -> str:
        """The Python file that is executed; empty where none is."""
        base = self.spec.removesuffix(INSERTED)
        return "" if base.startswith((HUB, ONNX)) or ".py:" not in base else base.rpartition(":")[0]

    @property
    def onnx(self) -> str:
        """The ONNX file that is read; empty where none is."""
        return self.spec.removesuffix(INSERTED).removeprefix(ONNX) if self.spec.startswith(ONNX) else ""

    @property
    def file(self) -> str:
        """The file that the network is made from, of Python or ONNX; empty where there is none."""
        return self.code or self.onnx

    @property
    def acts(self) -> bool:
        """Whether it is known to execute code or to fetch from strangers; what is not understood is `foreign` only."""
        return bool(self.code) or self.spec.startswith(HUB)

    @property
    def does(self) -> str:
        """What making the network does, as the end of a sentence; what is not understood counts as the worst."""
        if self.code:
            return f"executes the Python file {shown(self.code)}"
        if self.spec.startswith(HUB):
            return "fetches a network of someone's from the Hugging Face hub"
        return f"takes more than a name of {', '.join(LIBRARIES[:-1])} or {LIBRARIES[-1]}"


def is_saved_network(spec: str) -> bool:
    """Whether a spec is the directory of a saved network."""
    try:
        return (Path(spec) / RECORD).is_file()
    except OSError:  # such as a name that is too long
        return False


def making(spec: str) -> Making:
    """What a network is made from in the end, looked at in the order of `seviz.network.models.load`.

    Raises
    ------
    SavedNetworkError
        If the spec is the directory of a network that cannot be read, or leads from one to another without end.
    """
    directories: list[str] = []
    inner = spec
    while is_saved_network(inner):
        if len(directories) == _NESTED:
            raise SavedNetworkError(
                f"the network in {shown(spec)} is made from another, and that from another, {_NESTED} times over"
            )
        directories.append(inner)
        inner = _base_of(Path(inner))
    return Making(inner, tuple(directories))


def require_trust(
    spec: str,
    *,
    file: Path,
    field: str,
    trust_code: bool = False,
    model: str | None = None,
    recorded: str | None = None,
) -> Making:
    """Go on with a spec that stands in a file only if it may be acted on.

    Parameters
    ----------
    spec
        As it stands there.
    file, field
        Where.
    trust_code
        Whether the person trusts what files name.
    model
        The spec that the person gave; the same as what it is made from in the end is consent to that.
    recorded
        The SHA-256 that the record has of the Python or ONNX file that the spec names; None where it has none.

    Returns
    -------
    Making
        What the network is made from in the end.

    Raises
    ------
    TrustError
        If it would execute code or fetch from strangers, or read an ONNX file other than the one recorded, and the
        person said nothing of it.
    SavedNetworkError
        As of `making`.
    """
    made = making(spec)
    if trust_code or model == made.spec:
        return made
    if made.directories:
        file, field = Path(made.directories[-1]) / RECORD, "base"
        recorded = read_raw(file.parent).get("factory_sha256") if made.onnx else None
    does = made.does if made.foreign else _reads_another(made, recorded)
    if not does:
        return made
    raise TrustError(
        f"{str(file)!r} has {field} {shown(made.spec)}, and making that network {does}. What a file names is not"
        " trusted by itself: where you trust it, give --trust-code (trust_code=True), or the same spec yourself,"
        f" --model {shown(made.spec)} (model=...)"
    )


def _reads_another(made: Making, recorded: object) -> str:
    """That the ONNX file is not the one recorded, as the end of a sentence; empty where it is, or is not there."""
    if not made.onnx:
        return ""
    reads = f"reads the ONNX file {shown(made.onnx)}"
    try:
        place = Path(made.onnx).expanduser().resolve(strict=True)
        regular(place, within=place.parent, largest=_LARGEST_ONNX)
        now = file_sha256(place)
    except FileNotFoundError:  # which is told where it is to be read
        return ""
    except (OSError, ValueError, RuntimeError) as error:  # such as a loop of links, or no home
        return f"{reads} ({line(error)})"
    if now == recorded:
        return ""
    there = f"is another file now: SHA-256 {now[:12]}, there {str(recorded)[:12]}"
    return f"{reads}, {'whose SHA-256 is not recorded there' if recorded is None else f'which {there}'}"


def read_raw(directory: Path) -> dict[str, Any]:
    """What the `network.json` of a saved network holds, unchecked but for its form.

    Raises
    ------
    SavedNetworkError
        If it is no regular file in the directory, larger than any that was written, or no object of JSON.
    """
    path = directory / RECORD
    try:
        raw = parse_json(read_regular(path, within=directory, largest=_LARGEST))
        if not isinstance(raw, dict):
            raise ValueError(f"it is {value_shown(raw)}, expected an object with the fields of a network")
    except (OSError, ValueError) as error:
        raise SavedNetworkError(f"{str(path)!r} is damaged: {line(error)}") from error
    return raw


def _base_of(directory: Path) -> str:
    """The spec that a saved network is made from."""
    base = read_raw(directory).get("base")
    if not isinstance(base, str):
        what = "base is missing" if base is None else f"base is {value_shown(base)}, expected a spec"
        raise SavedNetworkError(f"{str(directory / RECORD)!r} is damaged: {what}")
    return base


def factory_remark(made: Making, recorded: str | None, *, file: Path) -> str:
    """That the file which makes it is another than when a record was written; empty where it is not, or unknown.

    Parameters
    ----------
    made
        What a network is made from.
    recorded
        The SHA-256 that the record has of the Python or ONNX file; None where it has none.
    file
        The record.
    """
    if not made.file or recorded is None:
        return ""
    try:
        now = file_sha256(Path(made.file))
    except OSError:  # which is told where the file is to be executed
        return ""
    if now == recorded:
        return ""
    kind = "Python" if made.code else "ONNX"
    return (
        f"The {kind} file {shown(made.file)} was changed since {str(file)!r} was written (SHA-256 {now[:12]}, there"
        f" {recorded[:12]}): with the same weights, too, its network may compute something else."
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(text: str) -> str:
    """What a file says, in quotes, without control characters and not too long."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def named(what: str, name: str, file: Path) -> str:
    """That something is used by the name that a file has of it, as a line for a person."""
    return f"{what}: {shown(name)}, as {str(file)!r} says"


def told(message: str) -> None:
    """Say on stderr what a file leads to before it is done."""
    sys.stderr.write(f"{message}\n")
