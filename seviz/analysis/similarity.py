"""How alike classes are to each block, and how far blocks, runs, predictions and a hierarchy agree on it."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from seviz.analysis.blocks import each
from seviz.analysis.embedding import Metric, distances, leaf_order
from seviz.analysis.hierarchy import hierarchy as distances_in
from seviz.analysis.ranges import COUNT, EACH, SHARE, SIGNED, Ranges
from seviz.analysis.resolved import moments_of, unresolved
from seviz.classes import Classes
from seviz.errors import OptionError, UnknownClassError
from seviz.run.pairing import pair_runs
from seviz.run.store import Run

_SINGLE = 1e-6  # more than rounding in float32 does to a correlation
_PAIRS = 2048  # at a time
CONFUSION, HIERARCHY = "confusion", "hierarchy"

SIMILARITY: Ranges = {EACH: (0.0, 2.0)}
CONFUSION_OF_CLASSES: Ranges = {EACH: SHARE}
AGREEMENT: Ranges = {"correlation": SIGNED, "p": SHARE, "classes": COUNT}


def similarity(
    run: Run, block: str, *, metric: Metric = "correlation", signal: str = "excitation", centred: bool = False
) -> pd.DataFrame:
    """How unlike each other the mean gates of classes are in a block.

    Parameters
    ----------
    run
        A finished run.
    block, signal
        Whose class means.
    metric
        "correlation" (one minus it; over channels, so that the mean gate of a class does not count) or "cosine".
    centred
        Whether the mean over classes is taken off each channel first. Without, classes share what is the same for
        all of them: distances are near 0 where a block does not tell classes apart, and a block's matrix also says
        how much it does. With it, only directions of deviation count, and even deviations that are noise lie about 1
        apart: the structure of a block of which `decoding` or `specificity` says that it has one.

    Returns
    -------
    pandas.DataFrame
        (class, class) by id, like classes beside each other (`embedding.leaf_order`), in [0, 2]. Classes without
        images are left out. NaN for a class whose gates are all alike, or with `centred` do not deviate. In `attrs`:
        block, signal, metric, centred, and remarks on what is left out or NaN.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal.
    OptionError
        If the metric is another.

    Notes
    -----
    The mean of few images is noisy, and noise adds to distances: classes of unequal size are not quite comparable.

    References
    ----------
    Kriegeskorte, Mur, Bandettini, "Representational Similarity Analysis", Frontiers in Systems Neuroscience 2, 2008,
    doi:10.3389/neuro.06.004.2008.
    """
    seen = np.flatnonzero(run.moments(block, signal).count)
    apart = _class_distances(run, block, seen, metric=metric, signal=signal, centred=centred)
    order = leaf_order(apart)
    ids = pd.Index([run.classes.ids[k] for k in seen[order]], name="class")
    table = pd.DataFrame(apart[np.ix_(order, order)], index=ids, columns=ids)
    remarks = unresolved(run, [block], signal)
    if empty := len(run.classes) - len(seen):
        remarks.append(f"{empty} classes are left out, which have no images.")
    if undefined := int(np.isnan(np.diag(apart)).sum()):
        remarks.append(f"The {signal} of {undefined} classes has no direction in {block}: their distances are NaN.")
    table.attrs = {"block": block, "signal": signal, "metric": metric, "centred": centred, "remarks": remarks}
    return table


def confusion(run: Run) -> pd.DataFrame:
    """What the network takes the images of each class for.

    Returns
    -------
    pandas.DataFrame
        (class, predicted), by id, in the order of the labels: the share of the images of a class that are taken for
        another. Rows sum to less than 1 where some are taken for a class that the data do not have, and are NaN for
        a class without images. All NaN, with a remark in `attrs`, where the classes of the data are not those of the
        network, where the network gives no predictions, and where images have several classes.
    """
    model, targets, number = run.manifest.model, run.manifest.data.model_classes, len(run.classes)
    counts, remarks = np.full((number, number), np.nan), []
    if targets is None or model.task != "classification":
        remarks.append("The network's predictions are not of the classes of the data: there is no confusion.")
    elif run.manifest.data.labels != "single":
        remarks.append("Images have several classes: there is no confusion of one with another.")
    else:
        names = [model.class_ids[target] if model.class_ids else str(target) for target in targets]
        place = {name: k for k, name in enumerate(names)}
        good = (run.samples["status"] != "failed").to_numpy()
        labels = run.labels[good]
        predicted = np.array([place.get(name, number) for name in run.samples.loc[good, "predicted"]], np.int64)
        cells = np.bincount(labels * (number + 1) + predicted, minlength=number * (number + 1))
        counts = cells.reshape(number, number + 1)[:, :number].astype(np.float64)
        images = np.bincount(labels, minlength=number).astype(np.float64)[:, None]
        counts = np.divide(counts, images, out=np.full_like(counts, np.nan), where=images > 0)
    ids = run.classes.ids
    table = pd.DataFrame(counts, index=pd.Index(ids, name="class"), columns=pd.Index(ids, name="predicted"))
    table.attrs = {"remarks": remarks}
    return table


def mantel(
    ones: NDArray[np.float64], others: NDArray[np.float64] | None = None, *, permutations: int = 999, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Spearman correlation of distance matrices, each of some with each of others, and Mantel's test of it.

    Parameters
    ----------
    ones, others
        (matrix, item, item), symmetric; the items are the same. Without `others` each of `ones` is compared with
        those after it.
    permutations
        Of the items of `ones`; 0 for no test.
    seed
        Of the permutations.

    Returns
    -------
    correlations, p
        (one, other): in [-1, 1], over pairs of items; and the share of permutations, the given order among them,
        that correlate at least as much. Both NaN where a matrix has a NaN or the same distance everywhere, as with
        fewer than three items; p also without permutations. Without `others` (one, one), and p NaN but for those
        after it.

    References
    ----------
    Mantel, "The Detection of Disease Clustering and a Generalized Regression Approach", Cancer Research 27(2), 1967.
    """
    items = ones.shape[1]
    rows, columns = np.triu_indices(items, 1)
    left = _ranks(ones[:, rows, columns])  # (matrix, pair)
    right = left if others is None else _ranks(others[:, rows, columns])
    correlations: NDArray[np.float64] = np.clip(left @ right.T, -1, 1)
    if not len(rows):
        correlations[:] = np.nan
    tested = np.ones(correlations.shape, bool) if others is not None else ~np.tri(len(ones), dtype=bool)
    some, at = tested.any(1), tested.any(0)  # but the last, and but the first, without others
    square = np.zeros((items, items, some.sum()))  # the values of a pair beside each other
    square[rows, columns] = square[columns, rows] = left[some].T
    random = np.random.default_rng(seed)
    orders = [random.permutation(items) for _ in range(permutations)]
    least = correlations[np.ix_(some, at)] - 1e-9  # some orders change nothing but by rounding
    p = np.full(correlations.shape, np.nan)
    if permutations:
        p[np.ix_(some, at)] = (1 + _reached(square, right[at], least, orders)) / (permutations + 1)
    return correlations, np.where(np.isnan(correlations) | ~tested, np.nan, p)


