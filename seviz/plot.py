"""Figures of a run for notebooks: a function a figure, such as `seviz.plot.excitation(run, classes=["cat"])`."""

import inspect
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.album import Album, LeftOut, figures
from seviz.figures.style import own_settings
from seviz.registry import FIGURES
from seviz.run.store import Run


def __getattr__(name: str) -> Callable[..., Figure]:
    if name.startswith("__") or name not in FIGURES:
        raise AttributeError(f"seviz.plot has no figure {name!r}; expected one of {', '.join(figures())}")
    return _function(name)


def __dir__() -> list[str]:
    return list(figures())


def _function(name: str) -> Callable[..., Figure]:
    declared = FIGURES.outline(name)

    def plot(run: Run, **options: Any) -> Figure:
        unknown = sorted({*options} - {*declared.takes, "width"})
        if unknown:
            expected = ", ".join((*declared.takes, "width"))
            raise OptionError(f"the figure {name} has no option {unknown[0]!r}; expected some of {expected}")
        with own_settings(mpl.rcParams):
            drawn = list(Album(run=run, **options).draw([name]))
        if len(drawn) != 1:
            raise OptionError(f"{name} is a figure of one block; blocks has {len(drawn)}, expected one")
        if isinstance(drawn[0], LeftOut):
            raise OptionError(f"the figure {name} cannot be drawn: {drawn[0].reason}")
        return drawn[0].figure

    of_album = inspect.signature(Album).parameters
    taken = [of_album[option] for option in (*declared.takes, "width")]
    run = inspect.Parameter("run", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Run)
    plot.__signature__ = inspect.Signature([run, *taken], return_annotation=Figure)  # type: ignore[attr-defined]
    plot.__name__ = plot.__qualname__ = name
    plot.__doc__ = f"{declared.title}.\n\n{declared.caption}".rstrip()
    return plot
