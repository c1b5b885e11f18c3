"""Pruning in several steps, with scores measured anew after each: gates of later blocks change when channels go."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from seviz.compression.pruning import FORMER, prune_with_record
from seviz.compression.sites import KEYS, Kind, Scope
from seviz.errors import OptionError
from seviz.network.complexity import complexity_of
from seviz.network.networks import Network
from seviz.options import Budget
from seviz.renamed import renamed


@dataclass(frozen=True)
class Rounds:
    """Networks that were pruned one after another.

    Attributes
    ----------
    networks
        After each step.
    scores
        Before the first step and after each, by the numbers that channels had then.
    kept
        The scored channels that are left after each step: step (from 1), the columns of the scores that say whose
        channel it is, channel (its number at the start) and now (its number after the step).
    agreement
        How the scores of channels that stay are ordered before and after a step: step, the columns that say whose
        channels, channels (how many stay), spearman (in [-1, 1]; NaN where all scores are equal).
    """

    networks: tuple[Network, ...]
    scores: tuple[pd.DataFrame, ...]
    kept: pd.DataFrame
    agreement: pd.DataFrame


@renamed(channels=FORMER)
def prune_in_steps(
    network: Network,
    score: Callable[[Network], pd.DataFrame],
    *,
    steps: int,
    kind: Kind = "gated",
    flops: float | None = None,
    parameters: float | None = None,
    keep_channels: float | None = None,
    scope: Scope = "global",
    round_to: int = 1,
    max_share: float = 0.9,
    after: Callable[[Network], Network] | None = None,
) -> Rounds:
    """Prune in steps of equal ratio, and measure the scores anew after each.

    Parameters
    ----------
    network
        Stays as it is.
    score
        Scores the channels of a network, as `prune` takes them; called before the first step and after each.
    steps
        How many, at least 1. What is left falls by the same factor in each.
    kind, flops, parameters, keep_channels, scope, round_to
        As in `prune`; the budget is that of the last step.
    max_share
        As in `prune`, of the channels before each step.
    after
        What becomes of the network after each step, such as `recalibrate` or `fine_tune`; must keep its channels.

    Raises
    ------
    OptionError, PruningError, MissingPackageError
        As `prune`.
    """
    if steps < 1:
        raise OptionError(f"steps is {steps}, expected at least 1")
    budget = Budget(flops=flops, parameters=parameters, keep_channels=keep_channels)
    keys = KEYS[kind]
    networks, scores = [network], [score(network)]
    origin = scores[0][[*keys, "channel"]].assign(now=lambda table: table["channel"])
    whole = _amount(network, scores[0], budget)
    kept, agreement = [], []
    for step in range(1, steps + 1):
        wanted = budget.share ** (step / steps) * whole
        pruned = prune_with_record(
            networks[-1],
            scores[-1],
            Budget(**{budget.quantity: min(wanted / _amount(networks[-1], scores[-1], budget), 1.0)}),
            kind=kind,
            scope=scope,
            round_to=round_to,
            max_share=max_share,
        )
        networks.append(after(pruned.network) if after else pruned.network)
        scores.append(score(networks[-1]))
        agreement.append(_agreement(scores[-2], scores[-1], pruned.kept, keys).assign(step=step))
        moved = pruned.kept.rename(columns={"channel": "now", "now": "then"})
        origin = origin.merge(moved, on=[*keys, "now"]).drop(columns="now").rename(columns={"then": "now"})
        kept.append(origin.assign(step=step))
    return Rounds(
        networks=tuple(networks[1:]),
        scores=tuple(scores),
        kept=pd.concat(kept, ignore_index=True)[["step", *keys, "channel", "now"]],
        agreement=pd.concat(agreement, ignore_index=True)[["step", *keys, "channels", "spearman"]],
    )


def _amount(network: Network, scores: pd.DataFrame, budget: Budget) -> int:
    if budget.quantity == "keep_channels":
        return len(scores)
    cost = complexity_of(network.model, network.example_size, blocks={}).with_se
    return cost.multiply_adds if budget.quantity == "flops" else cost.parameters


def _agreement(before: pd.DataFrame, after: pd.DataFrame, kept: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Spearman's correlation between the scores of the same channels before and after."""
    both = kept.merge(before[[*keys, "channel", "score"]], on=[*keys, "channel"]).merge(
        after[[*keys, "channel", "score"]].rename(columns={"channel": "now", "score": "score_after"}),
        on=[*keys, "now"],
    )
    rows = []
    for key, channels in both.groupby(keys, sort=False):
        ranks = np.stack([rankdata(channels["score"]), rankdata(channels["score_after"])])
        constant = bool((ranks == ranks[:, :1]).all(axis=1).any())
        spearman = float("nan") if constant else float(np.corrcoef(ranks)[0, 1])
        rows.append({**dict(zip(keys, key, strict=True)), "channels": len(channels), "spearman": spearman})
    return pd.DataFrame(rows, columns=[*keys, "channels", "spearman"])