def _reached(
    square: NDArray[np.float64],
    right: NDArray[np.float64],
    least: NDArray[np.float64],
    orders: Sequence[NDArray[np.int64]],
) -> NDArray[np.int64]:
    """For how many orders of the items correlations are not below some, (one, other).

    Parameters
    ----------
    square
        Ranks of pairs, (item, item, one).
    right
        Of the others, (other, pair).
    least
        (one, other).
    orders
        Each of all items.

    Notes
    -----
    In float32, which halves what is read, a few pairs at a time, which stay in the cache; and again in float64 where
    that cannot tell.
    """
    items, number = len(square), square.shape[2]
    flat = square.reshape(items * items, number)
    single, single_right = flat.astype(np.float32), np.ascontiguousarray(right.T, np.float32)
    rows, columns = np.triu_indices(items, 1)

    def of_order(order: NDArray[np.int64]) -> NDArray[np.bool_]:
        ahead, buffer = -least, np.empty((_PAIRS, number), np.float32)
        for start in range(0, len(rows), _PAIRS):
            part = slice(start, start + _PAIRS)
            pairs = order[rows[part]] * items + order[columns[part]]
            turned = np.take(single, pairs, axis=0, out=buffer[: len(pairs)], mode="clip")
            ahead += turned.T @ single_right[part]
        for one, two in zip(*np.nonzero(np.abs(ahead) < _SINGLE), strict=True):
            turned_one = flat[order[rows] * items + order[columns], one]
            ahead[one, two] = turned_one @ right[two] - least[one, two]
        return ahead >= 0

    reached = np.zeros(least.shape, np.int64)
    for above in each(of_order, orders):
        reached += above
    return reached


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
        Another; then each block of `run` is compared with each block of it, over the classes (by id) of both.
    metric, signal, centred
        Of the distances between classes; see `similarity`.
    hierarchy
        A CSV file of class and superclass, "cifar10" or "wordnet", to compare with; see `hierarchy.hierarchy`.
    permutations
        Of Mantel's test; 0 for none. The default takes about a minute with 1,000 classes and 16 blocks.
    seed
        Of the permutations.

    Returns
    -------
    pandas.DataFrame
        One row a pair:

        - one, other: names of blocks, "confusion" or "hierarchy"; with a single run each pair once, in order of depth
        - correlation: Spearman's, over pairs of classes
        - p: the share of permutations of the classes with a correlation as high (one-sided)
        - classes: that were compared, those with images
        - paired_by, with two runs: how the two blocks belong together, as in `seviz.analysis.comparison.compare`
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
            block: _class_distances(of, block, chosen, metric=metric, signal=signal, centred=centred)
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


def _class_distances(
    run: Run, block: str, classes: NDArray[np.int64], *, metric: Metric, signal: str, centred: bool
) -> NDArray[np.float64]:
    """Distances between the means of some classes, given by their indices, (class, class)."""
    means = moments_of(run, block, signal)[0].mean[classes]
    if centred and len(means):
        deviations = means - means.mean(0)
        means = np.where(np.abs(deviations) > 1e-12 * np.abs(means).max(), deviations, 0)  # less is rounding
    return distances(means, metric=metric)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks along the last axis, with mean 0 and length 1; NaN where values are the same, or one is NaN."""
    ranks = rankdata(values, axis=-1) if values.size else values.copy()
    ranks = ranks - (values.shape[-1] + 1) / 2
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 0)
    return result


def _unranked(tables: Mapping[str, NDArray[np.float64]], which: str) -> list[str]:
    """A remark on each table of distances that cannot be compared."""
    pairs = {name: table[np.triu_indices(len(table), 1)] for name, table in tables.items()}
    without = [name for name, values in pairs.items() if np.isnan(values).any()]
    same = [name for name, values in pairs.items() if name not in without and not (values.size and np.ptp(values))]
    remarks = [f"{name}{which} has classes without distance: it is compared with nothing." for name in without]
    return remarks + [f"{name}{which} has the same distance between all classes." for name in same]
