import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import seviz
from seviz.compression.folding import constant_gates, fold_to
from seviz.compression.planning import ORDERS, folding_front, folding_order
from seviz.errors import EmptyDataError, OptionError
from seviz.experiments.evaluation import evaluate
from seviz.network.networks import Network
from seviz.options import Reading
from seviz.run.store import Run

Batches = list[tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture
def network(tiny_network: Network) -> Network:
    """The tiny network, so that it takes images for different classes."""
    model = copy.deepcopy(tiny_network.model)
    with torch.no_grad():
        model.head.weight *= 50
        model.head.bias -= model(_images(tiny_network)).mean(0)
    return replace(tiny_network, model=model, trained=False)


def _images(network: Network) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    colour = 3 * torch.randn(30, 3, 1, 1, generator=generator)
    return colour + torch.randn(30, *network.input_size, generator=generator)


@pytest.fixture
def batches(network: Network) -> Batches:
    images = _images(network)
    with torch.no_grad():
        labels = network.model(images).argmax(1)  # so that it is right on all, and can lose something
    return [(images[:16], labels[:16]), (images[16:], labels[16:])]


@pytest.fixture
def run(network: Network, batches: Batches, tmp_path: Path) -> Run:
    with pytest.warns(UserWarning, match="untrained|not trained|freshly"):
        return seviz.collect(network, batches, out=tmp_path / "run", compile="off")


def _loss(network: Network, batches: Batches, gates: dict[str, np.ndarray]) -> float:
    with torch.no_grad(), seviz.force_gates(network.model, network.blocks, gates):
        losses = [F.cross_entropy(network.model(images), labels, reduction="none") for images, labels in batches]
    return float(torch.cat(losses).mean())


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_has_each_block_once_and_is_the_same_again(
    order: str, network: Network, run: Run, batches: Batches
) -> None:
    gates = constant_gates(network, run)
    found = folding_order(network, run, gates, order, data=batches, reading=Reading(device="cpu"))  # type: ignore[arg-type]
    assert sorted(found) == sorted(network.blocks)
    assert found == folding_order(network, run, gates, order, data=batches, reading=Reading(device="cpu"))  # type: ignore[arg-type]


def test_orders_by_what_they_say(network: Network, run: Run, batches: Batches) -> None:
    gates = constant_gates(network, run)
    variance = {name: run.gates(name).var(0, ddof=1).mean() for name in gates}
    assert folding_order(network, run, gates, "variance") == sorted(gates, key=variance.__getitem__)

    alone = {name: _loss(network, batches, {name: gates[name]}) for name in gates}
    assert folding_order(network, run, gates, "measured", data=batches) == sorted(gates, key=alone.__getitem__)

    first, second, third = folding_order(network, run, gates, "greedy", data=batches)
    assert first == min(alone, key=alone.__getitem__)
    pairs = {name: _loss(network, batches, {first: gates[first], name: gates[name]}) for name in gates if name != first}
    assert second == min(pairs, key=pairs.__getitem__)
    assert third not in (first, second)


def test_the_predicted_order_is_that_of_the_slope_towards_the_mean(
    network: Network, run: Run, batches: Batches
) -> None:
    """The directional derivative of each image's loss, by a small step of the gate towards its mean."""
    gates = constant_gates(network, run)
    model = network.model.double()
    step = 1e-6
    predicted = {}
    for name, mean in gates.items():

        def towards(gate: torch.Tensor, mean: np.ndarray = mean) -> torch.Tensor:
            return gate + step * (torch.tensor(mean) - gate)

        slopes = []
        for images, labels in batches:
            with torch.no_grad():
                plain = F.cross_entropy(model(images.double()), labels, reduction="none")
                with seviz.force_gates(model, network.blocks, {name: towards}):
                    moved = F.cross_entropy(model(images.double()), labels, reduction="none")
            slopes.append(((moved - plain) / step).abs())
        predicted[name] = float(torch.cat(slopes).mean())
    model.float()
    assert folding_order(network, run, gates, "predicted", data=batches) == sorted(gates, key=predicted.__getitem__)


def test_the_front_is_what_folded_networks_reach(network: Network, run: Run, batches: Batches) -> None:
    gates = constant_gates(network, run)
    orders = {"there": list(gates), "back": list(gates)[::-1]}
    front = folding_front(network, gates, orders, batches, Reading(device="cpu"))
    assert len(front.evaluations) == 6  # nothing, all, and two each between; nothing and all are shared
    table = front.table()
    assert table.groupby("order", sort=False).size().to_dict() == {"there": 4, "back": 4}
    for _, row in table.iterrows():
        folded = orders[row["order"]][: row["folded"]]
        smaller = fold_to(network, {name: gates[name] for name in folded}) if folded else network
        expected = evaluate(smaller, data=batches, device="cpu")
        assert row["accuracy"] == expected.accuracy
        assert row["loss"] == pytest.approx(expected.loss.mean(), rel=1e-5)
        assert row["parameters"] == sum(parameter.numel() for parameter in smaller.model.parameters())
        assert row["blocks_left"] == 3 - row["folded"]
        assert row["block"] == (folded[-1] if folded else "")
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["drop"] == pytest.approx(1 - row["accuracy"])
        assert row["drop_low"] <= row["drop"] <= row["drop_high"]
    assert (table["accuracy"] < 1).any()


def test_wrong_use(network: Network, run: Run, batches: Batches) -> None:
    gates = constant_gates(network, run)
    with pytest.raises(OptionError, match="order is 'alphabet', expected one of variance, predicted, measured, greedy"):
        folding_order(network, run, gates, "alphabet")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="order is 'measured', which needs images; give data, or take variance"):
        folding_order(network, run, gates, "measured")
    with pytest.raises(OptionError, match="orders is empty"):
        folding_front(network, gates, {}, batches)
    with pytest.raises(OptionError, match="orders has 'SE_9_9', expected some of SE_2_1"):
        folding_front(network, gates, {"x": ["SE_9_9"]}, batches)
    with pytest.raises(EmptyDataError, match="there is no image"):
        folding_order(network, run, gates, "predicted", data=[])
