"""How far blocks, of one run or of two, hold the same of the same images: centered kernel alignment."""

from collections.abc import Sequence
from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.analysis.images import images_with_gates
from seviz.analysis.ranges import COUNT, SHARE, SIGNED, Ranges
from seviz.analysis.resolved import gates_of, varies
from seviz.errors import MissingSignalError, OptionError
from seviz.run.pairing import pair_runs
from seviz.run.store import Run

CKA: Ranges = {"cka": SHARE, "debiased": SIGNED, "images": COUNT}


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
    return _alignments(ones, others)[debiased]


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
        With two runs also paired_by, how the two blocks belong together, as in `seviz.analysis.comparison.compare`
        ("path" or "name"); empty for those that do not.
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
        wanted, order = np.unique(row[common].to_numpy(np.int64), return_inverse=True)
        of_run = {block: gates_of(run, block, signal, wanted)[order] for block in run.blocks}
        for block, x in of_run.items():
            if len(x) and not np.isfinite(x).all():
                remarks.append(f"{block}{which}: the {signal} of some images is not finite.")
            elif len(x) and not varies(x):
                remarks.append(f"{block}{which}: the {signal} is the same for all images.")
        values.append(of_run)
    if len(common) < 4:
        remarks.append(f"Only {len(common)} images can be compared, which is too few for the debiased estimate.")
    ones, others = list(values[0].values()), list(values[-1].values())
    plain, debiased = _alignments(ones, ones if other is None else others)
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
    if other is not None:
        pairing = pair_runs(one, other)
        table["paired_by"] = [pairing.by(*pair) for pair in zip(table["one"], table["other"], strict=True)]
        remarks += pairing.remarks(str(one.path), str(other.path))
    table.attrs["remarks"] = remarks
    return table


def _alignments(
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
