"""Between which numbers gates lie: the bounds of a gate function, by its name, and bounds as JSON."""

import math
from collections.abc import Mapping, Sequence

Bounds = tuple[float, float]
"""The infimum and the supremum of a gate function; -inf and inf where there is none."""

UNBOUNDED: Bounds = (-math.inf, math.inf)

BOUNDS: Mapping[str, Bounds] = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "one_plus_tanh": (0.0, 2.0),
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "clamp": (0.0, 1.0),
}
"""The bounds of the gate functions that have a name."""


def bounds_of(gate: str) -> Bounds:
    """The bounds of a gate function by its name; unbounded where the name says nothing."""
    return BOUNDS.get(gate, UNBOUNDED)


def bounds_to_json(bounds: Bounds) -> list[float | None]:
    """Bounds as JSON has them, which knows no infinity: null in its place."""
    return [end if math.isfinite(end) else None for end in bounds]


def bounds_from_json(ends: Sequence[float | None]) -> Bounds:
    """Bounds out of JSON; raises ValueError or TypeError if they are not two ends, low before high."""
    low, high = ends
    bounds = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    if not bounds[0] <= bounds[1]:
        raise ValueError(f"bounds are {list(ends)}, expected the low end and the high end")
    return bounds
