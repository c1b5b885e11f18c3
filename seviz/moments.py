"""Mergeable moments per class: count, mean, M2, min, max, and how often a gate is shut or open.

References
----------
Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAR = 0.05
"""A gate is near 0 below this and near 1 above one minus this."""

_ROWS = 128  # so many images at once stay in the cache, and their count in 8 bits

FIELDS: Mapping[str, type[np.generic]] = {
    **dict.fromkeys(("mean", "m2"), np.float64),
    **dict.fromkeys(("min", "max"), np.float32),  # as exact as the values are
    **dict.fromkeys(("near_zero", "near_one", "zero", "one"), np.int32),
}
"""The arrays that moments hold beside the count, and what numbers they are."""


@dataclass(frozen=True)
class Moments:
    """What is kept of a set of values, per class and channel.

    Attributes
    ----------
    count
        Images per class, (class) int64.
    mean, m2
        Mean, and sum of squared deviations from it, (class, channel) float64; 0 for an empty class.
    min, max
        Least and greatest value, (class, channel) float32; +inf and -inf for an empty class.
    near_zero, near_one, zero, one
        How many values are below 0.05, above 0.95, exactly 0, exactly 1, (class, channel) int32.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    min: NDArray[np.float32]
    max: NDArray[np.float32]
    near_zero: NDArray[np.int32]
    near_one: NDArray[np.int32]
    zero: NDArray[np.int32]
    one: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name in FIELDS:
            shape = getattr(self, name).shape
            if len(shape) != 2 or shape[0] != len(self.count) or shape != self.mean.shape:
                raise ValueError(f"{name} has shape {shape}, expected (class, channel) with {len(self.count)} classes")

    @classmethod
    def empty(cls, classes: int, channels: int) -> "Moments":
        """The moments of no images."""
        arrays = {name: np.zeros((classes, channels), dtype) for name, dtype in FIELDS.items()}
        arrays["min"] += np.inf
        arrays["max"] -= np.inf
        return cls(count=np.zeros(classes, np.int64), **arrays)

    @classmethod
    def of(cls, values: NDArray[np.float32], members: NDArray[Any], classes: int) -> "Moments":
        """The moments of some images.

        Parameters
        ----------
        values
            (image, channel).
        members
            The class of each image, (image), from 0 to classes - 1; or whether it is of each class,
            (image, class) bool. In any order.
        classes
            Number of classes.
        """
        moments = cls.empty(classes, values.shape[1])
        if members.ndim == 2:
            for label in np.flatnonzero(members.any(0)):
                moments._set(int(label), values[members[:, label]])
            return moments
        if (np.diff(members) < 0).any():
            order = np.argsort(members, kind="stable")
            values, members = values[order], members[order]
        for label, first, count in zip(*np.unique(members, return_index=True, return_counts=True), strict=True):
            moments._set(int(label), values[first : first + count])
        return moments

    @classmethod
    def of_all(cls, values: NDArray[np.float32]) -> "Moments":
        """The moments of some images, (image, channel), together as a single class."""
        moments = cls.empty(1, values.shape[1])
        if len(values):
            moments._set(0, values)
        return moments

    @np.errstate(invalid="ignore")  # of infinite values there is no mean: NaN says so
    def _set(self, label: int, x: NDArray[np.float32]) -> None:
        self.count[label] = len(x)
        self.mean[label] = mean = x.mean(0, dtype=np.float64)
        self.min[label], self.max[label] = low, high = x.min(0), x.max(0)
        near_zero, near_one = low.min() < NEAR, high.max() > 1 - NEAR
        for first in range(0, len(x), _ROWS):
            some = x[first : first + _ROWS]
            deviation = some - mean
            self.m2[label] += np.einsum("ij,ij->j", deviation, deviation)
            if near_zero:
                self.near_zero[label] += _count(some < NEAR)
                self.zero[label] += _count(some == 0)
            if near_one:
                self.near_one[label] += _count(some > 1 - NEAR)
                self.one[label] += _count(some == 1)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "") -> "Moments":
        """The moments that `to_arrays` laid open; other arrays may be among these."""
        return cls(**dict(zip(("count", *FIELDS), (arrays[name] for name in cls.names(prefix)), strict=True)))

    def to_arrays(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """The count and the arrays of `FIELDS`, by name with `prefix` before it."""
        return dict(zip(self.names(prefix), (getattr(self, name) for name in ("count", *FIELDS)), strict=True))

    @staticmethod
    def names(prefix: str = "") -> list[str]:
        """The names that `to_arrays` gives."""
        return [f"{prefix}{name}" for name in ("count", *FIELDS)]

    def take(self, classes: NDArray[np.integer]) -> "Moments":
        """The moments of some classes, by their indices, in that order."""
        return Moments(**{name: array[classes] for name, array in self.to_arrays().items()})

    @np.errstate(invalid="ignore")
    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets of images together.

        Raises
        ------
        ValueError
            If classes or channels differ in number.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"cannot merge moments of shape {self.mean.shape} with {other.mean.shape}")
        count = self.count + other.count
        share = (other.count / np.maximum(count, 1))[:, None]
        delta = other.mean - self.mean
        # Where one side is empty its mean says nothing, and the other's stands to the bit.
        mean = np.where(self.count[:, None] == 0, other.mean, self.mean + delta * share)
        cross = np.where((self.count == 0) | (other.count == 0), 0, self.count)[:, None] * share
        return Moments(
            count=count,
            mean=mean,
            m2=self.m2 + other.m2 + delta**2 * cross,
            min=np.minimum(self.min, other.min),
            max=np.maximum(self.max, other.max),
            near_zero=self.near_zero + other.near_zero,
            near_one=self.near_one + other.near_one,
            zero=self.zero + other.zero,
            one=self.one + other.one,
        )

    def check(self, images: int) -> None:
        """Raise ValueError if there is no set of images with these moments, as of a file that was tampered with.

        Parameters
        ----------
        images
            How many a class can have.
        """
        self._refuse("count", (self.count < 0) | (self.count > images), f"expected 0 to {images:,} images")
        count = self.count[:, None]
        seen = np.broadcast_to(count > 0, self.mean.shape)
        for name in ("mean", "m2", "min", "max"):
            self._refuse(name, seen & ~np.isfinite(getattr(self, name)), "expected a finite number")
        low, high = (np.where(seen, end, 0).astype(np.float64) for end in (self.min, self.max))
        self._refuse("min", low > high, "expected no more than max")
        slack = 1e-6 * np.maximum(abs(low), abs(high))  # far beyond what rounding does
        outside = seen & ((self.mean < low - slack) | (self.mean > high + slack))
        self._refuse("mean", outside, "expected a number from min to max")
        largest = count * ((high - low) + slack) ** 2
        self._refuse(
            "m2", seen & ((self.m2 < 0) | (self.m2 > largest)), "expected 0 to count times (max - min) squared"
        )
        for name in ("near_zero", "near_one", "zero", "one"):
            number = getattr(self, name)
            self._refuse(name, (number < 0) | (number > count), "expected 0 to count")
        for name, near in (("zero", self.near_zero), ("one", self.near_one)):
            self._refuse(name, getattr(self, name) > near, f"expected no more than near_{name}")

    def _refuse(self, name: str, wrong: NDArray[np.bool_], expected: str) -> None:
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0].tolist())
            of = f"class {place[0]}" + (f", channel {place[1]}" if len(place) > 1 else "")
            raise ValueError(f"{name} of {of} is {getattr(self, name)[place]}, {expected}")

    def within(self, bounds: tuple[float, float]) -> bool:
        """Whether no value lies outside of bounds, low and high, nor is NaN; of no images, whether or not."""
        seen = self.count > 0
        return bool((self.min[seen] >= bounds[0]).all() and (self.max[seen] <= bounds[1]).all())

    def variance(self) -> NDArray[np.float64]:
        """Unbiased variance, (class, channel); NaN for fewer than two images."""
        freedom = np.where(self.count > 1, self.count - 1, np.nan)[:, None]
        result: NDArray[np.float64] = self.m2 / freedom
        return result


def _count(which: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How often True stands in each column of at most 255 rows."""
    count: NDArray[np.uint8] = which.view(np.uint8).sum(0, dtype=np.uint8)
    return count


class MomentsSum:
    """Moments of many classes, to which those of a few are added piece by piece, without copying the rest.

    Parameters
    ----------
    classes, channels
        How many there are.
    """

    def __init__(self, classes: int, channels: int) -> None:
        self._arrays = Moments.empty(classes, channels).to_arrays()

    def add(self, classes: NDArray[np.integer], moments: Moments) -> None:
        """Merge the moments of some classes, given by their indices, into what is there of them."""
        merged = Moments.from_arrays(self._arrays).take(classes).merge(moments)
        for name, array in merged.to_arrays().items():
            self._arrays[name][classes] = array

    def result(self) -> Moments:
        """The moments of all that was added."""
        return Moments.from_arrays(self._arrays)
