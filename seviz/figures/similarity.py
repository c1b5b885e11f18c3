"""Which classes are alike to a block, across depth: a matrix of distances and its tree, block by block."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.figures.album import NO_IMAGE, Album, Drawing, LeftOut
from seviz.figures.fonts import Sheet
from seviz.figures.labels import shortened, thinned
from seviz.figures.style import INK, LEVELS, WIDTHS, Width, style
from seviz.registry import figure
from seviz.stats.distances import tree
from seviz.tables.kept import table_of

_SIDE = {"page": 1.55, "column": 1.15}  # inches of a matrix, about
_NAME = 12  # characters of a class
_SAME = 1e-9  # distances that are smaller are rounding


def classes_across_depth(
    tables: Mapping[str, pd.DataFrame],
    *,
    names: Mapping[str, str] | None = None,
    width: Width = "page",
    remark: str = "",
) -> Figure:
    """Draw a panel per block: how unlike each other classes are, clustered, with the tree above.

    Parameters
    ----------
    tables
        By block, from `seviz.tables.similarity.similarity`; all by the same metric.
    names
        What to call the classes, by id; by default by their id.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Colours mean the same distance in all panels; trees have an axis each. Classes stand in the order of each
        block's own tree. The cells are an image inside SVG and PDF.

    Raises
    ------
    OptionError
        If no block is given, or one has no classes.
    """
    if not tables or any(table.empty for table in tables.values()):
        raise OptionError(f"tables is of {', '.join(tables) or 'no block'}, expected some, each of one class or more")
    names = names or {}
    most = max((float(np.nanmax(table)) for table in tables.values() if table.notna().any(axis=None)), default=0)
    columns = min(len(tables), 3 if width == "page" else 2)
    rows = math.ceil(len(tables) / columns)
    with style():
        side = _SIDE[width]
        figure = Sheet(figsize=(WIDTHS[width], 0.5 + (side + 0.7) * rows), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.02, hspace=0.01)  # type: ignore[union-attr, call-arg]
        grid = figure.subplots(2 * rows, columns, height_ratios=[0.4, side] * rows, squeeze=False)
        matrices = []
        for k, (block, table) in enumerate(tables.items()):
            above, axes = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
            order = _tree(above, tree(table), len(table))
            above.set_title(block)
            matrices.append(axes)
            data = table.iloc[order, order]
            sns.heatmap(
                data,
                ax=axes,
                cbar=False,
                cmap=f"{LEVELS}_r",
                vmin=0,
                vmax=most if most > _SAME else 1,
                xticklabels=False,
                yticklabels=False,
                rasterized=True,
            )
            axes.set(xlabel="", ylabel="")
            written = thinned(len(data), side / 0.1)
            labels = [shortened(names.get(str(data.index[j]), str(data.index[j])), _NAME) for j in written]
            axes.set_yticks([j + 0.5 for j in written], labels, rotation=0, fontsize=6)
        for unused in range(len(tables), rows * columns):
            grid[2 * (unused // columns), unused % columns].remove()
            grid[2 * (unused // columns) + 1, unused % columns].remove()
        metric = next(iter(tables.values())).attrs.get("metric", "")
        label = "distance between classes" + (f" (1 − {metric})" if metric else "")
        figure.colorbar(matrices[0].collections[0], ax=matrices, label=label, shrink=0.6, aspect=30)
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


def _tree(axes: Axes, linkage: NDArray[np.float64], leaves: int) -> list[int]:
    """Draw a tree above its leaves, each half a unit from the next whole one; gives the order of the leaves."""
    order = _leaves(linkage, leaves)
    place = {leaf: at + 0.5 for at, leaf in enumerate(order)}
    height = dict.fromkeys(range(leaves), 0.0)
    lines = []
    for k, (left, right, top) in enumerate(linkage[:, :3]):
        ends = int(left), int(right)
        (x0, x1), (y0, y1) = (place[end] for end in ends), (height[end] for end in ends)
        lines.append([(x0, y0), (x0, top), (x1, top), (x1, y1)])
        place[leaves + k], height[leaves + k] = (x0 + x1) / 2, float(top)
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=min(0.6, 30 / leaves), rasterized=leaves > 200))
    axes.set_xlim(0, leaves)
    greatest = max(height.values())
    axes.set_ylim(0, 1.05 * greatest if greatest > 0 else 1)
    axes.set_yticks([0, greatest] if greatest > 0 else [0], ["0", f"{greatest:.2g}"][: 1 + (greatest > 0)])
    axes.tick_params(labelsize=5.5)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return order


def _leaves(linkage: NDArray[np.float64], leaves: int) -> list[int]:
    """The leaves from left to right; without recursion, since a tree of many classes can be deep."""
    members = {leaf: [leaf] for leaf in range(leaves)}
    for k, (left, right) in enumerate(linkage[:, :2].astype(int)):
        members[leaves + k] = members.pop(left) + members.pop(right)
    return next(iter(members.values()))


@figure(
    title="Which classes are alike",
    caption=(
        "A panel a block: how unlike each other the mean gates of any two classes are, with the tree of classes "
        "above. Dark and light mean the same distance in all panels."
    ),
    order=8,
    tables=("similarity",),
    takes=("blocks",),
)
def similarity(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    tables = {block: table_of(album.run, "similarity", block=block) for block in album.several}
    if all(table.empty for table in tables.values()):
        yield LeftOut(name, NO_IMAGE)
        return
    drawn = classes_across_depth(tables, names=album.names, **album.look)
    long = [
        table.rename_axis(columns="other").reset_index().melt("class", value_name="distance").assign(block=block)
        for block, table in tables.items()
    ]
    yield Drawing(name, drawn, pd.concat(long, ignore_index=True)[["block", "class", "other", "distance"]])
