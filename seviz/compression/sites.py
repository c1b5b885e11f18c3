"""Where in a network scored channels can be removed, and in which order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.compression.branches import block_shapes, branch
from seviz.compression.coupling import Coupled, Graph
from seviz.errors import OptionError, PruningError
from seviz.network.blocks import SEBlock
from seviz.network.flow import Producer, producers
from seviz.network.layers import LAYERS, Layer, channels_out
from seviz.network.networks import Network

Kind = Literal["gated", "inner", "stream", "branch"]
Scope = Literal["global", "stage", "block"]
Key = tuple[str | int, ...]
"""Whose channels a table numbers."""

KEYS: dict[Kind, list[str]] = {
    "gated": ["block"],
    "inner": ["block", "layer"],
    "stream": ["stage"],
    "branch": ["block"],
}
"""The columns of a table of scores that make the key."""


def scored_channels(scores: pd.DataFrame, kind: Kind) -> dict[Key, NDArray[np.float64]]:
    """Read a table of scores: the score of each channel, (channels).

    Raises
    ------
    OptionError
        If a column or a channel is missing, or a score is no number.
    """
    needed = [*KEYS[kind], "channel", "score"]
    if missing := [column for column in needed if column not in scores]:
        raise OptionError(
            f"scores have the columns {', '.join(scores.columns)}, expected {', '.join(needed)} for kind {kind!r};"
            f" {missing[0]} is missing"
        )
    if not len(scores):
        raise OptionError("scores are empty, expected a score for each channel")
    if not np.isfinite(scores["score"].to_numpy(np.float64)).all():
        raise OptionError("scores hold NaN or infinity, expected a number for each channel")
    found: dict[Key, NDArray[np.float64]] = {}
    for key, rows in scores.groupby(KEYS[kind], sort=False):
        ordered = rows.sort_values("channel")
        if not np.array_equal(ordered["channel"], np.arange(len(ordered))):
            raise OptionError(f"the channels of {key[-1]} in scores are not 0 to {len(ordered) - 1}, each once")
        found[cast(Key, tuple(key))] = ordered["score"].to_numpy(np.float64)
    return found


@dataclass(frozen=True)
class Part:
    """Scored channels at a site.

    Attributes
    ----------
    key
        Whose they are.
    channels, rows
        Their numbers in the table, and the row of the site that each belongs to.
    score
        Relative to the mean of its layer.
    """

    key: Key
    channels: NDArray[np.int64]
    rows: NDArray[np.int64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Site:
    """Rows of coupled channels of which some can go.

    Attributes
    ----------
    coupled
        What goes with them.
    stage
        Where in the network.
    parts
        The scored channels among them.
    narrows
        The SE block whose branch is narrowed; None where whole layers are.
    """

    coupled: Coupled
    stage: int
    parts: tuple[Part, ...]
    narrows: SEBlock | None = None

    @property
    def score(self) -> NDArray[np.float64]:
        """The mean score of the channels in each row, (rows); infinite where there is none."""
        total, count = np.zeros(self.coupled.rows), self.counts
        for part in self.parts:
            np.add.at(total, part.rows, part.score)
        return np.where(count > 0, total / np.maximum(count, 1), np.inf)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many scored channels each row holds, (rows)."""
        return sum(
            (np.bincount(part.rows, minlength=self.coupled.rows) for part in self.parts),
            start=np.zeros(self.coupled.rows, np.int64),
        )

    def units(self) -> NDArray[np.int64]:
        """Rows that go together since each group of a grouped layer has to lose as many, the lowest first.

        (units, groups): in unit k the row of each group that is k-th lowest there.
        """
        order, parts = np.argsort(self.score, kind="stable"), self.coupled.parts
        by_part = [order[parts[order] == part] for part in np.unique(parts)]
        return np.stack([rows[: min(map(len, by_part))] for rows in by_part], axis=1)


def blank_image(network: Network) -> Tensor:
    """An image of zeros, as a batch of one, where the network is."""
    like = next(network.model.parameters())
    return torch.zeros(1, *network.example_size, device=like.device, dtype=like.dtype)


def producers_of(network: Network) -> dict[str, tuple[Producer, ...]]:
    """The layers that make what the SE blocks scale; raises NoSEBlocksError if there is none."""
    return producers(network.model, blank_image(network), network.require_blocks())


