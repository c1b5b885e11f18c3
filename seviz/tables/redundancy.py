"""How much the gates of each block move together."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from seviz.registry import table
from seviz.run.store import Run
from seviz.stats.correlation import chance_correlation, entropy_rank, participation_ratio
from seviz.stats.parallel import each
from seviz.tables.columns import BLOCKS, COUNT, POSITIVE, SHARE, every
from seviz.tables.grouping import IMAGES, Grouping, drawn_images, values_of


@table(
    title="Redundancy by block",
    caption="How much the gates of a block move together, and how many of them are independent.",
    needs=("gates",),
    cost="gates",
    columns={
        **BLOCKS,
        **every(COUNT, "images", "varying_channels", "clusters", "largest_cluster"),
        **every(SHARE, "mean_correlation", "null", "redundant_pairs"),
        **every(POSITIVE, "participation_ratio", "entropy_rank"),
    },
)
def redundancy(
    run: Run,
    *,
    within_classes: bool = False,
    threshold: float = 0.9,
    signal: str = "excitation",
    images: int | Literal["all"] = IMAGES,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the gates of each block move together.

    Parameters
    ----------
    run
        A finished run that keeps gates of images.
    within_classes
        Whether to remove what classes explain first: gates also move together because they tell the same classes apart.
    threshold
        Absolute correlation from which two channels are redundant, in (0, 1].
    signal
        Signal to analyse: excitation, squeeze or response.
    images
        Greatest number of images to correlate over, drawn at random; or "all".
    seed
        Random seed of the draw of images, and of the halves behind `entropy_rank`.

    Returns
    -------
    pandas.DataFrame
        One row a block, in order of depth:

        - block, stage, channels, images (used)
        - varying_channels: number of channels that vary, of which the rest of the row speaks
        - mean_correlation: absolute correlation, mean over pairs of channels, in [0, 1]
        - null: the same of independent channels
        - redundant_pairs: share of pairs with an absolute correlation of at least `threshold`
        - participation_ratio, entropy_rank: effective number of independent gates, corrected for the number of
          images; see the functions
        - clusters: number of groups in which any two channels are redundant, single ones counted
        - largest_cluster: channels in the largest

        Correlations are NaN for fewer than two channels that vary. `attrs["remarks"]` says what was left out, and
        where images are too few.

    Raises
    ------
    MissingSignalError
        If the run holds no such signal, or keeps no gates of images.
    OptionError
        If `threshold` or `images` is out of its range.

    Examples
    --------
    >>> seviz.redundancy(run).shape
    (16, 12)
    """
    draw = drawn_images(run, within_classes, threshold, images, seed)

    def of_block(name: str) -> tuple[dict[str, Any], Grouping, bool]:
        values = values_of(run, name, signal, draw)
        found = values.correlations()
        halves = values.correlations(values.first, found.channels), values.correlations(~values.first, found.channels)
        pairs = found.pairs
        key = Grouping.key(name, within_classes, threshold, signal, images, seed)
        grouping = run.shared(key, lambda: Grouping.of(name, values, found, threshold))
        sizes = np.bincount(grouping.group, minlength=1)
        row = {
            "block": name,
            "stage": run.block(name).stage,
            "channels": run.block(name).channels,
            "images": len(values.x),
            "varying_channels": len(found.r),
            "mean_correlation": float(pairs.mean()) if len(pairs) else np.nan,
            "null": chance_correlation(found.freedom),
            "redundant_pairs": float((pairs >= threshold).mean()) if len(pairs) else np.nan,
            "participation_ratio": participation_ratio(found),
            "entropy_rank": entropy_rank(found, halves),
            "clusters": int((sizes > 0).sum()),
            "largest_cluster": int(sizes.max()),
        }
        return row, grouping, min(part.freedom for part in halves) < len(found.r)

    made = each(of_block, run.blocks)
    table = pd.DataFrame([row for row, _, _ in made])
    remarks = draw.remarks + [remark for _, grouping, _ in made for remark in grouping.remarks]
    few = [row["block"] for row, _, too_few in made if too_few]
    if few:
        remarks = [*remarks, f"Half the images are fewer than the channels, entropy_rank may be low: {', '.join(few)}."]
    table.attrs["remarks"] = remarks
    return table
