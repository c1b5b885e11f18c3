from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seviz
from seviz.compression.importance import importance
from seviz.compression.masking import check_disjoint, lowest, mask
from seviz.errors import OptionError, RenamedError
from seviz.network.networks import Network
from tests.compression.masked_by_hand import by_hand


def table(scores: Mapping[str, list[float]]) -> pd.DataFrame:
    frames = [pd.DataFrame({"block": b, "layer": b, "channel": range(len(s)), "score": s}) for b, s in scores.items()]
    return pd.concat(frames, ignore_index=True)


def chosen(scores: pd.DataFrame, fraction: float, scope: str = "global") -> dict[str, list[int]]:
    return {block: list(channels) for block, channels in lowest(scores, fraction, scope=scope).items()}


# Over the mean of its block: .4 .8 1.2 1.6, then 0 .5 1 2.5, then .7 1.3 .9 1.1
SCORES = table({"SE_2_1": [1, 2, 3, 4], "SE_2_2": [0, 50, 100, 250], "SE_3_1": [0.7, 1.3, 0.9, 1.1]})


@pytest.mark.parametrize(
    ("scope", "fraction", "expected"),
    [
        ("global", 0, {}),
        ("global", 0.04, {}),  # of 12 half a channel is one: .48 is none
        ("global", 0.05, {"SE_2_2": [0]}),
        ("global", 0.25, {"SE_2_1": [0], "SE_2_2": [0, 1]}),
        ("global", 0.5, {"SE_2_1": [0, 1], "SE_2_2": [0, 1], "SE_3_1": [0, 2]}),
        ("global", 0.99, {"SE_2_1": [0, 1, 2], "SE_2_2": [0, 1, 2], "SE_3_1": [0, 2, 3]}),
        ("global", 1, {block: [0, 1, 2, 3] for block in ("SE_2_1", "SE_2_2", "SE_3_1")}),
        ("stage", 0.5, {"SE_2_1": [0, 1], "SE_2_2": [0, 1], "SE_3_1": [0, 2]}),
        ("stage", 0.25, {"SE_2_1": [0], "SE_2_2": [0], "SE_3_1": [0]}),
        ("block", 0.25, {"SE_2_1": [0], "SE_2_2": [0], "SE_3_1": [0]}),
        ("block", 0.75, {"SE_2_1": [0, 1, 2], "SE_2_2": [0, 1, 2], "SE_3_1": [0, 2, 3]}),
        ("block", 0.9, {"SE_2_1": [0, 1, 2], "SE_2_2": [0, 1, 2], "SE_3_1": [0, 2, 3]}),
    ],
)
def test_lowest(scope: str, fraction: float, expected: dict[str, list[int]]) -> None:
    assert chosen(SCORES, fraction, scope) == expected


def test_the_last_channel_of_a_block_stays_and_others_go_for_it() -> None:
    scores = table({"SE_2_1": [1.0] * 4, "SE_2_2": [0.01, 0.02, 9, 9]})
    assert chosen(scores, 0.5) == {"SE_2_1": [0, 1], "SE_2_2": [0, 1]}
    weak = table({"SE_2_1": [1, 1, 1, 1], "SE_2_2": [-1, 0, 0, 1]})  # over the mean size, 1/2: -2 0 0 2
    assert chosen(weak, 0.5) == {"SE_2_1": [0], "SE_2_2": [0, 1, 2]}
    zeros = table({"SE_2_1": [0, 0, 0], "SE_2_2": [1, 1, 1]})
    assert chosen(zeros, 0.5) == {"SE_2_1": [0, 1], "SE_2_2": [0]}


def test_ties_are_broken_by_the_number_of_the_channel() -> None:
    same = table({"SE_2_1": [1.0] * 4, "SE_3_1": [5.0] * 4})
    assert chosen(same, 0.25) == {"SE_2_1": [0], "SE_3_1": [0]}
    assert chosen(same, 0.375) == {"SE_2_1": [0, 1], "SE_3_1": [0]}
    assert chosen(same.sample(frac=1, random_state=1), 0.25) == {"SE_2_1": [0], "SE_3_1": [0]}
    assert chosen(same.sample(frac=1, random_state=1), 0.25, "block") == {"SE_2_1": [0], "SE_3_1": [0]}


