"""What the inner channels of a bottleneck are worth, by the gates behind them and otherwise."""

import pandas as pd

from seviz.compression.belonging import check_run
from seviz.compression.coupling import Graph
from seviz.compression.criteria import Asked, criterion_of
from seviz.compression.scoring import Channels, layer_at, score
from seviz.compression.sites import blank_image, producers_of
from seviz.errors import PruningError
from seviz.experiments.evaluation import Images
from seviz.network.flow import Producer, input_producers
from seviz.network.layers import channels_in
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.progress import Progress
from seviz.run.parts import Part
from seviz.run.store import Run


def inner_scores(
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
    """Score the inputs of the layer before each SE block: a convolution, or with channels last a linear layer.

    By "gate_mean" the score of input j is the sum over outputs c of mean gate_c · |gamma_c / sigma_c| · ||W[c, j]||,
    with W the layer that makes what the block scales, and gamma and sigma the scale and standard deviation (with
    eps) of the BatchNorm behind it, 1 where there is none.

    Parameters
    ----------
    network
        Whose inner channels are made by convolutions or linear layers; comes back as it was given.
    run
        Of the same network, or a part of one; None where the criterion needs none.
    criterion
        As in `seviz.importance`, of those that score inner channels. A function returns a mapping from (block, layer),
        as in `channels.sizes`, to the scores.
    data
        Images of one class each, for the criteria that need some. They are rotated by EXIF as those of the run were.
    per_class, batch_size, device, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    pandas.DataFrame
        Columns block, layer, channel, score; `layer` is the one whose outputs the channels are. Blocks before which
        the inputs are channels that are summed with others, as those of a residual stream, are left out.
        `attrs["criterion"]` is the criterion, `attrs["kind"]` "inner".

    Raises
    ------
    OptionError
        If there is no such criterion, it does not score inner channels, the run is of another network, a run or images
        are missing, or a function returns something else than a score for each channel.
    PruningError
        If there is no inner channel.
    EmptyDataError
        If there is no image that can be read.
    MissingPackageError
        If Torch-Pruning is not installed.
    UnknownClassError
        If the run has no such class.

    Examples
    --------
    >>> seviz.inner_scores(network, criterion="l1").attrs["kind"]
    'inner'
    """
    chosen = criterion_of(criterion)
    chosen.require("inner", run=run is not None, data=data is not None)
    if run is not None:
        check_run(network, run)
    readers: dict[tuple[str, str], tuple[Producer, ...]] = {}
    for block, piece, layer in _places(network):
        readers[block, layer] = (*readers.get((block, layer), ()), piece)
    paths = {pieces[0].convolution for pieces in readers.values()}
    behind = input_producers(network.model, blank_image(network), paths)
    makers = {}
    for (block, layer), (piece, *_) in readers.items():
        known = behind[piece.convolution]
        norm, first = (known[0].norm, known[0].norm_first) if len(known) == 1 else (None, 0)
        size = channels_in(layer_at(network, piece.convolution))
        makers[block, layer] = (Producer(start=0, stop=size, convolution=layer, norm=norm, norm_first=first),)
    rotate = run is not None and run.manifest.engine.rotate
    channels = Channels(
        kind="inner",
        layers={key: [key[1]] * maker.stop for key, (maker,) in makers.items()},
        makers=makers,
        readers=readers,
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


def _places(network: Network) -> list[tuple[str, Producer, str]]:
    """Of each block, the layers that make what it scales, each with the one that makes its inputs."""
    graph = Graph(network.model, blank_image(network))
    places = [
        (block, piece, layer)
        for block, pieces in producers_of(network).items()
        for piece in pieces
        if (layer := graph.maker(piece.convolution)) is not None
    ]
    if not places:
        raise PruningError(f"no SE block of {network.spec} has inner channels before it: they are summed with others")
    return places
