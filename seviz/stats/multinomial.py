"""Multinomial logistic regression for many small problems at once: L-BFGS in coordinates in which the loss is round.

Features of gates are strongly correlated, so that a plain L-BFGS (scikit-learn's) takes hundreds of steps. In their
principal axes, which the caller is to give, each axis scaled by the curvature that the loss has along it where all
classes are alike, the same loss takes about a tenth of them. Neither changes where its minimum lies. Problems that take
their steps together, such as the folds of a cross-validation, pay Python's price for a step once, and let other threads
run meanwhile.

References
----------
Nocedal, Wright, "Numerical Optimization", 2nd edition, 2006, algorithms 7.4 and 7.5 (L-BFGS).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Values = NDArray[np.floating]
Labels = NDArray[np.int64]

TOLERANCE = 2e-5
"""Largest entry of the scaled gradient at which a fit ends: the loss is then within 1e-5 of its minimum."""
_STEPS = 1000
_PAIRS = 5
"""Past steps that L-BFGS remembers: in round coordinates more of them save few steps, and each costs time."""
_HALVINGS = 20


def with_ones(values: Values) -> Values:
    """Values (image, feature) with one more column of ones, whose weight is the offset of a class."""
    return np.concatenate([values, np.ones((len(values), 1), values.dtype)], 1)


def fit(
    values: Sequence[Values],
    labels: Sequence[Labels],
    penalties: Sequence[float],
    *,
    starts: Sequence[NDArray[np.floating] | None] | None = None,
    tolerance: float = TOLERANCE,
) -> list[Values]:
    r"""Weights under which labels are likeliest, less an L2 penalty, for one problem or several.

    Parameters
    ----------
    values
        Of each problem, (image, column), the last column one (`with_ones`); as many columns in all. The others may be
        any features; in principal axes they are fitted quickly.
    labels
        Of each problem, (image), from 0 to K - 1, the same K for all.
    penalties
        Of each problem the C of scikit-learn's `LogisticRegression`, whose minimum this is: with n images the mean loss
        is minimised plus :math:`\lVert w \rVert^2 / (2 C n)`, without the weights of the last column. With two classes
        scikit-learn penalises the difference of their weights, and so does this.
    starts
        Weights to start from, (class, column); where there are none the share of each class.
    tolerance
        Where to end.

    Returns
    -------
    list of numpy.ndarray
        Of each problem, (class, column); `values @ weights.T` are the logits.
    """
    images = np.array([len(own) for own in labels])
    longest, classes, columns = images.max(), int(labels[0].max()) + 1, values[0].shape[1]
    kind = values[0].dtype
    ridge = np.repeat(((2 if classes == 2 else 1) / (np.array(penalties) * images))[:, None], columns, 1)
    ridge[:, -1] = 0
    curvature = (1 - 1 / classes) / classes  # of the loss, where all classes are as likely
    scale = 1 / np.sqrt(curvature * np.stack([_mean_squares(each) for each in values]) + ridge)
    scales, decay = scale[:, None].astype(kind), (ridge * np.square(scale))[:, None].astype(kind)
    # Where problems differ in their number of images, the shorter end in images that do not count.
    counted = np.where(np.arange(longest) < images[:, None], 1 / images[:, None], 0).astype(kind)
    own = np.stack([np.pad(label, (0, longest - len(label))) for label in labels]) * longest + np.arange(longest)

    def loss(points: Values, problems: NDArray[np.int64]) -> tuple[NDArray[np.float64], Values]:
        """Of some problems at a point each, (problem, class * column), the loss and its gradient."""
        scaled, fading, count, rows = (x[problems] for x in (scales, decay, counted, own))
        points = points.reshape(len(problems), classes, columns)
        weights, faded = points * scaled, points * fading
        logits = np.zeros((len(problems), classes, longest), kind)
        for row, k in enumerate(problems):
            logits[row, :, : images[k]] = (values[k] @ weights[row].T).T
        logits -= logits.max(1, keepdims=True)
        flat = logits.reshape(len(problems), -1)
        at = rows + np.arange(len(problems))[:, None] * flat.shape[1]
        likely = flat.ravel()[at]
        np.exp(logits, out=logits)
        totals = logits.sum(1, keepdims=True)
        losses = np.einsum("ij,ij->i", np.log(totals[:, 0]) - likely, count, dtype=np.float64)
        losses += np.einsum("ijk,ijk->i", faded, points, dtype=np.float64) / 2
        logits /= totals
        logits.ravel()[at] -= 1
        logits *= count[:, None]
        gradient = np.empty_like(points)
        for row, k in enumerate(problems):
            np.matmul(logits[row, :, : images[k]], values[k], out=gradient[row])
        gradient *= scaled
        gradient += faded
        return losses, gradient.reshape(len(problems), -1)

    first = np.zeros((len(values), classes, columns), kind)
    for k, start in enumerate(starts or [None] * len(values)):
        if start is None:
            first[k, :, -1] = np.log(np.bincount(labels[k], minlength=classes) / images[k])
        else:
            first[k] = start
    found = _minimise(loss, (first / scales).reshape(len(values), -1), tolerance)
    return list(found.reshape(first.shape) * scales)


def _minimise(
    loss: Callable[[Values, NDArray[np.int64]], tuple[NDArray[np.float64], Values]], start: Values, tolerance: float
) -> Values:
    """Points (problem, coordinate) where losses are least, by L-BFGS with halved steps, all problems side by side."""
    result, problems = start.copy(), np.arange(len(start))
    points, (losses, gradients) = start, loss(start, problems)
    steps: list[Values] = []  # the last is the newest; (problem, coordinate) each
    changes: list[Values] = []
    inverses: list[Values] = []  # of the product of a step and its change, (problem, 1); 0 where it is of no use
    for _ in range(_STEPS):
        going = np.abs(gradients).max(1) > tolerance
        if not going.all():
            result[problems[~going]] = points[~going]
            problems, points, losses, gradients = (x[going] for x in (problems, points, losses, gradients))
            steps, changes, inverses = ([x[going] for x in each] for each in (steps, changes, inverses))
        if not len(problems):
            break
        directions = -_newton(gradients, steps, changes, inverses)
        slopes = _dot(directions, gradients)
        taken, length = np.zeros(len(problems), bool), np.ones((len(problems), 1), start.dtype)
        new, lower, steeper = points.copy(), losses.copy(), gradients.copy()
        for _ in range(_HALVINGS):
            trying = np.flatnonzero(~taken)
            new[trying] = points[trying] + length[trying] * directions[trying]
            lower[trying], steeper[trying] = loss(new[trying], problems[trying])
            # Near the minimum the loss changes by less than its rounding.
            allowed = losses + 1e-4 * (length * slopes)[:, 0] + 4 * np.finfo(start.dtype).eps * np.abs(losses)
            taken = lower <= allowed
            if taken.all():
                break
            length[~taken] /= 2
        new[~taken], lower[~taken] = points[~taken], losses[~taken]
        steeper[~taken] = 0  # no lower point is to be found: it ends where it is
        step, change = new - points, steeper - gradients
        product = _dot(step, change)
        useful = product > np.finfo(start.dtype).tiny
        steps, changes = [*steps, step][-_PAIRS:], [*changes, change][-_PAIRS:]
        inverses = [*inverses, np.where(useful, 1 / np.where(useful, product, 1), 0)][-_PAIRS:]
        points, losses, gradients = new, lower, steeper
    result[problems] = points
    return result


def _newton(gradients: Values, steps: list[Values], changes: list[Values], inverses: list[Values]) -> Values:
    """What the inverse of the curvature that past steps have shown makes of gradients (problem, coordinate)."""
    direction, shares = gradients.copy(), []
    for step, change, inverse in zip(reversed(steps), reversed(changes), reversed(inverses), strict=True):
        share = inverse * _dot(step, direction)
        direction -= share * change
        shares.append(share)
    if steps:
        size = inverses[-1] * _dot(changes[-1], changes[-1])
        direction /= np.where(size > 0, size, 1)
    for step, change, inverse, share in zip(steps, changes, inverses, reversed(shares), strict=True):
        direction += (share - inverse * _dot(change, direction)) * step
    return direction


def _mean_squares(values: Values) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->j", values, values).astype(np.float64) / len(values)
    return squares


def _dot(a: Values, b: Values) -> Values:
    """Of each row, (row, 1)."""
    products: Values = np.einsum("ij,ij->i", a, b)[:, None]
    return products


def log_likelihood(values: Values, labels: Labels, weights: Values) -> NDArray[np.float64]:
    """Log of the probability that weights give to the label of each image, (image)."""
    logits = values @ weights.T
    result: NDArray[np.float64] = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return result
