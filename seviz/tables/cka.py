"""How far blocks, of one run or of two, hold the same of the same images: centered kernel alignment."""

from itertools import combinations_with_replacement, product

import numpy as np
import pandas as pd

from seviz.errors import MissingSignalError, OptionError
from seviz.registry import table
from seviz.run.pairing import pair_runs
from seviz.run.store import Run
from seviz.stats.cka import alignments
from seviz.stats.scaling import varies
from seviz.tables.columns import COUNT, KEY, SHARE, SIGNED, TEXT, every


@table(
    title="Centered kernel alignment",
    caption="How alike the gates of two blocks are, image by image: 1 for the same up to rotation and scale.",
    needs=("gates",),
    cost="gates",
    columns={
        **every(KEY, "block", "other_block"),
        "cka": SHARE,
        "debiased": SIGNED,
        "images": COUNT,
        "paired_by": TEXT,
    },
)
def cka(
    one: Run, other: Run | None = None, *, signal: str = "excitation", images: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How alike the gates of blocks are, image by image: linear centered kernel alignment.

    Parameters
    ----------
    one
        A finished run that keeps the gates of images.
    other
        Another finished run on some of the same images, matched by their path; without it the blocks of one are
        compared with each other.
    signal
        Signal to analyse: excitation, squeeze or response.
    images
        Greatest number of images, drawn evenly.
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row a pair of blocks, with a single run each pair once and each block with itself: block, other_block;
        cka, in [0, 1]; debiased, in [-1, 1], about 0 for independent blocks even where channels outnumber images;
        and images. With two runs also paired_by, how the two blocks belong together, as in
        `seviz.tables.compare.compare` ("path" or "name"); empty for those that do not.
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

    Examples
    --------
    >>> seviz.cka(run).shape
    (136, 5)
    >>> seviz.cka(run, other).shape
    (256, 6)
    """
    if images < 4:
        raise OptionError(f"images is {images}, expected at least 4")
    runs = [one] if other is None else [one, other]
    rows = [run.kept.drop_duplicates("path").set_index("path")["row"] for run in runs]
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
        of_run = {block: run.sample(block, signal).gates_at(wanted)[order] for block in run.blocks}
        for block, x in of_run.items():
            if len(x) and not np.isfinite(x).all():
                remarks.append(f"{block}{which}: the {signal} of some images is not finite.")
            elif len(x) and not varies(x):
                remarks.append(f"{block}{which}: the {signal} is the same for all images.")
        values.append(of_run)
    if len(common) < 4:
        remarks.append(f"Only {len(common)} images can be compared, which is too few for the debiased estimate.")
    ones, others = list(values[0].values()), list(values[-1].values())
    plain, debiased = alignments(ones, ones if other is None else others)
    pairs = (
        combinations_with_replacement(range(len(ones)), 2)
        if other is None
        else product(range(len(ones)), range(len(others)))
    )
    table = pd.DataFrame(
        [
            {
                "block": one.blocks[i],
                "other_block": runs[-1].blocks[j],
                "cka": plain[i, j],
                "debiased": debiased[i, j],
                "images": len(common),
            }
            for i, j in pairs
        ]
    )
    if other is not None:
        pairing = pair_runs(one, other)
        table["paired_by"] = [pairing.by(*pair) for pair in zip(table["block"], table["other_block"], strict=True)]
        remarks += pairing.remarks(str(one.path), str(other.path))
    table.attrs["remarks"] = remarks
    return table
