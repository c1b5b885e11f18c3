"""Classes by a hierarchy that is known beforehand: superclasses out of a CSV file, or WordNet."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError, MissingPackageError, UnknownClassError
from seviz.extras import needing

SHIPPED: Mapping[str, Path] = {"cifar10": Path(__file__).with_name("cifar10_superclasses.csv")}
"""Hierarchies that come with seviz, by name."""

_SYNSET = re.compile(r"n\d{8}")


def hierarchy(source: str | Path, classes: Classes) -> pd.DataFrame:
    """How far classes are from each other in a hierarchy.

    Parameters
    ----------
    source
        A CSV file with the columns class and superclass; or "cifar10" for its animals and vehicles; or "wordnet" for
        classes whose ids are synsets, as those of ImageNet are.
    classes
        The classes, looked up in the file by id, else by name, whatever the case.

    Returns
    -------
    pandas.DataFrame
        (class, class) by id, symmetric, 0 on the diagonal. Of a file: 0 for the same superclass, else 1. Of WordNet:
        the number of steps from one synset up to a common hypernym and down to the other, on the shortest such way;
        NaN where there is none.

    Raises
    ------
    DataNotFoundError, DataFormatError
        If there is no such file, or it is not such a table.
    UnknownClassError
        If some classes are not in the hierarchy.
    MissingPackageError
        If WordNet is asked for and nltk or its corpus is not installed.

    References
    ----------
    Fellbaum (ed.), "WordNet: An Electronic Lexical Database", MIT Press, 1998.
    """
    if source == "wordnet":
        table = _wordnet_distances(classes)
    else:
        names = np.array(superclasses(source, classes), dtype=object)
        table = (names[:, None] != names[None]).astype(np.float64)
    ids = pd.Index(classes.ids, name="class")
    return pd.DataFrame(table, index=ids, columns=ids)


def superclasses(source: str | Path, classes: Classes) -> tuple[str, ...]:
    """The superclass of each class, out of a CSV file or "cifar10"; raises as `hierarchy` does."""
    path = SHIPPED.get(str(source), Path(source))
    table = _read(path)
    listed = Classes(tuple(table), tuple(table))
    found = [
        listed.find(class_id) or listed.find(name) for class_id, name in zip(classes.ids, classes.names, strict=True)
    ]
    missing = [name for name, places in zip(classes.names, found, strict=True) if not places]
    if missing:
        raise UnknownClassError(f"{path} has no superclass for {_few(missing)}; add a line for each")
    return tuple(table[listed.ids[places[0]]] for places in found)


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise DataNotFoundError(
            f"no file {str(path)!r}; a hierarchy is 'wordnet', one of {', '.join(map(repr, SHIPPED))}, or a CSV file"
            " with the columns class and superclass"
        )
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except ValueError as error:  # among them no text, no columns, and lines of different length
        raise DataFormatError(f"{path} cannot be read as CSV: {error}") from error
    if not {"class", "superclass"} <= set(table.columns):
        raise DataFormatError(
            f"{path} has the columns {', '.join(map(repr, table.columns))}, expected 'class' and 'superclass' in its"
            " first line"
        )
    pairs: dict[str, str] = {}
    for name, above in zip(table["class"].str.strip(), table["superclass"].str.strip(), strict=True):
        if not name or not above:
            raise DataFormatError(f"{path} has a line with class {name!r} and superclass {above!r}; give both")
        if pairs.setdefault(name, above) != above:
            raise DataFormatError(f"{path} gives {name!r} two superclasses, {pairs[name]!r} and {above!r}; keep one")
    return pairs


def _wordnet_distances(classes: Classes) -> NDArray[np.float64]:
    """Shortest ways between synsets through a common hypernym, (class, class)."""
    heights = [_hypernyms(synset) for synset in _synsets(classes)]
    below: dict[Any, list[tuple[int, int]]] = {}
    for index, above in enumerate(heights):
        for hypernym, steps in above.items():
            below.setdefault(hypernym, []).append((index, steps))
    result = np.full((len(classes), len(classes)), np.inf)
    for pairs in below.values():
        indices, steps = np.array(pairs).T
        block = np.ix_(indices, indices)
        result[block] = np.minimum(result[block], steps[:, None] + steps[None])
    result[np.isinf(result)] = np.nan
    return result


def _synsets(classes: Classes) -> list[Any]:
    with needing("wordnet", "the hierarchy 'wordnet'", instead="A CSV file of class and superclass does without"):
        from nltk.corpus import wordnet
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise MissingPackageError(
            "the hierarchy 'wordnet' needs nltk's corpus of that name: python -m nltk.downloader wordnet; or give a"
            " CSV file of class and superclass"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk warns where it finds none; below that is an error
        synsets = [
            wordnet.synset_from_pos_and_offset("n", int(class_id[1:])) if _SYNSET.fullmatch(class_id) else None
            for class_id in classes.ids
        ]
    missing = [class_id for class_id, synset in zip(classes.ids, synsets, strict=True) if synset is None]
    if missing:
        raise UnknownClassError(
            f"{_few(missing)} are no synsets of WordNet 3.0 such as n01443537; give a CSV file of class and superclass"
        )
    return synsets


def _hypernyms(synset: Any) -> dict[Any, int]:
    """All that lies above a synset, itself among it, with the least number of steps to there."""
    steps, layer, height = {synset: 0}, [synset], 0
    while layer:
        height += 1
        above = [up for one in layer for up in (*one.hypernyms(), *one.instance_hypernyms())]
        layer = [up for up in dict.fromkeys(above) if up not in steps]
        steps |= dict.fromkeys(layer, height)
    return steps


def _few(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
