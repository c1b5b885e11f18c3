"""How far blocks, runs, predictions and a hierarchy agree on which classes are alike."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.classes import Classes
from seviz.errors import OptionError, UnknownClassError
from seviz.registry import table
from seviz.run.pairing import pair_runs
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.distances import Metric
from seviz.stats.mantel import mantel
from seviz.tables.columns import COUNT, KEY, SHARE, SIGNED, TEXT, every
from seviz.tables.confusion import confusion
from seviz.tables.hierarchy import hierarchy as distances_in
from seviz.tables.similarity import class_distances

CONFUSION, HIERARCHY = "confusion", "hierarchy"


@table(
    title="Agreement on classes",
    caption=(
        "Rank correlation of the distances between classes, for each pair of blocks, and with "
        "predictions or a hierarchy."
    ),
    columns={
        **every(KEY, "one", "other"),
        "correlation": SIGNED,
        "p": SHARE,
        "classes": COUNT,
        "paired_by": TEXT,
    },
)
def agreement(
    run: Run,
    other: Run | None = None,
    *,
    metric: Metric = "correlation",
    signal: str = "excitation",
    centred: bool = False,
    hierarchy: str | Path | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """How far blocks agree on which classes are alike: with each other, with predictions, with a hierarchy.

    Parameters
    ----------
    run
        A finished run.
    other
        Another finished run; then each block of `run` is compared with each block of it, over the classes (by id) of
        both.
    metric
        Distance between class means, "correlation" or "cosine"; see `similarity`.
    signal
        Signal to analyse: excitation, squeeze or response.
    centred
        Whether the mean over classes is subtracted from each channel before distances are computed; see `similarity`.
    hierarchy
        Class hierarchy to compare with: a CSV file of class and superclass, "cifar10" or "wordnet"; see
        `hierarchy.hierarchy`.
    permutations
        Number of permutations of Mantel's test; 0 for none. The default takes about a minute with 1,000 classes and 16
        blocks.
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row a pair:

        - one, other: names of blocks, "confusion" or "hierarchy"; with a single run each pair once, in order of depth
        - correlation: Spearman's, over pairs of classes
        - p: the share of permutations of the classes with a correlation as high (one-sided)
        - classes: that were compared, those with images
        - paired_by, with two runs: how the two blocks belong together, as in `seviz.tables.compare.compare`
          ("path" or "name"); empty for those that do not

        Distances to the confusion are one minus the share of images that are taken for the other class, the mean of
        both directions. NaN where one of the two has no distances, or the same for all pairs; `attrs["remarks"]`
        says why.

    Raises
    ------
    MissingSignalError
        If a run does not hold the signal.
    UnknownClassError
        If the runs have no class in common, or the hierarchy lacks some.
    OptionError
        If `metric` or `permutations` is out of range, or a hierarchy is given with two runs.
    DataNotFoundError, DataFormatError, MissingPackageError
        If the hierarchy cannot be had.

    Notes
    -----
    Blocks see the same images, and so share what chance made of their class means: a small agreement between blocks
    can be of the images, not of the classes, whatever p says. Confusion is of the same images too.

    References
    ----------
    Kriegeskorte, Mur, Bandettini, "Representational Similarity Analysis", Frontiers in Systems Neuroscience 2, 2008,
    doi:10.3389/neuro.06.004.2008.

    Examples
    --------
    >>> seviz.agreement(run).shape
    (136, 5)
    """
    if permutations < 0:
        raise OptionError(f"permutations is {permutations}, expected 0 or more")
    if other is not None and hierarchy is not None:
        raise OptionError(f"hierarchy is {str(hierarchy)!r}, expected none with two runs; compare each run with it")
    ids = [run.classes.ids[k] for k in np.flatnonzero(run.moments(run.blocks[0], signal).count)]
    if other is not None:
        there = {other.classes.ids[k] for k in np.flatnonzero(other.moments(other.blocks[0], signal).count)}
        ids = [class_id for class_id in ids if class_id in there]
        if not ids:
            raise UnknownClassError(
                f"{str(run.path)!r} and {str(other.path)!r} have images of no class in common; classes are matched by"
                " id, so capture both on data with the same ids"
            )
    remarks: list[str] = []

    def of_blocks(of: Run) -> dict[str, NDArray[np.float64]]:
        chosen = np.array([of.classes.ids.index(class_id) for class_id in ids], np.int64)
        return {
            block: class_distances(of, block, chosen, metric=metric, signal=signal, centred=centred)
            for block in of.blocks
        }

    ones = of_blocks(run)
    if other is None:
        shares = confusion(run)
        remarks += shares.attrs["remarks"]
        share = shares.loc[ids, ids].to_numpy()
        ones[CONFUSION] = 1 - (share + share.T) / 2
        if hierarchy is not None:
            names = dict(zip(run.classes.ids, run.classes.names, strict=True))
            known = Classes(tuple(ids), tuple(names[class_id] for class_id in ids))
            ones[HIERARCHY] = distances_in(hierarchy, known).to_numpy()
    others = ones if other is None else of_blocks(other)
    remarks += unresolved(run, run.blocks, signal)
    remarks += _unranked(ones, "") + ([] if other is None else _unranked(others, " of the other run"))
    left = np.stack(list(ones.values()))
    right = None if other is None else np.stack(list(others.values()))
    correlations, p = mantel(left, right, permutations=permutations, seed=seed)
    table = pd.DataFrame(
        [
            {"one": one, "other": two, "correlation": correlations[i, j], "p": p[i, j], "classes": len(ids)}
            for (i, one), (j, two) in product(enumerate(ones), enumerate(others))
            if other is not None or i < j
        ],
        columns=["one", "other", "correlation", "p", "classes"],
    )
    if other is not None:
        pairing = pair_runs(run, other)
        table["paired_by"] = [pairing.by(*pair) for pair in zip(table["one"], table["other"], strict=True)]
        remarks += pairing.remarks(str(run.path), str(other.path))
    table.attrs["remarks"] = remarks
    return table


def _unranked(tables: Mapping[str, NDArray[np.float64]], which: str) -> list[str]:
    """A remark on each table of distances that cannot be compared."""
    pairs = {name: table[np.triu_indices(len(table), 1)] for name, table in tables.items()}
    without = [name for name, values in pairs.items() if np.isnan(values).any()]
    same = [name for name, values in pairs.items() if name not in without and not (values.size and np.ptp(values))]
    remarks = [f"{name}{which} has classes without distance: it is compared with nothing." for name in without]
    return remarks + [f"{name}{which} has the same distance between all classes." for name in same]