def sites_of(network: Network, scored: Mapping[Key, NDArray[np.float64]], kind: Kind) -> list[Site]:
    """Where scored channels can be removed.

    Raises
    ------
    OptionError
        If the scores are not of this network.
    PruningError
        If there is no such place; says why.
    NoSEBlocksError
        If the network has no SE block.
    """
    blocks = network.require_blocks()
    if kind != "stream" and (unknown := [key[0] for key in scored if key[0] not in blocks]):
        raise OptionError(f"scores have the block {unknown[0]!r}, expected blocks of the network: {', '.join(blocks)}")
    sites, reasons = _branches(network, scored) if kind == "branch" else _layers(network, scored, kind)
    if not sites:
        raise PruningError(f"nothing of {network.spec} can be pruned by kind {kind!r}: {reasons[0]}")
    return sites


def _branches(network: Network, scored: Mapping[Key, NDArray[np.float64]]) -> tuple[list[Site], list[str]]:
    made = producers_of(network)
    shapes = block_shapes(network.model, blank_image(network), network.blocks)
    sites, reasons = [], []
    for key, score in scored.items():
        block = network.blocks[str(key[0])]
        _check_count(block.name, block.channels, score)
        try:
            coupled = branch(network.model, block, shapes.get(block.name), made[block.name])
        except PruningError as error:
            reasons.append(str(error))
            continue
        every = np.arange(block.channels)
        sites.append(Site(coupled, block.stage, (Part(key, every, every, _relative(score)),), narrows=block))
    return sites, reasons


def _layers(network: Network, scored: Mapping[Key, NDArray[np.float64]], kind: Kind) -> tuple[list[Site], list[str]]:
    graph = Graph(network.model, blank_image(network))
    found: list[tuple[Coupled, int, list[Part]]] = []
    reasons = []
    for key, (stage, pieces) in _pieces(network, scored, kind).items():
        if not pieces:
            reasons.append(f"no layers alone make the feature map of {key[-1]}")
        for piece in pieces:
            layer = (piece.convolution, "out")
            coupled = next((known for known, _, _ in found if layer in known.layers), None)
            try:
                if coupled is None:
                    coupled = graph.coupled(piece.convolution)
                    _check_sum(coupled, kind, key)
                    found.append((coupled, stage, []))
            except PruningError as error:
                reasons.append(str(error))
                continue
            next(parts for known, _, parts in found if known is coupled).append(
                _part(key, coupled.layers[piece.convolution, "out"], piece, _relative(scored[key]))
            )
    return [Site(coupled, stage, tuple(parts)) for coupled, stage, parts in found], reasons


def _pieces(
    network: Network, scored: Mapping[Key, NDArray[np.float64]], kind: Kind
) -> dict[Key, tuple[int, tuple[Producer, ...]]]:
    """Of each key its stage, and the layers whose outputs its channels are."""
    blocks = network.blocks
    found: dict[Key, tuple[int, tuple[Producer, ...]]] = {}
    if kind == "inner":
        for key, score in scored.items():
            path = str(key[1])
            _check_count(path, channels_out(_layer(network.model, path)), score)
            piece = Producer(start=0, stop=len(score), convolution=path, norm=None)
            found[key] = (blocks[str(key[0])].stage, (piece,))
        return found
    made = producers_of(network)
    for key, score in scored.items():
        if kind == "stream":
            members = [name for name, block in blocks.items() if block.stage == key[0]]
            if not members:
                stages = sorted({block.stage for block in blocks.values()})
                raise OptionError(f"scores have the stage {key[0]!r}, expected stages of the network: {stages}")
            name = next((name for name in members if made[name]), members[0])
        else:
            name = str(key[0])
        _check_count(name, blocks[name].channels, score)
        found[key] = (blocks[name].stage, made[name])
    return found


def _layer(model: nn.Module, path: str) -> Layer:
    try:
        module = model.get_submodule(path)
    except AttributeError:
        module = nn.Identity()
    if not isinstance(module, LAYERS):
        raise OptionError(f"scores have the layer {path!r}, expected a convolution or linear layer of the network")
    return module


def _check_count(name: str, channels: int, score: NDArray[np.float64]) -> None:
    if len(score) != channels:
        raise OptionError(
            f"scores have {len(score)} channels of {name}, which has {channels}: they are of another network"
        )


