r"""In which order SE blocks are best folded, and what the network is worth with more and more of them folded.

Notes
-----
Of a block with gate s and mean gate m, the orders go by

- variance: the variance of the gate over images, mean over channels; from the run alone;
- predicted: :math:`|\sum_c (m_c - s_c)\, \partial L / \partial s_c|`, mean over images: to first order, how much the
  loss L of an image changes when the gate becomes its mean; one pass forward and one back;
- measured: by how much the mean loss rises with this block alone folded; one pass for each block;
- greedy: the same, measured again after each block that was folded; for n blocks n(n + 1)/2 passes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from seviz.errors import OptionError
from seviz.experiments.evaluation import (
    AS_THEY_COME,
    Evaluation,
    Images,
    Labelled,
    classes_of,
    labelled_batches,
    logits_of,
    on_device,
    outcome_of,
)
from seviz.experiments.shares import difference_interval, share_interval
from seviz.network.complexity import complexity
from seviz.network.gates import capture_gates, force_gates
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.run.parts import Part
from seviz.run.store import Run
from seviz.showing import brief

Order = Literal["variance", "predicted", "measured", "greedy"]
ORDERS: tuple[Order, ...] = get_args(Order)

Gates = Mapping[str, NDArray[np.float64]]
"""By the name of a block the constant that its gate becomes, (channels)."""


def folding_order(
    network: Network,
    run: Run | Part,
    gates: Gates,
    order: Order,
    *,
    data: Images | None = None,
    reading: Reading = AS_THEY_COME,
) -> list[str]:
    """The blocks in the order in which they are to be folded, the one that is missed least first.

    Parameters
    ----------
    network, run
        As in `fold`.
    gates
        The constants of the blocks in question, as from `constant_gates`.
    order
        One of `ORDERS`.
    data
        Images to predict or measure with, other than those that the result is judged by.
    reading
        How images are read and run.

    Raises
    ------
    OptionError
        If there is no such order, or images are missing.
    EmptyDataError
        If there is no image that can be read.
    """
    if order not in ORDERS:
        raise OptionError(f"order is {order!r}, expected one of {', '.join(ORDERS)}")
    if order == "variance":
        return _rising({name: float(np.nanmean(run.total(name).variance())) for name in gates})
    if data is None:
        raise OptionError(f"order is {order!r}, which needs images; give data, or take variance")
    batches = labelled_batches(network, data, reading)
    if order == "predicted":
        return _rising(_predicted(network, gates, batches, reading.device))
    if order == "measured":
        losses = with_constant_gates(network, [{name: gates[name]} for name in gates], batches, device=reading.device)
        return _rising({name: float(each.loss.mean()) for name, each in zip(gates, losses, strict=True)})
    kept = list(batches)  # gone through once for each block
    folded: list[str] = []
    while rest := [name for name in gates if name not in folded]:
        tried = [{name: gates[name] for name in [*folded, last]} for last in rest]
        losses = with_constant_gates(network, tried, kept, device=reading.device)
        folded.append(min(zip(rest, losses, strict=True), key=lambda pair: pair[1].loss.mean())[0])
    return folded


def _rising(values: Mapping[str, float]) -> list[str]:
    return sorted(values, key=lambda name: values[name])


def _predicted(network: Network, gates: Gates, batches: Iterable[Labelled], device: str) -> dict[str, float]:
    total, images = dict.fromkeys(gates, 0.0), 0
    blocks = {name: network.blocks[name] for name in gates}
    with on_device(network.model, device) as place:
        for batch in batches:
            if not len(batch):
                continue
            x = batch.images.to(place).detach().requires_grad_()  # so that gates have a graph, whatever is frozen
            with torch.enable_grad(), capture_gates(network.model, blocks) as seen:
                logits = logits_of(network, x, batch.labels)
                target = torch.as_tensor(batch.labels, device=place)
                loss = nn.functional.cross_entropy(logits, target, reduction="sum")
                slopes = torch.autograd.grad(loss, list(seen.values()), allow_unused=True)
            for (name, gate), slope in zip(seen.items(), slopes, strict=True):
                if slope is not None:
                    mean = torch.tensor(gates[name]).to(gate)
                    total[name] += float(((mean - gate.detach()) * slope).sum(1).abs().sum())
            images += len(batch)
    return {name: value / images for name, value in total.items()}


def with_constant_gates(
    network: Network, conditions: Sequence[Gates], batches: Iterable[Labelled], *, device: str = "auto"
) -> list[Evaluation]:
    """How well a network does with some of its gates held constant, under each of several conditions.

    Parameters
    ----------
    network
        Comes back as it was given.
    conditions
        The gates that are held, each by block; none for the network as it is.
    batches
        From `labelled_batches`; gone through once.
    device
        "auto" (CUDA, else MPS, else CPU) or what torch calls it.

    Raises
    ------
    EmptyDataError
        If there is no image that can be read.
    """
    labels: list[NDArray[np.int64]] = []
    outcomes: list[list[tuple[NDArray[Any], ...]]] = [[] for _ in conditions]
    failed, width = 0, 0
    with on_device(network.model, device) as place:
        held = [{name: torch.tensor(gate, device=place) for name, gate in each.items()} for each in conditions]
        for batch in batches:
            failed += batch.failed
            if not len(batch):
                continue
            images = batch.images.to(place)
            labels.append(batch.labels)
            for gates, outcome in zip(held, outcomes, strict=True):
                with force_gates(network.model, network.blocks, gates):
                    logits = logits_of(network, images, batch.labels)
                outcome.append(outcome_of(logits, batch.labels))
                width = logits.shape[1]
    every = np.concatenate(labels)
    classes = classes_of(network, width)
    evaluations = []
    for outcome in outcomes:
        taken_for, first_five, losses = (np.concatenate(part) for part in zip(*outcome, strict=True))
        evaluations.append(Evaluation(every, taken_for, first_five, losses, classes, failed))
    return evaluations


@dataclass(frozen=True)
class Front:
    """What a network is worth with more and more of its SE blocks folded.

    Attributes
    ----------
    orders
        By the name of the order, the blocks as they are folded.
    evaluations
        By the set of blocks that are folded.
    parameters
        Of the whole network, and of each block by its name.
    """

    orders: Mapping[str, tuple[str, ...]]
    evaluations: Mapping[frozenset[str], Evaluation]
    parameters: tuple[int, Mapping[str, int]]

    __repr__ = brief

    def table(self, *, confidence: float = 0.95) -> pd.DataFrame:
        """The front of accuracy against blocks and parameters left, by order.

        Columns: order; folded, how many blocks are; block, the last of them ("" for none); blocks_left; parameters
        left; images; accuracy, its interval low to high (Wilson's); drop, the accuracy with no block folded less
        that, its interval drop_low to drop_high (of paired shares); top5; loss, the mean cross-entropy in nats.
        """
        everything, shares = self.parameters
        plain = self.evaluations[frozenset()]
        before = plain.labels == plain.predicted
        rows = []
        for order, blocks in self.orders.items():
            for folded in range(len(blocks) + 1):
                gone = blocks[:folded]
                each = self.evaluations[frozenset(gone)]
                right = each.labels == each.predicted
                low, high = share_interval(right.sum(), len(right), confidence=confidence)
                first, second = int((before & ~right).sum()), int((~before & right).sum())
                both = int((before & right).sum())
                ends = difference_interval(
                    both, first, second, len(right) - both - first - second, confidence=confidence
                )
                rows.append(
                    {
                        "order": order,
                        "folded": folded,
                        "block": gone[-1] if gone else "",
                        "blocks_left": len(shares) - folded,
                        "parameters": everything - sum(shares[name] for name in gone),
                        "images": len(right),
                        "accuracy": each.accuracy,
                        "low": float(low),
                        "high": float(high),
                        "drop": (first - second) / len(right),
                        "drop_low": float(ends[0]) if gone else 0.0,
                        "drop_high": float(ends[1]) if gone else 0.0,
                        "top5": each.top5,
                        "loss": float(each.loss.mean()),
                    }
                )
        return pd.DataFrame(rows)


def folding_front(
    network: Network,
    gates: Gates,
    orders: Mapping[str, Sequence[str]],
    data: Images,
    reading: Reading = AS_THEY_COME,
) -> Front:
    """Fold block after block, and see what becomes of the accuracy.

    A folded network computes what the network computes with those gates held constant, so that is what is run.

    Parameters
    ----------
    network
        Comes back as it was given.
    gates
        The constants, as from `constant_gates`.
    orders
        By name, from `folding_order`.
    data
        Images of one class each, none that gates or orders were made from.
    reading
        As in `folding_order`.

    Raises
    ------
    OptionError
        If there is no order, or one has a block without a constant.
    EmptyDataError
        If there is no image that can be read.
    """
    if not orders:
        raise OptionError("orders is empty, expected blocks in order by name")
    if unknown := [name for blocks in orders.values() for name in blocks if name not in gates]:
        raise OptionError(f"orders has {unknown[0]!r}, expected some of {', '.join(gates)}")
    sets = {frozenset(blocks[:k]): None for blocks in orders.values() for k in range(len(blocks) + 1)}
    conditions = [{name: gates[name] for name in each} for each in sets]
    batches = labelled_batches(network, data, reading)
    evaluations = with_constant_gates(network, conditions, batches, device=reading.device)
    counted = complexity(network)
    return Front(
        orders={name: tuple(blocks) for name, blocks in orders.items()},
        evaluations=dict(zip(sets, evaluations, strict=True)),
        parameters=(
            counted.with_se.parameters,
            {name: cost.parameters for name, cost in counted.blocks.items()},
        ),
    )
