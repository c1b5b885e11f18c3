"""The channels that criteria score, and what several criteria have in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from seviz.compression.criteria import Chosen
from seviz.compression.scored import of_kind
from seviz.errors import OptionError
from seviz.experiments.attribution import Method, attribute
from seviz.experiments.evaluation import Images, Labelled, labelled_batches, on_device
from seviz.network.dtype import as_taken
from seviz.network.flow import Producer
from seviz.network.layers import LAYERS, Layer, groups_of
from seviz.network.networks import Network
from seviz.network.products import Product
from seviz.network.reading import recorded_products
from seviz.options import Reading
from seviz.run.parts import Part
from seviz.run.store import Run

Key = str | tuple[str, str]
"""A block, by name; or of inner channels, a block and the path of the layer whose outputs they are."""
Scores = Mapping[Any, ArrayLike]
"""By key, (channels)."""


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Channels to be scored, in groups, and the images that there are for it.

    Attributes
    ----------
    kind
        "gated": those that SE blocks scale. "inner": the inputs of the layers that make these.
    layers
        By key, in order of depth: the module path of the layer that makes each channel, of the block where none does.
    makers
        By key, the layers that make the channels; none where no layer alone does.
    readers
        Of inner channels by key, the layers behind them.
    data
        Images of one class each, if some were given.
    reading
        How they are run and read, see `seviz.experiments.evaluation.labelled_batches`.
    """

    kind: Literal["gated", "inner"]
    layers: Mapping[Any, Sequence[str]]
    makers: Mapping[Any, tuple[Producer, ...]]
    readers: Mapping[Any, tuple[Producer, ...]]
    data: Images | None
    reading: Reading

    @property
    def sizes(self) -> dict[Any, int]:
        """The number of channels by key."""
        return {key: len(layers) for key, layers in self.layers.items()}

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks."""
        return tuple(dict.fromkeys(_block(key) for key in self.layers))

    def given_data(self) -> Images:
        """The images; raises OptionError where none were given."""
        if self.data is None:
            raise OptionError("the criterion needs images, as data, and none was given")
        return self.data

    def batches(self, network: Network) -> Iterator[Labelled]:
        """The images in batches, without those that cannot be read."""
        return (batch for batch in labelled_batches(network, self.given_data(), self.reading) if len(batch))


def score(network: Network, run: Run | Part | None, chosen: Chosen, channels: Channels) -> pd.DataFrame:
    """The scores of channels by a criterion, checked: columns block, layer, channel, score.

    Raises
    ------
    OptionError
        If the criterion gives something else than a finite number for each channel, or as the criterion.
    """
    given = chosen.declaration.function(network, run, channels, **chosen.argument)
    if not isinstance(given, Mapping) or set(given) != set(channels.layers):
        what = f"keys {', '.join(map(repr, given))}" if isinstance(given, Mapping) else repr(type(given).__name__)
        expected = f"{', '.join(map(repr, channels.layers))}"
        raise OptionError(
            f"criterion {chosen.name!r} returns {what:.200}, expected a mapping with the scores of each of {expected}"
        )
    tables = []
    for key, layers in channels.layers.items():
        scores = _numbers(given[key])
        if scores is None or scores.shape != (len(layers),):
            what = f"{given[key]!r:.80}" if scores is None else f"shape {scores.shape}"
            raise OptionError(
                f"criterion {chosen.name!r} returns {what} for {_words(key)}, expected {len(layers)} numbers: a score"
                " for each channel"
            )
        if not np.isfinite(scores).all():
            raise OptionError(
                f"criterion {chosen.name!r} has no finite score for channels of {_words(key)}: there are too few"
                " images, or the network gives no finite numbers. Take another criterion, or a run of more images."
            )
        columns = {"block": _block(key), "layer": layers, "channel": np.arange(len(layers)), "score": scores}
        tables.append(pd.DataFrame(columns))
    table = pd.concat(tables, ignore_index=True)
    table.attrs["criterion"] = chosen.name
    return of_kind(table, channels.kind)


def _numbers(given: Any) -> NDArray[np.float64] | None:
    try:
        return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, np.float64)
    except (TypeError, ValueError):
        return None


def _block(key: Key) -> str:
    return key if isinstance(key, str) else key[0]


def _words(key: Key) -> str:
    return key if isinstance(key, str) else f"{key[1]!r}, before {key[0]}"


def by_layer(channels: Channels, criterion: str, of: Callable[[Producer], Tensor]) -> Scores:
    """Scores by the layers that make the channels, (channels of a layer) each."""
    for key, pieces in channels.makers.items():
        if not pieces:
            raise OptionError(
                f"criterion {criterion!r} needs a convolution that makes each channel of {_words(key)}, and there is"
                " none (they are a sum, as behind a shortcut); take a criterion that needs none, such as random or"
                " taylor"
            )
    return {key: torch.cat([of(piece) for piece in pieces]).numpy() for key, pieces in channels.makers.items()}


def filters(network: Network, piece: Producer) -> Tensor:
    """The filters of a layer, (channels, weights)."""
    return network.model.get_parameter(f"{piece.convolution}.weight").detach().cpu().double().flatten(1)


def let_through(network: Network, channels: Channels, gates: Mapping[str, NDArray[np.float64]]) -> Scores:
    """What gates let through of each channel: of gated channels the gate itself.

    Of inner channels the score of input j is the sum over outputs c of gate_c · |gamma_c / sigma_c| · ||W[c, j]||, with
    W the layer that makes what the block scales, and gamma and sigma the scale and standard deviation (with eps) of the
    BatchNorm behind it, 1 where there is none.
    """
    if channels.kind == "gated":
        return gates
    found: dict[Any, NDArray[np.float64]] = {key: np.zeros(size) for key, size in channels.sizes.items()}
    for key, pieces in channels.readers.items():
        for piece in pieces:
            found[key] += _reach(network, piece, gates[_block(key)][piece.start : piece.stop])
    return found


def _reach(network: Network, piece: Producer, gates: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a layer and the gates behind it let through of each input, (inputs)."""
    layer = layer_at(network, piece.convolution)
    reach = gates * _scale(network, piece)  # (outputs)
    weight = layer.weight.detach().cpu().double()
    sizes = weight.reshape(*weight.shape[:2], -1).norm(dim=2).numpy()  # (outputs, inputs of a group)
    by_group = (reach[:, None] * sizes).reshape(groups_of(layer), -1, sizes.shape[1]).sum(1)
    return np.asarray(by_group.reshape(-1), np.float64)  # (groups, inputs of a group) to (inputs)


