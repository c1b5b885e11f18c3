"""Multinomial logistic regression for many small problems: scipy's L-BFGS in coordinates in which the loss is round.

Features of gates are strongly correlated, so that a plain L-BFGS (scikit-learn's) takes hundreds of steps. Turned into
their principal axes, and each axis scaled by the curvature that the loss has along it where all classes are alike, the
same loss takes about a tenth of them. Neither changes where its minimum lies.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import log_softmax

Values = NDArray[np.floating]

TOLERANCE = 3e-5
"""Largest entry of the scaled gradient at which a fit ends: the loss is then within 1e-5 of its minimum."""
_STEPS = 1000
_PAIRS = 5
"""Past steps that L-BFGS remembers: in round coordinates more of them save few steps, and each costs time."""


@dataclass(frozen=True)
class Turned:
    """Values in their principal axes, ready to be fitted under several penalties.

    Attributes
    ----------
    coordinates
        (image, axis + 1), the last column one.
    spread
        Mean square of each column, (axis + 1).
    axes
        (feature, axis), orthonormal; as many axes as features.
    """

    coordinates: Values
    spread: NDArray[np.float64]
    axes: Values

    def apply(self, values: Values) -> Values:
        """Other values (image, feature) in the same axes, (image, axis + 1)."""
        return _with_ones(values @ self.axes)


def turn(values: Values) -> Turned:
    """Turn values (image, feature), of mean 0 or not, into their principal axes."""
    axes = eigh(values.T @ values, driver="evd")[1]
    coordinates = _with_ones(values @ axes)
    return Turned(coordinates, np.square(coordinates).mean(0, dtype=np.float64), axes)


def fit(
    values: Values,
    labels: NDArray[np.int64],
    *,
    penalty: float,
    spread: NDArray[np.float64],
    start: NDArray[np.float64] | None = None,
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    r"""Weights under which labels are likeliest, less an L2 penalty.

    Parameters
    ----------
    values
        (image, column), the last column one, as `turn` makes them; its weight is not penalised.
    labels
        (image), from 0 to K - 1.
    penalty
        The C of scikit-learn's `LogisticRegression`, whose minimum this is: with n images the mean loss is minimised
        plus :math:`\lVert w \rVert^2 / (2 C n)`. With two classes scikit-learn penalises the difference of their
        weights, and so does this.
    spread
        Mean square of each column, (column); a guess is enough, a good one makes the fit quick.
    start
        Weights to start from, (class, column); by default none but the share of each class.
    tolerance
        Where to end.

    Returns
    -------
    numpy.ndarray
        (class, column); `values @ weights.T` are the logits.
    """
    images, columns = values.shape
    shares = np.bincount(labels) / images
    classes = len(shares)
    own = labels, np.arange(images)
    across = np.ascontiguousarray(values.T)  # (column, image)
    ridge = np.full(columns, (2 if classes == 2 else 1) / (penalty * images))
    ridge[-1] = 0
    curvature = (1 - 1 / classes) / classes  # of the loss, where all classes are as likely
    scale = 1 / np.sqrt(curvature * spread + ridge)
    penalised = ridge * np.square(scale)

    def loss(scaled: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = scaled.reshape(classes, columns)
        logits = (weights * scale).astype(values.dtype) @ across  # (class, image): sums over classes are quick
        logits -= logits.max(0)
        likely = float(logits[own].sum(dtype=np.float64))
        np.exp(logits, out=logits)
        total = logits.sum(0)
        unlikely = float(np.log(total).sum(dtype=np.float64)) - likely
        logits /= total
        logits[own] -= 1
        decay = penalised * weights
        gradient = (logits @ values) * (scale / images) + decay
        return unlikely / images + float(np.vdot(decay, weights)) / 2, gradient.ravel()

    if start is None:
        start = np.zeros((classes, columns))
        start[:, -1] = np.log(shares)
    options: dict[str, Any] = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "maxcor": _PAIRS, "gtol": tolerance, "ftol": 0}
    found = minimize(loss, (start / scale).ravel(), jac=True, method="L-BFGS-B", options=options)
    weights: NDArray[np.float64] = found.x.reshape(classes, columns) * scale
    return weights


def log_likelihood(values: Values, labels: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the probability that weights give to the label of each image, (image)."""
    logits = values @ weights.T
    result: NDArray[np.float64] = log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return result


def _with_ones(values: Values) -> Values:
    return np.concatenate([values, np.ones((len(values), 1), values.dtype)], 1)
