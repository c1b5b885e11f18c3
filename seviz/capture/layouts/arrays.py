"""Arrays in folders: multi-band images and other inputs that are no pictures, one file each."""

from dataclasses import fields, replace
from pathlib import Path

from seviz.capture.arrays import EXTENSIONS, Arrays
from seviz.capture.class_folders import open_folder
from seviz.capture.indexed import Preprocess
from seviz.capture.specs import existing
from seviz.registry import layout


@layout(
    forms=("arrays:ROOT",),
    title="Arrays",
    caption="folders as above, of arrays (channels, height, width), (channels, length) or"
    " (channels, depth, height, width) in `.npy`, `.npz` and `.pt` files, with as many channels as the network"
    " takes",
)
def arrays(
    spec: str,
    where: Path,
    *,
    split: str | None = None,
    root: Path | None = None,
    preprocess: Preprocess | None = None,
) -> Arrays:
    """Open arrays in class folders, with or without splits, as `seviz.capture.class_folders.open_folder` does.

    Parameters
    ----------
    spec
        As the data set was given.
    where
        The directory.
    split
        Which part, where it comes in several.
    root
        The directory, if it was moved.
    preprocess
        "none", the default: values as the network takes them; "model": through the network's own preprocessing, with
        whole numbers scaled to [0, 1] by the range of their type first. Images are resized, cropped and normalised;
        signals and volumes are normalised.

    Raises
    ------
    OptionError, EmptyDataError, DataNotFoundError
        As in `open_folder`.
    """
    found = open_folder(spec, root or existing(spec, where), split=split, extensions=EXTENSIONS, items="array")
    how: Preprocess = "none" if preprocess is None else preprocess
    data = Arrays(**{each.name: getattr(found, each.name) for each in fields(found)})
    note = "arrays are taken as they are, in the network's dtype (--preprocess model: prepared as the network says)"
    return replace(data, preprocess=how, notes=(*found.notes, *([note] if preprocess is None else [])))
