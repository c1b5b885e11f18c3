"""How well the class of an image can be read off the gates of one block alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.linalg import solve
from sklearn.model_selection import StratifiedKFold

from seviz.analysis import multinomial
from seviz.analysis.blocks import each
from seviz.analysis.embedding import principal_axes
from seviz.analysis.images import images_with_gates
from seviz.errors import MissingSignalError, OptionError
from seviz.run.manifest import BlockRecord
from seviz.run.store import Run

Values = NDArray[np.floating]
Labels = NDArray[np.int64]
Decoder = Callable[[Values, Labels, Values], Labels]
"""Training values (image, feature), their classes from 0 to K - 1, each of which occurs, and other values (image,
feature); gives the class it takes each of the others for."""

LOGISTIC_CLASSES = 100
"""Above so many classes a linear discriminant stands in for the logistic regression, which would take hours."""
IMAGES, LOGISTIC_IMAGES = 20_000, 10_000
"""How many images are decoded in all where `per_class` is not given: above so many classes, and up to so many."""
_TOGETHER = 2**26
"""Folds are decoded together as long as their values take no more bytes than this."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # sklearn's C, from strong to weak
SHRINKAGES = (1.0, 0.95, 0.7, 0.3, 0.05)


def class_means(values: Values, labels: Labels) -> NDArray[Any]:
    """Mean of each class, (class, feature), of values (image, feature) whose classes from 0 on all occur."""
    count = np.bincount(labels)
    shares = (1 / count[labels]).astype(values.dtype)
    members = sparse.csr_array((shares, labels, np.arange(len(labels) + 1)), shape=(len(labels), len(count)))
    means: NDArray[Any] = members.T @ values
    return means


def nearest_centroid(train: Values, labels: Labels, test: Values) -> Labels:
    """The class whose mean is nearest; the first of them where several are."""
    means = class_means(train, labels)
    nearest: Labels = (test @ means.T - np.square(means).sum(1) / 2).argmax(1)
    return nearest


def held_out(labels: Labels) -> NDArray[np.bool_]:
    """Every fifth image of each class, from its second on, (image) bool: on them a decoder chooses its penalty."""
    held = np.zeros(len(labels), dtype=bool)
    for label in range(labels.max() + 1):
        held[np.flatnonzero(labels == label)[1::5]] = True
    return held


@dataclass(frozen=True)
class Scatter:
    """What a linear discriminant needs of images; that of two sets of images together is the sum of theirs.

    Attributes
    ----------
    count
        Images of each class, (class).
    sums
        (class, feature).
    products
        Of features with each other, summed over images, (feature, feature).
    """

    count: NDArray[np.int64]
    sums: Values
    products: Values

    @classmethod
    def of(cls, values: Values, labels: Labels, classes: int) -> "Scatter":
        """Of values (image, feature) with mean near 0, and their classes (image) from 0 to `classes` - 1."""
        members = sparse.csr_array(
            (np.ones(len(labels), values.dtype), labels, np.arange(len(labels) + 1)), shape=(len(labels), classes)
        )
        return cls(np.bincount(labels, minlength=classes), members.T @ values, values.T @ values)

    def __add__(self, other: "Scatter") -> "Scatter":
        return Scatter(self.count + other.count, self.sums + other.sums, self.products + other.products)


def discriminants(scatter: Scatter, shrinkages: Sequence[float]) -> Iterator[tuple[Values, Values]]:
    """Linear discriminants: all classes normal, with one covariance that is drawn towards a multiple of the identity.

    Parameters
    ----------
    scatter
        Of the training images; each class has some.
    shrinkages
        How far, each in (0, 1]; 1 compares distances to the class means alone.

    Yields
    ------
    weights, offset
        (class, feature) and (class), for each shrinkage: the class of the greatest `weights @ x + offset` is the most
        likely one.
    """
    images, features = scatter.count.sum(), scatter.sums.shape[1]
    kind = scatter.sums.dtype
    means = scatter.sums / scatter.count[:, None].astype(kind)
    rooted = means * np.sqrt(scatter.count)[:, None].astype(kind)
    covariance = (scatter.products - rooted.T @ rooted) / kind.type(images)
    size = np.trace(covariance) / features
    if size <= 10 * np.finfo(kind).eps * np.trace(scatter.products) / (images * features):
        covariance, size = np.zeros_like(covariance), kind.type(1)  # nothing varies within classes: distance is left
    prior = np.log(scatter.count / images)
    for shrinkage in shrinkages:
        drawn = kind.type(1 - shrinkage) * covariance
        drawn[np.diag_indices(features)] += kind.type(shrinkage) * size
        weights = solve(drawn, means.T, assume_a="pos", overwrite_a=True, check_finite=False).T
        yield weights, (prior - np.einsum("ij,ij->i", weights, means, dtype=np.float64) / 2).astype(kind)


