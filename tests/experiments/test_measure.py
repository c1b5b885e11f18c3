import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import special, stats
from torch import Tensor, nn

import seviz
from seviz.capture.datasets import open_dataset
from seviz.capture.keeping import kept
from seviz.classes import Classes
from seviz.errors import EmptyDataError, OptionError, UnknownClassError
from seviz.experiments import measure as measuring
from seviz.experiments.evaluation import evaluate
from seviz.experiments.latency import latency
from seviz.experiments.measure import by_class, measure, side_by_side, weights_bytes
from seviz.experiments.shares import difference_interval
from seviz.network.networks import Network
from seviz.options import Reading

BATCHES = [
    (torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(k)), torch.arange(9) % 3) for k in range(4)
]
LABELS = np.tile(np.arange(9) % 3, 4)


@pytest.fixture
def networks(network: Network) -> dict[str, Network]:
    """One that tells colours, one that prefers green, and one that has no SE block."""
    biased = copy.deepcopy(network.model)
    with torch.no_grad():
        biased.first.excite.bias[4] += 0.3
    return {
        "original": network,
        "biased": replace(network, model=biased),
        "plain": replace(network, model=Plain(network.model).eval()),
    }


class Plain(nn.Module):
    """The mean of each colour."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.stem = copy.deepcopy(model.stem)

    def forward(self, images: Tensor) -> Tensor:
        return self.stem(images).mean((2, 3))[:, :3]


def logits(network: Network) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network.model(images) for images, _ in BATCHES]).double().numpy()


def test_shares_are_those_of_numpy(networks: dict[str, Network]) -> None:
    table = side_by_side(networks, BATCHES).set_index("network")
    assert list(table.index) == list(networks)
    assert set(table["images"]) == {36}
    before = logits(networks["original"]).argmax(1) == LABELS
    assert 0 < before.mean() < 1
    for name, network in networks.items():
        values, row = logits(network), table.loc[name]
        now = values.argmax(1) == LABELS
        assert row["accuracy"] == now.mean()
        assert np.isnan(row["top5"])  # of three classes
        loss = special.logsumexp(values, 1) - values[np.arange(36), LABELS]
        assert row["loss"] == pytest.approx(loss.mean(), abs=1e-6)
        wilson = stats.binomtest(int(now.sum()), 36).proportion_ci(method="wilson")
        np.testing.assert_allclose(row[["low", "high"]].astype(float), wilson, atol=1e-9)
        assert row["drop"] == pytest.approx(before.mean() - now.mean())
        if name == "original":
            assert (row["drop_low"], row["drop_high"]) == (0, 0)
        else:
            table22 = [(before & now).sum(), (before & ~now).sum(), (~before & now).sum(), (~before & ~now).sum()]
            ends = difference_interval(*table22)
            np.testing.assert_allclose(row[["drop_low", "drop_high"]].astype(float), ends)
            assert row["drop_low"] < row["drop"] < row["drop_high"]
    wide, narrow = (side_by_side(networks, BATCHES, confidence=c)["drop_low"][1] for c in (0.99, 0.5))
    assert wide < narrow


def test_costs_are_counted_by_hand(networks: dict[str, Network], tmp_path: Path) -> None:
    table = side_by_side(networks, BATCHES).set_index("network")
    stem, gate = 6 * 3 + 6, 6 * 6 + 6
    assert table["parameters"].to_dict() == {
        "original": stem + 2 * gate,
        "biased": stem + 2 * gate,
        "plain": stem,
    }
    assert table["multiply_adds"].to_dict() == {
        "original": 6 * 3 * 256 + 2 * 36,
        "biased": 6 * 3 * 256 + 2 * 36,
        "plain": 6 * 3 * 256,
    }
    assert table["blocks"].to_dict() == {"original": 2, "biased": 2, "plain": 0}
    for name, network in networks.items():
        safetensors.torch.save_file(network.model.state_dict(), tmp_path / name)
        assert table.loc[name, "bytes"] == (tmp_path / name).stat().st_size
    shared = nn.Sequential(nn.Linear(2, 2), nn.Identity())
    shared.append(shared[0])  # safetensors itself refuses weights that are used twice
    assert weights_bytes(shared) > 2 * 4 * 6


def test_by_class(networks: dict[str, Network]) -> None:
    table = by_class(networks, BATCHES)
    assert table[["class", "network"]].apply(tuple, axis=1).tolist() == [
        (name, network) for name in ("blue", "green", "red") for network in networks
    ]
    before = logits(networks["original"]).argmax(1)
    for k, name in enumerate(("blue", "green", "red")):
        own = k == LABELS
        for which, network in networks.items():
            (row,) = table[(table["class_name"] == name) & (table["network"] == which)].to_dict("records")
            now = logits(network).argmax(1)
            assert row["images"] == 12
            assert row["accuracy"] == (now[own] == k).mean()
            assert row["drop"] == pytest.approx((before[own] == k).mean() - (now[own] == k).mean())
            assert row["drop_low"] <= row["drop"] <= row["drop_high"]
    assert "accuracy_within" not in table


def test_some_classes(networks: dict[str, Network]) -> None:
    table = side_by_side(networks, BATCHES, classes=["Red", "blue"]).set_index("network")
    own = LABELS != 1
    before = logits(networks["original"])[:, [0, 2]].argmax(1) * 2
    for name, network in networks.items():
        values, row = logits(network)[own], table.loc[name]
        within = values[:, [0, 2]].argmax(1) * 2
        assert row["images"] == 24
        assert row["accuracy"] == (values.argmax(1) == LABELS[own]).mean()
        assert row["accuracy_within"] == (within == LABELS[own]).mean()
        assert row["accuracy_within"] >= row["accuracy"]
        assert row["within_drop"] == pytest.approx((before[own] == LABELS[own]).mean() - row["accuracy_within"])
        wilson = stats.binomtest(int((within == LABELS[own]).sum()), 24).proportion_ci(method="wilson")
        np.testing.assert_allclose(row[["within_low", "within_high"]].astype(float), wilson, atol=1e-9)
    assert table.loc["biased", "accuracy_within"] > table.loc["biased", "accuracy"]  # green is out of the way
    each = by_class(networks, BATCHES, classes=["blue", "red"])
    assert set(each["class"]) == {"blue", "red"}
    assert "accuracy_within" in each


def test_images_of_a_folder(networks: dict[str, Network], folder: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    measured = measure(networks, folder, Reading(batch_size=5, workers=0, progress=lambda *done: seen.append(done)))
    alone = evaluate(networks["biased"], data=folder, batch_size=5, workers=0)
    np.testing.assert_array_equal(measured.predicted[1], alone.predicted)
    np.testing.assert_array_equal(measured.losses[1], alone.loss)
    assert seen == [(5, 12), (10, 12), (12, 12)]
    (folder / "red" / "002.png").write_bytes(b"")
    table = side_by_side(networks, folder, Reading(workers=0), classes=["red", "blue"])
    assert set(table["images"]) == {8}
    assert table.attrs["remarks"] == [
        "Left out since they could not be read, or logits are not finite: 1 of the images."
    ]


def test_only_images_of_the_classes_are_read(networks: dict[str, Network], folder: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    options: dict[str, Any] = {"workers": 0, "progress": lambda *done: seen.append(done)}
    measured = measure(networks, str(folder), Reading(per_class=2, **options), classes=["green"])
    assert seen == [(2, 2)]
    data = open_dataset(folder)
    drawn = np.flatnonzero(kept(data, "per-class:2"))
    every = measure(networks, data.take(drawn), Reading(workers=0))
    np.testing.assert_array_equal(measured.losses, every.losses[:, every.labels == 1])


def test_latency_is_measured_if_asked(networks: dict[str, Network], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "latency_of", partial(latency, rounds=6, seconds=0))
    plain = side_by_side(networks, BATCHES[:1])
    table = side_by_side(networks, BATCHES[:1], latency=True)
    added = [name for name in table if name not in plain]
    assert added == [f"latency_{name}" for name in ("ms", "low", "high", "ratio", "ratio_low", "ratio_high")]
    assert list(table["network"]) == list(networks)
    assert table["latency_ratio"][0] == 1
    assert (table["latency_ratio_low"] <= table["latency_ratio_high"]).all()


def test_networks_come_back_as_they_were(networks: dict[str, Network]) -> None:
    networks["biased"].model.train()
    state = copy.deepcopy(networks["biased"].model.state_dict())
    side_by_side(networks, BATCHES)
    assert networks["biased"].model.training
    assert not networks["original"].model.training
    for name, value in networks["biased"].model.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_network_beside_itself(network: Network) -> None:
    table = side_by_side({"one": network, "same": network}, BATCHES)
    assert table["drop"].tolist() == [0, 0]
    assert table["drop_low"][1] < 0 < table["drop_high"][1]


def test_the_bundled_network_without_its_blocks() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    without = copy.deepcopy(network.model)
    for block in network.blocks.values():
        without.set_submodule(block.path, nn.Identity())
    both = {"as it is": network, "without": replace(network, model=without)}
    table = side_by_side(both, "bundled", Reading(per_class=1, workers=0))
    assert table["drop"][1] > 0.2
    assert list(table["blocks"]) == [16, 0]


class Open(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones_like(x)


def test_a_gate_that_is_held_is_no_block(network: Network) -> None:
    held = copy.deepcopy(network.model)
    for block in network.blocks.values():
        assert block.gate_path is not None
        held.set_submodule(block.gate_path, Open())
    table = side_by_side({"as it is": network, "held": replace(network, model=held)}, BATCHES[:1])
    assert list(table["blocks"]) == [2, 0]  # it depends on no image


def test_wrong_use(networks: dict[str, Network], folder: Path, make_folder: Callable[..., Path]) -> None:
    original = networks["original"]
    with pytest.raises(OptionError, match="networks is empty, expected at least one network by its name"):
        side_by_side({}, BATCHES)
    others = replace(original, classes=Classes(("a", "b", "c"), ("a", "b", "c")))
    with pytest.raises(OptionError, match="networks 'one' and 'other' tell other classes"):
        side_by_side({"one": original, "other": others}, BATCHES)
    larger = replace(original, preprocessing={"resize": [32, 32]})
    with pytest.raises(
        OptionError, match=r"networks 'one' and 'other' take other images, \{'resize': \[16, 16\]\} and"
    ):
        side_by_side({"one": original, "other": larger}, BATCHES)
    with pytest.raises(UnknownClassError, match="no class 'yellow' in tests/read_from_gates; it has blue, green, red"):
        side_by_side(networks, BATCHES, classes=["red", "yellow"])
    with pytest.raises(OptionError, match="classes is empty, expected some classes"):
        side_by_side(networks, BATCHES, classes=[])
    unnamed = replace(original, classes=None)
    with pytest.raises(OptionError, match="classes are asked for, and those of tests/read_from_gates are not known"):
        side_by_side({"one": unnamed}, BATCHES, classes=["red"])
    for measured in (side_by_side, by_class):
        with pytest.raises(OptionError, match="confidence is 1, expected between 0 and 1"):
            measured(networks, BATCHES, confidence=1)
    with pytest.raises(OptionError, match="per_class is 0, expected at least 1"):
        side_by_side(networks, folder, Reading(per_class=0), classes=["red"])
    with pytest.raises(EmptyDataError, match=r"there is no image of the classes asked for left$"):
        side_by_side(networks, [(BATCHES[0][0][:1], torch.tensor([0]))], classes=["red"])
    reds = open_dataset(folder).take(np.arange(7, 12))
    with pytest.raises(EmptyDataError, match=r"data '.*' has no image of the classes asked for"):
        side_by_side(networks, reds, classes=["blue"])
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(EmptyDataError, match=r"none of the 12 images of data .* can be read"):
        side_by_side(networks, folder, Reading(workers=0))


def test_networks_of_other_dtypes_get_the_images_in_their_own(networks: dict[str, Network]) -> None:
    model = copy.deepcopy(networks["original"].model).double()
    found = measure({"original": networks["original"], "double": replace(networks["original"], model=model)}, BATCHES)
    with torch.no_grad():
        expected = torch.cat([model(images.double()) for images, _ in BATCHES]).numpy()
    np.testing.assert_array_equal(found.predicted[1], expected.argmax(1))
    np.testing.assert_allclose(
        found.losses[1], special.logsumexp(expected, 1) - expected[np.arange(36), LABELS], rtol=0, atol=1e-6
    )


def test_images_whose_logits_are_not_finite_are_left_out_for_all(networks: dict[str, Network]) -> None:
    class Undefined(Plain):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) / (images[:, :1, 0, 0] > 0.2)

    images = torch.cat([images for images, _ in BATCHES])
    odd = (images[:, 0, 0, 0] <= 0.2).numpy()
    assert 0 < odd.sum() < 18
    broken = replace(networks["original"], model=Undefined(networks["original"].model).eval())
    given = {"original": networks["original"], "broken": broken}
    with pytest.warns(UserWarning, match=f"logits of broken are not finite for {odd.sum()} images, which are left out"):
        found = measure(given, BATCHES)
    assert found.failed == odd.sum()
    np.testing.assert_array_equal(found.labels, LABELS[~odd])
    np.testing.assert_array_equal(found.predicted[0], logits(networks["original"]).argmax(1)[~odd])
    assert found.predicted.min() >= 0
    table = found.side_by_side()
    assert table["images"].tolist() == [36 - odd.sum()] * 2
    assert table.attrs["remarks"] == [
        f"Left out since they could not be read, or logits are not finite: {odd.sum()} of the images."
    ]
    nothing = [(torch.zeros_like(images), labels) for images, labels in BATCHES]
    message = "no image left; 36 could not be read, or have logits that are not finite"
    with pytest.warns(UserWarning, match="not finite"), pytest.raises(EmptyDataError, match=message):
        measure(given, nothing)
