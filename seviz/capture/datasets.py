"""From the name of a data set to indexed images with their classes, and a choice of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seviz.capture.arrays import Arrays
from seviz.capture.class_names import ClassNames, named_classes
from seviz.capture.indexed import Dataset, Preprocess
from seviz.capture.specs import BUNDLED, parse
from seviz.classes import Classes
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError
from seviz.registry import LAYOUTS

__all__ = ["BUNDLED", "Dataset", "dataset_of_files", "fetched", "open_dataset", "packed"]


def open_dataset(
    spec: str | Path,
    *,
    classes: Sequence[str] | None = None,
    per_class: int | None = None,
    seed: int = 0,
    split: str | None = None,
    root: str | Path | None = None,
    preprocess: Preprocess | None = None,
    label_separator: str | None = None,
    class_names: ClassNames | None = None,
) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    spec
        A folder that holds one folder per class; "bundled" for the 1,000 test images of CIFAR-10 that ship with
        seviz; or a layout and where it is, such as "imagenet:ROOT" or "arrays:ROOT": `seviz.registry.LAYOUTS`
        has them all, and says what is expected there.
    classes
        Only images of these, by id or name. Labels keep their meaning: with one class an image, the others stay as
        classes without images; with several, an image keeps its other classes too.
    per_class
        Only so many images of each class, drawn at random; which ones does not depend on `classes`. With several
        classes an image, these are the images drawn for any class, so that a class can have more.
    seed
        Of that draw.
    split
        Which part, where a data set comes in several. The default is "val", of CIFAR-10 "test"; of plain folders,
        arrays and Hugging Face the first that is there of val, valid, validation, test, train, and `notes` say so.
    root
        Where the images are, for a data set that was moved: in place of the folder or of the ROOT of imagenet and
        arrays, and for places365, coco and csv the folder of the images.
    preprocess
        Of arrays: "none", the default, takes them as they are; "model" through the network's own preprocessing.
    label_separator
        Of csv: what stands between several labels of an image, by default "|"; "" for one label an image, whatever is
        in it. A backslash before it makes it part of a label.
    class_names
        What the classes are to be called: names in the order of the classes, a mapping from ids to names, or a file of
        either; see `seviz.capture.class_names`. The ids stay.

    Raises
    ------
    DataNotFoundError
        If the data set is not there, or not this split of it.
    EmptyDataError
        If it has no class, or no image is left.
    DataFormatError
        If a file that describes it is damaged, or none of its kind, or there are more or fewer names than classes.
    UnknownClassError
        If a class is asked for that is not there.
    OptionError
        If `per_class` is less than 1, or an option is given that this data set does not have.
    MissingPackageError
        If a package is needed that is not installed.
    """
    if per_class is not None and per_class < 1:
        raise OptionError(f"per_class is {per_class}, expected at least 1")
    name = str(spec)
    place = None if root is None else Path(root)
    options = {"split": split, "root": place, "preprocess": preprocess, "label_separator": label_separator}
    data = _open(name, options)
    if class_names is not None:
        data = replace(data, classes=named_classes(data.classes, class_names, f"data {name!r}"))
    data = replace(
        data,
        selection=_selection(
            classes=classes,
            per_class=per_class,
            seed=seed,
            class_names=class_names,
            split=split,
            root=root,
            preprocess=preprocess,
            label_separator=label_separator,
        ),
    )
    if classes is None and per_class is None:
        return data
    wanted = None if classes is None else {data.classes.index(c, f"data {name!r}") for c in classes}
    chosen = _chosen(data, wanted, per_class, seed)
    if not len(chosen):
        raise EmptyDataError(
            f"data {name!r} has {len(data)} images, but none is of {'any' if classes is None else 'the chosen'} class"
        )
    return data.take(chosen)


def _selection(
    *, classes: Sequence[str] | None, per_class: int | None, seed: int, class_names: ClassNames | None, **options: Any
) -> dict[str, Any]:
    """What was chosen from a data set and how, as the manifest has it."""
    given = {
        "classes": None if classes is None else list(classes),
        "per_class": per_class,
        "seed": None if per_class is None else seed,
        "class_names": str(class_names) if isinstance(class_names, str | Path) else None,
        **options,
        "root": None if options["root"] is None else str(options["root"]),
    }
    return {name: value for name, value in given.items() if value is not None}


def dataset_of_files(
    spec: str, root: Path, classes: Classes, paths: Sequence[str], labels: NDArray[Any], preprocess: Preprocess | None
) -> Dataset:
    """A data set whose files are known, as those of a run are.

    Parameters
    ----------
    spec, root, classes, paths, labels
        As in `Dataset`.
    preprocess
        As it was given to `open_dataset`.
    """
    if parse(spec)[0] == "arrays":
        return Arrays(spec, root, classes, tuple(paths), labels, preprocess=preprocess or "none")
    return Dataset(spec, root, classes, tuple(paths), labels)


def packed(spec: str) -> bool:
    """Whether the images of a data set are no files by themselves."""
    return LAYOUTS[parse(spec)[0]].packed


def fetched(spec: str) -> bool:
    """Whether a data set is fetched from a hub when it is opened, unless it was fetched before."""
    layout, where = parse(spec)
    return layout == "hf" and not where.is_dir()


def _open(spec: str, options: Mapping[str, Any]) -> Dataset:
    """All images of a data set."""
    name, where = parse(spec)
    declared = LAYOUTS[name]
    given = {option: value for option, value in options.items() if value is not None}
    odd = {option: value for option, value in given.items() if option not in declared.parameters}
    if "split" in odd:
        raise OptionError(f"split is {odd['split']!r}, but data {spec!r} does not come in splits; leave it out")
    if "root" in odd:
        raise OptionError(f"root is {str(odd['root'])!r}, but the images of {name} cannot lie elsewhere; leave it out")
    if "root" in given and not given["root"].is_dir():
        raise DataNotFoundError(
            f"root {str(given['root'])!r} is no directory; expected where the images of data {spec!r} are"
        )
    if given.get("preprocess") not in (None, "none", "model"):
        raise OptionError(f"preprocess is {given['preprocess']!r}, expected model or none")
    if odd.pop("preprocess", None) == "none":
        raise OptionError(
            f"preprocess is 'none', but data {spec!r} holds images, which are always prepared; leave it out"
        )
    if "label_separator" in odd:
        raise OptionError(
            f"label_separator is {odd['label_separator']!r}, but data {spec!r} is no csv:FILE; leave it out"
        )
    taken = {option: value for option, value in given.items() if option in declared.parameters}
    data: Dataset = declared.function(spec, where, **taken)
    return data


def _chosen(data: Dataset, wanted: set[int] | None, per_class: int | None, seed: int) -> NDArray[np.int64]:
    """The indices of the images asked for. All classes are drawn from, whichever are wanted."""
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(data), bool)
    for label, members in enumerate(_members(data)):
        if per_class is not None and per_class < len(members):
            members = members[random.choice(len(members), per_class, replace=False)]
        if wanted is None or label in wanted:
            chosen[members] = True
    return np.flatnonzero(chosen)


def _members(data: Dataset) -> Iterator[NDArray[np.int64]]:
    """Of each class the indices of its images, ascending."""
    if data.multi:
        yield from (np.flatnonzero(column) for column in data.labels.T)
    else:
        order = np.argsort(data.labels, kind="stable")
        yield from np.split(order, np.searchsorted(data.labels[order], np.arange(1, len(data.classes))))
