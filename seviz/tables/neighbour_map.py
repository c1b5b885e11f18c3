"""Images on a plane, those beside each other whose gates are alike (UMAP)."""

import pandas as pd

from seviz.errors import OptionError
from seviz.extras import needing
from seviz.registry import table
from seviz.run.store import Run
from seviz.tables.columns import ANY, NUMBER, TEXT, every
from seviz.tables.principal_components import placed_images


@table(
    title="Neighbour map (UMAP)",
    caption=("Images on a plane, those beside each other whose gates are alike. Distances between groups mean little."),
    needs=("gates",),
    cost="fits",
    extra="umap",
    columns={
        "image": NUMBER,
        **every(TEXT, "path", "class"),
        **every(ANY, "x", "y"),
    },
)
def neighbour_map(
    run: Run, block: str, *, signal: str = "excitation", neighbours: int = 15, seed: int = 0
) -> pd.DataFrame:
    """Images on a plane, those beside each other whose gates are alike (UMAP).

    Distances between groups on such a map mean little; `principal_components` shows them as they are.

    Parameters
    ----------
    run
        A finished run that keeps the gates of images.
    block
        Name of an SE block, such as SE_5_1.
    signal
        Signal to analyse: excitation, squeeze or response.
    neighbours
        Number of neighbours of an image, from 2 to the number of images less 1.
    seed
        Random seed.

    Returns
    -------
    pandas.DataFrame
        One row an image that did not fail: image, its row in `run.samples`; path, class, x, y. In `attrs`: block,
        signal, and remarks.

    Raises
    ------
    MissingPackageError
        If umap-learn is not installed.
    MissingSignalError
        If the run holds no such block or signal, or keeps no gates of images.
    OptionError
        If there are not more images than `neighbours`, or these are less than 2.

    References
    ----------
    McInnes, Healy, Melville, "UMAP: Uniform Manifold Approximation and Projection", arXiv 1802.03426, 2018.

    Examples
    --------
    >>> seviz.neighbour_map(run, "SE_5_1")  # doctest: +SKIP
    """
    with needing("umap", "a neighbour map", instead="principal_components does without"):
        from umap import UMAP
    table, values, remarks = placed_images(run, block, signal)
    if not 2 <= neighbours < len(values):
        raise OptionError(f"neighbours is {neighbours}, expected at least 2 and fewer than the {len(values)} images")
    # One job, said aloud: with a seed UMAP runs on one thread, and warns of it where it is not told.
    plane = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(values)
    table["x"], table["y"] = plane[:, 0], plane[:, 1]
    table.attrs = {"block": block, "signal": signal, "remarks": remarks}
    return table
