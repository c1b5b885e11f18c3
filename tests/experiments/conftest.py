from collections.abc import Callable
from pathlib import Path

import pytest

import seviz
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.experiments.made_network import read_from_gates


@pytest.fixture
def network() -> Network:
    return read_from_gates()


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder({"blue": 4, "green": 3, "red": 5})


@pytest.fixture
def run(network: Network, folder: Path, tmp_path: Path) -> Run:
    """Of 12 images that the network tells right."""
    return seviz.collect(network, folder, tmp_path / "run", workers=0, compile="off")
