import pytest
import torch

import seviz
from seviz.network.reference import ARCHITECTURES, build_reference
from seviz.run.store import Run


def test_blocks_are_those_of_se_resnet_50(bundled_run: Run) -> None:
    expected = [f"SE_{s}_{b}" for s, n in ((2, 3), (3, 4), (4, 6), (5, 3)) for b in range(1, n + 1)]
    assert list(bundled_run.blocks) == expected


def test_it_tells_the_classes_apart(bundled_run: Run) -> None:
    assert bundled_run.accuracy.top1 >= 0.85  # of 100 images; 88 % of all 1,000 is what the demo's test asks for


def test_its_gates_are_alive(bundled_run: Run) -> None:
    for name in bundled_run.blocks:
        assert bundled_run.gates(name).std(0).mean() >= 0.03, name


def test_the_twin_differs_by_its_se_blocks_only() -> None:
    with_se, without = (build_reference(name) for name in ARCHITECTURES)
    shapes = {name: value.shape for name, value in with_se.state_dict().items() if ".se." not in name}
    assert {name: value.shape for name, value in without.state_dict().items()} == shapes


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_weights_ship_and_fit(name: str) -> None:
    network = seviz.load(f"seviz/{name}")
    assert network.trained
    with torch.no_grad():
        logits = network.model(torch.zeros(2, *network.input_size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
