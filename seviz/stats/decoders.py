"""What reads classes off values: decoders, each trained on some images and asked for others, alone or in folds.

The nearest centroid and the linear discriminant need no more of their training images than class means and products of
features. Those of the training images of a fold are the sum over all other folds; they are computed once for each fold,
and shifted and scaled to the units of the training images.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from seviz.stats import multinomial
from seviz.stats.principal import axes_of_scatter, principal_axes

Values = NDArray[np.floating]
Labels = NDArray[np.int64]
Decoder = Callable[[Values, Labels, Values], Labels]
"""Training values (image, feature), their classes from 0 to K - 1, each of which occurs, and other values (image,
feature); gives the class it takes each of the others for."""

Split = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Training and test images of a fold."""

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # sklearn's C, from strong to weak
SHRINKAGES = (1.0, 0.95, 0.7, 0.3, 0.05)
_TOGETHER = 2**26
"""Folds are fitted together as long as their values take no more bytes than this."""


def class_means(values: Values, labels: Labels) -> NDArray[Any]:
    """Mean of each class, (class, feature), of values (image, feature) whose classes from 0 on all occur."""
    count = np.bincount(labels)
    shares = (1 / count[labels]).astype(values.dtype)
    members = sparse.csr_array((shares, labels, np.arange(len(labels) + 1)), shape=(len(labels), len(count)))
    means: NDArray[Any] = members.T @ values
    return means


def nearest_centroid(train: Values, labels: Labels, test: Values) -> Labels:
    """The class whose mean is nearest; the first of them where several are."""
    return _nearest(class_means(train, labels), test)


def _nearest(means: Values, values: Values) -> Labels:
    nearest: Labels = (values @ means.T - np.square(means).sum(1) / 2).argmax(1)
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

    def __sub__(self, other: "Scatter") -> "Scatter":
        return Scatter(self.count - other.count, self.sums - other.sums, self.products - other.products)

    @property
    def means(self) -> Values:
        """Of each class, (class, feature)."""
        means: Values = self.sums / self.count[:, None].astype(self.sums.dtype)
        return means

    def turned(self, axes: Values) -> "Scatter":
        """Of the same images along some axes, (feature, axis)."""
        return Scatter(self.count, self.sums @ axes, axes.T @ self.products @ axes)


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
    means = scatter.means
    rooted = means * np.sqrt(scatter.count)[:, None].astype(kind)
    covariance = (scatter.products - rooted.T @ rooted) / kind.type(images)
    size = np.trace(covariance) / features
    if size <= 10 * np.finfo(kind).eps * np.trace(scatter.products) / (images * features):
        covariance, size = np.zeros_like(covariance), kind.type(1)  # nothing varies within classes: distance is left
    prior = np.log(scatter.count / images)
    for shrinkage in shrinkages:
        weights = means / size
        if shrinkage < 1 and covariance.any():
            drawn = kind.type(1 - shrinkage) * covariance
            drawn[np.diag_indices(features)] += kind.type(shrinkage) * size
            posv = lapack.sposv if kind == np.float32 else lapack.dposv
            _, found, failed = posv(drawn, means.T, overwrite_a=True)
            if not failed:  # else what varies within classes is lost in rounding: distance is left
                weights = found.T
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
    kept, own = train[held], labels[held]
    known = Scatter.of(train[~held], labels[~held], classes)
    return _likeliest(known, known + Scatter.of(kept, own, classes), kept, own, test)


def _likeliest(known: Scatter, whole: Scatter, kept: Values, labels: Labels, test: Values) -> Labels:
    """As `linear_discriminant`, of the training images that are not held out, of all, and of those that are."""
    logits = np.empty((len(kept), len(whole.count)), kept.dtype)

    def right(weights: Values, offset: Values) -> NDArray[np.float64]:
        np.matmul(kept, weights.T, out=logits)
        found: NDArray[np.bool_] = np.add(logits, offset, out=logits).argmax(1) == labels
        return found.astype(np.float64)

    scores = (right(*each) for each in (discriminants(known, SHRINKAGES) if len(kept) else ()))
    ((weights, offset),) = discriminants(whole, [best_of(SHRINKAGES, scores)])
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
    splits: Sequence[Split],
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
    in_folds = _by_values if "logistic" in decoders else _by_scatter
    number = components if reduced else None
    for (_, test), found in zip(splits, in_folds(values, labels, splits, decoders, number), strict=True):
        for key, of_test in found.items():
            predicted[key][test] = of_test
    if not reduced:
        predicted |= {("pca", name): predicted["own", name] for name in decoders}
    return predicted