def test_a_greater_share_holds_the_smaller() -> None:
    random = np.random.default_rng(0)
    scores = table({f"SE_{k}_1": random.exponential(size=4 * k).tolist() for k in range(2, 6)})
    for scope in ("global", "stage", "block"):
        before: set[tuple[str, int]] = set()
        for fraction in np.linspace(0, 1, 12):
            now = {(block, k) for block, own in chosen(scores, float(fraction), scope).items() for k in own}
            assert before <= now
            before = now
        assert len(before) == len(scores)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t, {"fraction": 1.1}, "fraction is 1.1, expected between 0 and 1"),
        (lambda t: t, {"fraction": float("nan")}, "fraction is nan, expected between 0 and 1"),
        (lambda t: t, {"fraction": 0.5, "scope": "layer"}, "scope is 'layer', expected one of global, stage, block"),
        (lambda t: t.drop(columns="channel"), {"fraction": 0.5}, "scores has no column 'channel'"),
        (lambda t: t.assign(score=np.inf), {"fraction": 0.5}, "scores has inf for channel 0 of SE_2_1"),
        (lambda t: t.assign(block="se"), {"fraction": 0.5}, "scores has channel 0 of se twice"),
        (
            lambda t: t.head(4).assign(block="se"),
            {"fraction": 0.5, "scope": "stage"},
            "block 'se' has no stage in its name, expected SE_stage_block; take another scope",
        ),
    ],
)
def test_lowest_checks(change: Callable, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        lowest(change(SCORES), **options)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scope", ["global", "stage", "block"])
@pytest.mark.parametrize("fraction", [0, 0.3, 0.8, 1])
def test_masked_channels_are_zero_and_nothing_is_changed(
    tiny_network: Network, images: torch.Tensor, scope: str, fraction: float
) -> None:
    scores = importance(tiny_network, None, "random:2")
    before = {name: tensor.clone() for name, tensor in tiny_network.model.state_dict().items()}
    with torch.no_grad():
        plain = tiny_network.model(images)
        with (
            mask(tiny_network, scores, keep=1 - fraction, scope=scope),
            seviz.capture_gates(tiny_network.model, tiny_network.blocks) as gates,
        ):
            masked = tiny_network.model(images)
        expected = lowest(scores, fraction, scope=scope)
        for block, gate in gates.items():
            shut = (gate == 0).all(0).numpy()
            np.testing.assert_array_equal(np.flatnonzero(shut), expected.get(block, np.zeros(0, int)))
        torch.testing.assert_close(masked, by_hand(tiny_network, images, {k: list(v) for k, v in expected.items()}))
        assert torch.equal(tiny_network.model(images), plain)
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_network.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_network.model.modules())


def test_an_exception_leaves_no_mask(tiny_network: Network, images: torch.Tensor) -> None:
    scores = importance(tiny_network, None, "random")
    plain = tiny_network.model(images)
    with pytest.raises(RuntimeError, match="by hand"), mask(tiny_network, scores, keep=0.5):
        raise RuntimeError("by hand")
    assert torch.equal(tiny_network.model(images), plain)


def test_keep_is_the_share_that_stays(tiny_network: Network, images: torch.Tensor) -> None:
    scores = importance(tiny_network, None, "random:2")
    for keep, shut in ((1.0, 0), (0.8, 7), (0.75, 9), (0.0, 36)):  # of 36 channels
        with (
            mask(tiny_network, scores, keep=keep),
            seviz.capture_gates(tiny_network.model, tiny_network.blocks) as gates,
        ):
            tiny_network.model(images)
        assert sum(int((gate == 0).all(0).sum()) for gate in gates.values()) == shut
    with pytest.raises(OptionError, match=r"keep is 1\.2, expected the share of the channels that stay, between"):
        mask(tiny_network, scores, keep=1.2).__enter__()


def test_the_former_forms_say_the_new_one(tiny_network: Network) -> None:
    scores = importance(tiny_network, None, "random:2")
    wrong: Any = mask
    message = r"mask takes 2 positional arguments and was given 3; give keep=, .* mask\(network, scores, keep=0\.8\)"
    with pytest.raises(RenamedError, match=message):
        wrong(tiny_network, scores, 0.2)
    with pytest.raises(TypeError, match="mask takes no fraction any more; give keep=, the share of the channels that"):
        wrong(tiny_network, scores, fraction=0.2)


def test_scores_of_another_network_are_refused(tiny_network: Network) -> None:
    with pytest.raises(OptionError, match="scores has the block 'SE_9_1', which tests/tiny has not; it has SE_2_1, "):
        mask(tiny_network, table({"SE_9_1": [0.0, 1.0]}), keep=0.5).__enter__()
    with pytest.raises(OptionError, match="scores has channel 8 of SE_2_1, expected numbers from 0 to 7"):
        mask(tiny_network, table({"SE_2_1": [3.0] * 8 + [0.0, 3.0]}), keep=0.9).__enter__()


def test_scores_and_final_images_share_none() -> None:
    check_disjoint(["a/1.png", "a/2.png"], ["a/3.png"])
    with pytest.raises(OptionError, match=r"2 images, such as 'a/1.png', are both among those that the scores"):
        check_disjoint(["a/1.png", "a/2.png", "a/3.png"], ["a/2.png", "a/1.png"])
