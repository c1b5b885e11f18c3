"""Images by the principal components of a block's gates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import EACH, table
from seviz.run.store import Run
from seviz.stats.principal import principal_axes
from seviz.stats.scaling import moderate
from seviz.tables.columns import NUMBER, SIGNAL, TEXT, every


@table(
    title="Principal components",
    caption="Images in the plane of the block's gates in which they vary most.",
    needs=("gates",),
    cost="gates",
    columns={
        "image": NUMBER,
        **every(TEXT, "path", "class"),
        EACH: SIGNAL,
    },
)
def principal_components(
    run: Run, block: str, *, signal: str = "excitation", components: int = 2, scaled: bool = False
) -> pd.DataFrame:
    """Images by the principal components of a block's gates.

    Parameters
    ----------
    run
        A finished run that keeps the gates of images.
    block
        Name of an SE block, such as SE_5_1.
    signal
        Signal to analyse: excitation, squeeze or response.
    components
        Number of components, from 1 to the number of channels.
    scaled
        Whether channels are scaled to standard deviation 1 first. Without, channels that vary much dominate.

    Returns
    -------
    pandas.DataFrame
        One row an image that did not fail: image, its row in `run.samples`; path, class, and pc1, pc2, ... in
        units of the signal. In `attrs`:
        explained_variance, the share of each component, NaN where nothing varies; block, signal; and remarks.

    Raises
    ------
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If `components` is out of range.

    Examples
    --------
    >>> seviz.principal_components(run, "SE_5_1").columns.tolist()
    ['image', 'path', 'class', 'pc1', 'pc2']
    """
    channels = run.block(block).channels
    if not 1 <= components <= channels:
        raise OptionError(f"components is {components}, expected 1 to {channels}, the channels of {block}")
    table, values, remarks = placed_images(run, block, signal)
    values -= values.mean(0, dtype=np.float64) if len(values) else 0
    size = float(np.abs(values).max(initial=0))
    exponent = int(moderate(np.array([[size]]))[1][0])
    values = np.ldexp(values, -exponent) if exponent else values
    if scaled:
        exponent = 0
        deviation = np.sqrt(np.einsum("ij,ij->j", values, values) / max(len(values) - 1, 1))
        values /= np.where(deviation > 0, deviation, 1)
    axes, variances, total = principal_axes(values, components)
    coordinates = np.empty((len(values), components))
    for first in range(0, len(values), 4096):  # float64, a few images at a time
        coordinates[first : first + 4096] = values[first : first + 4096] @ axes
    coordinates = np.ldexp(coordinates, exponent) if exponent else coordinates
    for k in range(components):
        table[f"pc{k + 1}"] = coordinates[:, k]
    shares = variances / total if total > 0 else np.full(components, np.nan)
    if not total > 0:
        remarks.append(f"The {signal} of {block} is the same for all images.")
    table.attrs = {"explained_variance": shares.tolist(), "block": block, "signal": signal, "remarks": remarks}
    return table


def placed_images(run: Run, block: str, signal: str) -> tuple[pd.DataFrame, NDArray[np.float32], list[str]]:
    """Path and class of the images that can be placed, their values, and what was left out."""
    images, values = run.kept, run.sample(block, signal).gates
    finite = np.asarray(np.isfinite(values).all(1))
    values, remarks = values if finite.all() else values[finite], []
    if failed := int((run.samples.loc[run.samples["kept"], "status"] == "failed").sum()):
        remarks.append(f"{failed} images that failed are left out.")
    if not finite.all():
        remarks.append(f"{int((~finite).sum())} images whose {signal} in {block} is not finite are left out.")
    return images.loc[finite, ["path", "class"]].reset_index(names="image"), values, remarks
