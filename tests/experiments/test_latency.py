import copy
import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from seviz.errors import CompiledModelError, EngineError, OptionError
from seviz.experiments import latency as timing
from seviz.experiments.latency import latency, median_interval
from seviz.network.networks import Network

COLUMNS = ["network", "mode", "batch_size", "rounds", "median_ms", "low_ms", "high_ms", "images_per_second"]
COLUMNS += ["ratio", "ratio_low", "ratio_high"]
SIZE = (3, 16, 16)
SHORT: dict[str, Any] = {"rounds": 6, "seconds": 0, "batch_sizes": (1, 2)}


class Reading(nn.Module):
    """Flattens its images by `view`, as no tensor with channels last can be."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.view(len(images), -1))


class Asking(nn.Module):
    """Decides by a value, which cannot be traced."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return means if float(means.sum()) > 0 else -means


def test_each_network_is_measured_beside_the_first(
    tiny_net: nn.Module, tiny_network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled stays as it was traced, which takes no time."""
    told: list[tuple[int, int | None]] = []
    compiled: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module, **_: compiled.append(module) or module)
    table = latency(
        {"original": tiny_network, "same": tiny_net},
        SIZE,
        **SHORT,
        modes=("compiled", "eager"),
        progress=lambda *done: told.append(done),
    )
    assert list(table.columns) == COLUMNS
    assert table[["mode", "batch_size", "network"]].apply(tuple, axis=1).tolist() == [
        (mode, size, name) for mode in ("compiled", "eager") for size in (1, 2) for name in ("original", "same")
    ]
    assert table.attrs["remarks"] == []
    assert len(compiled) == 4
    assert told == [(k, 24) for k in range(1, 25)]
    assert set(table["rounds"]) == {6}
    np.testing.assert_allclose(table["images_per_second"], table["batch_size"] / table["median_ms"] * 1000)
    for low, middle, high in (("low_ms", "median_ms", "high_ms"), ("ratio_low", "ratio", "ratio_high")):
        assert (table[low] <= table[middle]).all()
        assert (table[middle] <= table[high]).all()
    original, same = (table[table["network"] == name] for name in ("original", "same"))
    assert (original[["ratio", "ratio_low", "ratio_high"]] == 1).all(axis=None)
    assert (same["ratio_low"] < same["ratio_high"]).all()


@pytest.fixture
def compiled_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile as ever, but let no compiler write code, which takes long."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))


def test_compiled_networks_are_measured(tiny_network: Network) -> None:
    """By the compiler as it is, of a network that takes little compiling."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten()).eval()
    both = {"original": replace(tiny_network, model=model), "same": model}
    table = latency(both, SIZE, **{**SHORT, "batch_sizes": (2,)}, modes=("compiled",))
    assert table[["network", "mode", "batch_size"]].to_numpy().tolist() == [
        ["original", "compiled", 2],
        ["same", "compiled", 2],
    ]
    assert table.attrs["remarks"] == []
    assert (table["median_ms"] > 0).all()


def test_ratios_are_paired_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own the machine is three times as slow in every other round."""
    turns: list[str] = []
    took = {"a": 0.004, "b": 0.002, "c": 0.008}
    warm, now = 10, 0.0  # passes before the first round, seconds

    class Clocked(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, images: Tensor) -> Tensor:
            nonlocal now
            now += took[self.name] * (1 if (len(turns) - warm) // 4 % 2 else 3)
            turns.append(self.name)
            return images

    monkeypatch.setattr(timing, "perf_counter", lambda: now)
    networks = {name: Clocked(name) for name in took}
    monkeypatch.setattr(timing, "copy_of", lambda model: model)
    table = latency(networks, SIZE, rounds=8, seconds=0, batch_sizes=(5,), modes=("eager",)).set_index("network")
    assert turns[warm:] == ["a", "b", "a", "c", "b", "a", "c", "a"] * 4
    for column in ("ratio", "ratio_low", "ratio_high"):
        np.testing.assert_allclose(table[column], [1, 2, 0.5])
    np.testing.assert_allclose(table["low_ms"], [4, 2, 8])
    np.testing.assert_allclose(table["high_ms"], [12, 6, 24])
    np.testing.assert_array_equal(table["rounds"], [16, 8, 8])


def test_one_network_alone(tiny_net: nn.Module) -> None:
    table = latency({"only": tiny_net}, SIZE, rounds=3, seconds=0.001, batch_sizes=(2,), modes=("eager",))
    assert table[["network", "rounds", "ratio"]].to_numpy().tolist() == [["only", 3, 1.0]]
    assert table[["low_ms", "high_ms", "ratio_low", "ratio_high"]].isna().all(axis=None)  # of three values: no interval


def test_the_interval_of_a_median_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    for count, confidence in ((6, 0.95), (15, 0.95), (20, 0.8)):
        drawn = np.array([median_interval(random.exponential(size=count), confidence=confidence) for _ in range(4000)])
        covered = ((drawn[:, 0] <= np.log(2)) & (np.log(2) <= drawn[:, 2])).mean()
        assert confidence - 0.012 <= covered <= confidence + 0.09
        sample = random.exponential(size=count)
        low, median, high = median_interval(sample, confidence=confidence)
        expected = stats.quantile_test(sample, p=0.5).confidence_interval(confidence)
        assert (low, median, high) == (expected.low, np.median(sample), expected.high)
    assert np.isnan(median_interval([1, 2, 3, 4, 5])).tolist() == [True, False, True]


def test_given_networks_stay_as_they_are(tiny_net: nn.Module) -> None:
    tiny_net.train()
    tiny_net.head.eval()
    weights = {name: (p, p.clone(), p.stride()) for name, p in tiny_net.named_parameters()}
    latency({"a": tiny_net, "b": tiny_net}, SIZE, **SHORT, modes=("eager",))
    assert tiny_net.training
    assert not tiny_net.head.training
    for name, p in tiny_net.named_parameters():
        same, values, strides = weights[name]
        assert p is same
        assert p.requires_grad
        assert p.stride() == strides
        assert torch.equal(p, values)


def test_memory_format(tiny_net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Looking(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.is_contiguous(memory_format=torch.channels_last))
            return images

    for chosen, expected in ((torch.channels_last, {True}), (torch.contiguous_format, {False})):
        seen.clear()
        latency({"looking": Looking()}, SIZE, **SHORT, modes=("eager",), memory_format=chosen)
        assert set(seen) == expected
    with pytest.raises(EngineError, match=r"network 'flat' does not run on a batch of \(1, 3, 16, 16\) in torch.chann"):
        latency({"flat": Reading()}, SIZE, **SHORT)
    flat = latency({"flat": Reading()}, SIZE, **SHORT, modes=("eager",), memory_format=torch.contiguous_format)
    assert len(flat) == 2


@pytest.mark.usefixtures("compiled_quickly")
def test_what_cannot_be_compiled_is_left_out_and_said(tiny_net: nn.Module) -> None:
    short = {**SHORT, "batch_sizes": (2,)}
    table = latency({"plain": nn.ReLU(), "host": Asking()}, SIZE, **short)
    assert table[["network", "mode"]].apply(tuple, axis=1).tolist() == [
        ("plain", "eager"),
        ("host", "eager"),
        ("plain", "compiled"),
    ]
    (remark,) = table.attrs["remarks"]
    assert remark.startswith("host is not measured compiled at batch 2: it cannot be compiled (")
    table = latency({"host": Asking(), "plain": nn.ReLU()}, SIZE, **short)
    assert list(table["mode"]) == ["eager", "eager"]  # nothing to compare with
    with pytest.raises(EngineError, match=r"host is not measured compiled at batch 2: it cannot be compiled \("):
        latency({"host": Asking()}, SIZE, **short, modes=("compiled",))


def test_compiled_outputs_are_checked(tiny_net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.torch, "compile", lambda module, **_: lambda images: 1.001 * module(images))
    with pytest.raises(EngineError, match=r"net is .* at batch 1: compiled it gives other outputs, by 0\.00\d of the"):
        latency({"net": tiny_net}, SIZE, **{**SHORT, "batch_sizes": (1,)}, modes=("compiled",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"networks": {}}, "networks is empty, expected at least one"),
        ({"input_size": (16,)}, r"input_size is \(16,\), expected \(channels, height, width\)"),
        ({"batch_sizes": (1, 0)}, r"batch_sizes is \(1, 0\), expected numbers of at least 1"),
        ({"batch_sizes": ()}, r"batch_sizes is \(\), expected"),
        ({"modes": ("eager", "fast")}, "modes has 'fast', expected some of eager, compiled"),
        ({"modes": ()}, "modes has empty, expected some of eager, compiled"),
        ({"rounds": 0}, "rounds is 0, expected at least 1"),
        ({"seconds": -1.0}, "seconds is -1.0, expected 0 or more"),
        ({"confidence": 1.0}, "confidence is 1.0, expected between 0 and 1"),
        ({"device": "cuda:99"}, "device 'cuda:99' cannot be used"),
    ],
)
def test_wrong_use(tiny_net: nn.Module, options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"networks": {"net": tiny_net}, "input_size": SIZE, **options}
    with pytest.raises(OptionError, match=message):
        latency(**given)


def test_networks_that_cannot_be_measured(tiny_net: nn.Module) -> None:
    with pytest.raises(EngineError, match=r"network 'net' does not run on a batch of \(1, 4, 16, 16\)"):
        latency({"net": tiny_net}, (4, 16, 16), **SHORT)
    with pytest.raises(CompiledModelError, match="was compiled"):
        latency({"net": torch.compile(tiny_net)}, SIZE)


@pytest.mark.gpu
def test_on_a_gpu(tiny_net: nn.Module) -> None:
    table = latency({"a": tiny_net, "b": tiny_net}, SIZE, **SHORT, device="cuda")
    assert len(table) == 8
    assert next(tiny_net.parameters()).device.type == "cpu"


def test_networks_of_other_dtypes_get_images_in_their_own(tiny_net: nn.Module) -> None:
    half = copy.deepcopy(tiny_net).bfloat16()
    table = latency({"original": tiny_net, "half": half}, SIZE, **SHORT, modes=("eager",))
    assert list(table["network"].unique()) == ["original", "half"]
