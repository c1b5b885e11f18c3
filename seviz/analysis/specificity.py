"""How class-specific the gates of each block are: the share of their variance that lies between classes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.run.moments import Moments
from seviz.run.store import Run


@dataclass(frozen=True)
class VarianceSplit:
    """The variance of each channel, split by class (one-way analysis of variance).

    Attributes
    ----------
    between, within
        Sums of squares between and within classes, (channel).
    images, classes
        Number of images, and of classes that have any.
    effective_size
        Images per class where classes are equally large; else the size that stands for them in the variance
        component.
    """

    between: NDArray[np.float64]
    within: NDArray[np.float64]
    images: int
    classes: int
    effective_size: float

    @property
    def mean_square_within(self) -> NDArray[np.float64]:
        """Variance within classes, (channel); NaN where no class has two images."""
        freedom = self.images - self.classes
        result: NDArray[np.float64] = self.within / (freedom if freedom > 0 else np.nan)
        return result

    @property
    def variance_between(self) -> NDArray[np.float64]:
        """Unbiased variance component between classes, (channel); below zero by chance where there is none."""
        mean_square_between = self.between / (self.classes - 1 if self.classes > 1 else np.nan)
        result: NDArray[np.float64] = (mean_square_between - self.mean_square_within) / self.effective_size
        return result

    @property
    def eta_squared(self) -> float:
        """Share of variance between classes over all channels, in [0, 1]; NaN where nothing varies."""
        return _ratio(self.between.sum(), self.between.sum() + self.within.sum())

    @property
    def omega_squared(self) -> float:
        """The same, corrected for the bias that finitely many images bring; about 0 where there is no effect."""
        within = self.mean_square_within.sum()
        excess = self.between.sum() - (self.classes - 1) * within
        return _ratio(excess, self.between.sum() + self.within.sum() + within)

    @property
    def null(self) -> float:
        """What eta squared is on average where classes make no difference: (K - 1) / (N - 1)."""
        return _ratio(self.classes - 1, self.images - 1)


def split_variance(moments: Moments) -> VarianceSplit:
    """Split the variance of each channel into what lies between classes and what lies within them.

    Parameters
    ----------
    moments
        Per class and channel. Classes without images do not count.
    """
    seen = moments.count > 0
    count = moments.count[seen].astype(float)
    mean = moments.mean[seen]
    images = count.sum()
    grand_mean = count @ mean / images if images else np.zeros(mean.shape[1])
    spread = images - np.square(count).sum() / images if images else 0.0
    return VarianceSplit(
        between=count @ np.square(mean - grand_mean),
        within=moments.m2[seen].sum(0),
        images=int(images),
        classes=int(seen.sum()),
        effective_size=_ratio(spread, seen.sum() - 1),
    )


def specificity(run: Run, *, signal: str = "excitation") -> pd.DataFrame:
    r"""Class specificity of each block.

    Parameters
    ----------
    run
        A finished run.
    signal
        Whose variance is split.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images, classes
        - eta_squared: share of variance between classes, summed over channels, in [0, 1]
        - omega_squared: the same, bias-corrected; may fall below 0 by chance
        - null: mean of eta_squared if classes made no difference, (K - 1) / (N - 1)
        - std_between: standard deviation between classes, root mean square over channels, bias-corrected, in
          units of the signal. A nearly constant block can have a large share of next to nothing.
        - std_total: standard deviation over all images, root mean square over channels

        Shares are NaN where nothing varies, and all but eta_squared where no class has two images.

    Notes
    -----
    With sums of squares between and within K classes of N images in all, summed over channels,
    :math:`\eta^2 = SS_B / (SS_B + SS_W)` and
    :math:`\omega^2 = (SS_B - (K-1) MS_W) / (SS_B + SS_W + MS_W)`, :math:`MS_W = SS_W / (N-K)`.

    References
    ----------
    Hays, "Statistics for Psychologists", 1963. Olejnik, Algina, "Generalized Eta and Omega Squared Statistics",
    Psychological Methods 8(4), 2003, doi:10.1037/1082-989X.8.4.434.
    """
    rows = []
    for name in run.blocks:
        split, block = split_variance(run.moments(name, signal)), run.block(name)
        freedom = split.images - 1 if split.images > 1 else np.nan
        rows.append(
            {
                "block": name,
                "stage": block.stage,
                "channels": block.channels,
                "images": split.images,
                "classes": split.classes,
                "eta_squared": split.eta_squared,
                "omega_squared": split.omega_squared,
                "null": split.null,
                "std_between": float(np.sqrt(np.maximum(split.variance_between.mean(), 0))),
                "std_total": float(np.sqrt((split.between + split.within).mean() / freedom)),
            }
        )
    return pd.DataFrame(rows)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
