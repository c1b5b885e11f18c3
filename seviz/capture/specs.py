"""What a data set can be given as: a layout of `seviz.registry.LAYOUTS` and, behind a colon, where it is."""

import os
import warnings
from pathlib import Path

from seviz.errors import DataNotFoundError, DeclarationError, SevizWarning
from seviz.registry import LAYOUTS

BUNDLED = "bundled"
FOLDER = "folder"
"""The layouts that are given without a colon."""


def parse(spec: str) -> tuple[str, Path]:
    """The name of the layout of a data set, and where it is."""
    if spec == BUNDLED:
        return BUNDLED, Path()
    prefix, _, rest = spec.partition(":")
    if prefix in LAYOUTS and prefix not in (FOLDER, BUNDLED) and rest and not Path(spec).is_dir():
        return prefix, Path(os.path.expanduser(rest))  # since a shell does not, after a colon
    return FOLDER, Path(spec)


def forms() -> list[str]:
    """How data sets can be given, by layouts with a colon; a layout that cannot be loaded is warned of."""
    found: list[str] = []
    for name in LAYOUTS:
        try:
            found += LAYOUTS[name].forms if name not in (FOLDER, BUNDLED) else ()
        except DeclarationError as error:
            warnings.warn(str(error), SevizWarning, stacklevel=2)
    return found


def in_words() -> str:
    """What a data set can be given as, for messages and help."""
    *most, last = forms()
    return f"a folder with one folder per class, {BUNDLED}, {', '.join(most)} or {last}"


def existing(spec: str, where: Path, moved: Path | None = None, *, file: bool = False) -> Path:
    """The directory or file of a data set or, of a directory that is not there, where it was moved to.

    Raises
    ------
    DataNotFoundError
        If there is none.
    """
    if where.is_file() if file else where.is_dir():
        return where
    if moved is not None and not file:
        return moved
    what = f"is no {'file' if file else 'directory'}" if where.exists() else "does not exist"
    if str(where) != spec:
        what = f"is to be in {str(where)!r}, which {what}"
    raise DataNotFoundError(f"data {spec!r} {what}; expected {in_words()}")
