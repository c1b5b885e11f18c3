"""Mean gate over the images of some classes; of inner channels, what these gates let through."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seviz.compression.scoring import Channels, Scores, let_through
from seviz.errors import OptionError
from seviz.network.networks import Network
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(
    title="mean gate over some classes", signals=("excitation",), kinds=("gated", "inner"), argument="NAME[,NAME]"
)
def gate_class(network: Network, run: Run | Part, channels: Channels, *, classes: Sequence[str]) -> Scores:
    """|mean of s| over the images of some classes; an image counts as often as it is of one of them."""
    labels = np.unique([run.class_index(name) for name in classes])
    return let_through(network, channels, {block: _mean(run, block, labels) for block in channels.blocks})


def _mean(run: Run | Part, block: str, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    moments = run.moments(block).take(labels)
    if not moments.count.all():
        empty = run.classes.names[labels[moments.count == 0][0]]
        raise OptionError(f"class {empty!r} has no image in {run!r}, so no mean gates")
    return np.abs(np.asarray(moments.count @ moments.mean / moments.count.sum(), np.float64))
