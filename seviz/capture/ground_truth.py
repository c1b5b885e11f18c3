"""The ground truth of ImageNet's validation images, in the three forms in which it is to be had."""

import re
from collections.abc import Sequence
from pathlib import Path

from seviz.capture.class_folders import are_synsets
from seviz.errors import DataFormatError, DataNotFoundError

_KAGGLE = "LOC_val_solution.csv"
_SYNSETS = "*synset_labels.txt"
_DEVKIT = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"
_WITHIN = ("", "ILSVRC2012_devkit_t12/data", "data")

_ENTRY = re.compile(r"ILSVRC2012_val_(\d{8}),(n\d{8})\b.*")


def read_ground_truth(spec: str, near: Sequence[Path]) -> tuple[Path, dict[int, str]]:
    """The synset of each validation image, by the number in its name, and the file that says so.

    That is Kaggle's LOC_val_solution.csv, a list of synsets in the order of the images, or the development kit's list
    of numbers. These are in no alphabetical order: the kit's meta.mat tells their synsets.

    Parameters
    ----------
    spec
        As the data set was given.
    near
        Directories in which to look, the nearest first, and in each for the development kit.

    Raises
    ------
    DataNotFoundError
        If there is none in any, or no meta.mat for the kit's.
    DataFormatError
        If a file is not what it is called.
    """
    places = [place / within for place in near for within in _WITHIN]
    for place in places:
        if (path := place / _KAGGLE).is_file():
            return path, _from_kaggle(path)
        for path in sorted(place.glob(_SYNSETS)):
            return path, _from_synsets(path)
        if (path := place / _DEVKIT).is_file():
            return path, _from_devkit(path, _find_meta(path, places))
    raise DataNotFoundError(
        f"data {spec!r} holds validation images in one folder, so a file must tell their classes; looked for {_KAGGLE},"
        f" {_SYNSETS} and {_DEVKIT} in {', '.join(str(place) for place in near)} and in"
        f" {' and '.join(_WITHIN[1:])} below"
    )


def _find_meta(path: Path, places: Sequence[Path]) -> Path:
    for place in (path.parent, *places):
        if (place / _META).is_file():
            return place / _META
    raise DataNotFoundError(
        f"{str(path)!r} numbers the classes, and which they are is in the development kit's {_META}; put that beside it"
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Lines that are not blank, with their number."""
    lines = enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _from_kaggle(path: Path) -> dict[int, str]:
    # ImageId,PredictionString
    # ILSVRC2012_val_00048981,n03995372 85 1 499 272
    truth = {}
    for number, line in _lines(path)[1:]:
        match = _ENTRY.fullmatch(line)
        if not match:
            raise DataFormatError(
                f"{str(path)!r}, line {number}: {line!r}, expected such as 'ILSVRC2012_val_00000001,n01751748 1 2 3 4'"
            )
        truth[int(match[1])] = match[2]
    return truth


def _from_synsets(path: Path) -> dict[int, str]:
    lines = _lines(path)
    for number, line in lines:
        if not are_synsets([line]):
            raise DataFormatError(f"{str(path)!r}, line {number}: {line!r}, expected a synset such as n01440764")
    return {image: line for image, (_, line) in enumerate(lines, 1)}


def _from_devkit(path: Path, meta: Path) -> dict[int, str]:
    synsets = _synsets(meta)
    lines = _lines(path)
    for number, line in lines:
        if line not in synsets:
            raise DataFormatError(
                f"{str(path)!r}, line {number}: {line!r}, expected the number of one of the {len(synsets)} classes of"
                f" {str(meta)!r}"
            )
    return {image: synsets[line] for image, (_, line) in enumerate(lines, 1)}


def _synsets(meta: Path) -> dict[str, str]:
    """The synset of each number; only of those without synsets below them, which are the classes."""
    from scipy.io import loadmat

    try:
        table = loadmat(meta, squeeze_me=True)["synsets"]
        rows = zip(table["ILSVRC2012_ID"], table["WNID"], table["num_children"], strict=True)
        return {str(int(number)): str(synset) for number, synset, children in rows if int(children) == 0}
    except Exception as error:  # whatever scipy makes of a damaged file
        raise DataFormatError(f"{str(meta)!r} is not the development kit's {_META} ({error}); fetch it anew") from error