def _by_values(
    values: Values, labels: Labels, splits: Sequence[Split], decoders: Sequence[str], components: int | None
) -> Iterator[dict[tuple[str, str], Labels]]:
    """For each fold what `decode` gives for its test images; several are fitted together.

    In principal axes, which the logistic regression needs, and to the others one system of axes is as good as another.
    """
    at_once = max(1, _TOGETHER // max(values.nbytes, 1))
    for first in range(0, len(splits), at_once):
        folds = [_turned(*_standardised(values, labels, *split)) for split in splits[first : first + at_once]]
        found: list[dict[tuple[str, str], Labels]] = [{} for _ in folds]
        for width in ("own", "pca") if components else ("own",):
            if width == "pca":
                folds = [(known[:, :components], own, asked[:, :components]) for known, own, asked in folds]
            for name in decoders:
                several = logistic_regressions(folds) if name == "logistic" else [DECODERS[name](*f) for f in folds]
                for of_fold, predicted in zip(found, several, strict=True):
                    of_fold[width, name] = predicted
        yield from found


def _by_scatter(
    values: Values, labels: Labels, splits: Sequence[Split], decoders: Sequence[str], components: int | None
) -> Iterator[dict[tuple[str, str], Labels]]:
    """For each fold what `decode` gives for its test images, from products that are computed once for all folds."""
    kind, classes = values.dtype, int(labels.max()) + 1
    origin = values[0]  # so that a value which is the same for all images becomes 0
    parts = [_Part.of(values[test] - origin, labels[test], classes) for _, test in splits]
    for fold, (train, test) in enumerate(splits):
        others = [part for k, part in enumerate(parts) if k != fold]
        if sum(part.scatter.count.sum() for part in others) != len(train):  # not all folds are asked for
            others = [_Part.of(values[train] - origin, labels[train], classes)]
        mean, deviation, whole = _joined(others)
        at, scale = origin + mean.astype(kind), deviation.astype(kind)
        held = train[held_out(labels[train])] if "discriminant" in decoders else train[:0]
        kept, asked = ((values[rows] - at) / scale for rows in (held, test))
        found = {}
        for width in ("own", "pca") if components else ("own",):
            if width == "pca":
                axes = axes_of_scatter(whole.products, components or 0)[0].astype(kind)
                whole, kept, asked = whole.turned(axes), kept @ axes, asked @ axes
            for name in decoders:
                if name == "centroid":
                    found[width, name] = _nearest(whole.means, asked)
                else:
                    known = whole - Scatter.of(kept, labels[held], classes)
                    found[width, name] = _likeliest(known, whole, kept, labels[held], asked)
        yield found


@dataclass(frozen=True)
class _Part:
    """The images that one fold tests, for the training images of the others.

    Attributes
    ----------
    mean
        Of their values, (feature).
    scatter
        Of what their values differ from it.
    """

    mean: NDArray[np.float64]
    scatter: Scatter

    @classmethod
    def of(cls, values: Values, labels: Labels, classes: int) -> "_Part":
        """Of values (image, feature), which are changed, and classes (image)."""
        mean = values.mean(0, dtype=np.float64)
        values -= mean.astype(values.dtype)
        return cls(mean, Scatter.of(values, labels, classes))


def _joined(parts: Sequence[_Part]) -> tuple[NDArray[np.float64], NDArray[np.float64], Scatter]:
    """Mean and deviation (feature) of all images together, 1 where nothing varies, and their scatter in these units."""
    kind, sizes = parts[0].scatter.products.dtype, np.array([part.scatter.count.sum() for part in parts])
    means = np.stack([part.mean for part in parts])  # (part, feature)
    mean = means[0] + sizes @ (means - means[0]) / sizes.sum()
    away = (means - mean).astype(kind)
    rooted = away * np.sqrt(sizes)[:, None].astype(kind)
    count, sums = sum(part.scatter.count for part in parts), np.zeros_like(parts[0].scatter.sums)
    products = rooted.T @ rooted
    for part, step in zip(parts, away, strict=True):
        sums += part.scatter.sums + np.outer(part.scatter.count.astype(kind), step)
        products += part.scatter.products
    deviation = np.sqrt(np.diag(products).astype(np.float64) / sizes.sum())
    deviation[deviation == 0] = 1
    scale = deviation.astype(kind)
    sums /= scale
    products /= scale
    products /= scale[:, None]
    return mean, deviation, Scatter(np.asarray(count), sums, products)


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


def _turned(known: Values, labels: Labels, asked: Values) -> tuple[Values, Labels, Values]:
    """The same in the principal axes of the training values."""
    axes = principal_axes(known, known.shape[1])[0].astype(known.dtype)
    return known @ axes, labels, asked @ axes
