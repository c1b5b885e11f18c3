"""Runs of which little is known: constant gates, classes of one image, gates that are not finite, and the like."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seviz.run.store import Run
from tests.made_runs import make_run

BLOCKS = {"SE_2_1": 4, "SE_3_1": 7}
"""Channels of each block."""
_RANDOM_STATE = 11

Values = NDArray[np.float64]
_LABELS = np.repeat(np.arange(3), 8)


def _noise(labels: NDArray[Any], channels: int, *, between: float = 0.1, within: float = 0.05) -> Values:
    """About 0.5, classes apart by so much."""
    random = np.random.default_rng(_RANDOM_STATE + channels)
    classes = labels if labels.ndim == 1 else labels.argmax(1)
    centre = between * random.standard_normal((int(classes.max()) + 1, channels))
    return 0.5 + centre[classes] + within * random.standard_normal((len(labels), channels))


def _several(images: int) -> NDArray[np.bool_]:
    members = np.random.default_rng(_RANDOM_STATE).random((images, 3)) < 0.4
    members[:3] = np.eye(3, dtype=bool)
    return members


def _rare() -> NDArray[np.int64]:
    return np.repeat(np.arange(4), [36, 2, 1, 1])


Make = Callable[[int], Values]
CASES: dict[str, tuple[Any, Make, dict[str, Any]]] = {
    "constant": (_LABELS, lambda c: np.full((24, c), 0.3), {}),
    "near-constant": (_LABELS, lambda c: _noise(_LABELS, c, between=1e-7, within=1e-7), {}),
    "within a code": (_LABELS, lambda c: _noise(_LABELS, c, between=2e-6, within=2e-6), {}),
    "a few codes": (_LABELS, lambda c: _noise(_LABELS, c, between=3e-5, within=2e-5), {}),
    "near-constant in classes": (_LABELS, lambda c: _noise(_LABELS, c, between=0.1, within=1e-7), {}),
    "constant in classes": (_LABELS, lambda c: _noise(_LABELS, c, between=0.1, within=0), {}),
    "some near-constant": (
        _LABELS,
        lambda c: np.where(np.arange(c) % 2, _noise(_LABELS, c), _noise(_LABELS, c, between=1e-7, within=1e-7)),
        {},
    ),
    "all shut": (_LABELS, lambda c: np.zeros((24, c)), {}),
    "all open": (_LABELS, lambda c: np.ones((24, c)), {}),
    "saturated": (_LABELS, lambda c: (_noise(_LABELS, c) > 0.5).astype(float), {}),
    "open in one class": (_LABELS, lambda c: np.repeat((_LABELS == 1)[:, None], c, 1).astype(float), {}),
    "one class": (np.zeros(12, np.int64), lambda c: _noise(np.zeros(12, np.int64), c), {"classes": ["a"]}),
    "one class of three": (np.zeros(12, np.int64), lambda c: _noise(np.zeros(12, np.int64), c), {"classes": "abc"}),
    "one image a class": (np.arange(5), lambda c: _noise(np.arange(5), c), {}),
    "one image more than classes": (
        np.array([0, 0, 1, 2, 3, 4]),
        lambda c: _noise(np.array([0, 0, 1, 2, 3, 4]), c),
        {},
    ),
    "one image": (np.zeros(1, np.int64), lambda c: _noise(np.zeros(1, np.int64), c), {}),
    "two images": (np.arange(2), lambda c: _noise(np.arange(2), c), {}),
    "two images of a class": (np.zeros(2, np.int64), lambda c: _noise(np.zeros(2, np.int64), c), {}),
    "three images": (np.array([0, 0, 1]), lambda c: _noise(np.array([0, 0, 1]), c), {}),
    "an empty class": (2 * (_LABELS % 2), lambda c: _noise(2 * (_LABELS % 2), c), {"classes": "abcd"}),
    "several labels": (_several(24), lambda c: _noise(_several(24), c), {}),
    "several labels, constant": (_several(24), lambda c: np.full((24, c), 0.3), {}),
    "several labels, all of all": (np.ones((6, 3), bool), lambda c: _noise(np.arange(6), c), {}),
    "several labels, none": (np.zeros((6, 3), bool), lambda c: _noise(np.arange(6), c), {}),
    "most in one class": (_rare(), lambda c: _noise(_rare(), c), {}),
    "identical classes": (_LABELS, lambda c: np.tile(_noise(np.zeros(8, np.int64), c), (3, 1)), {}),
    "identical images": (_LABELS, lambda c: np.tile(_noise(np.zeros(1, np.int64), c), (24, 1)), {}),
    "huge": (_LABELS, lambda c: 1e30 * (_noise(_LABELS, c) - 0.5), {"gate": "other"}),
    "at the end of float32": (_LABELS, lambda c: 6e38 * (_noise(_LABELS, c) - 0.5), {"gate": "other"}),
    "tiny": (_LABELS, lambda c: 1e-30 * (_noise(_LABELS, c) - 0.5), {"gate": "other"}),
    "huge and tiny": (_LABELS, lambda c: 10.0 ** np.linspace(-30, 30, c) * _noise(_LABELS, c), {"gate": "relu"}),
    "near-constant, unbounded": (_LABELS, lambda c: 1e3 + _noise(_LABELS, c, between=1e-5, within=1e-5), {"gate": "x"}),
    "negative": (_LABELS, lambda c: -_noise(_LABELS, c), {"gate": "tanh"}),
    "failures only": (_LABELS, lambda c: _noise(_LABELS, c), {"failed": range(24)}),
    "failures but one": (_LABELS, lambda c: _noise(_LABELS, c), {"failed": range(23)}),
    "a class failed": (_LABELS, lambda c: _noise(_LABELS, c), {"failed": range(8)}),
    "no gates kept": (_LABELS, lambda c: _noise(_LABELS, c), {"kept": np.zeros(24, bool)}),
    "one gate kept": (_LABELS, lambda c: _noise(_LABELS, c), {"kept": np.arange(24) == 5}),
    "always wrong": (_LABELS, lambda c: _noise(_LABELS, c), {"predictions": (_LABELS + 1) % 3}),
    "untrained": (_LABELS, lambda c: _noise(_LABELS, c), {"trained": False}),
}
"""By name: labels, gates by the number of channels, and options of `make_run`."""


def degenerate_run(path: Path, name: str) -> Run:
    """Write one of `CASES`, with a squeeze that is its gates."""
    labels, make, options = CASES[name]
    bounded = options.get("gate", "sigmoid") == "sigmoid"
    gates = {
        block: np.clip(values, 0, 1) if bounded else values
        for block, values in ((block, make(channels)) for block, channels in BLOCKS.items())
    }
    with np.errstate(over="ignore"):
        return make_run(path, gates, labels, signals={"squeeze": gates}, **options)
