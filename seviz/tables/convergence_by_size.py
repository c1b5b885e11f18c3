r"""How many images per class it takes until channel order and block figures are stable, and whether a run has them.

Two samples of m images per class that share no image are drawn again and again from the run. Where they put the
channels in the same order, m images are enough to tell it; where they do not, Spearman and Brown's formula tells how
many would be. Images are the sample here; the classes are given.

Notes
-----
A figure whose correlation between two such samples is r at m images has

.. math:: r_n = \frac{(n/m)\, r}{1 + (n/m - 1)\, r}, \qquad n^* = m\, \frac{r^* (1 - r)}{r\, (1 - r^*)}

at n images, and reaches :math:`r^*` with :math:`n^*`. It is derived for Pearson's correlation and for an error whose
variance falls as 1/m; for ranks, and for omega squared at small m, it is an approximation.

References
----------
Spearman, "Correlation calculated from faulty data", British Journal of Psychology 3, 1910.
Brown, "Some experimental results in the correlation of mental abilities", British Journal of Psychology 3, 1910.
Nunnally, "Psychometric Theory", 2nd edition, 1978: 0.9 as the least reliability for decisions.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.parallel import each
from seviz.stats.resampling import Draws, Pool, default_sizes, figures_of, mean_of_known, median_size
from seviz.tables.columns import BLOCKS, COUNT, NUMBER, OMEGA, POSITIVE, SIGNED, every

FIGURES = {**every(SIGNED, "mean_order", "omega_order"), "omega_squared": OMEGA, "omega_squared_std": POSITIVE}
COLUMNS = ("block", "stage", "channels", "size", "classes", *FIGURES)

_NAMES = 10  # of classes in a remark


@table(
    title="Convergence by sample size",
    caption=("How well two disjoint samples of so many images per class agree on channel orders and on omega squared."),
    needs=("gates",),
    cost="gates",
    columns={
        **BLOCKS,
        "size": NUMBER,
        "classes": COUNT,
        **FIGURES,
    },
)
def convergence_by_size(
    run: Run,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 10,
    signal: str = "excitation",
    seed: int = 0,
) -> pd.DataFrame:
    """How well two samples of so many images per class agree.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    sizes
        Images per class of each sample; by default 1, 2, 5, 10, 20, 50, ... and half of what the median class has.
        Where images have several classes, a sample is so large a share of all images that the median class has that
        many on average.
    repeats
        Number of pairs of samples, at least 1.
    signal
        Signal to analyse: excitation, squeeze or response.
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row a block and size:

        - block, stage, channels, size
        - classes: number of classes that take part: those with at least twice the size
        - mean_order: rank correlation between the two samples of a class's mean gates over channels; mean over
          classes (at most 100, drawn at random) and repeats
        - omega_order: rank correlation between the two of the channels' omega squared, mean over repeats
        - omega_squared: of the block, mean over samples; see `seviz.tables.specificity`
        - omega_squared_std: its standard deviation over samples, from the difference between the two, so that it is
          not too small where samples make up much of the run

        Correlations are NaN where nothing varies, omega squared is also for a single class and for single images of
        each. Sizes for which no class has images enough are left out: there may be no row. `attrs["remarks"]` says
        what was left out.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `repeats` or one of `sizes` is below 1.

    Examples
    --------
    >>> seviz.convergence_by_size(run, sizes=[2, 3], repeats=2)["block"].nunique()
    16
    """
    if repeats < 1 or min(sizes or [1]) < 1:
        raise OptionError(f"sizes is {sizes} and repeats {repeats}, expected whole numbers from 1")
    key = ("convergence", tuple(sizes or ()), repeats, signal, seed)
    table = run.shared(key, lambda: _by_size(run, sizes, repeats, signal, seed)).copy()
    table.attrs["remarks"] = [*unresolved(run, run.blocks, signal), *table.attrs["remarks"]]
    return table


def _by_size(run: Run, sizes: Sequence[int] | None, repeats: int, signal: str, seed: int) -> pd.DataFrame:
    kept = run.samples["kept"].to_numpy(bool)
    pool = Pool.of(run.labels[kept], (run.samples["status"] != "failed").to_numpy()[kept], len(run.classes))
    asked = sorted(set(sizes or default_sizes(median_size(pool.count))))
    tried = [size for size in asked if pool.taking_part(size).any()]
    random = np.random.default_rng(seed)
    draws = Draws.of([pool.draw(random, tried) for _ in range(repeats)]) if tried else None

    def of_block(name: str) -> list[dict[str, Any]]:
        sample = run.sample(name, signal)
        gates = sample.gates_at()
        gates[:, ~sample.channels.finite] = np.nan
        if draws is None:
            return []
        figures = figures_of(gates, draws, pool.images[0])  # (draw and size, figure)
        rows = []
        for k, size in enumerate(tried):
            mean_order, omega_order, omega, difference = figures[k :: len(tried)].T
            rows.append(
                {
                    "block": name,
                    "stage": run.block(name).stage,
                    "channels": run.block(name).channels,
                    "size": size,
                    "classes": int(pool.taking_part(size).sum()),
                    "mean_order": mean_of_known(mean_order),
                    "omega_order": mean_of_known(omega_order),
                    "omega_squared": mean_of_known(omega),
                    "omega_squared_std": np.sqrt(mean_of_known(np.square(difference)) / 2),
                }
            )
        return rows

    rows = [row for rows in each(of_block, run.blocks) for row in rows]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs["remarks"] = _left_out(run, pool, asked, tried)
    return table


def _left_out(run: Run, pool: Pool, asked: Sequence[int], tried: Sequence[int]) -> list[str]:
    images, remarks = int((run.samples["status"] != "failed").sum()), []
    if len(pool.images) < images:
        remarks.append(f"Samples are drawn from the {len(pool.images):,} of {images:,} images whose gates are kept.")
    if pool.several:
        remarks.append("Images have several classes: samples are shares of all images, in which classes vary in size.")
    for size in sorted(set(asked) - set(tried)):
        remarks.append(f"Size {size} is left out: classes have fewer than the {2 * size} images it takes.")
    if tried and not pool.several:
        small = pool.count < 2 * tried[-1]
        if small.any():
            remarks.append(
                f"{named(run, pool.count, small)} have fewer than {2 * tried[-1]} images to draw from and take no part"
                f" at size {tried[-1]}."
            )
    return remarks


def named(run: Run, count: NDArray[np.int64], which: NDArray[np.bool_]) -> str:
    """Some of many classes, the smallest first."""
    if which.all():
        return f"All {len(count)} classes"
    found = np.flatnonzero(which)
    found = found[np.argsort(count[found], kind="stable")]
    names = ", ".join(f"{run.classes.names[label]} ({count[label]})" for label in found[:_NAMES])
    more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return f"{len(found)} of {len(count)} classes ({names}{more})"
