"""How what the public functions give shows itself, of a network of many blocks and a run of many classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import seviz
from seviz.network.networks import Network
from seviz.progress import step_of
from seviz.run.store import Run
from seviz.showing import brief, html_table
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def big() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = timm.create_model("efficientnet_b2", num_classes=1000).eval()
    return seviz.wrap(module, torch.zeros(1, 3, 64, 64), class_names=[f"class {k}" for k in range(1000)], trained=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    labels = np.arange(60) % 20
    gates = {f"SE_2_{k}": np.random.default_rng(k).random((60, 4), np.float32) for k in range(1, 31)}
    return make_run(tmp_path / "run", gates, labels)


def shown(network: Network, run: Run) -> dict[str, Any]:
    with seviz.capture_gates(network.model, network.blocks) as gates, torch.no_grad():
        network.model(torch.zeros(2, 3, 64, 64))
    data = [(torch.zeros(2, 3, 64, 64), torch.tensor([0, 1]))]
    return {
        "network": network,
        "block": next(iter(network.blocks.values())),
        "gates": gates,
        "run": run,
        "survey": network.survey,
        "check": seviz.check(network),
        "evaluation": seviz.evaluate(network, data=data),
        "attributions": seviz.attribute(network, data=data),
        "complexity": seviz.complexity(network),
        "results": seviz.results(run),
    }


def test_nothing_takes_more_than_2000_characters_to_show(big: Network, run: Run) -> None:
    for name, value in shown(big, run).items():
        assert 10 < len(repr(value)) < 2000, name
        assert "\n" not in repr(value), name


def test_notebooks_get_a_row_for_each_block(big: Network, run: Run) -> None:
    made = shown(big, run)
    for name, blocks in (("network", big.blocks), ("gates", big.blocks), ("survey", big.blocks), ("run", run)):
        page = made[name]._repr_html_()
        assert page.count("<tr>") == len(blocks) + 1
        assert all(f"<td>{block}</td>" in page for block in blocks)
    assert big.blocks["SE_2_1"].path in big.blocks["SE_2_1"]._repr_html_()


def test_gates_that_were_not_seen_are_said_to_be_so(big: Network) -> None:
    with seviz.capture_gates(big.model, big.blocks) as gates:
        pass
    assert gates._repr_html_().count("not seen") == len(big.blocks)
    assert repr(gates) == f"<Gates: excitation of {len(big.blocks)} SE blocks, 0 seen>"


def test_a_run_is_a_collection_of_its_blocks(run: Run) -> None:
    assert len(run) == 30
    assert list(run) == list(run.blocks)
    assert "SE_2_30" in run
    assert "SE_2_31" not in run


def test_text_is_escaped() -> None:
    page = html_table("<b>", ("<i>",), [("<script>",)])
    assert "<b>" not in page
    assert "<script>" not in page


def test_large_fields_are_cut() -> None:
    @dataclass
    class Large:
        values: Any
        names: Any
        text: Any

    large = Large(np.zeros((1000, 3)), dict.fromkeys(map(str, range(1000))), "x" * 1000)
    assert brief(large).startswith("Large(values=<float64 (1000, 3)>, names=<1000: 0, 1, 2, ")
    assert len(brief(large)) < 200


def test_progress_is_a_bar_nothing_or_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int | None]] = []
    for progress in (True, False, lambda done, total: told.append((done, total))):
        with step_of(progress, "photos") as step:
            step(3, 4)
        error = capsys.readouterr().err
        assert ("photos" in error) == (progress is True)
    assert told == [(3, 4)]
