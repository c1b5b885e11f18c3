"""Signals of a run as far as they are resolved: what spreads less than is stored exactly is constant, what is not
finite is NaN.

Moments are exact to float64, gates of single images to what the run stores. Where a gate moves less than that, the two
contradict each other, and a share or an interval made of both means nothing. So every table that divides by a spread
reads moments and gates by `Run.sample`. A channel with a value that is not finite has no mean, and so no share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seviz.moments import Moments
from seviz.run.chunks import decode_gates
from seviz.run.precision import Precision, precision_of

if TYPE_CHECKING:
    from seviz.run.store import Run

_NAMED = 6  # blocks in a remark


@dataclass(frozen=True)
class Channels:
    """What is to be said of the channels of a block.

    Attributes
    ----------
    near_constant
        Whether each spreads less than is stored exactly, (channel); see `Precision.near_constant`.
    moving
        Whether it has two different values at least, (channel).
    finite
        Whether all its values are, (channel).
    mean
        Over all images, (channel).
    precision
        How exactly values are stored.
    """

    near_constant: NDArray[np.bool_]
    moving: NDArray[np.bool_]
    finite: NDArray[np.bool_]
    mean: NDArray[np.float64]
    precision: Precision


class Sample:
    """One signal of one block of a run, as far as it is resolved; read when it is asked for, and once.

    Parameters
    ----------
    run
        A finished run.
    block, signal
        Names.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal.
    """

    def __init__(self, run: "Run", block: str, signal: str = "excitation") -> None:
        self.run, self.record, self.signal = run, run.block(block), signal
        self.channels: Channels = run.shared(("channels", block, signal), self._channels)

    def _channels(self) -> Channels:
        block = self.record.name
        total, precision = self.run.total(block, self.signal), precision_of(self.run, block, self.signal)
        finite = np.isfinite(total.m2[0])
        mean = total.mean[0].astype(np.float32).astype(np.float64)  # as gates of images have it
        moving = total.min[0] < total.max[0]
        return Channels(precision.near_constant(total) & finite, moving, finite, mean, precision)

    @property
    def moments(self) -> Moments:
        """Moments by class.

        As `Run.moments`, but: of channels that are near-constant, every class has the mean of all and does not vary; a
        class whose gates are near-constant in a channel does not vary there; channels with a value that is not finite
        are NaN.
        """
        return self._resolved[0]

    @property
    def total(self) -> Moments:
        """Moments of all images together, as a single class; resolved as `moments`."""
        return self._resolved[1]

    @cached_property
    def _resolved(self) -> tuple[Moments, Moments]:
        moments, total = (of(self.record.name, self.signal) for of in (self.run.moments, self.run.total))
        found = self.channels
        least = found.precision.least(np.abs(moments.mean))
        apart = (moments.count > 1)[:, None] & (np.sqrt(moments.m2 / np.maximum(moments.count, 1)[:, None]) < least)
        apart &= found.finite & ~found.near_constant & (moments.min < moments.max)
        if apart.any():
            if self.run.manifest.data.labels == "single":
                total = replace(total, m2=np.maximum(total.m2 - np.where(apart, moments.m2, 0).sum(0), 0))
            moments = _constant(moments, apart, moments.mean)
        for which, mean in ((found.near_constant, found.mean), (~found.finite, np.full_like(found.mean, np.nan))):
            if which.any():
                moments, total = (_constant(each, which, mean) for each in (moments, total))
        return moments, total

    @cached_property
    def gates(self) -> NDArray[np.float32]:
        """Gates of the images of `rows`, (image, channel), as of `gates_at`."""
        return self.gates_at(self.run.kept["row"].to_numpy(np.int64))

    def gates_at(self, rows: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """Gates of single images.

        Returns
        -------
        numpy.ndarray
            (image, channel), as `Run.gates`, but channels that are near-constant have one value, and what is not finite
            is NaN.

        Raises
        ------
        MissingSignalError
            If the run keeps no gates of images.
        """
        gates, found = self.run.gates(self.record.name, self.signal, rows), self.channels
        if found.near_constant.any():
            gates[:, found.near_constant] = found.mean[found.near_constant]
        if not found.finite.all():
            gates[~np.isfinite(gates)] = np.nan
        return gates

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of `Run.samples` of the images that did not fail and whose gates are kept, (image)."""
        return self.run.kept.index.to_numpy(np.int64)

    @property
    def labels(self) -> NDArray[Any]:
        """Class of each image of `rows`, (image) int64; where images have several, (image, class) bool."""
        labels: NDArray[Any] = self.run.labels[self.rows]
        return labels


def unresolved(
    run: "Run", blocks: Sequence[str], signal: str = "excitation", *, near_constant: bool = True
) -> list[str]:
    """Remarks on channels that move and yet count as constant, or are left out, a sentence each.

    Parameters
    ----------
    run
        A finished run.
    blocks, signal
        Of which the table is.
    near_constant
        Whether to tell of those that are near-constant too.
    """
    constant, odd = [], []
    for block in blocks:
        found = run.sample(block, signal).channels
        near, count = int((found.near_constant & found.moving).sum()), len(found.mean)
        if near and near_constant:
            which = "all channels" if near == count else f"{near:,} of {count:,} channels"
            constant.append(f"{which} of {block} (precision {found.precision})")
        if wrong := int((~found.finite).sum()):
            odd.append(f"{'all channels' if wrong == count else f'{wrong:,} of {count:,} channels'} of {block}")
    remarks = []
    if constant:
        remarks.append(
            f"The {signal} is near-constant, and counts as constant, where its standard deviation is below the"
            f" precision that it is stored with: in {_listed(constant)}."
        )
    if odd:
        remarks.append(f"The {signal} of some images is not finite, and nothing is known of it: in {_listed(odd)}.")
    return remarks


def _constant(moments: Moments, which: NDArray[np.bool_], mean: NDArray[np.float64]) -> Moments:
    """Moments of which some channels, or some (class, channel), do not vary about a mean, in classes with images."""
    which = which & (moments.count > 0)[:, None]
    value = mean.astype(np.float32)
    return replace(
        moments,
        mean=np.where(which, mean, moments.mean),
        m2=np.where(which, 0 * mean, moments.m2),
        min=np.where(which, value, moments.min),
        max=np.where(which, value, moments.max),
    )


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:_NAMED]) + (f" and {len(parts) - _NAMED} more blocks" if len(parts) > _NAMED else "")


def in_codes(gates: NDArray[Any]) -> NDArray[Any]:
    """Gates as the 16-bit codes that a run stores of bounded gates, in the same order; others come back as they are.

    Codes are quicker to sort and to compare.
    """
    if gates.dtype != np.float32 or not gates.size or not (gates.min() >= 0 and gates.max() <= 1):
        return gates
    codes: NDArray[np.uint16] = (gates * np.float32(65534) + np.float32(1)).astype(np.uint16)
    codes *= gates > 0
    return codes if np.array_equal(decode_gates(codes), gates) else gates
