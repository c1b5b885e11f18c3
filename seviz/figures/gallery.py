"""The images that excite a channel most, and least."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from seviz.capture.images import Decoded
from seviz.capture.pictures import read_picture
from seviz.errors import DataNotFoundError, OptionError
from seviz.figures.album import Album, Drawing, LeftOut
from seviz.figures.fonts import Sheet
from seviz.figures.labels import shortened
from seviz.figures.style import FAINT, WIDTHS, Width, style
from seviz.network.trust import named, told
from seviz.numerals import decimals
from seviz.registry import figure
from seviz.run.inside import OUTSIDE, image_path
from seviz.tables.channels import channels as channels_of

KINDS = ("most excited", "least excited")
GALLERY = 3
"""Channels whose images are shown."""
_SIDE = 160  # pixels of a tile at most


def exciting_images(
    table: pd.DataFrame, root: Path | None, *, rotate: bool = False, width: Width = "page", remark: str = ""
) -> Figure:
    """Draw the most and the least exciting images of channels, with class and excitation beneath each.

    Parameters
    ----------
    table
        From `seviz.tables.channels.channels`, of a few channels of one block.
    root
        What its paths are relative to; None where the images are no files.
    rotate
        Turn images as their EXIF orientation says, as the capture did.
    width, remark
        As in `seviz.figures.excitation.excitation_by_depth`.

    Returns
    -------
    matplotlib.figure.Figure
        A row a channel, on a page; in a column two, the least exciting beneath. An image that cannot be read is an
        empty tile that says why.

    Raises
    ------
    OptionError
        If the table has no images, as where the run keeps no gates.
    """
    table = table[table["kind"].isin(KINDS)]
    if table.empty:
        raise OptionError("table has no images, expected rows whose kind is 'most excited' or 'least excited'")
    channels, number = list(dict.fromkeys(table["channel"])), int(table["rank"].max())
    side_by_side = width == "page"
    rows = len(channels) * (1 if side_by_side else 2)
    ratios = [1.0] * number + ([0.25] + [1.0] * number if side_by_side else [])
    tile = (WIDTHS[width] - 0.5) / sum(ratios)
    with style():
        figure = Sheet(
            figsize=(WIDTHS[width], 0.35 + rows * (tile + (0.34 if side_by_side else 0.48))), layout="constrained"
        )
        figure.get_layout_engine().set(w_pad=0.01, h_pad=0.02, wspace=0.01, hspace=0.01)  # type: ignore[union-attr, call-arg]
        grid = figure.subplots(rows, len(ratios), width_ratios=ratios, squeeze=False)
        for k, channel in enumerate(channels):
            for turn, kind in enumerate(KINDS):
                row, first = (k, turn * (number + 1)) if side_by_side else (2 * k + turn, 0)
                images = table[(table["channel"] == channel) & (table["kind"] == kind)].set_index("rank")
                for rank in range(1, number + 1):
                    axes = grid[row, first + rank - 1]
                    if rank in images.index:
                        _tile(axes, images.loc[rank], root, rotate, tile)
                    else:
                        axes.set_axis_off()
                if turn == 0 or not side_by_side:
                    grid[row, first].set_ylabel(f"channel {channel}")
                if row == 0 or not side_by_side:
                    grid[row, first].set_title(kind)
            if side_by_side:
                grid[k, number].set_axis_off()
        blocks = ", ".join(dict.fromkeys(table["block"]))
        said = f"{blocks}; beneath each image its class and its excitation" + (f"\n{remark}" if remark else "")
        figure.supxlabel(said, fontsize=7)
    return figure


def _tile(axes: Axes, image: pd.Series, root: Path | None, rotate: bool, inches: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    decoded = _read(root, str(image["path"]), rotate)
    if not isinstance(decoded.image, Image.Image):
        axes.set_box_aspect(1)
        axes.set_facecolor("#F2F2F2")
        for spine in axes.spines.values():
            spine.set(linestyle=(0, (2, 2)), color=FAINT)
        said = shortened(decoded.reason, 28).split(" ")
        text = "\n".join(["no image:", *said])
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=4.5, color=FAINT)
    else:
        decoded.image.thumbnail((_SIDE, _SIDE))
        axes.imshow(np.asarray(decoded.image.convert("RGB")), interpolation="nearest")
    length = max(int(inches / 0.055), 6)
    axes.set_xlabel(
        f"{shortened(str(image['class_name']), length)}\n{decimals(image['value'], 3)}", fontsize=5.5, labelpad=1.5
    )


def _read(root: Path | None, path: str, rotate: bool) -> Decoded:
    """An image by the path that the run tells."""
    if root is None:
        return Decoded(None, "failed", "not a file")
    try:
        file = image_path(root, path)
        return read_picture(file, rotate=rotate) if file.exists() else Decoded(None, "failed", "file not found")
    except DataNotFoundError:
        return Decoded(None, "failed", OUTSIDE)
    except OSError as error:  # such as a name that is too long
        return Decoded(None, "failed", error.strerror or str(error))


@figure(
    title="Images that excite channels most and least",
    order=10,
    needs=("gates", "images"),
    cost="gates",
    takes=("blocks",),
    each_block=True,
)
def gallery(album: Album, name: str) -> Iterator[Drawing | LeftOut]:
    """Draw it of an album."""
    data = album.run.manifest.data
    if data.root:
        told(named("images", data.root, album.run.path / "manifest.json"))
    for block, called in album.each(name):
        table = channels_of(album.run, block, only=album.most_specific(block, GALLERY))
        if not table["kind"].str.endswith("excited").any():
            yield LeftOut(called, " ".join(table.attrs["remarks"]) or f"no image has a gate in {block}")
            continue
        root, rotate = Path(data.root) if data.root else None, album.run.manifest.engine.rotate
        yield Drawing(called, exciting_images(table, root, rotate=rotate, **album.look), table)