def best_of(strengths: Sequence[float], scores: Iterable[NDArray[Any]]) -> float:
    """The strength of a penalty that does best on held-out images.

    Parameters
    ----------
    strengths
        From strong to weak, for weak ones take longest.
    scores
        For each, how well it does on each image, (image). They are no more asked for once one lies below the best by
        more than the standard error of the difference.

    Returns
    -------
    float
        The strongest of those with the best mean; the middle one without images.
    """
    seen: list[NDArray[Any]] = []
    for score_of_each in scores:
        seen.append(score_of_each)
        if best_so_far(seen)[1]:
            break
    return strengths[best_so_far(seen)[0] if seen else len(strengths) // 2]


def best_so_far(scores: Sequence[NDArray[Any]]) -> tuple[int, bool]:
    """Which of the scores (image) has the best mean, the first where several have, and if a later one is clearly worse.

    Clearly is by more than the standard error of the difference.
    """
    best = 0
    for k, score_of_each in enumerate(scores):
        behind = scores[best] - score_of_each
        if behind.mean() < 0:
            best = k
        elif behind.mean() > behind.std() / np.sqrt(behind.size):
            return best, True
    return best, False


def linear_discriminant(train: Values, labels: Labels, test: Values) -> Labels:
    """The most likely class if all are normal with one covariance, shrunk as does best on held-out training images."""
    held, classes = held_out(labels), int(labels.max()) + 1
    kept = train[held]
    known = Scatter.of(train[~held], labels[~held], classes)
    scores = (
        (kept @ weights.T + offset).argmax(1) == labels[held]
        for weights, offset in (discriminants(known, SHRINKAGES) if held.any() else ())
    )
    shrinkage = best_of(SHRINKAGES, (right.astype(float) for right in scores))
    ((weights, offset),) = discriminants(known + Scatter.of(kept, labels[held], classes), [shrinkage])
    likeliest: Labels = (test @ weights.T + offset).argmax(1)
    return likeliest


def logistic_regression(train: Values, labels: Labels, test: Values) -> Labels:
    """Multinomial, with the L2 penalty under which held-out training images are most likely."""
    (predicted,) = logistic_regressions([_turned(train, labels, test)])
    return predicted


def logistic_regressions(folds: Sequence[tuple[Values, Labels, Values]]) -> list[Labels]:
    """`logistic_regression` of several (train, labels, test) as wide as each other: each as if alone, but quicker.

    The features are the principal axes of the training images.
    """
    values, ordered, parts = [], [], []
    for train, labels, _ in folds:
        held = held_out(labels)
        order = np.argsort(held, kind="stable")  # those that are held out come last
        values.append(multinomial.with_ones(train[order]))
        ordered.append(labels[order])
        parts.append(int((~held).sum()))
    fitted: list[list[Values]] = [[] for _ in folds]  # by penalty
    likely: list[list[NDArray[np.float64]]] = [[] for _ in folds]
    going = [k for k, part in enumerate(parts) if part < len(ordered[k])]
    for penalty in PENALTIES:
        if not going:
            break
        weights = multinomial.fit(
            [values[k][: parts[k]] for k in going],
            [ordered[k][: parts[k]] for k in going],
            [penalty] * len(going),
            starts=[fitted[k][-1] if fitted[k] else None for k in going],
            tolerance=100 * multinomial.TOLERANCE,  # enough to tell which penalty does best
        )
        for k, found in zip(going, weights, strict=True):
            fitted[k].append(found)
            likely[k].append(multinomial.log_likelihood(values[k][parts[k] :], ordered[k][parts[k] :], found))
        going = [k for k in going if not best_so_far(likely[k])[1]]
    best = [best_so_far(scores)[0] if scores else len(PENALTIES) // 2 for scores in likely]
    weights = multinomial.fit(
        values,
        ordered,
        [PENALTIES[k] for k in best],
        starts=[near[k] if near else None for near, k in zip(fitted, best, strict=True)],
    )
    return [
        (multinomial.with_ones(test) @ found.T).argmax(1) for found, (_, _, test) in zip(weights, folds, strict=True)
    ]


DECODERS: Mapping[str, Decoder] = {
    "centroid": nearest_centroid,
    "logistic": logistic_regression,
    "discriminant": linear_discriminant,
}


def decode(
    values: Values,
    labels: Labels,
    splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    *,
    decoders: Sequence[str],
    components: int,
) -> dict[tuple[str, str], Labels]:
    """The class of each image as it is read off its values by decoders that were trained on other images.

    Values are scaled to mean 0 and standard deviation 1, and their principal components found, on the training images
    of each split alone.

    Parameters
    ----------
    values
        (image, feature).
    labels
        (image), from 0 to K - 1.
    splits
        Training and test images of each fold; each image is tested once.
    decoders
        Of `DECODERS`.
    components
        Principal components of the equal width.

    Returns
    -------
    dict
        By width ("own", "pca") and decoder, (image). Where there are no more features than components, "pca" turns
        them without loss, and both are the same.
    """
    reduced = components < values.shape[1]
    widths = ("own", "pca") if reduced else ("own",)
    predicted = {(width, name): np.full(len(labels), -1) for width in widths for name in decoders}
    at_once = max(1, _TOGETHER // max(values.nbytes, 1))
    for first in range(0, len(splits), at_once):
        group = splits[first : first + at_once]
        folds = [_standardised(values, labels, *split) for split in group]
        if "logistic" in decoders:  # to the others one system of axes is as good as another
            folds = [_turned(*fold) for fold in folds]
        for width in widths:
            if width == "pca" and "logistic" in decoders:
                folds = [(known[:, :components], own, asked[:, :components]) for known, own, asked in folds]
            elif width == "pca":
                folds = [_turned(*fold, components) for fold in folds]
            for name in decoders:
                several = logistic_regressions(folds) if name == "logistic" else [DECODERS[name](*f) for f in folds]
                for (_, test), found in zip(group, several, strict=True):
                    predicted[width, name][test] = found
    if not reduced:
        predicted |= {("pca", name): predicted["own", name] for name in decoders}
    return predicted


def _standardised(
    values: Values, labels: Labels, train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[Values, Labels, Values]:
    """Training values, their classes, and test values, in units of the training values' mean and deviation."""
    known = values[train]
    mean = known.mean(0, dtype=np.float64).astype(values.dtype)
    known -= mean
    deviation = np.sqrt(np.einsum("ij,ij->j", known, known) / len(train))
    scale = np.where(deviation > 0, deviation, 1).astype(values.dtype)
    known /= scale
    return known, labels[train], (values[test] - mean) / scale


def _turned(
    known: Values, labels: Labels, asked: Values, components: int | None = None
) -> tuple[Values, Labels, Values]:
    """The same in the principal axes of the training values, all of them or the first."""
    axes = principal_axes(known, components or known.shape[1])[0].astype(known.dtype)
    return known @ axes, labels, asked @ axes


@dataclass(frozen=True)
class Chosen:
    """The images that are decoded.

    Attributes
    ----------
    rows
        Their rows in `run.gates(...)`, (image).
    labels
        Their classes, numbered anew from 0, (image).
    classes
        How many.
    remarks
        What was left out, a sentence each.
    """

    rows: NDArray[np.int64]
    labels: Labels
    classes: int
    remarks: list[str]


def choose(run: Run, *, folds: int, per_class: int | None, classes: int, seed: int) -> Chosen:
    """Draw the images to decode; see `decoding`."""
    images = images_with_gates(run)
    rows, labels = images["row"].to_numpy(np.int64), run.labels[images.index.to_numpy()]
    remarks = []
    if labels.ndim == 2:
        one = labels.sum(1) == 1
        if not one.all():
            remarks.append(f"{int((~one).sum())} images are left out, which have several classes or none.")
        rows, labels = rows[one], labels[one].argmax(1)
    random = np.random.default_rng(seed)
    count = np.bincount(labels, minlength=len(run.classes))
    taken = np.flatnonzero(count >= folds)
    if few := np.flatnonzero(count < folds).tolist():
        names = ", ".join(run.classes.names[k] for k in few[:5]) + (", ..." if len(few) > 5 else "")
        remarks.append(f"{len(few)} classes are left out, which have fewer than {folds} images: {names}.")
    if len(taken) > classes:
        remarks.append(f"{classes} of {len(taken)} classes were drawn.")
        taken = np.sort(random.choice(taken, classes, replace=False))
    budget = IMAGES if len(taken) > LOGISTIC_CLASSES else LOGISTIC_IMAGES
    most = max(folds, budget // max(len(taken), 1)) if per_class is None else per_class
    if (count[taken] > most).any():
        remarks.append(f"At most {most} images of each class were drawn.")
    drawn = [np.sort(random.permutation(np.flatnonzero(labels == label))[:most]) for label in taken]
    at = np.concatenate([*drawn, np.zeros(0, np.int64)])
    return Chosen(rows[at], np.searchsorted(taken, labels[at]), len(taken), remarks)


def decoding(
    run: Run,
    *,
    signal: str = "excitation",
    against: str | None = "squeeze",
    decoders: Sequence[str] | None = None,
    folds: int = 5,
    components: int = 64,
    per_class: int | None = None,
    classes: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    r"""How well the class is read off the gates of each block: the honest form of "class-specific".

    Decoders are trained and tested on disjoint images (stratified folds, the same for all blocks), at each block's own
    width and, since later blocks have more channels, on equally many principal components. Scale and components come
    from the training images of each fold.

    Parameters
    ----------
    run
        A finished run that keeps the gates of images.
    signal
        What is decoded.
    against
        What is decoded beside it, from the same images; by default the squeeze, from which the excitation is computed:
        what the gates tell of the class is a part of what the squeeze tells. None for nothing; where the run does not
        hold it, it is left out and a remark says so.
    decoders
        Of "centroid" (nearest class mean), "logistic" (multinomial regression) and "discriminant" (linear, with
        shrunk covariance); by default the centroid and the logistic regression, which above 100 classes makes way
        for the discriminant.
    folds
        At least 2. Classes with fewer images are left out.
    components
        Of the equal width.
    per_class
        Images of each class at most, at least `folds`; by default as many as 20,000 images in all allow, or 10,000
        up to 100 classes. The 15,104 gates of an SE-ResNet-50 on 1,000 classes then take about 80 seconds on two cores.
    classes
        How many classes at most, drawn where there are more.
    seed
        Of the draws and the folds.

    Returns
    -------
    pandas.DataFrame
        One row a block, signal, width and decoder:

        - block, stage, signal
        - width: "own", or "pca64" for 64 components; features: how many that are
        - decoder
        - accuracy: share of images whose class is found, in [0, 1]
        - low, high: 95 % interval of the accuracy
        - balanced_accuracy: mean over classes of the share that is found; by chance `uniform`
        - null: accuracy if predictions and classes were independent, the mean over all permutations of the classes
        - majority: share of the largest class, which a guess without gates attains
        - uniform: one over the number of classes
        - classes, images: that were decoded

        All that is measured is NaN where fewer than two classes are left, and where values are not finite. Gates that
        are the same for all images are decoded at chance. `attrs["remarks"]` says what was left out or drawn, and
        which of these happened.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If an option is out of its range.

    Notes
    -----
    Where images have several classes only those with exactly one are decoded.

    The interval is Wilson's for a share of independent images. For the mean over the folds of a decoder that one image
    changes little it is asymptotically exact (Bayle et al.); the spread between folds, which share training images,
    would not be. In simulations with 60 to 600 images it covers that mean in 90 to 96 % of cases, least where images
    are few and classes hardly told apart. It does not speak for other draws of the classes.

    The null is :math:`\sum_k p_k q_k`, with the shares p of classes and q of predictions.

    References
    ----------
    Alain, Bengio, "Understanding Intermediate Layers Using Linear Classifier Probes", arXiv 1610.01644, 2016.
    Bayle, Bayle, Janson, Mackey, "Cross-Validation Confidence Intervals for Test Error", arXiv 2007.12671, 2020.
    """
    _check(decoders, folds=folds, components=components, per_class=per_class, classes=classes)
    chosen = choose(run, folds=folds, per_class=per_class, classes=classes, seed=seed)
    labels, remarks = chosen.labels, chosen.remarks
    names = decoders or ("centroid", "logistic" if chosen.classes <= LOGISTIC_CLASSES else "discriminant")
    splits: list[Any] = []
    if chosen.classes > 1:
        splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    else:
        remarks.append(f"Nothing can be decoded: {chosen.classes} classes are left.")

    order = np.argsort(chosen.rows)

    def of_block(block: BlockRecord, name: str) -> tuple[list[dict[str, Any]], list[str]]:
        values = run.gates(block.name, name, rows=chosen.rows[order])[np.argsort(order)]
        predicted: dict[tuple[str, str], Labels] = {}
        noted = []
        if not np.isfinite(values).all():
            noted.append(f"{block.name}: the {name} of some images is not finite.")
        elif splits:
            if not np.ptp(values, axis=0).any():
                noted.append(f"{block.name}: the {name} is the same for all images.")
            predicted = decode(values, labels, splits, decoders=names, components=components)
        found = [
            {
                "block": block.name,
                "stage": block.stage,
                "signal": name,
                "width": "own" if width == "own" else f"pca{components}",
                "features": block.channels if width == "own" else min(components, block.channels),
                "decoder": decoder,
                **score(labels, predicted.get((width, decoder))),
                "uniform": 1 / chosen.classes if chosen.classes else np.nan,
                "classes": chosen.classes,
                "images": len(labels),
            }
            for width in ("own", "pca")
            for decoder in names
        ]
        return found, noted

    signals = [signal]
    if against not in (None, signal) and run.blocks:
        try:
            run.moments(run.blocks[0], str(against))
            signals.append(str(against))
        except MissingSignalError as error:
            remarks.append(f"The {against} is left out: {error}")
    wanted = [(block, name) for name in signals for block in run.manifest.blocks]
    widest = sorted(range(len(wanted)), key=lambda k: -wanted[k][0].channels)  # last, one would keep others waiting
    decoded = dict(zip(widest, each(lambda k: of_block(*wanted[k]), widest, blas_threads=1), strict=True))
    rows = []
    for k in range(len(wanted)):
        rows += decoded[k][0]
        remarks += decoded[k][1]
    table = pd.DataFrame(rows)
    table.attrs["remarks"] = remarks
    return table


def score(labels: Labels, predicted: Labels | None) -> dict[str, float]:
    """Accuracy and what it is by chance, of predictions (image) for classes (image) from 0 on; NaN without any."""
    columns = ("accuracy", "low", "high", "balanced_accuracy", "null", "majority")
    if predicted is None:
        return dict.fromkeys(columns, np.nan)
    count = np.bincount(labels)
    right = predicted == labels
    interval = stats.binomtest(int(right.sum()), len(labels)).proportion_ci(0.95, method="wilson")
    found = np.bincount(labels, right) / count
    independent = count @ np.bincount(predicted, minlength=len(count)) / len(labels) ** 2
    results = (right.mean(), interval.low, interval.high, found.mean(), independent, count.max() / len(labels))
    return dict(zip(columns, map(float, results), strict=True))


def _check(decoders: Sequence[str] | None, *, per_class: int | None, **numbers: int) -> None:
    for name in decoders or ():
        if name not in DECODERS:
            raise OptionError(f"decoders has {name!r}, expected some of {', '.join(DECODERS)}")
    for name, least in (("folds", 2), ("components", 1), ("classes", 2)):
        if numbers[name] < least:
            raise OptionError(f"{name} is {numbers[name]}, expected at least {least}")
    if per_class is not None and per_class < numbers["folds"]:
        raise OptionError(f"per_class is {per_class}, expected at least one image for each of {numbers['folds']} folds")
