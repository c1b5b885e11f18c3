"""Spread of excitation within classes, by depth."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from seviz.figures.album import Album, Drawing
from seviz.figures.excitation import classes_of, legend_of_classes, look_of, panels_by_block
from seviz.figures.labels import entry
from seviz.figures.style import Width, style
from seviz.registry import figure
from seviz.tables.excitation import default_classes


def spread_by_depth(table: pd.DataFrame, *, width: Width = "page", remark: str = "") -> Figure:
    """Draw a panel per block: mean excitation of each class, and one standard deviation over images around it.

    Parameters
    ----------
    table
        From `seviz.tables.excitation.excitation`; of two classes, to stay legible.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.
    """
    with style():
        figure, panels = panels_by_block(table, width, remark)
        for block, axes in panels.items():
            rows = table[table["block"] == block]
            for k, (class_id, name) in enumerate(classes_of(table)):
                own, look = rows[rows["class"] == class_id], look_of(k)
                x, low, high = range(len(own)), own["mean"] - own["std"], own["mean"] + own["std"]
                axes.fill_between(x, low, high, color=look["color"], alpha=0.22, lw=0)
                axes.plot(x, own["mean"], **look, label=f"{entry(name)}, mean ± one standard deviation")
        legend_of_classes(figure, width)
    return figure


@figure(
    title="Spread of excitation within two classes",
    caption=(
        "The same panels for two classes: the mean excitation, and around it one standard deviation over the "
        "images of the class. Where bands do not overlap, a single gate tells the two apart."
    ),
    order=2,
    takes=("classes", "blocks", "channels", "seed"),
)
def spread(album: Album, name: str) -> Iterator[Drawing]:
    """Draw it of an album."""
    table = album.excitation((album.classes or default_classes(album.run, 4))[:2])
    yield Drawing(name, spread_by_depth(table, **album.look), table)