def layer_at(network: Network, path: str) -> Layer:
    """A layer that makes channels."""
    layer = network.model.get_submodule(path)
    assert isinstance(layer, LAYERS)  # as `producers` promises
    return layer


def _scale(network: Network, piece: Producer) -> NDArray[np.float64]:
    """|gamma / sigma| of the BatchNorm behind a layer, (outputs); 1 where there is none."""
    channels = piece.stop - piece.start
    if piece.norm is None:
        return np.ones(channels)
    module = network.model.get_submodule(piece.norm)
    variance, eps = getattr(module, "running_var", None), float(getattr(module, "eps", 0.0))
    gamma = getattr(module, "weight", None)
    if not isinstance(variance, Tensor):
        return np.ones(channels)
    scale = (variance.detach().cpu().double() + eps).rsqrt()
    if isinstance(gamma, Tensor):
        scale = scale * gamma.detach().cpu().double().abs()
    return np.asarray(scale[piece.norm_first : piece.norm_first + channels].numpy(), np.float64)


def mean_at_products(network: Network, channels: Channels, of: Callable[[Product, Tensor], Tensor]) -> Scores:
    """Mean over images of what is seen where a block scales its feature map, (image, channel)."""
    sums = {block: np.zeros(network.blocks[block].channels) for block in channels.blocks}
    images = 0
    with on_device(network.model, channels.reading.device) as place:
        for batch in channels.batches(network):
            with recorded_products(network.model, network.blocks, {"seen": of}, detach=True) as values:
                network.model(as_taken(batch.images.to(place), network.model))
            for block, seen in values["seen"].items():
                sums[block] += seen.cpu().double().sum(0).numpy()
            images += len(batch)
    return {block: total / images for block, total in sums.items()}


def attributed(network: Network, channels: Channels, method: Method) -> Scores:
    """Mean absolute attribution of each gate."""
    made = attribute(network, data=channels.given_data(), method=method, **channels.reading.options)
    return {
        str(block): rows.sort_values("channel")["absolute"].to_numpy(np.float64)
        for block, rows in made.by_channel().groupby("block", sort=False)
    }
