"""Where the gates of other images come from: the images of a run, by class."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seviz.errors import OptionError
from seviz.run.store import Run


def network_classes(run: Run) -> NDArray[np.int64]:
    """The index of each class of a run among the network's, (class).

    Raises
    ------
    OptionError
        If the classes are not the network's, or images have several.
    """
    targets = run.manifest.data.model_classes
    if targets is None or run.manifest.data.labels != "single":
        why = "its classes are not the network's" if targets is None else "its images have several classes"
        raise OptionError(
            f"the run {str(run.path)!r} cannot tell of what class a donor is: {why}. Take a run of images of the"
            " network's classes, one of each."
        )
    return np.array(targets, np.int64)


class Donors:
    """The images of a run whose gates are kept.

    Parameters
    ----------
    run
        Of images of one class each.
    blocks
        Whose gates are read, all at once.
    seed
        Of the draws.
    """

    def __init__(self, run: Run, blocks: Sequence[str], seed: int) -> None:
        images = run.kept
        labels = network_classes(run)[images["label"].to_numpy(np.int64)]
        order = np.argsort(labels, kind="stable")
        self._labels, self._rows = labels[order], images["row"].to_numpy(np.int64)[order]
        self._place = {path: k for k, path in enumerate(images["path"].to_numpy(object)[order])}
        self._gates = {block: run.gates(block) for block in blocks}
        self._random = np.random.default_rng(seed)

    def draw(self, labels: NDArray[np.int64], paths: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """A donor of the same and one of another class for each image, by intervention; -1 where there is none."""
        first, last = (np.searchsorted(self._labels, labels, side) for side in ("left", "right"))
        place = np.array([self._place.get(path, -1) for path in paths], np.int64)
        own = (first <= place) & (place < last)
        chance = self._random.random((len(labels), 2))
        # Of n candidates in a row, without the image itself or without its class.
        n = last - first - own
        within = first + np.floor(chance[:, 0] * n).astype(np.int64)
        within += own & (within >= place)
        others = len(self._labels) - (last - first)
        across = np.floor(chance[:, 1] * others).astype(np.int64)
        across += np.where(across >= first, last - first, 0)
        return {"within": np.where(n > 0, within, -1), "across": np.where(others > 0, across, -1)}

    def gates(self, block: str, donors: NDArray[np.int64]) -> NDArray[np.float32]:
        """The gates of donors, (image, channel); of any where there is none."""
        gates: NDArray[np.float32] = self._gates[block][self._rows[donors]]
        return gates
