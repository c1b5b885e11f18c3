"""The figures of a report, each with what it shows in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from seviz.figures.album import Album, LeftOut, figures
from seviz.run.store import Run


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes
    ----------
    name
        One word, for ids.
    title
        What it is.
    description
        What is drawn, as its caption and for those who cannot see it.
    figure
        As it was drawn.
    """

    name: str
    title: str
    description: str
    figure: Figure


def pictures(run: Run, tell: Callable[[str], None] | None = None) -> Iterator[Picture]:
    """Draw the figures of a run, those that can be drawn; of fewer than two images none.

    Parameters
    ----------
    run
        A finished run.
    tell
        Called before each is drawn.
    """
    if run.total(run.blocks[0]).count[0] < 2:
        return
    captioned = [each for each in figures().values() if each.caption]
    for each in sorted(captioned, key=lambda each: not each.leads):
        if tell is not None:
            tell(f"drawing {each.name}")
        for drawing in Album(run=run).draw([each.name]):
            if not isinstance(drawing, LeftOut):
                yield Picture(drawing.name, each.title, each.caption, drawing.figure)
