"""Which runs the dashboard opens: those in the folders given at its start, and no others."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from seviz.errors import RunNotFoundError
from seviz.texts import path_text

DEMO = Path("runs/demo")
"""The run that `seviz demo` makes, shown where no run is given."""
TRUST = "--trust-code"
"""On the command line: what runs name may be executed or fetched."""
VARIABLE = "SEVIZ_RUNS"
"""Of the environment: runs, and folders of runs, as in PATH."""


def given(arguments: Iterable[str], environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The runs and folders given: on the command line, else by the environment; empty if by neither."""
    from_environment = [part for part in environment.get(VARIABLE, "").split(os.pathsep) if part]
    on_the_line = [part for part in arguments if part != TRUST]
    return tuple(Path(part) for part in (on_the_line or from_environment))


def trusts(arguments: Iterable[str]) -> bool:
    """Whether the person said at the start that what runs name may be executed or fetched; nothing else says so."""
    return TRUST in arguments


def find_runs(places: Iterable[Path]) -> dict[str, Path]:
    """The runs at some places, by the name they go by in a link.

    Parameters
    ----------
    places
        Directories of runs, and folders that hold such; those in hidden folders, and links that lead out of a folder,
        are left out.

    Returns
    -------
    dict
        By the name of the directory; where two have the same, with as many of the folders above as tell them apart.

    Raises
    ------
    RunNotFoundError
        If a place is not there, or holds no run.
    """
    found: dict[Path, None] = {}
    for place in places:
        here = [place] if _is_run(place) else [path for path in _below(place) if _is_run(path)]
        if not here:
            raise RunNotFoundError(
                f"no run in {str(place)!r}: expected a directory that `seviz capture` made, or a folder of such"
            )
        found.update(dict.fromkeys(path.resolve() for path in here))
    return _named(list(found))


def _is_run(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _below(place: Path) -> list[Path]:
    """The folders in a folder, in the order of their names."""
    if not place.is_dir():
        return []
    root = place.resolve()
    inside = (path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in inside if path.resolve().is_relative_to(root))


def _named(paths: list[Path]) -> dict[str, Path]:
    """Each path by the least of its last parts that no other ends in."""
    names = {}
    for path in paths:
        others = [other for other in paths if other != path]
        number = next(
            (n for n in range(1, len(path.parts) + 1) if all(other.parts[-n:] != path.parts[-n:] for other in others)),
            len(path.parts),
        )
        names[path_text(re.sub(r"^/+", "", "/".join(path.parts[-number:])))] = path
    return names
