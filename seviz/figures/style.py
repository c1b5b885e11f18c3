"""One style for all figures: colours that colour-blind eyes tell apart, line styles that survive a grey printer."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from seviz.figures.fonts import FAMILY
from seviz.run.files import write_atomically

Width = Literal["column", "page"]
WIDTHS: dict[Width, float] = {"column": 3.4, "page": 7.0}
"""Inches: a column and a page of a two-column paper."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito, "Color Universal Design", 2008, in an order whose neighbours differ in lightness."""
LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (4, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, FAINT = "#222222", "#8A8A8A"
LEVELS, SIGNED = "cividis", "RdBu_r"
"""Colour maps of amounts, and of differences to either side of 0."""

_STYLE: dict[Any, Any] = {
    "font.family": FAMILY,
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,  # a class name with dollars in it is no formula
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "seviz",
    "svg.fonttype": "none",
}

# Dates and versions would make the same figure other bytes tomorrow.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


_OWN: ContextVar[dict[Any, Any] | None] = ContextVar("own settings", default=None)


@contextmanager
def own_settings(settings: mpl.RcParams) -> Iterator[None]:
    """Within the context, settings that differ from the defaults of matplotlib win over the style of seviz."""
    kept = {name: settings[name] for name in _STYLE if name in settings and settings[name] != mpl.rcParamsDefault[name]}
    token = _OWN.set(kept)
    try:
        yield
    finally:
        _OWN.reset(token)


@contextmanager
def style() -> Iterator[None]:
    """The style of seviz, inside the context only."""
    own = _OWN.get() or {}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        if "font.size" in own:  # other sizes follow it
            mpl.rcParams.update(
                {
                    name: mpl.rcParamsDefault[name]
                    for name in _STYLE
                    if name.endswith(("labelsize", "titlesize", "fontsize"))
                }
            )
        mpl.rcParams.update(own)
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix: same figure, same bytes.

    Parameters
    ----------
    figure
        From one of the plots.
    path
        Ending in .png, .pdf or .svg; its directory is made if need be.

    Raises
    ------
    WriteError
        If it cannot be written; a file that was there stays.
    """
    kind = path.suffix.removeprefix(".")
    content = io.BytesIO()
    with style():
        options: dict[str, Any] = {"pil_kwargs": {"optimize": True}} if kind == "png" else {}
        figure.savefig(content, format=kind, metadata=_METADATA[kind], **options)
    write_atomically(path, content.getvalue())
