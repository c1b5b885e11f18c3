from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seviz.errors import OptionError
from seviz.experiments.belonging import check_blocks
from seviz.network.networks import Network
from seviz.run.store import Run
from tests.made_runs import make_run

CHANNELS = {"SE_2_1": 8, "SE_3_1": 12, "SE_4_1": 16}
PATHS = ("stages.0.2", "stages.1.2", "stages.2.2")
"""Of the tiny network's blocks."""


def run_of(path: Path, channels: dict[str, int], paths: tuple[str, ...] = PATHS) -> Run:
    """A run with blocks at these paths."""
    gates = {name: np.full((6, count), 0.5) for name, count in channels.items()}
    run = make_run(path, gates, np.arange(6) % 3)
    blocks = tuple(replace(block, path=at) for block, at in zip(run.manifest.blocks, paths, strict=False))
    run.manifest = replace(run.manifest, blocks=blocks)
    return run


def test_blocks_belong_by_place_or_else_by_name(tiny_network: Network, tmp_path: Path) -> None:
    assert {name: block.path for name, block in tiny_network.blocks.items()} == dict(zip(CHANNELS, PATHS, strict=True))
    pairing = check_blocks(tiny_network, run_of(tmp_path / "same", CHANNELS))
    assert [(pair.one, pair.other, pair.by) for pair in pairing.pairs] == [(name, name, "path") for name in CHANNELS]
    elsewhere = run_of(tmp_path / "elsewhere", CHANNELS, ("a", "b", "c"))
    assert [pair.by for pair in check_blocks(tiny_network, elsewhere).pairs] == ["name"] * 3


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (
            {"SE_2_1": 8, "SE_3_1": 12},
            r"than tests/tiny: SE_4_1 has no channels there, 16 here\. Capture a run",
        ),
        ({**CHANNELS, "SE_5_1": 4}, "SE_5_1 has 4 channels there, none here"),
        ({**CHANNELS, "SE_3_1": 9}, "SE_3_1 has 9 channels there, 12 here"),
        (
            {"SE_2_1": 8, "SE_2_2": 12, "SE_3_1": 16},
            r"the block at 'stages\.1\.2' SE_2_2, and tests/tiny calls it",
        ),
    ],
)
def test_a_run_of_other_blocks(channels: dict[str, int], message: str, tiny_network: Network, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        check_blocks(tiny_network, run_of(tmp_path / "run", channels, (*PATHS, "more")))
