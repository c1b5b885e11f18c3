"""The figures of a report, each with what it shows in words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure

from seviz.figures.album import Album, LeftOut
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


FIGURES = {
    "depth": (
        "Profile of the blocks by depth",
        "Block by block in order of depth: the share of the gates' variance that lies between classes; how often the"
        " class of an image is read off the gates of that block alone; and the shares of gates near 0 and near 1.",
    ),
    "excitation": (
        "Mean excitation of some classes",
        "A panel a block: the mean excitation of some classes, and of all, over at most 50 channels drawn at random."
        " Where lines lie on one another the block treats classes alike, where they part it is class-specific.",
    ),
    "spread": (
        "Spread of excitation within two classes",
        "The same panels for two classes: the mean excitation, and around it one standard deviation over the images of"
        " the class. Where bands do not overlap, a single gate tells the two apart.",
    ),
    "specificity": (
        "Class specificity by depth",
        "Above: the share of the gates' variance that lies between classes, bias-corrected, with its interval, and 0,"
        " which it is on average where classes make no difference. Beneath: how much that is, as the standard deviation"
        " of the excitation between classes and over all images.",
    ),
    "saturation": (
        "Saturation",
        "Above: how the mean excitations of a block's channels are spread. In the middle: the shares of gates near 0"
        " and near 1, and what is to be said of the block. Beneath: how far the gates are from 1, where a block would"
        " change nothing, and from the mean of their channel, where it would be constant.",
    ),
    "similarity": (
        "Which classes are alike",
        "A panel a block: how unlike each other the mean gates of any two classes are, with the tree of classes above."
        " Dark and light mean the same distance in all panels.",
    ),
    "convergence": (
        "Whether there are images enough",
        "How far two samples of the images agree, the more images of each class they have: on the order of channels by"
        " the mean gate of a class, on their order by class specificity, and on the class specificity of the block. In"
        " the shaded part they are stable.",
    ),
}
"""Title and description of each figure of `seviz.figures.album` that is shown, in order."""


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
    for name, (title, description) in FIGURES.items():
        if tell is not None:
            tell(f"drawing {name}")
        for drawing in Album(run=run).draw([name]):
            if not isinstance(drawing, LeftOut):
                yield Picture(drawing.name, title, description, drawing.figure)
