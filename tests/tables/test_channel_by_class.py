"""One channel, against values computed a second way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seviz.errors import MissingSignalError, OptionError
from seviz.run.store import Run
from seviz.tables.channel_by_class import channel_by_class
from seviz.tables.channel_correlations import channel_correlations, correlations
from tests.made_runs import make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [20, 5, 15])
    gates = 1 / (1 + np.exp(-random.normal(size=(3, 4))[labels] - random.normal(size=(40, 4))))
    classes = ("a", "b", "c", "none")
    return make_run(tmp_path_factory.mktemp("channel") / "run", {"SE_2_1": gates}, labels, classes=classes, failed=[7])


def test_a_channel_by_class(run: Run) -> None:
    table = channel_by_class(run, "SE_2_1", 2)
    gates, labels = run.gates("SE_2_1")[:, 2].astype(float), run.labels
    there = np.arange(40) != 7
    expected = sorted((-gates[there & (labels == k)].mean(), k) for k in range(3))
    assert table["class_name"].tolist() == ["abc"[k] for _, k in expected]
    assert list(table.columns) == ["class", "class_name", "images", "mean", "std", "min", "max", "difference"]
    for row, (_, k) in zip(table.itertuples(), expected, strict=True):
        own, rest = gates[there & (labels == k)], gates[there & (labels != k)]
        assert row.images == len(own)
        assert (row.mean, row.std) == pytest.approx((own.mean(), own.std(ddof=1)), abs=1e-5)
        d = (own.mean() - rest.mean()) / np.sqrt((own.var(ddof=1) + rest.var(ddof=1)) / 2)
        assert row.difference == pytest.approx(d, abs=1e-3)


def test_correlations_of_a_channel(run: Run) -> None:
    table = channel_correlations(run, "SE_2_1", 1)
    there = np.delete(run.gates("SE_2_1").astype(float), 7, 0)
    r = np.corrcoef(there.T)[1]
    assert table["channel"].tolist() == [k for k in np.argsort(-np.abs(r)) if k != 1]
    np.testing.assert_allclose(table["correlation"], r[table["channel"]], atol=1e-4)
    some = channel_correlations(run, "SE_2_1", 1, images=10)
    np.testing.assert_allclose(some["correlation"], np.corrcoef(there[::4].T)[1][some["channel"]], atol=1e-4)


@pytest.mark.parametrize("function", [channel_by_class, channel_correlations])
def test_what_is_not_there_is_told(function: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    for channel in (-1, 4):
        with pytest.raises(OptionError, match=f"no channel {channel} in SE_2_1; it has 4, from 0 to 3"):
            function(run, "SE_2_1", channel)
    with pytest.raises(MissingSignalError, match="SE_9_9"):
        function(run, "SE_9_9", 0)
    if function is channel_correlations:
        with pytest.raises(OptionError, match="images is 1, expected at least 2"):
            function(run, "SE_2_1", 0, images=1)
        gates, labels = {"SE_2_1": np.full((4, 3), 0.5)}, np.arange(4) % 2
        unkept = make_run(tmp_path / "run", gates, labels, kept=np.zeros(4, bool))
        with pytest.raises(MissingSignalError, match="keeps the gates of no image"):
            function(unkept, "SE_2_1", 0)


def test_correlations_are_numpys() -> None:
    random = np.random.default_rng(4)
    gates = random.random((200, 6)).astype(np.float32)
    gates[:, 3] = 1 - gates[:, 1] + 0.01 * gates[:, 0]
    gates[:, 4] = 0.25
    table = correlations(gates, 1)
    r = np.corrcoef(gates[:, [0, 1, 2, 3, 5]].astype(float).T)[1]
    expected = dict(zip([0, 2, 3, 5], np.delete(r, 1), strict=True))
    assert table["channel"].iloc[0] == 3
    assert 4 not in set(table["channel"])
    assert table.set_index("channel")["correlation"].to_dict() == pytest.approx(expected, abs=1e-4)
    assert table["correlation"].abs().is_monotonic_decreasing
    assert correlations(gates, 4).empty
    assert correlations(gates[:0], 1).empty
