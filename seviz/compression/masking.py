"""What a network can do without: the gates of the least important channels set to 0, more and more of them.

A masked channel adds nothing to what comes after it, as if it were not there; the network keeps its size. This is the
quick experiment before channels are removed for good. It is honest only if the images that the scores were made from
are none of those that the network is tried on: see `check_disjoint`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from seviz.compression.scored import over_mean, scores_by_block
from seviz.errors import OptionError
from seviz.network.gates import force_gates
from seviz.network.networks import Network
from seviz.renamed import renamed

Scope = Literal["global", "stage", "block"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a share is of: all channels of the network, those of each stage, those of each block."""


def lowest(scores: pd.DataFrame, fraction: float, *, scope: Scope = "global") -> dict[str, NDArray[np.int64]]:
    """The channels with the lowest scores.

    Where channels of several blocks are compared, it is by their score over the mean absolute score of their block.
    Equal ones are taken in the order of their number, then of their blocks.

    Parameters
    ----------
    scores
        From `seviz.compression.importance.importance`.
    fraction
        Which share of the channels, in [0, 1]; rounded to whole channels, half of one upwards.
    scope
        One of `SCOPES`: the share is of all channels, of those of each stage, or of those of each block.

    Returns
    -------
    dict of str to numpy.ndarray
        By the name of the block, numbers of channels, ascending; blocks of which there is none are left out. Never all
        channels of a block, unless `fraction` is 1: the one with the highest score stays, and if need be the result is
        a smaller share for it.

    Raises
    ------
    OptionError
        If an option is outside its range, a score is not finite, or the table is none of scores.
    """
    if not 0 <= fraction <= 1:
        raise OptionError(f"fraction is {fraction}, expected between 0 and 1")
    if scope not in SCOPES:
        raise OptionError(f"scope is {scope!r}, expected one of {', '.join(SCOPES)}")
    groups: dict[Any, list[pd.DataFrame]] = {}
    for place, (block, score) in enumerate(scores_by_block(scores).items()):
        relative = over_mean(score)
        rows = pd.DataFrame(
            {"score": relative.to_numpy(), "channel": relative.index, "place": place, "block": block}
        ).sort_values(["score", "channel"], kind="stable")
        key = {"global": 0, "stage": _stage(block) if scope == "stage" else 0, "block": block}[scope]
        groups.setdefault(key, []).append(rows.assign(last=np.arange(len(rows)) == len(rows) - 1))
    chosen = []
    for frames in groups.values():
        rows = pd.concat(frames).sort_values(["score", "channel", "place"], kind="stable")
        number = int(np.floor(fraction * len(rows) + 0.5 + 1e-9))
        chosen.append((rows if fraction == 1 else rows[~rows["last"]]).head(number))
    return {
        str(block): np.sort(rows["channel"].to_numpy(np.int64))
        for block, rows in pd.concat(chosen).sort_values("place", kind="stable").groupby("block", sort=False)
    }


def _stage(block: str) -> int:
    found = re.fullmatch(r"SE_(\d+)_\d+", block)
    if found is None:
        raise OptionError(f"block {block!r} has no stage in its name, expected SE_stage_block; take another scope")
    return int(found[1])


@renamed(
    positional="keep=, the share of the channels that stay, such as mask(network, scores, keep=0.8)",
    fraction="keep=, the share of the channels that stay: 1 less fraction",
)
@contextmanager
def mask(network: Network, scores: pd.DataFrame, *, keep: float, scope: Scope = "global") -> Iterator[None]:
    """Set the gates of the least important channels to 0 in each forward pass inside the context.

    Parameters
    ----------
    network
        Nothing of it is changed after the context.
    scores, scope
        As in `lowest`.
    keep
        Share of the channels whose gates stay as they are, in [0, 1].

    Raises
    ------
    OptionError
        As in `lowest`, if `keep` is out of its range, and if there is no such block or channel in the network.
    CompiledModelError
        If the model was compiled.

    Examples
    --------
    >>> scores = seviz.importance(network, run, "gate_mean")
    >>> with seviz.mask(network, scores, keep=0.7):
    ...     logits = network.model(images)
    """
    if not 0 <= keep <= 1:
        raise OptionError(f"keep is {keep}, expected the share of the channels that stay, between 0 and 1")
    with masked(network, masked_channels(network, lowest(scores, 1 - keep, scope=scope))):
        yield


def masked_channels(network: Network, chosen: Mapping[str, NDArray[np.int64]]) -> dict[str, Tensor]:
    """Channels as tensors; raises OptionError if they are not of the network, NoSEBlocksError if it has no block."""
    blocks = network.require_blocks()
    for name, channels in chosen.items():
        if name not in blocks:
            raise OptionError(
                f"scores has the block {name!r}, which {network.spec} has not; it has {', '.join(blocks)}"
            )
        count = blocks[name].channels
        wrong = channels[(channels < 0) | (channels >= count)]
        if len(wrong):
            raise OptionError(f"scores has channel {wrong[0]} of {name}, expected numbers from 0 to {count - 1}")
    return {name: torch.as_tensor(channels) for name, channels in chosen.items()}


@contextmanager
def masked(network: Network, chosen: Mapping[str, Tensor]) -> Iterator[None]:
    """The gates of chosen channels, by block, are 0 inside the context."""
    forced = {name: dict.fromkeys(channels.tolist(), 0.0) for name, channels in chosen.items()}
    with force_gates(network.model, network.blocks, forced):
        yield


def check_disjoint(score_paths: Iterable[str], final_paths: Iterable[str]) -> None:
    """Check that no image that scores were made from is among those that the result is tried on.

    Parameters
    ----------
    score_paths, final_paths
        Of the images, as in `Run.samples` or `Curves.paths`.

    Raises
    ------
    OptionError
        If some are in both.
    """
    shared = set(score_paths) & set(final_paths)
    if shared:
        raise OptionError(
            f"{len(shared)} images, such as {min(shared)!r}, are both among those that the scores are made from and"
            " among those that the result is tried on: the result would be too good. Split the images first, as with"
            " seviz.run.parts.split_rows."
        )
