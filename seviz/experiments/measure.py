"""Networks side by side: the same images through each, and what each costs.

The first network is the one that the others are compared with. Each image is read once and goes through all of them,
so that shares are of the same images and their differences are paired.
"""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seviz.capture.datasets import Dataset, open_dataset
from seviz.capture.keeping import kept
from seviz.classes import Classes
from seviz.errors import EmptyDataError, OptionError, SevizWarning
from seviz.experiments.evaluation import (
    AS_THEY_COME,
    Images,
    classes_of,
    labelled_batches,
    logits_of,
    not_finite,
    on_device,
    outcome_of,
    top5_share,
)
from seviz.experiments.latency import latency as latency_of
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.complexity import complexity_of
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.showing import brief


@dataclass(frozen=True)
class Measurement:
    """What networks took the same images for.

    Attributes
    ----------
    networks
        By name; the first is the one that the others are compared with.
    labels
        The class of each image, indices of the networks' classes, (image).
    predicted
        What it was taken for, (network, image).
    within
        What it was taken for if only the chosen classes count, (network, image); `predicted` where all are chosen.
    in_top5
        Whether its class was among the first five, (network, image).
    losses
        Cross-entropy in nats, (network, image).
    classes
        Of the networks.
    chosen
        Whether only images of some classes were looked at.
    failed
        How many images could not be read, or had a logit that is not finite.
    device
        Where they ran.
    """

    networks: dict[str, Network]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    within: NDArray[np.int64]
    in_top5: NDArray[np.bool_]
    losses: NDArray[np.float64]
    classes: Classes
    chosen: bool
    failed: int
    device: str

    __repr__ = brief

    def side_by_side(self, *, latency: bool = False, confidence: float = 0.95) -> pd.DataFrame:
        """What each network reaches and what it costs; see the function of this name."""
        _check_confidence(confidence)
        every = np.ones(len(self.labels), bool)
        rows = [
            {"network": name, **self._accuracy(k, every, confidence), **self._costs(k, network)}
            for k, (name, network) in enumerate(self.networks.items())
        ]
        table = pd.DataFrame(rows)
        if latency:
            table = table.merge(self._latency(confidence), on="network")
        if self.failed:
            table.attrs["remarks"] = [
                f"Left out since they could not be read, or logits are not finite: {self.failed} of the images."
            ]
        return table

    def by_class(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """Accuracy by class and network; see the function of this name."""
        _check_confidence(confidence)
        rows = [
            {
                "class": self.classes.ids[label],
                "class_name": self.classes.names[label],
                "network": name,
                **self._accuracy(k, self.labels == label, confidence),
            }
            for label in np.unique(self.labels)
            for k, name in enumerate(self.networks)
        ]
        return pd.DataFrame(rows)

    def _accuracy(self, k: int, of: NDArray[np.bool_], confidence: float) -> dict[str, Any]:
        row: dict[str, Any] = {"images": int(of.sum())}
        for name, taken in (("", self.predicted), *([("within", self.within)] if self.chosen else [])):
            before, now = (taken[which, of] == self.labels[of] for which in (0, k))
            counts = (before & now, before & ~now, ~before & now, ~before & ~now)
            low, high = share_interval(now.sum(), len(now), confidence=confidence)
            ends = difference_interval(*(count.sum() for count in counts), confidence=confidence) if k else (0, 0)
            prefix = f"{name}_" if name else ""
            row |= {
                f"accuracy_{name}" if name else "accuracy": _mean(now),
                f"{prefix}low": float(low),
                f"{prefix}high": float(high),
                f"{prefix}drop": _mean(before) - _mean(now),
                f"{prefix}drop_low": float(ends[0]),
                f"{prefix}drop_high": float(ends[1]),
            }
        return row

    def _costs(self, k: int, network: Network) -> dict[str, Any]:
        blocks = network.blocks
        cost = complexity_of(network.model, network.input_size, blocks={}).with_se
        return {
            "top5": float(top5_share(self.in_top5[k], len(self.classes))),
            "loss": _mean(self.losses[k]),
            "parameters": cost.parameters,
            "multiply_adds": cost.multiply_adds,
            "bytes": weights_bytes(network.model),
            "blocks": len(blocks),
        }

    def _latency(self, confidence: float) -> pd.DataFrame:
        size = next(iter(self.networks.values())).input_size
        table = latency_of(
            self.networks, size, batch_sizes=(1,), modes=("eager",), device=self.device, confidence=confidence
        )
        names = {"median_ms": "latency_ms", "low_ms": "latency_low", "high_ms": "latency_high"}
        names |= {name: f"latency_{name}" for name in ("ratio", "ratio_low", "ratio_high")}
        return table[["network", *names]].rename(columns=names)


def measure(
    networks: Mapping[str, Network],
    data: Images,
    reading: Reading = AS_THEY_COME,
    *,
    classes: Sequence[str] | None = None,
) -> Measurement:
    """Run networks on the same images, each of which is read once.

    Parameters
    ----------
    networks
        By name, with the same classes and preprocessing; the first is the one that the others are compared with. They
        come back as they were given.
    data
        Images of one class each.
    classes
        Only images of these classes, by id or name.
    reading
        How images are read and run.

    Returns
    -------
    Measurement
        Its tables are `side_by_side` and `by_class`.

    Raises
    ------
    OptionError
        If there is no network, their classes or preprocessing differ, or as in `labelled_batches`.
    UnknownClassError
        If a class is none of the networks'.
    EmptyDataError
        If there is no image, none of the classes chosen, or none that can be read and has finite logits.

    Warns
    -----
    UserWarning
        If the logits that a network gives for an image are not finite. The image is left out for all networks and
        counted as failed.
    """
    first = _alike(networks)
    indices = _indices(first, classes)
    data = _only(first, data, indices, reading.per_class)
    labels: list[NDArray[np.int64]] = []
    passes: list[tuple[NDArray[Any], ...]] = []
    failed, width = 0, 0
    odd = dict.fromkeys(networks, 0)
    with ExitStack() as stack:
        for network in networks.values():
            place = stack.enter_context(on_device(network.model, reading.device))
        for batch in labelled_batches(first, data, reading):
            failed += batch.failed
            own = np.ones(len(batch), bool) if indices is None else np.isin(batch.labels, indices)
            if not own.any():
                continue
            images, truth = batch.images[torch.as_tensor(own)].to(place), batch.labels[own]
            outcomes = []
            for name, network in networks.items():
                logits = logits_of(network, images, truth)
                outcomes.append(_outcome(logits, truth, indices))
                odd[name] += int((outcomes[-1][0] < 0).sum())
                width = max(width, logits.shape[1])
            known = np.all([predicted >= 0 for predicted, *_ in outcomes], axis=0)
            failed += int((~known).sum())
            labels.append(truth[known])
            passes.append(tuple(np.stack(part)[:, known] for part in zip(*outcomes, strict=True)))
    for name, count in odd.items():
        if count:
            warnings.warn(not_finite(name, count), SevizWarning, stacklevel=2)
    if not any(map(len, labels)):
        unread = f"; {failed} could not be read, or have logits that are not finite" if failed else ""
        of = "" if indices is None else "of the classes asked for "
        raise EmptyDataError(f"there is no image {of}left{unread}")
    predicted, within, in_top5, losses = (np.concatenate(part, axis=1) for part in zip(*passes, strict=True))
    return Measurement(
        networks=dict(networks),
        labels=np.concatenate(labels),
        predicted=predicted,
        within=within,
        in_top5=in_top5,
        losses=losses.astype(np.float64),
        classes=classes_of(first, width),
        chosen=indices is not None,
        failed=failed,
        device=reading.device,
    )


def side_by_side(
    networks: Mapping[str, Network],
    data: Images,
    reading: Reading = AS_THEY_COME,
    *,
    classes: Sequence[str] | None = None,
    latency: bool = False,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What networks reach and what they cost, in one table.

    Parameters
    ----------
    networks, data, reading, classes
        As in `measure`.
    latency
        Also measure how long each takes for one image, eager, in turn with the first, see
        `seviz.experiments.latency.latency`.
    confidence
        Of the intervals, in (0, 1).

    Returns
    -------
    pandas.DataFrame
        One row a network. Columns: network; images; accuracy, its interval low to high (Wilson's); drop, the accuracy
        of the first network less that, its interval drop_low to drop_high (of paired shares, see
        `seviz.experiments.shares`; the first network does not differ from itself); where classes are chosen, the same
        if the logits of these classes alone count, accuracy_within, within_low, within_high, within_drop,
        within_drop_low, within_drop_high; top5; loss, the mean cross-entropy in nats; parameters; multiply_adds of an
        image; bytes of the weights as a safetensors file; blocks, the SE blocks left. With `latency`: latency_ms with
        latency_low and latency_high, and how many times faster than the first, latency_ratio, latency_ratio_low,
        latency_ratio_high.

    Raises
    ------
    OptionError, UnknownClassError, EmptyDataError
        As in `measure`, or if `confidence` is out of its range.

    Examples
    --------
    >>> side_by_side({"original": network, "folded": folded}, "bundled")
    """
    _check_confidence(confidence)
    return measure(networks, data, reading, classes=classes).side_by_side(latency=latency, confidence=confidence)


def by_class(
    networks: Mapping[str, Network],
    data: Images,
    reading: Reading = AS_THEY_COME,
    *,
    classes: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What networks reach class by class.

    Parameters
    ----------
    networks, data, reading, classes, confidence
        As in `side_by_side`.

    Returns
    -------
    pandas.DataFrame
        A row for each class that has images and each network. Columns: class, class_name, network; images; accuracy
        and what follows it in `side_by_side`, up to the drop.

    Raises
    ------
    OptionError, UnknownClassError, EmptyDataError
        As in `side_by_side`.
    """
    _check_confidence(confidence)
    return measure(networks, data, reading, classes=classes).by_class(confidence=confidence)


def weights_bytes(model: nn.Module) -> int:
    """The size of all parameters and buffers as a safetensors file, in bytes."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    return len(safetensors.torch.save(state))


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1")


def _alike(networks: Mapping[str, Network]) -> Network:
    """The first network; raises OptionError if there is none, or others take other images or tell other classes."""
    if not networks:
        raise OptionError("networks is empty, expected at least one network by its name")
    (one, first), *others = networks.items()
    for name, network in others:
        if (network.input_size, network.preprocessing) != (first.input_size, first.preprocessing):
            raise OptionError(
                f"networks {one!r} and {name!r} take other images, {first.preprocessing} and"
                f" {network.preprocessing}; side by side they get the same"
            )
        if network.classes != first.classes or network.task != first.task:
            raise OptionError(f"networks {one!r} and {name!r} tell other classes; side by side they tell the same")
    return first


def _indices(network: Network, names: Sequence[str] | None) -> NDArray[np.int64] | None:
    """Of the classes asked for, among the network's; None for all."""
    if names is None:
        return None
    if not names:
        raise OptionError("classes is empty, expected some classes of the network, or None for all")
    if network.classes is None:
        raise OptionError(f"classes are asked for, and those of {network.spec} are not known")
    return np.unique([network.classes.index(name, network.spec) for name in names])


def _only(network: Network, data: Images, indices: NDArray[np.int64] | None, per_class: int | None) -> Images:
    """A data set less the images of other classes, so that these are not read; batches in memory as they are."""
    data = open_dataset(data) if isinstance(data, str | Path) else data
    targets = data.classes.match(network.classes) if isinstance(data, Dataset) and network.classes else None
    if indices is None or targets is None or not isinstance(data, Dataset) or data.multi:
        return data
    chosen = np.isin(np.array(targets)[data.labels], indices)
    if per_class is not None:  # the same images as where all classes are asked for
        chosen &= kept(data, f"per-class:{per_class}")
    if not chosen.any():
        raise EmptyDataError(f"data {data.spec!r} has no image of the classes asked for")
    return data.take(np.flatnonzero(chosen))


def _outcome(
    logits: Tensor, labels: NDArray[np.int64], indices: NDArray[np.int64] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """What images are taken for, among all classes and among some, whether in the first five, and the loss."""
    predicted, in_top5, losses = outcome_of(logits, labels)
    within = predicted
    if indices is not None:
        some = torch.as_tensor(indices, device=logits.device)
        within = indices[logits[:, some].argmax(1).cpu().numpy()]
    return predicted, within, in_top5, losses


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
