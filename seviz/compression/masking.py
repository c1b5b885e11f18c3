r"""What a network can do without: the gates of the least important channels set to 0, more and more of them.

A masked channel adds nothing to what comes after it, as if it were not there; the network keeps its size. This is the
quick experiment before channels are removed for good. It is honest only if the images that the scores were made from
are none of those that the network is tried on: see `check_disjoint`.

Notes
-----
Over seeds (of a random order, or of the images that scores are made from), accuracy has two sources of chance. With
:math:`m_i` the share of S seeds with which image i of n is told right, and :math:`a_s` the accuracy with seed s, the
variance of the mean is estimated by :math:`v = \operatorname{Var}(m_i) / n + \operatorname{Var}(a_s) / S`, which counts
what seed and image have in common twice and is thus no smaller than the truth. The interval is Wilson's, of as many
images as would give that variance, with Student's t in place of the normal quantile, its degrees of freedom by
Satterthwaite's formula. With one seed, or where all seeds tell the same images right, it is Wilson's of the n images.
In simulations with 150 images, 95 % covered 91 to 98 % with five seeds, 90 to 98 % with three, 86 to 98 % with two;
least where seeds differ most.

References
----------
Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 2, 1946,
doi:10.2307/3002019.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from seviz.classes import Classes
from seviz.compression.importance import over_mean, scores_by_block
from seviz.errors import EmptyDataError, OptionError
from seviz.experiments.evaluation import Images, Progress, classes_of, labelled_batches, logits_of, on_device
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.gates import force_gates
from seviz.network.models import Network

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


@contextmanager
def mask(network: Network, scores: pd.DataFrame, fraction: float, *, scope: Scope = "global") -> Iterator[None]:
    """Set the gates of the least important channels to 0 in each forward pass inside the context.

    Parameters
    ----------
    network
        Nothing of it is changed after the context.
    scores, fraction, scope
        As in `lowest`.

    Raises
    ------
    OptionError
        As in `lowest`, and if there is no such block or channel in the network.
    CompiledModelError
        If the model was compiled.

    Examples
    --------
    >>> with seviz.mask(network, scores, 0.3):
    ...     logits = network.model(images)
    """
    with _masked(network, _channels(network, lowest(scores, fraction, scope=scope))):
        yield


def _channels(network: Network, chosen: Mapping[str, NDArray[np.int64]]) -> dict[str, Tensor]:
    """Channels as tensors; raises OptionError if they are not of the network."""
    for name, channels in chosen.items():
        if name not in network.blocks:
            raise OptionError(
                f"scores has the block {name!r}, which {network.spec} has not; it has {', '.join(network.blocks)}"
            )
        count = network.blocks[name].channels
        wrong = channels[(channels < 0) | (channels >= count)]
        if len(wrong):
            raise OptionError(f"scores has channel {wrong[0]} of {name}, expected numbers from 0 to {count - 1}")
    return {name: torch.as_tensor(channels) for name, channels in chosen.items()}


@contextmanager
def _masked(network: Network, chosen: Mapping[str, Tensor]) -> Iterator[None]:
    forced = {name: partial(_shut, channels) for name, channels in chosen.items()}
    with force_gates(network.model, network.blocks, forced):
        yield


def _shut(channels: Tensor, gate: Tensor) -> Tensor:
    return gate.index_fill(1, channels.to(gate.device), 0.0)


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


@dataclass(frozen=True, order=True)
class Condition:
    """One way to mask a network: which criterion with which seed, and how much of the network."""

    criterion: str
    seed: int
    fraction: float
    channels: int
    """How many are masked."""


@dataclass(frozen=True)
class Curves:
    """What a network took images for, as it is and with more and more of its channels masked.

    Attributes
    ----------
    conditions
        Of each row of the arrays; of each criterion and seed by rising fraction, the first of which is 0.
    scope
        What the fractions are of.
    classes
        Of the network.
    labels
        The class of each image, (image).
    predicted
        What it was taken for, (condition, image).
    in_top5
        Whether its class was among the first five, (condition, image).
    losses
        Cross-entropy in nats, (condition, image).
    paths
        Of each image.
    failed
        How many images could not be read.
    """

    conditions: tuple[Condition, ...]
    scope: str
    classes: Classes
    labels: NDArray[np.int64]
    predicted: NDArray[np.int32]
    in_top5: NDArray[np.bool_]
    losses: NDArray[np.float32]
    paths: tuple[str, ...]
    failed: int

    def table(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """What is left of the accuracy, by criterion, seed and fraction.

        Columns: criterion, seed, scope, fraction; channels, how many are masked; images; accuracy, its interval low to
        high (Wilson's); drop, the accuracy of the network as it is on the same images less that, its interval drop_low
        to drop_high (of paired shares, see `seviz.experiments.shares`); top5; loss, the mean cross-entropy in nats.

        Parameters
        ----------
        confidence
            Of the intervals, in (0, 1).
        """
        _check(confidence)
        right = self._right  # (condition, image)
        before, images = right[self._plain], right.shape[1]  # of each condition as it is with nothing masked
        both, first = (before & right).sum(1), (before & ~right).sum(1)
        second = (~before & right).sum(1)
        low, high = share_interval(right.sum(1), images, confidence=confidence)
        ends = difference_interval(both, first, second, images - both - first - second, confidence=confidence)
        nothing = np.array([condition.channels == 0 for condition in self.conditions])  # does not differ from itself
        return self._rows(
            images=images,
            accuracy=right.mean(1),
            low=low,
            high=high,
            drop=(first - second) / images,
            drop_low=np.where(nothing, 0, ends[0]),
            drop_high=np.where(nothing, 0, ends[1]),
            top5=self.in_top5.mean(1),
            loss=self.losses.mean(1, dtype=np.float64),
        )

    def by_class(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """The accuracy of each class.

        Columns: criterion, seed, scope, fraction, channels; class, class_name; images; accuracy, its interval low to
        high (Wilson's). Only classes that have images; the rows of fraction 0 are those of the network as it is.
        """
        _check(confidence)
        frames = []
        for label in np.unique(self.labels):
            right = self._right[:, self.labels == label]
            low, high = share_interval(right.sum(1), right.shape[1], confidence=confidence)
            named = {"class": self.classes.ids[label], "class_name": self.classes.names[label]}
            frames.append(self._rows(**named, images=right.shape[1], accuracy=right.mean(1), low=low, high=high))
        return pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)

    def mean(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """The accuracy over seeds.

        Columns: criterion, scope, fraction; channels, the mean number masked; images; seeds, how many; accuracy, the
        mean over seeds; its interval low to high, for other seeds and other images (see the notes of this module; it
        has that meaning from two seeds on, and with few it is wide); drop, the accuracy of the network as it is less
        that; top5; loss.
        """
        _check(confidence)
        groups: dict[tuple[str, float], list[int]] = {}
        for k, condition in enumerate(self.conditions):
            groups.setdefault((condition.criterion, condition.fraction), []).append(k)
        rows = []
        for (criterion, fraction), own in groups.items():
            right = self._right[own]  # (seed, image)
            low, high = _interval_over_seeds(right, confidence)
            rows.append(
                {
                    "criterion": criterion,
                    "scope": self.scope,
                    "fraction": fraction,
                    "channels": np.mean([self.conditions[k].channels for k in own]),
                    "images": right.shape[1],
                    "seeds": len(own),
                    "accuracy": right.mean(),
                    "low": low,
                    "high": high,
                    "drop": self._right[self._plain[own]].mean() - right.mean(),
                    "top5": self.in_top5[own].mean(),
                    "loss": self.losses[own].mean(dtype=np.float64),
                }
            )
        return pd.DataFrame(rows)

    @property
    def _right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def _plain(self) -> NDArray[np.int64]:
        """Of each condition, which one is the same criterion and seed with nothing masked."""
        first = {(c.criterion, c.seed): k for k, c in reversed(list(enumerate(self.conditions)))}
        return np.array([first[c.criterion, c.seed] for c in self.conditions])

    def _rows(self, **columns: Any) -> pd.DataFrame:
        """A row for each condition."""
        named = {
            "criterion": [condition.criterion for condition in self.conditions],
            "seed": [condition.seed for condition in self.conditions],
            "scope": self.scope,
            "fraction": [condition.fraction for condition in self.conditions],
            "channels": [condition.channels for condition in self.conditions],
        }
        return pd.DataFrame(named | columns)


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1")


def _interval_over_seeds(right: NDArray[np.bool_], confidence: float) -> tuple[float, float]:
    """The interval of the mean of (seed, image), for other seeds and other images."""
    seeds, images = right.shape
    share, of = float(right.mean()), float(images)
    if images > 1 and 0 < share < 1 and (right != right[0]).any():
        by_images = float(right.mean(0).var(ddof=1)) / images
        by_seeds = float(right.mean(1).var(ddof=1)) / seeds
        variance = by_images + by_seeds
        if variance > 0:
            freedom = variance**2 / (by_images**2 / (images - 1) + by_seeds**2 / (seeds - 1))
            level = (1 + confidence) / 2
            of = share * (1 - share) / variance * (stats.norm.ppf(level) / stats.t.ppf(level, freedom)) ** 2
    low, high = share_interval(share * of, of, confidence=confidence)
    return float(low), float(high)


def masking_curve(
    network: Network,
    data: Images,
    scores: Mapping[str | tuple[str, int], pd.DataFrame],
    *,
    fractions: Sequence[float],
    scope: Scope = "global",
    per_class: int | None = None,
    batch_size: int = 64,
    device: str = "auto",
    rotate: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Curves:
    """Run a network with more and more of its channels masked, by several criteria.

    Each image is read once, and passes through the network once as it is and once for each criterion, seed and
    fraction.

    Parameters
    ----------
    network
        Comes back as it was given.
    data
        Images of one class each; none that scores were made from.
    scores
        From `seviz.compression.importance.importance`, by criterion, or by criterion and seed; without one it is 0.
    fractions
        Which shares of the channels are masked, in [0, 1]; 0, the network as it is, is always among them.
    scope
        As in `lowest`.
    per_class, batch_size, device, rotate, workers, progress
        As in `seviz.experiments.evaluation.evaluate`.

    Returns
    -------
    Curves
        Its tables are `table`, `by_class` and `mean`.

    Raises
    ------
    OptionError
        As in `mask` and `labelled_batches`, or if there are no scores.
    EmptyDataError
        If there is no image that can be read.
    """
    if not scores:
        raise OptionError("scores is empty, expected a table for each criterion")
    shares = sorted({0.0, *map(float, fractions)})
    conditions: list[Condition] = []
    chosen: list[dict[str, Tensor]] = []
    for key, table in scores.items():
        criterion, seed = (key, 0) if isinstance(key, str) else key
        for fraction in shares:
            channels = _channels(network, lowest(table, fraction, scope=scope))
            conditions.append(Condition(criterion, seed, fraction, sum(map(len, channels.values()))))
            chosen.append(channels)
    twice = {(each.criterion, each.seed) for each in conditions}
    if len(twice) < len(scores):
        raise OptionError("scores has a criterion both without a seed and with seed 0; expected each once")
    outcomes: list[tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.float32]]] = []
    labels, paths, failed, width = list[NDArray[np.int64]](), list[str](), 0, 0
    with on_device(network.model, device) as place:
        for batch in labelled_batches(
            network,
            data,
            per_class=per_class,
            batch_size=batch_size,
            rotate=rotate,
            workers=workers,
            progress=progress,
        ):
            failed += batch.failed
            if not len(batch):
                continue
            images, target = batch.images.to(place), torch.as_tensor(batch.labels, device=place)
            plain = logits_of(network.model, images, batch.labels)
            passes = []
            for channels in chosen:
                logits = plain
                if channels:
                    with _masked(network, channels):
                        logits = logits_of(network.model, images, batch.labels)
                passes.append(_outcome(logits, target))
            outcomes.append(tuple(np.stack(part) for part in zip(*passes, strict=True)))  # type: ignore[arg-type]
            labels.append(batch.labels)
            paths += batch.paths
            width = plain.shape[1]
    if not paths:
        raise EmptyDataError(f"none of the {failed} images can be read")
    predicted, in_top5, losses = (np.concatenate(part, axis=1) for part in zip(*outcomes, strict=True))
    return Curves(
        conditions=tuple(conditions),
        scope=scope,
        classes=classes_of(network, width),
        labels=np.concatenate(labels),
        predicted=predicted,
        in_top5=in_top5,
        losses=losses,
        paths=tuple(paths),
        failed=failed,
    )


def _outcome(logits: Tensor, target: Tensor) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """What each image is taken for, whether its class is among the first five, and its cross-entropy, (batch) each."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    loss = nn.functional.cross_entropy(logits, target, reduction="none")
    return best[:, 0].int().cpu().numpy(), (best == target[:, None]).any(1).cpu().numpy(), loss.cpu().numpy()
