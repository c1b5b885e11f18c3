"""Arrays in folders: multi-band images and other inputs that are no pictures, one file each."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

from seviz.capture.arrays import EXTENSIONS, read_array
from seviz.capture.images import Decoded
from seviz.capture.indexed import Dataset, Preprocess
from seviz.capture.layouts.folders import open_folder


@dataclass(frozen=True, eq=False)
class Arrays(Dataset):
    """Files that hold an array (channels, positions...) each; see `seviz.capture.arrays`."""

    arrays: ClassVar[bool] = True

    def _decoded(self, index: int, *, rotate: bool, channels: int) -> Decoded:
        return read_array(Path(self._file(index)))


def open_arrays(spec: str, root: Path, *, split: str | None, preprocess: Preprocess | None = None) -> Arrays:
    """Open arrays in class folders, with or without splits, as `seviz.capture.layouts.folders.open_folder` does.

    Parameters
    ----------
    spec
        As the data set was given.
    root
        An existing directory.
    split
        Which part, where it comes in several.
    preprocess
        "none", the default: values as the network takes them; "model": through the network's own preprocessing, with
        whole numbers scaled to [0, 1] by the range of their type first. Images are resized, cropped and normalised;
        signals and volumes are normalised.

    Raises
    ------
    OptionError, EmptyDataError, DataNotFoundError
        As in `open_folder`.
    """
    found = open_folder(spec, root, split=split, extensions=EXTENSIONS, items="array")
    how: Preprocess = "none" if preprocess is None else preprocess
    data = Arrays(**{each.name: getattr(found, each.name) for each in fields(found)})
    note = "arrays are taken as they are, in the network's dtype (--preprocess model: prepared as the network says)"
    return replace(data, preprocess=how, notes=(*found.notes, *([note] if preprocess is None else [])))
