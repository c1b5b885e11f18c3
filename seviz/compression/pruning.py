"""Channels taken out of a network for good, by a score of each, down to a budget.

| kind | what goes | where it fits |
|---|---|---|
| gated | the channels that SE blocks scale, in all layers | RegNet, EfficientNet, MobileNetV3, GhostNet |
| inner | the inputs of the layer before an SE block | SE-ResNet, SE-ResNeXt, inserted blocks |
| stream | channels of a stage's residual stream, in all its blocks | SE-ResNet, SE-ResNeXt, inserted blocks |
| branch | what a residual branch adds to some channels of the stream | SE-ResNet, SE-ResNeXt, inserted blocks |

A low gate licenses the last: the channel of the stream stays, one block's share in it goes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from seviz.compression.branches import narrow
from seviz.compression.budget import fewest
from seviz.compression.coupling import cut, joined
from seviz.compression.scored import MADE_BY, Scored, kind_of
from seviz.compression.sites import (
    KEYS,
    Key,
    Kind,
    Ranking,
    Scope,
    Site,
    blank_image,
    producers_of,
    scored_channels,
    sites_of,
)
from seviz.errors import OptionError, PruningError
from seviz.network.complexity import Cost, complexity_of
from seviz.network.layers import channels_in, channels_out
from seviz.network.modes import undisturbed
from seviz.network.networks import Network
from seviz.network.products import tensors_in
from seviz.network.wrappers import refuse_compiled
from seviz.options import Budget
from seviz.renamed import renamed

FORMER = "keep_channels=, the share of the scored channels that is kept: 1 less channels, the share that went"
"""What is written in place of `channels`."""
_FITTING: dict[Scored, tuple[Kind, ...]] = {"gated": ("gated", "branch"), "inner": ("inner",), "stream": ("stream",)}
"""What can go by scores of a kind, the first that fits the network."""


@dataclass(frozen=True)
class Pruned:
    """A pruned network and what is left of the one before.

    Attributes
    ----------
    network
        A new one.
    kind
        What went.
    kept
        The scored channels that are left, by their numbers before: the columns of the scores without the score, and
        `now`, the number in the new network.
    parameters, multiply_adds
        Of the new network, for one image.
    """

    network: Network
    kind: Kind
    kept: pd.DataFrame
    parameters: int
    multiply_adds: int


@renamed(channels=FORMER)
def prune(
    network: Network,
    scores: pd.DataFrame,
    *,
    kind: Kind | Literal["auto"] = "auto",
    flops: float | None = None,
    parameters: float | None = None,
    keep_channels: float | None = None,
    scope: Scope = "global",
    round_to: int = 1,
    max_share: float = 0.9,
) -> Network:
    """Remove the channels of lowest score, as few as keep within a budget.

    What goes with a channel goes too: its place in BatchNorm, depthwise and grouped convolutions, the layers of SE
    blocks. Groups lose as many channels each. What the network returns keeps its channels.

    Parameters
    ----------
    network
        Stays as it is.
    scores
        What each channel is worth, more is better, with columns channel, score and

        - kind "gated" and "branch": block. The channels are those of the block's gates.
        - kind "inner": block, layer. The channels are the outputs of the module `layer`; see `inner_scores`.
        - kind "stream": stage.

        Blocks that are not in it keep their channels, and so do blocks of kind "gated" and "inner" whose channels
        are summed with others.
    kind
        What goes. "auto": what the scores are of; where gated channels cannot go, as in a residual stream, what the
        branch of the block adds to them.
    flops, parameters, keep_channels
        Budget: the share that is kept of the multiply-adds, of the parameters, or of the channels in `scores`, in
        (0, 1]. Exactly one of the three is given.
    scope
        "global": all layers compete, score / mean |score| of its layer; "stage": each stage loses the same share;
        "block": each layer does.
    round_to
        Layers keep a multiple of this many channels, if they lose any.
    max_share
        No layer loses more than this share of its channels, in (0, 1).

    Returns
    -------
    Network
        With a new model, in evaluation mode; SE blocks keep their names.

    Raises
    ------
    OptionError
        If an option or the table is not as expected.
    PruningError
        If the budget cannot be met, or nothing can be pruned.
    MissingPackageError
        If Torch-Pruning is not installed.

    See Also
    --------
    prune_with_record : tells also which channels are left.

    Examples
    --------
    >>> scores = seviz.inner_scores(network, criterion="l1")
    >>> smaller = seviz.prune(network, scores, flops=0.9)
    >>> len(smaller.blocks)
    16
    """
    budget = Budget(flops=flops, parameters=parameters, keep_channels=keep_channels)
    return prune_with_record(
        network, scores, budget, kind=kind, scope=scope, round_to=round_to, max_share=max_share
    ).network


def prune_with_record(
    network: Network,
    scores: pd.DataFrame,
    budget: Budget,
    *,
    kind: Kind | Literal["auto"] = "auto",
    scope: Scope = "global",
    round_to: int = 1,
    max_share: float = 0.9,
) -> Pruned:
    """As `prune`, and tell which of the scored channels are left."""
    _check_options(kind, scope, round_to, max_share)
    refuse_compiled(network.model)
    kind, scored, sites = _fitting(network, scores, kind)
    ranking = Ranking(sites, scope, round_to, max_share)

    def left(removals: int) -> int:
        if budget.quantity == "keep_channels":
            return ranking.channels_left(removals)
        model = _without(network.model, ranking.sites, ranking.rows(removals))
        if budget.quantity == "parameters":
            return sum(parameter.numel() for parameter in model.parameters())
        return _cost(model, network).multiply_adds

    try:
        rows = ranking.rows(fewest(left, ranking.most, budget))
    except PruningError as error:
        if kind != "branch":
            raise
        raise PruningError(f"{error}; by the inner channels, which {MADE_BY['inner']} scores, more can go") from error
    model = _without(network.model, ranking.sites, rows)
    cost = _cost(model, network)
    _verify(network, model)
    return Pruned(
        network=network.changed(model),
        kind=kind,
        kept=_kept(scored, ranking.sites, rows, kind),
        parameters=cost.parameters,
        multiply_adds=cost.multiply_adds,
    )


def pruning_table(before: Network, after: Network) -> pd.DataFrame:
    """What was removed, block by block.

    Columns: block, stage; channels_before and channels_after, of the feature map that the SE block scales, as far as
    its layers make it; inner_before and inner_after, the inputs of these layers. Blocks whose feature map is not made
    by convolutions or linear layers alone are left out.

    Parameters
    ----------
    before
        Has SE blocks.
    after
        What became of it.
    """
    rows = []
    for name, pieces in producers_of(before).items():
        if not pieces:
            continue
        paths = list(dict.fromkeys(piece.convolution for piece in pieces))
        was: list[Any] = [before.model.get_submodule(path) for path in paths]
        now: list[Any] = [after.model.get_submodule(path) for path in paths]
        rows.append(
            {
                "block": name,
                "stage": before.blocks[name].stage,
                "channels_before": sum(map(channels_out, was)),
                "channels_after": sum(map(channels_out, now)),
                "inner_before": channels_in(was[0]),
                "inner_after": channels_in(now[0]),
            }
        )
    columns = ["block", "stage", "channels_before", "channels_after", "inner_before", "inner_after"]
    return pd.DataFrame(rows, columns=columns)


def _check_options(kind: str, scope: str, round_to: int, max_share: float) -> None:
    for name, value, known in (("kind", kind, ("auto", *get_args(Kind))), ("scope", scope, get_args(Scope))):
        if value not in known:
            raise OptionError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    if round_to < 1:
        raise OptionError(f"round_to is {round_to}, expected at least 1")
    if not 0 < max_share < 1:
        raise OptionError(f"max_share is {max_share}, expected a share between 0 and 1")


def _fitting(
    network: Network, scores: pd.DataFrame, kind: Kind | Literal["auto"]
) -> tuple[Kind, dict[Key, NDArray[np.float64]], list[Site]]:
    """What goes, its scores, and where; the first error where nothing can."""
    first: PruningError | None = None
    for each in _FITTING[kind_of(scores)] if kind == "auto" else (kind,):
        scored = scored_channels(scores, each)
        try:
            return each, scored, sites_of(network, scored, each)
        except PruningError as error:
            first = first or error
    assert first is not None  # as there is at least one kind
    raise first


def _without(model: nn.Module, sites: Sequence[Site], rows: Sequence[NDArray[np.int64]]) -> nn.Module:
    """A copy of a network without some rows of each site."""
    smaller = copy.deepcopy(model)
    cut(smaller, joined(site.coupled.cuts(gone) for site, gone in zip(sites, rows, strict=True)))
    for site, gone in zip(sites, rows, strict=True):
        if site.narrows is not None and len(gone):
            narrow(smaller, site.narrows, np.setdiff1d(np.arange(site.coupled.rows), gone))
    return smaller.eval()


def _cost(model: nn.Module, network: Network) -> Cost:
    try:
        return complexity_of(model, network.example_size, blocks={}).with_se
    except OptionError as error:
        raise PruningError(f"{network.spec} does not run with fewer channels: {error}") from error


def _verify(network: Network, model: nn.Module) -> None:
    """Raise PruningError if a pruned network returns something of another shape."""
    shapes = []
    for each in (network.model, model):
        with undisturbed(each):
            shapes.append([tuple(x.shape) for x in tensors_in(each(blank_image(network)))])
    if shapes[0] != shapes[1]:
        raise PruningError(f"{network.spec} would return {shapes[1]} with fewer channels, and returns {shapes[0]} now")


def _kept(
    scored: dict[Key, NDArray[np.float64]], sites: Sequence[Site], rows: Sequence[NDArray[np.int64]], kind: Kind
) -> pd.DataFrame:
    """The scored channels that are left."""
    gone: dict[Key, list[int]] = {key: [] for key in scored}
    for site, removed in zip(sites, rows, strict=True):
        for part in site.parts:
            gone[part.key] += part.channels[np.isin(part.rows, removed)].tolist()
    tables = []
    for key, score in scored.items():
        left = np.setdiff1d(np.arange(len(score)), gone[key])
        whose: dict[str, Any] = dict(zip(KEYS[kind], key, strict=True))
        tables.append(pd.DataFrame({**whose, "channel": left, "now": np.arange(len(left))}))
    return pd.concat(tables, ignore_index=True)
