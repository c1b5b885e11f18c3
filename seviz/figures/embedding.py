"""Images on a plane by the gates of a block, coloured by class."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.album import Album, Drawing, LeftOut
from seviz.figures.fonts import Sheet
from seviz.figures.labels import entries, entry, legend_columns, thinned
from seviz.figures.style import COLOURS, MARKERS, WIDTHS, Width, style
from seviz.registry import figure
from seviz.tables.kept import table_of

MOST = 12
"""Classes that are told apart at most; of more, a few."""
_FEW = 7


def gates_on_a_plane(
    tables: Mapping[str, pd.DataFrame],
    *,
    names: Mapping[str, str] | None = None,
    classes: Sequence[str] | None = None,
    width: Width = "page",
    remark: str = "",
) -> Figure:
    """Draw a panel per block, a point per image.

    Parameters
    ----------
    tables
        By block, from `seviz.tables.principal_components.principal_components` or `neighbour_map`.
    names
        What to call the classes, by id; by default by their id.
    classes
        Which are coloured, by id; by default all, of more than 12 some, evenly spread. The others are grey.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Axes tell the share of variance of their component; a unit is as long along both. The points are an image
        inside SVG and PDF.

    Raises
    ------
    OptionError
        If no block is given, or one has no images.
    """
    if not tables or any(table.empty for table in tables.values()):
        raise OptionError(f"tables is of {', '.join(tables) or 'no block'}, expected some, each of one image or more")
    known = list(dict.fromkeys(name for table in tables.values() for name in table["class"]))
    if classes is None:
        classes = known if len(known) <= MOST else [known[k] for k in thinned(len(known), _FEW)]
    columns = min(len(tables), 3 if width == "page" else 2)
    rows = math.ceil(len(tables) / columns)
    with style():
        figure = Sheet(figsize=(WIDTHS[width], 0.6 + WIDTHS[width] / columns * 0.95 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(tables) :]:
            axes.remove()
        for axes, (block, table) in zip(grid.flat, tables.items(), strict=False):
            across, up = ("pc1", "pc2") if "pc1" in table else ("x", "y")
            others = table[~table["class"].isin(classes)]
            if len(others):
                axes.scatter(others[across], others[up], s=3, c="#D5D5D5", lw=0, rasterized=True, label="other classes")
            for k, name in enumerate(classes):
                own = table[table["class"] == name]
                label = entry((names or {}).get(name, name))
                axes.scatter(own[across], own[up], **_look(k), label=label)
            _name(axes, block, table.attrs.get("explained_variance", ()))
        handles, labels = entries(grid.flat[0])
        columns = legend_columns(labels, WIDTHS[width])
        figure.legend(handles, labels, loc="outside upper center", ncols=columns, markerscale=1.6, columnspacing=1.2)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _look(k: int) -> dict[str, Any]:
    """Full circles in all colours, then hollow squares, and so on."""
    turn, colour = k // len(COLOURS), COLOURS[k % len(COLOURS)]
    fill = {"facecolors": "none", "edgecolors": colour, "linewidths": 0.6, "s": 7}
    if turn % 2 == 0:
        fill = {"facecolors": colour, "edgecolors": "white", "linewidths": 0.15, "s": 6}
    return {**fill, "marker": MARKERS[turn % len(MARKERS)], "alpha": 0.85, "rasterized": True}


def _name(axes: Axes, block: str, shares: Sequence[float]) -> None:
    labels = ("PC 1", "PC 2") if len(shares) else ("UMAP 1", "UMAP 2")
    if len(shares) > 1 and not any(math.isnan(share) for share in shares):
        labels = f"PC 1: {shares[0]:.0%} of variance", f"PC 2: {shares[1]:.0%} of variance"
    axes.set_title(block)
    axes.set_xlabel(labels[0], labelpad=1)
    axes.set_ylabel(labels[1], labelpad=1)
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(visible=True, axis="both")
    if not len(shares):
        axes.set_xticks([])
        axes.set_yticks([])


@figure(
    title="Images on a plane by their gates",
    order=9,
    tables=("principal_components",),
    needs=("gates",),
    cost="gates",
    takes=("classes", "blocks"),
)
def embedding(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    tables = {block: table_of(album.run, "principal_components", block=block) for block in album.several}
    if any(table.empty for table in tables.values()):
        yield LeftOut(name, "no image has gates that are finite in all blocks")
        return
    chosen = None if album.classes is None else [album.run.classes.ids[album.run.class_index(c)] for c in album.classes]
    drawn = gates_on_a_plane(tables, names=album.names, classes=chosen, **album.look)
    data = pd.concat([table.assign(block=block) for block, table in tables.items()], ignore_index=True)
    yield Drawing(name, drawn, data[["block", *(column for column in data if column != "block")]])