def _check_sum(coupled: Coupled, kind: Kind, key: Key) -> None:
    if coupled.summed and kind == "gated":
        raise PruningError(
            f"the channels of {key[0]} are summed with others, as in a residual stream; use kind inner, branch or"
            " stream"
        )
    if coupled.summed and kind == "inner":
        raise PruningError(f"the outputs of {key[-1]!r} are summed with others; use kind branch or stream")
    if not coupled.summed and kind == "stream":
        raise PruningError(f"the gated channels of stage {key[0]} are no residual stream; use kind gated")


def _part(key: Key, pairs: NDArray[np.int64], piece: Producer, relative: NDArray[np.float64]) -> Part:
    row_of = dict(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True))
    there = [k for k in range(piece.start, piece.stop) if k - piece.start in row_of]
    rows = [row_of[k - piece.start] for k in there]
    return Part(key, np.array(there, np.int64), np.array(rows, np.int64), relative[there])


def _relative(score: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = np.abs(score).mean()
    return score / mean if mean > 0 else score


class Ranking:
    """The order in which channels go, over all sites.

    Parameters
    ----------
    sites
        Where they can go.
    scope
        As in `prune`.
    round_to, max_share
        As in `prune`.
    """

    def __init__(self, sites: Sequence[Site], scope: Scope, round_to: int, max_share: float) -> None:
        self.sites = tuple(sites)
        self._units = [site.units() for site in self.sites]
        self._allowed = [
            _allowed_counts(units, site.coupled.rows, round_to)
            for site, units in zip(self.sites, self._units, strict=True)
        ]
        site_of, keys = [], []
        for k, (site, units) in enumerate(zip(self.sites, self._units, strict=True)):
            score = site.score[units].mean(1)
            least = 2 if units.shape[1] > 1 else 1  # one channel a group would look like a depthwise layer
            limit = min(int(max_share * len(units)), len(units) - least, int(np.isfinite(score).sum()))
            # Sorted within the site, so that no rounding can exchange two of its units.
            keys.append(np.maximum.accumulate(score[: max(limit, 0)]))
            site_of.append(np.full(max(limit, 0), k))
        self._order = np.concatenate(site_of)[_order(keys, self.sites, self._units, scope)]

    @property
    def most(self) -> int:
        """How many removals there can be."""
        return len(self._order)

    def rows(self, removals: int) -> list[NDArray[np.int64]]:
        """The rows of each site that go in so many removals."""
        counts = np.bincount(self._order[:removals], minlength=len(self.sites))
        return [
            units[: allowed[count]].reshape(-1)
            for units, allowed, count in zip(self._units, self._allowed, counts, strict=True)
        ]

    def channels_left(self, removals: int) -> int:
        """How many scored channels are left then."""
        pairs = zip(self.sites, self.rows(removals), strict=True)
        return sum(int(site.counts.sum() - site.counts[rows].sum()) for site, rows in pairs)


def _allowed_counts(units: NDArray[np.int64], rows: int, round_to: int) -> NDArray[np.int64]:
    """For each number of units that shall go, how many can, so that a multiple of `round_to` rows is left."""
    counts = np.arange(len(units) + 1)
    return np.maximum.accumulate(np.where((rows - counts * units.shape[1]) % round_to == 0, counts, 0))


def _order(
    keys: Sequence[NDArray[np.float64]], sites: Sequence[Site], units: Sequence[NDArray[np.int64]], scope: Scope
) -> NDArray[np.int64]:
    """The order of all units by their keys, those of the first site first."""
    every = np.concatenate(keys)
    if scope == "global":
        return np.argsort(every, kind="stable")
    pools: Iterable[int] = range(len(sites)) if scope == "block" else [site.stage for site in sites]
    pool = np.repeat(list(pools), [len(key) for key in keys])
    sizes = {p: sum(len(u) for u, q in zip(units, pools, strict=True) if q == p) for p in set(pool.tolist())}
    rank = np.zeros(len(every))
    for p, size in sizes.items():
        inside = np.flatnonzero(pool == p)
        rank[inside[np.argsort(every[inside], kind="stable")]] = (np.arange(len(inside)) + 0.5) / size
    return np.argsort(rank, kind="stable")
