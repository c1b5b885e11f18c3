"""What the channels of a residual stream are worth, by the scores of all blocks of a stage that add to it.

A low gate justifies dropping what one branch adds to a channel, not the channel of the stream itself.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from seviz.compression.importance import example_of
from seviz.compression.scored import of_kind, over_mean, scores_by_block
from seviz.errors import OptionError
from seviz.network.blocks import SEBlock
from seviz.network.flow import SUMS, Flow, flow_of
from seviz.network.networks import Network


def stage_importance(network: Network, scores: pd.DataFrame) -> pd.DataFrame:
    """Score the channels of the residual stream of each stage, by all blocks that add to them.

    A low gate of one block licenses to drop what that block adds to a channel, not the channel: others add to it too,
    and so does the projection at the beginning of the stage, which no gate scales. Where blocks do not agree, the mean
    says little.

    Parameters
    ----------
    network
        Network that the scores are of.
    scores
        From `importance`, of all blocks.

    Returns
    -------
    pandas.DataFrame
        A row for each channel of each stage whose blocks all add s · u to the stream and are equally wide; other
        stages, as of MobileNetV3, where s · u is inside a block, are left out. Columns: stage; channel; score, the mean
        over the blocks of the stage of their scores, each over the mean absolute score of its block; blocks, how many;
        agreement, the mean Spearman correlation between the scores of two blocks, in [-1, 1]; NaN for one block, or if
        all are constant.

    Raises
    ------
    OptionError
        If the table is none from `importance`, or not of all channels of the network.
    """
    by_block = scores_by_block(scores)
    for name, block in network.require_blocks().items():
        if name not in by_block or list(by_block[name].index) != list(range(block.channels)):
            raise OptionError(f"scores lacks channels of {name}, expected all {block.channels}, of every block")
    flow = flow_of(network.model, example_of(network))
    stages: dict[int, list[SEBlock]] = {}
    for block in network.blocks.values():
        stages.setdefault(block.stage, []).append(block)
    frames = [pd.DataFrame({"stage": [0], "channel": 0, "score": 0.0, "blocks": 0, "agreement": 0.0}).iloc[:0]]
    for stage, blocks in stages.items():
        if len({block.channels for block in blocks}) > 1 or not all(_added(flow, block) for block in blocks):
            continue
        matrix = np.array([over_mean(by_block[block.name]) for block in blocks])  # (block, channel)
        frames.append(
            pd.DataFrame(
                {
                    "stage": stage,
                    "channel": np.arange(matrix.shape[1]),
                    "score": matrix.mean(0),
                    "blocks": len(blocks),
                    "agreement": _agreement(matrix),
                }
            )
        )
    return of_kind(pd.concat(frames[1:] or frames, ignore_index=True), "stream")


def _added(flow: Flow, block: SEBlock) -> bool:
    """Whether s · u of a block is, channel by channel, added to another feature map."""
    product = flow.product(block)
    values = [(value, flow.channels_of(block, value)) for value in product.outputs] if product is not None else []
    for value, axis in values:
        for call in flow.users.get(value, []):
            if call.name in SUMS and len(call.inputs) == 2:
                one, other = call.inputs
                if flow.shapes[one] == flow.shapes[other]:
                    return True
            if len(call.inputs) == 1 and flow.channelwise(call) and (onward := flow.onward(call, axis)) is not None:
                values.extend((output, onward) for output in call.outputs)
    return False


def _agreement(matrix: NDArray[np.float64]) -> float:
    """Mean Spearman correlation between two rows; NaN where there are no two that are not constant."""
    ranks = [stats.rankdata(row) for row in matrix if np.ptp(row) > 0]
    found = [np.corrcoef(one, other)[0, 1] for one, other in combinations(ranks, 2)]
    return float(np.mean(found)) if found else float("nan")
