"""Mergeable moments per class: count, mean, M2, min, max, and how often a gate is shut or open.

References
----------
Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.05
"""A gate is near 0 below this and near 1 above one minus this."""

FIELDS = ("mean", "m2", "min", "max", "near_zero", "near_one", "zero", "one")
"""The arrays that moments hold beside the count, in the order they are stored."""


@dataclass(frozen=True)
class Moments:
    """What is kept of a set of values, per class and channel.

    Attributes
    ----------
    count
        Images per class, (class) int64.
    mean, m2, min, max
        Mean, sum of squared deviations from it, least and greatest value, (class, channel) float64. An empty
        class has mean 0, M2 0, min +inf and max -inf.
    near_zero, near_one, zero, one
        How many values are below 0.05, above 0.95, exactly 0, exactly 1, (class, channel) float64, whole.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    near_zero: NDArray[np.float64]
    near_one: NDArray[np.float64]
    zero: NDArray[np.float64]
    one: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in FIELDS:
            shape = getattr(self, name).shape
            if len(shape) != 2 or shape[0] != len(self.count) or shape != self.mean.shape:
                raise ValueError(f"{name} has shape {shape}, expected (class, channel) with {len(self.count)} classes")

    @classmethod
    def empty(cls, classes: int, channels: int) -> "Moments":
        """The moments of no images."""
        none = np.zeros((classes, channels))
        infinite = np.full((classes, channels), np.inf)
        return cls(np.zeros(classes, np.int64), none, none, infinite, -infinite, none, none, none, none)

    @classmethod
    def of(cls, values: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> "Moments":
        """The moments of some images.

        Parameters
        ----------
        values
            (image, channel).
        labels
            The class of each image, (image), from 0 to classes - 1. In any order.
        classes
            Number of classes.
        """
        values = np.asarray(values, np.float64)
        moments = cls.empty(classes, values.shape[1])
        moments = cls(moments.count, *(getattr(moments, name).copy() for name in FIELDS))
        for label in np.unique(labels):
            x = values[labels == label]
            moments.count[label] = len(x)
            moments.mean[label] = x.mean(0)
            moments.m2[label] = np.square(x - moments.mean[label]).sum(0)
            moments.min[label], moments.max[label] = x.min(0), x.max(0)
            moments.near_zero[label], moments.near_one[label] = (x < NEAR).sum(0), (x > 1 - NEAR).sum(0)
            moments.zero[label], moments.one[label] = (x == 0).sum(0), (x == 1).sum(0)
        return moments

    @classmethod
    def from_array(cls, count: NDArray[np.int64], array: NDArray[np.float64]) -> "Moments":
        """The moments that `to_array` packed."""
        return cls(count, *array)

    def to_array(self) -> NDArray[np.float64]:
        """All but the count in one array, (field, class, channel), in the order of `FIELDS`."""
        return np.stack([getattr(self, name) for name in FIELDS])

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

    def variance(self) -> NDArray[np.float64]:
        """Unbiased variance, (class, channel); NaN for fewer than two images."""
        freedom = np.where(self.count > 1, self.count - 1, np.nan)[:, None]
        result: NDArray[np.float64] = self.m2 / freedom
        return result
