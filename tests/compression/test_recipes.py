"""Recipes on a small network and its run of 15 images; their commands are tested in `tests/cli/test_compressing.py`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import seviz
from seviz.capture.datasets import open_dataset
from seviz.compression.result import Compression
from seviz.errors import FoldingError, OptionError
from seviz.experiments.reopening import reopen_data, reopen_network
from seviz.network.networks import Network
from seviz.progress import Progress
from seviz.run.parts import split_rows
from seviz.run.store import Run
from tests.cli.kinds_of_run import kinds as kinds

QUICK = {"workers": 0, "device": "cpu"}
SMALL = {"latency": False, **QUICK}


@pytest.fixture(scope="module")
def run(kinds: Path) -> Run:
    return seviz.open_run(kinds / "runs" / "single label")


@pytest.fixture(scope="module")
def network(run: Run) -> Network:
    return reopen_network(run, trust_code=True)


def judged(run: Run, network: Network) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """Rows that constants come from, and the images that judge with their classes, parted as is documented."""
    rows = split_rows(run, {"score": 0.4, "choose": 0.2, "final": 0.4}, seed=0)
    data = reopen_data(run).take(rows["final"])
    images = torch.stack([network.preprocess(data.read(k).image) for k in range(len(data))])
    return rows["score"], images, torch.as_tensor(data.labels)


def test_a_folded_network_has_the_means_of_the_images_for_scores(run: Run, network: Network) -> None:
    seen: list[tuple[str, int]] = []

    @contextmanager
    def progress(step: str) -> Iterator[Progress]:
        yield lambda done, total: seen.append((step, done))

    made = seviz.fold_run(network, run, blocks=["SE_3_1"], progress=progress, **SMALL)
    rows, images, labels = judged(run, network)
    constant = torch.as_tensor(run.gates("SE_3_1")[rows].mean(0))
    with torch.no_grad(), seviz.force_gates(network.model, network.blocks, {"SE_3_1": constant}):
        expected = network.model(images)
    assert made.network is not None
    torch.testing.assert_close(made.network.model(images), expected, rtol=1e-4, atol=1e-5)
    assert list(made.network.blocks) == ["SE_2_1"]
    table = made.measurements.set_index("network")
    assert table.loc["folded", "accuracy"] == (expected.argmax(1) == labels).double().mean().item()
    assert table["images"].tolist() == [len(labels)] * 2
    assert table["blocks"].tolist() == [2, 1]
    assert made.settings["blocks"] == ["SE_3_1"]
    assert (made.kind, made.settings["order"], made.settings["classes"]) == ("fold", "as given", "all")
    assert made.title.endswith("with 1 of 2 SE blocks folded (gates held at their means)")
    assert seen == [("measure", len(labels))]


def test_blocks_are_chosen_by_a_budget(run: Run, network: Network, tmp_path: Path) -> None:
    made = seviz.fold_run(network, run, count=1, order="variance", recalibrate=True, classes=["bee", "cat"], **SMALL)
    variance = {b: float(np.nanmean(np.var(run.gates(b)[judged(run, network)[0]], 0))) for b in run.blocks}
    assert made.settings["blocks"] == [min(variance, key=lambda b: variance[b])]
    assert made.measurements["network"].tolist() == ["original", "folded", "folded, recalibrated"]
    assert made.tables["front"][1]["folded"].tolist() == [0, 1, 2]
    assert set(made.tables["classes"][1]["class"]) == {"bee", "cat"}
    out = made.write(tmp_path / "out", program=False)
    again = Compression.open(out)
    assert again.settings["classes"] == ("bee", "cat")
    assert again.measurements["accuracy"].tolist() == made.measurements["accuracy"].tolist()
    assert "| classes | bee, cat |" in (out / "README.md").read_text()
    with pytest.raises(FoldingError, match=r"can be folded for -2 of accuracy: the least costs"):
        seviz.fold_run(network, run, max_drop=-2, order="variance", **SMALL)


def test_blocks_are_taken_out(run: Run, network: Network) -> None:
    made = seviz.fold_run(network, run, blocks=["SE_2_1"], remove=True, **SMALL)
    _, images, _ = judged(run, network)
    with torch.no_grad(), seviz.force_gates(network.model, network.blocks, {"SE_2_1": 1.0}):
        expected = network.model(images)
    assert made.network is not None
    torch.testing.assert_close(made.network.model(images), expected, rtol=1e-4, atol=1e-5)
    assert "taken out (gates of 1)" in made.title


def test_channels_are_pruned(run: Run, network: Network, kinds: Path) -> None:
    told: list[str] = []
    other = open_dataset(kinds / "else")
    options = {"epochs": 1, "train": kinds / "more", "data": other, "tell": told.append, **SMALL}
    made = seviz.prune_run(network, run, parameters=0.8, criterion="l2", classes=["ant"], **options)
    assert made.network is not None
    whole, left = (sum(p.numel() for p in each.model.parameters()) for each in (network, made.network))
    assert left <= 0.8 * whole
    table = made.measurements.set_index("network")
    assert table["parameters"].tolist() == [whole, *[left] * 3]
    assert list(table.index) == ["original", "pruned", "pruned, recalibrated", "pruned, fine-tuned"]
    assert (made.settings["kind"], made.settings["fine-tuned with"]) == ("gated", str(kinds / "more"))
    assert made.split["judged on"] == str(kinds / "else")
    assert made.title.endswith("pruned: 0.8 of the parameters kept")
    assert (made.settings["parameters"], made.settings["criterion"]) == (0.8, "l2")
    assert told[-1].startswith("fine-tuning, epoch 1 of 1: loss ")


def test_curves_are_those_of_channels_masked_by_hand(run: Run, network: Network) -> None:
    made = seviz.curve_run(network, run, criteria=["l1", "random"], fractions=[0.5], scope="block", seeds=2, **QUICK)
    _, images, labels = judged(run, network)
    table = made.tables["curves"][1]
    assert table[["criterion", "seed", "fraction"]].to_numpy().tolist() == [
        *(["l1", 0, 0], ["l1", 0, 0.5], ["random", 0, 0], ["random", 0, 0.5], ["random", 1, 0], ["random", 1, 0.5])
    ]
    scores = seviz.importance(network, None, "random:1")
    lowest = {b: g.nsmallest(len(g) // 2, "score")["channel"].tolist() for b, g in scores.groupby("block")}
    shut = {b: dict.fromkeys(channels, 0.0) for b, channels in lowest.items()}
    with torch.no_grad(), seviz.force_gates(network.model, network.blocks, shut):
        loss = torch.nn.functional.cross_entropy(network.model(images), labels)
    assert table["loss"].iloc[-1] == pytest.approx(loss.item(), rel=1e-5)
    assert (made.network, made.kind) == (None, "curve")
    assert made.settings["criteria"] == ["l1", "random"]
    assert set(made.figures) == {"mean", "by_class"}


def test_options_are_checked_before_the_work(run: Run, network: Network, kinds: Path) -> None:
    for make, options, message in (
        (seviz.fold_run, {"blocks": [], "count": 1}, "of blocks, count and max_drop more than one was given"),
        (seviz.fold_run, {"count": 0, "order": "variance"}, "count is 0, expected at least 1"),
        (seviz.prune_run, {}, "the budget is none, expected exactly one of flops, parameters and keep_channels"),
        (seviz.prune_run, {"flops": 0.5, "epochs": 1}, "epochs and train go together: so many epochs on those images"),
        (seviz.prune_run, {"flops": 0.5, "kind": "twigs"}, "kind is 'twigs', expected auto or one of gated, inner, "),
        (seviz.curve_run, {"seeds": 0}, "seeds is 0, expected at least 1"),
    ):
        with pytest.raises(OptionError, match=message):
            make(network, run, **options, **QUICK)
    with pytest.raises(OptionError, match="are both among those that the scores are made from and"):
        seviz.prune_run(network, run, flops=0.5, epochs=1, train=kinds / "data", **QUICK)
