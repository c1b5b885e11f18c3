"""Classes against channels of one block: where a class opens or shuts what others leave as it is."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from seviz.errors import OptionError
from seviz.figures.album import NO_IMAGE, Album, Drawing, LeftOut
from seviz.figures.fonts import Sheet
from seviz.figures.labels import shortened, thinned
from seviz.figures.style import LEVELS, SIGNED, WIDTHS, Width, style
from seviz.registry import figure
from seviz.tables.kept import table_of
from seviz.tables.similarity import order_of_channels

_ROW, _HEIGHTS = 0.15, (0.7, 4.5)  # inches of a class, and of all together


def class_by_channel(
    table: pd.DataFrame,
    block: str,
    *,
    names: Mapping[str, str] | None = None,
    clustered: bool = False,
    width: Width = "page",
    remark: str = "",
) -> Figure:
    """Draw the mean excitation of each class in each channel, as its difference from the mean over classes.

    Parameters
    ----------
    table
        (class by id, channel), mean excitation, in the order drawn: `run[block]["mean"].to_pandas()`, its classes in
        the order of the index of `seviz.tables.similarity.similarity`, its channels in that of
        `seviz.tables.similarity.order_of_channels`.
    block
        Which it is, for the title.
    names
        What to call the classes, by id; by default by their id.
    clustered
        Whether the channels are in such an order, for the label.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        Above, a strip with the mean over the classes; beneath, the classes' differences from it. Classes without
        images are left out. The cells are an image inside SVG and PDF.

    Raises
    ------
    OptionError
        If the table has no class with images.
    """
    means = table.dropna(how="all")
    if means.empty:
        raise OptionError(f"table of {block} has {len(table)} classes and none with images, expected one or more")
    everyone = means.mean(axis=0)
    apart = means - everyone
    limit = max(float(np.nanmax(np.abs(apart.to_numpy()), initial=0)), 1e-3)
    height = float(np.clip(_ROW * len(means), *_HEIGHTS))
    with style():
        figure = Sheet(figsize=(WIDTHS[width], height + 1.15), layout="constrained")
        grid = figure.subplots(2, 2, width_ratios=(40, 1), height_ratios=(0.2, height))
        (strip, level), (main, difference) = grid
        ends = float(np.nanmin([0.0, *everyone])), float(np.nanmax([1.0, *everyone]))
        for axes, bar, data, colours, (low, high) in (
            (strip, level, everyone.to_frame().T, LEVELS, ends),
            (main, difference, apart, SIGNED, (-limit, limit)),
        ):
            sns.heatmap(
                data,
                ax=axes,
                cbar_ax=bar,
                cmap=colours,
                vmin=low,
                vmax=high,
                xticklabels=False,
                yticklabels=False,
                rasterized=True,
            )
            axes.set(xlabel="", ylabel="")
            bar.tick_params(labelsize=6)
        strip.set_title(f"{block}: mean over classes")
        level.set_yticks(ends, [f"{end:.2g}" for end in ends])
        main.set_title("each class, less that mean")
        written = thinned(len(means), height / 0.11)
        labels = [shortened((names or {}).get(means.index[k], str(means.index[k]))) for k in written]
        main.set_yticks([k + 0.5 for k in written], labels, rotation=0)
        main.set_xlabel(f"{means.shape[1]} channels" + (", like ones beside each other" if clustered else ""))
        difference.set_ylabel("difference of\nthe excitation")
        if remark:
            figure.supxlabel(remark, fontsize=7)
    return figure


@figure(
    title="Classes by channels of a block",
    order=6,
    tables=("similarity",),
    takes=("blocks",),
    each_block=True,
)
def heatmap(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    if not album.run.moments(album.run.blocks[0]).count.any():
        yield LeftOut(name, NO_IMAGE)
        return
    for block, called in album.each(name):
        classes = list(table_of(album.run, "similarity", block=block).index)
        order = order_of_channels(album.run, block)
        table = pd.DataFrame(album.run[block]["mean"].to_pandas()).loc[classes, order]
        drawn = class_by_channel(table, block, names=album.names, clustered=True, **album.look)
        yield Drawing(called, drawn, table.rename_axis(index="class").reset_index())
