"""What the excitation page draws, as tables: means of classes, and single images, over some channels of a block."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
import xarray as xr
from numpy.typing import NDArray

from seviz.dashboard.caching import BY_BYTES
from seviz.dashboard.reading import fingerprint, read_run
from seviz.run.store import Run
from seviz.tables.excitation import ALL_CLASSES, sampled_channels

Channels = NDArray[np.int64]


def most_specific(table: pd.DataFrame, block: str, number: int) -> Channels:
    """The channels of a block with the greatest omega squared, the greatest first; those without one come last.

    Parameters
    ----------
    table
        From `seviz.tables.specificity_by_channel.specificity_by_channel`.
    block, number
        Of which block, and how many.
    """
    rows = table[table["block"] == block].sort_values("omega_squared", ascending=False, kind="stable")
    return rows["channel"].to_numpy(np.int64)[:number]


def pick_channels(channels: int, pick: str, number: int, seed: int, ranked: Channels | None) -> Channels:
    """The channels that are drawn, in the order in which they are.

    Parameters
    ----------
    channels
        How many the block has.
    pick
        "uniform", "all" or "specific".
    number, seed
        How many, and of the uniform draw.
    ranked
        The most specific of the block; where it is not known, a uniform draw takes its place.
    """
    if pick == "specific" and ranked is not None:
        return ranked
    return sampled_channels(channels, "all" if pick == "all" else number, seed)


def class_means(data: xr.Dataset, labels: Mapping[str, str], channels: Channels) -> pd.DataFrame:
    """Mean gates of some classes, and of all.

    Parameters
    ----------
    data
        Of one block, from `reading.read_block`.
    labels
        What the classes are called, by id.
    channels
        Which.

    Returns
    -------
    pandas.DataFrame
        One row a class and channel: class, channel, mean, std (over images of the class), low and high (one standard
        deviation about the mean), images. The first are of "all classes": the average of the means of the classes
        that have images, std between them, and how many they are. NaN for classes without images.
    """
    count = data["count"].to_numpy()
    means = data["mean"].to_numpy()[:, channels].astype(np.float64)
    stds = data["std"].to_numpy()[:, channels].astype(np.float64)
    seen = means[count > 0]
    unknown = np.full(len(channels), np.nan)
    parts = [
        (
            ALL_CLASSES,
            seen.mean(0) if len(seen) else unknown,
            seen.std(0, ddof=1) if len(seen) > 1 else unknown,
            len(seen),
        )
    ]
    order = {each: k for k, each in enumerate(data["class"].to_numpy().tolist())}
    parts += [(label, means[order[each]], stds[order[each]], int(count[order[each]])) for each, label in labels.items()]
    table = pd.concat(
        [
            pd.DataFrame({"class": label, "channel": channels, "mean": mean, "std": std, "images": images})
            for label, mean, std, images in parts
        ],
        ignore_index=True,
    )
    return table.assign(low=table["mean"] - table["std"], high=table["mean"] + table["std"])


def drawn_images(run: Run, labels: Mapping[str, str], number: int, seed: int) -> pd.DataFrame:
    """Some images of each class, drawn from those whose gates are kept and that did not fail.

    Parameters
    ----------
    run
        A finished run.
    labels
        What the classes are called, by id.
    number
        Images of a class at most.
    seed
        Of the draw, which is the same for a class whatever the others.

    Returns
    -------
    pandas.DataFrame
        One row an image and class: class, place (from 1, among those of the class), path, sample (its row in
        `run.samples`).
    """
    kept = run.kept
    samples, of = kept.index.to_numpy(np.int64), run.labels
    frames = [pd.DataFrame({"class": [], "place": [], "path": [], "sample": []})]
    for each, label in labels.items():
        index = run.classes.ids.index(each)
        members = of[:, index] if of.ndim == 2 else of == index
        own = samples[members[samples]]
        taken = np.random.default_rng([seed, index]).permutation(len(own))[:number]
        chosen = np.sort(own[taken])
        paths = run.samples["path"].to_numpy()[chosen]
        frames.append(
            pd.DataFrame({"class": label, "place": np.arange(1, len(chosen) + 1), "path": paths, "sample": chosen})
        )
    table = pd.concat(frames[1:] or frames, ignore_index=True)
    return table.astype({"place": np.int64, "sample": np.int64})


def image_gates(images: pd.DataFrame, gates: NDArray[np.float32], channels: Channels) -> pd.DataFrame:
    """Gates of single images over some channels.

    Parameters
    ----------
    images
        From `drawn_images`.
    gates
        (image, channel), of all channels of the block.
    channels
        Which.

    Returns
    -------
    pandas.DataFrame
        One row an image and channel: class, image (one name for each), path, channel, gate.
    """
    each = len(channels)
    return pd.DataFrame(
        {
            "class": np.repeat(images["class"].to_numpy(object), each),
            "image": np.repeat((images["class"] + " · " + images["place"].astype(str)).to_numpy(object), each),
            "path": np.repeat(images["path"].to_numpy(object), each),
            "channel": np.tile(channels, len(images)),
            "gate": gates[:, channels].astype(np.float64).ravel(),
        }
    )


def read_image_gates(run: Run, blocks: Sequence[str], samples: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Gates of a few images, (image, channel) by block: only the chunks that hold them are read.

    Parameters
    ----------
    run
        A finished run.
    blocks
        Names.
    samples
        Rows of `run.samples` of images whose gates are kept.
    """
    return _image_gates(run.path, fingerprint(run.path), tuple(blocks), tuple(samples.tolist()))


@st.cache_data(hash_funcs=BY_BYTES, max_entries=32, show_spinner="Reading the gates of the images")
def _image_gates(
    path: Path, mark: str, blocks: tuple[str, ...], samples: tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    run = read_run(path)
    among_kept = run.samples["kept"].to_numpy(bool).cumsum() - 1
    rows, place = np.unique(among_kept[np.array(samples, np.int64)], return_inverse=True)
    return {name: run.gates(name, rows=rows)[place] for name in blocks}
