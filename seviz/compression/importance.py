"""How much each gated channel is worth, by many criteria: from the gates of a run, and the usual ones to compare with.

A channel is one channel of the product y = s · u of an SE block, with u the feature map and s the gate. A higher score
means that the channel is worth more, by every criterion. Scores of different criteria, and of different blocks, have no
common unit: `seviz.compression.masking.lowest` divides them by the mean of their block before it compares blocks. That
gates tell what a channel is worth is a hypothesis, to be compared with `random`.
"""

import pandas as pd
import torch
from torch import Tensor

from seviz.compression.belonging import check_run
from seviz.compression.criteria import Asked, criterion_of
from seviz.compression.scoring import Channels, score
from seviz.experiments.evaluation import Images
from seviz.network.flow import producers
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.progress import Progress
from seviz.run.parts import Part
from seviz.run.store import Run


def importance(
    network: Network,
    run: Run | Part | None = None,
    criterion: Asked = "gate_mean",
    *,
    data: Images | None = None,
    per_class: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score the channels of the SE blocks of a network by one criterion.

    Parameters
    ----------
    network
        Comes back as it was given.
    run
        Of this network, or a part of one; None where the criterion needs none.
    criterion
        Name of a criterion of `seviz.compression.criteria`, such as "gate_mean", with its argument where it takes one:
        "random:3" (seed; "random" is "random:0"), "gate_class:cat,dog" (ids or names). Or a function: called as
        `criterion(network, run, channels)` with `seviz.compression.scoring.Channels`, it returns a mapping from each
        block's name to the scores of its channels, (channels), finite; `channels.sizes` tells how many. Its name,
        `__name__`, stands in `attrs["criterion"]`.
    data
        Images of one class each, for the criteria that need some. They are rotated by EXIF as those of the run were.
        Give few for conductance and integrated_gradients, which take 32 passes for each block and image.
    per_class, batch_size, device, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    pandas.DataFrame
        A row for each gated channel, in order of depth. Columns: block; layer, the module path of the convolution whose
        output the channel is, of the block where no convolution alone makes it; channel; score, finite. A higher score
        is worth more. `attrs["criterion"]` is the criterion, `attrs["kind"]` "gated".

    Raises
    ------
    OptionError
        If there is no such criterion, it needs a run or images and has none, the run is of another network, no layer
        makes the channels of a block where the criterion is one of layers, a function returns something else than a
        score for each channel, or as in `labelled_batches`.
    MissingSignalError
        If the run does not hold what the criterion is made from.
    UnknownClassError
        If there is no such class.
    EmptyDataError
        If there is no image that can be read.
    MissingPackageError
        If conductance or integrated_gradients is asked for, and captum is not installed.
    NoSEBlocksError
        If the network has no SE block.

    Examples
    --------
    >>> scores = seviz.importance(network, run, "gate_mean")
    >>> scores.columns.tolist()
    ['block', 'layer', 'channel', 'score']
    """
    chosen = criterion_of(criterion)
    chosen.require("gated", run=run is not None, data=data is not None)
    if run is not None:
        check_run(network, run)
    makers = producers(network.model, example_of(network), network.require_blocks())
    layers = {
        name: [piece.convolution for piece in makers[name] for _ in range(piece.start, piece.stop)]
        or [block.path] * block.channels
        for name, block in network.blocks.items()
    }
    rotate = run is not None and run.manifest.engine.rotate
    channels = Channels(
        kind="gated",
        layers=layers,
        makers={name: makers[name] for name in layers},
        readers={},
        data=data,
        reading=Reading(
            per_class=per_class,
            batch_size=batch_size,
            device=device,
            rotate=rotate,
            workers=workers,
            progress=progress,
        ),
    )
    return score(network, run, chosen, channels)


def example_of(network: Network) -> Tensor:
    """What the model takes, of zeros."""
    like = next(network.model.parameters())
    return torch.zeros(2, *network.example_size, device=like.device, dtype=like.dtype)
