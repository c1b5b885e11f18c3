"""Centered kernel alignment: how alike representations of the same images are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seviz.stats.scaling import varies


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
    return alignments(ones, others)[debiased]


def alignments(
    ones: Sequence[NDArray[np.floating]], others: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The alignment of each of some with each of others, plain and debiased, (one, other)."""
    left = _kernels(ones)
    right = left if others is ones else _kernels(others)
    plain = _cosines(left, right)
    for kernel in [*left, *([] if right is left else right)]:
        _debias(kernel)
    return plain, _cosines(left, right)


def _cosines(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = [kernels.reshape(len(kernels), -1) for kernels in (left, right)]
    result: NDArray[np.float64] = np.clip(flat[0] @ flat[1].T, -1, 1)
    return result if left.size else np.full_like(result, np.nan)


def _kernels(representations: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """The centred linear kernel of each, of length 1, (representation, image, image); NaN where there is none."""
    images = len(representations[0])
    kernels = np.full((len(representations), images, images), np.nan)
    for kernel, values in zip(kernels, representations, strict=True):
        if images < 2 or not np.isfinite(values).all() or not varies(values):
            continue
        x = np.asarray(values, np.float64)
        x = x - x.mean(0)
        np.matmul(x, x.T, out=kernel)
        kernel /= np.linalg.norm(kernel)
    return kernels


def _debias(kernel: NDArray[np.float64]) -> None:
    """U-centre a centred kernel (image, image) with a diagonal of 0, to length 1, in place; NaN for too few images."""
    images = len(kernel)
    if images < 4:
        kernel[:] = np.nan
        return
    np.fill_diagonal(kernel, 0)
    sums = kernel.sum(0) / (images - 2)
    kernel -= sums[:, None]
    kernel -= sums - sums.sum() / (images - 1)
    np.fill_diagonal(kernel, 0)
    kernel /= np.linalg.norm(kernel)
