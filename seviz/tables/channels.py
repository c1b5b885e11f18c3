"""What single channels answer to: the classes they favour and avoid, the images that excite them most and least."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.registry import table
from seviz.run.sample import unresolved
from seviz.run.store import Run
from seviz.stats.ordering import first
from seviz.stats.selectivity import sensitivity
from seviz.tables.columns import ANY, CHANNELS, COUNT, KEY, NUMBER, SIGNAL, TEXT, every

KINDS = ("favoured class", "avoided class", "most excited", "least excited")


@table(
    title="Favoured classes and exciting images",
    caption="The classes that each channel favours and avoids, and the images that excite it most and least.",
    cost="gates",
    columns={
        **CHANNELS,
        "kind": KEY,
        "rank": NUMBER,
        **every(TEXT, "class", "class_name", "path"),
        "value": SIGNAL,
        "difference": ANY,
        "images": COUNT,
    },
)
def channels(
    run: Run,
    block: str,
    *,
    number: int = 5,
    only: Sequence[int] | None = None,
    signal: str = "excitation",
) -> pd.DataFrame:
    """The classes that each channel of a block favours and avoids, and the images that excite it most and least.

    Parameters
    ----------
    run
        A finished run.
    block
        Name of an SE block, such as SE_5_1.
    number
        Greatest number of classes and images of each kind.
    only
        Channel numbers, from 0, in the order of the rows; by default all.
    signal
        Signal to analyse: excitation, squeeze or response.

    Returns
    -------
    pandas.DataFrame
        By channel, kind and rank:

        - block, channel
        - kind: "favoured class" and "avoided class", by the standardised difference of the class and all other images;
          "most excited" and "least excited", images by their value
        - rank: from 1, the strongest
        - class, class_name: of the class, or of the image; several joined by "|"
        - path: of the image; empty for a class
        - value: mean of the class, or value of the image
        - difference: d' of the class against the rest, see `seviz.stats.selectivity.sensitivity`; NaN for an image,
          and where neither the class nor the rest varies
        - images: how many the class has; 1 for an image

        A class is favoured only above the rest and avoided only beneath it, and takes part with two images or more.
        Equal values stand in the order of classes, or of the data set; images whose value is not finite are left out.
        Where the run keeps no gates there are no
        images, where it keeps those of some only these, as `attrs["remarks"]`, a list of sentences, says.

    Raises
    ------
    MissingSignalError
        If the run does not hold the block or the signal.
    OptionError
        If `number` is less than 1 or a channel is not there.

    Examples
    --------
    >>> seviz.channels(run, "SE_5_1", number=3).columns.tolist()[:4]
    ['block', 'channel', 'kind', 'rank']
    """
    width = run.block(block).channels
    if number < 1:
        raise OptionError(f"number is {number}, expected at least 1 class or image")
    chosen = np.arange(width) if only is None else np.asarray(only, np.int64)
    if outside := [int(channel) for channel in chosen if not 0 <= channel < width]:
        raise OptionError(f"no channel {outside[0]} in {block}; it has {width}, from 0 to {width - 1}")
    frames = [_classes(run, block, signal, chosen, number)]
    remarks = unresolved(run, [block], signal)
    kept, images = int(run.samples["kept"].sum()), len(run.samples)
    if kept:
        frames.append(_images(run, block, signal, chosen, number))
    else:
        remarks.append("The run keeps the gates of no image: the images that excite a channel are not known.")
    if 0 < kept < images:
        remarks.append(f"Images are among the {kept} of {images} whose gates the run keeps.")
    table = pd.concat(frames, ignore_index=True)
    table = table.sort_values(["turn", "order", "rank"], kind="stable", ignore_index=True)
    table.insert(0, "block", block)
    table = table.drop(columns=["turn", "order"])
    table.attrs["remarks"] = remarks
    return table


def _classes(run: Run, block: str, signal: str, chosen: NDArray[np.int64], number: int) -> pd.DataFrame:
    sample = run.sample(block, signal)
    moments = sample.moments
    difference = sensitivity(moments, sample.total)[:, chosen]  # (class, channel)
    parts = []
    for order, sign in ((0, 1), (1, -1)):
        toward = np.where(sign * difference > 0, sign * difference, -np.inf)  # NaN is neither
        ranked = first(toward, number, greatest=True).T  # (channel, rank)
        there = np.take_along_axis(toward.T, ranked, axis=1) > 0
        turn, rank = np.nonzero(there)
        label = ranked[there]
        parts.append(
            pd.DataFrame(
                {
                    "channel": chosen[turn],
                    "kind": KINDS[order],
                    "rank": rank + 1,
                    "class": np.array(run.classes.ids, dtype=object)[label],
                    "class_name": np.array(run.classes.names, dtype=object)[label],
                    "path": "",
                    "value": moments.mean[label, chosen[turn]],
                    "difference": np.where(np.isinf(difference), np.nan, difference)[label, turn],
                    "images": moments.count[label],
                    "turn": turn,
                    "order": order,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _images(run: Run, block: str, signal: str, chosen: NDArray[np.int64], number: int) -> pd.DataFrame:
    sample = run.sample(block, signal)
    gates, rows = sample.gates, sample.rows
    if len(chosen) < gates.shape[1] or (np.diff(chosen) != 1).any():
        gates = gates[:, chosen]
    samples, labels, finite = run.samples.iloc[rows], sample.labels, np.isfinite(gates)
    names = np.array(run.classes.names, dtype=object)
    known = names[labels] if labels.ndim == 1 else np.array(["|".join(names[row]) for row in labels], dtype=object)
    paths, ids = samples["path"].to_numpy(object), samples["class"].to_numpy(object)
    parts = []
    for order, greatest in ((2, True), (3, False)):
        ranked = first(np.where(finite, gates, -np.inf if greatest else np.inf), number, greatest=greatest)
        there = np.take_along_axis(finite, ranked, axis=0).T  # (channel, rank)
        (turn, rank), image = np.nonzero(there), ranked.T[there]
        parts.append(
            pd.DataFrame(
                {
                    "channel": chosen[turn],
                    "kind": KINDS[order],
                    "rank": rank + 1,
                    "class": ids[image],
                    "class_name": known[image],
                    "path": paths[image],
                    "value": gates[image, turn].astype(np.float64),
                    "difference": np.nan,
                    "images": 1,
                    "turn": turn,
                    "order": order,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
