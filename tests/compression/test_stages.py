from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

import seviz
from seviz.compression.importance import importance
from seviz.compression.scored import scores_by_block
from seviz.compression.stages import stage_importance
from seviz.errors import OptionError
from seviz.network.networks import Network


class Unit(nn.Module):
    """A residual unit, as SE-ResNet's: what the SE block gives is added to the stream."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.convolution, self.block = nn.Conv2d(channels, channels, 3, padding=1), block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.block(self.convolution(x)))


def test_stage_scores_are_means_over_the_blocks_that_add_to_the_stream(tiny_network: Network) -> None:
    make = type(tiny_network.model.stages[0][2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 1),
            *(Unit(make(8, 4), 8) for _ in range(3)),
            nn.Conv2d(8, 6, 3, 2, 1),
            Unit(make(6, 4), 6),
            nn.Conv2d(6, 12, 3, 2, 1),
            make(12, 4),  # added to nothing
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 3),
        )
    network = replace(tiny_network, model=model.eval())
    assert list(network.blocks) == ["SE_2_1", "SE_2_2", "SE_2_3", "SE_3_1", "SE_4_1"]
    scores = importance(network, None, "random:5")
    table = stage_importance(network, scores)
    assert list(table.columns) == ["stage", "channel", "score", "blocks", "agreement"]
    assert table[["stage", "channel"]].to_numpy().tolist() == [*([2, k] for k in range(8)), *([3, k] for k in range(6))]
    rows = [scores.loc[scores["block"] == f"SE_2_{k}", "score"].to_numpy() for k in (1, 2, 3)]
    second = table[table["stage"] == 2]
    np.testing.assert_allclose(second["score"], np.mean([row / row.mean() for row in rows], 0))
    pairs = [stats.spearmanr(rows[a], rows[b]).statistic for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(second["agreement"], np.mean(pairs))
    assert set(second["blocks"]) == {3}
    third = table[table["stage"] == 3]
    assert third["agreement"].isna().all()
    assert third["score"].mean() == pytest.approx(1)
    constant = stage_importance(network, scores.assign(score=0.0))
    assert (constant["score"] == 0).all()
    assert constant["agreement"].isna().all()
    with pytest.raises(OptionError, match="scores lacks channels of SE_2_1, expected all 8, of every block"):
        stage_importance(network, scores.iloc[1:])


def test_gates_inside_a_block_have_no_stream(tiny_network: Network) -> None:
    table = stage_importance(tiny_network, importance(tiny_network, None, "random"))
    assert table.empty
    assert list(table.columns) == ["stage", "channel", "score", "blocks", "agreement"]


def test_the_bundled_network_has_a_stream_in_each_stage() -> None:
    network = seviz.load("seviz/seresnet50-cifar10")
    scores = importance(network, None, "bn_gamma")
    state = network.model.state_dict()
    for block, score in scores_by_block(scores).items():
        layer = scores.loc[scores["block"] == block, "layer"].iloc[0]
        assert layer == f"{network.blocks[block].path.rpartition('.')[0]}.conv3"
        np.testing.assert_allclose(score, state[f"{layer.replace('conv', 'bn')}.weight"].abs())
    table = stage_importance(network, scores)
    assert table.groupby("stage")["blocks"].first().to_dict() == {2: 3, 3: 4, 4: 6, 5: 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="score"), "scores has no column 'score'; expected a table from importance"),
        (lambda table: table.head(0), "scores has no rows, expected one for each channel"),
        (
            lambda table: pd.concat([table, table.iloc[[2]]]),
            "scores has channel 2 of SE_2_1 twice; expected a table of",
        ),
        (lambda table: table.assign(score=np.nan), "scores has nan for channel 0 of SE_2_1, expected finite numbers"),
    ],
)
def test_a_table_that_is_none_of_scores(tiny_network: Network, change: Callable, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        scores_by_block(change(importance(tiny_network, None, "random")))
