"""How far blocks, of one run or of two, hold the same of the same images: centered kernel alignment."""

from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.analysis.images import images_with_gates
from seviz.errors import MissingSignalError, OptionError
from seviz.run.store import Run


def kernel_alignment(
    ones: Sequence[NDArray[np.floating]], others: Sequence[NDArray[np.floating]], *, debiased: bool = False
) -> NDArray[np.float64]:
    r"""Linear centered kernel alignment of representations, each of some with each of others.

    Parameters
    ----------
    ones, others
        Representations (image, feature) of the same images, with any number of features.
    debiased
        Whether to estimate without the bias that brings the alignment of independent representations near 1 when
        features outnumber images.

    Returns
    -------
    numpy.ndarray
        (one, other): in [0, 1], debiased in [-1, 1]. The same after a rotation and after a common factor. NaN for a
        representation that is the same for all images or not finite, and for fewer than 2 images, debiased 4.

    Notes
    -----
    With kernels :math:`K = X X^T`, centred, it is the cosine of the two as vectors. Debiased, the kernels are
    U-centred with a diagonal of 0, and their inner product is Song et al.'s estimator of HSIC.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", arXiv 1905.00414, 2019.
    Song, Smola, Gretton, Bedo, Borgwardt, "Feature Selection via Dependence Maximization", JMLR 13, 2012.
    Nguyen, Raghu, Kornblith, "Do Wide and Deep Networks Learn the Same Things?", arXiv 2010.15327, 2021.
    """
    left = _kernels(ones, debiased=debiased)
    right = left if others is ones else _kernels(others, debiased=debiased)
    result: NDArray[np.float64] = np.clip(left @ right.T, -1, 1)
    return result if left.size else np.full_like(result, np.nan)


def cka(
    one: Run, other: Run | None = None, *, signal: str = "excitation", images: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How alike the gates of blocks are, image by image: linear centered kernel alignment.

    Parameters
    ----------
    one
        A finished run that keeps the gates of images.
    other
        Another, on some of the same images, matched by their path; without it the blocks of one are compared.
    signal
        Whose values.
    images
        How many at most, drawn evenly.
    seed
        Of the draw.

    Returns
    -------
    pandas.DataFrame
        One row a pair of blocks, with a single run each pair once and each block with itself: one, other; cka, in
        [0, 1]; debiased, in [-1, 1], about 0 for independent blocks even where channels outnumber images; and images.
        NaN as in `kernel_alignment`; `attrs["remarks"]` says where.

    Raises
    ------
    MissingSignalError
        If a run holds no such signal or keeps no gates of images, or the two keep those of no image in common.
    OptionError
        If `images` is less than 4.

    References
    ----------
    Those of `kernel_alignment`.
    """
    if images < 4:
        raise OptionError(f"images is {images}, expected at least 4")
    runs = [one] if other is None else [one, other]
    rows = [images_with_gates(run).drop_duplicates("path").set_index("path")["row"] for run in runs]
    common = rows[0].index if other is None else rows[0].index[rows[0].index.isin(rows[1].index)]
    if other is not None and not len(common) and len(rows[0]) and len(rows[1]):
        raise MissingSignalError(
            f"{str(one.path)!r} and {str(other.path)!r} keep the gates of no image in common, by path; such as"
            f" {rows[0].index[0]!r} and {rows[1].index[0]!r}. Capture both from the same root."
        )
    if len(common) > images:
        common = common[np.sort(np.random.default_rng(seed).choice(len(common), images, replace=False))]
    remarks: list[str] = []
    values = []
    for run, row in zip(runs, rows, strict=True):
        which = "" if run is one else " of the other run"
        of_run = {block: run.gates(block, signal)[row[common].to_numpy()] for block in run.blocks}
        for block, x in of_run.items():
            if len(x) and not np.isfinite(x).all():
                remarks.append(f"{block}{which}: the {signal} of some images is not finite.")
            elif len(x) and not np.ptp(x, axis=0).any():
                remarks.append(f"{block}{which}: the {signal} is the same for all images.")
        values.append(of_run)
    if len(common) < 4:
        remarks.append(f"Only {len(common)} images can be compared, which is too few for the debiased estimate.")
    ones, others = list(values[0].values()), list(values[-1].values())
    plain, debiased = (
        kernel_alignment(ones, ones if other is None else others, debiased=flag) for flag in (False, True)
    )
    pairs = (
        combinations_with_replacement(range(len(ones)), 2)
        if other is None
        else product(range(len(ones)), range(len(others)))
    )
    table = pd.DataFrame(
        [
            {
                "one": one.blocks[i],
                "other": runs[-1].blocks[j],
                "cka": plain[i, j],
                "debiased": debiased[i, j],
                "images": len(common),
            }
            for i, j in pairs
        ]
    )
    table.attrs["remarks"] = remarks
    return table


def _kernels(representations: Sequence[NDArray[np.floating]], *, debiased: bool) -> NDArray[np.float64]:
    """The kernel of each, flat, (representation, image * image)."""
    kernels = np.empty((len(representations), len(representations[0]) ** 2))
    for kernel, values in zip(kernels, representations, strict=True):
        kernel[:] = _kernel(values, debiased=debiased).ravel()
    return kernels


def _kernel(values: NDArray[np.floating], *, debiased: bool) -> NDArray[np.float64]:
    """The centred linear kernel of values (image, feature), of length 1, (image, image); NaN where there is none."""
    x = np.asarray(values, np.float64)
    images = len(x)
    if images < (4 if debiased else 2) or not np.isfinite(x).all() or not np.ptp(x, axis=0).any():
        return np.full((images, images), np.nan)
    x = x - x.mean(0)
    kernel: NDArray[np.float64] = x @ x.T
    if debiased:
        np.fill_diagonal(kernel, 0)
        sums = kernel.sum(0) / (images - 2)
        kernel -= sums[:, None] + sums[None] - sums.sum() / (images - 1)
        np.fill_diagonal(kernel, 0)
    kernel /= np.linalg.norm(kernel)
    return kernel
