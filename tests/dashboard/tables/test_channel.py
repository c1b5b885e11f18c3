"""Tables of one channel, against values computed a second way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.tables.channel import (
    TICKS,
    by_class,
    ends,
    extremes,
    outcome,
    spread_of_images,
    spread_of_moments,
)
from seviz.run.store import Run
from seviz.stats.selectivity import sensitivity
from tests.made_runs import make_run


def table_of(run: Run, block: str, channel: int) -> pd.DataFrame:
    names = dict(zip(run.classes.ids, run.classes.names, strict=True))
    return by_class(run[block], sensitivity(run.moments(block), run.total(block)), channel, names)


def test_a_channel_by_class_is_what_its_images_say(planted_run: Run) -> None:
    gates, labels = planted_run.gates("SE_4_1")[:, 5].astype(float), planted_run.labels
    table = table_of(planted_run, "SE_4_1", 5)
    means = np.array([gates[labels == k].mean() for k in range(4)])
    assert table["label"].tolist() == np.argsort(-means).tolist()
    assert table["class"].tolist() == [planted_run.classes.ids[k] for k in table["label"]]
    for row in table.itertuples():
        own, rest = gates[labels == row.label], gates[labels != row.label]
        assert row.images == len(own) == 50
        expected = (own.mean(), own.std(ddof=1), own.min(), own.max())
        assert (row.mean, row.std, row.min, row.max) == pytest.approx(expected, abs=1e-5)
        d = (own.mean() - rest.mean()) / np.sqrt((own.var(ddof=1) + rest.var(ddof=1)) / 2)
        assert row.difference == pytest.approx(d, abs=1e-3)


def test_classes_without_images_are_left_out(tmp_path: Path) -> None:
    labels = np.repeat([0, 2], 5)
    run = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).random((10, 3))}, labels, classes="abcd")
    assert sorted(table_of(run, "SE_2_1", 0)["class"]) == ["a", "c"]


def test_ends_are_the_first_and_last_and_those_asked_for() -> None:
    table = pd.DataFrame({"class": list("abcdefghij")})
    assert ends(table, 2)["class"].tolist() == list("abij")
    assert ends(table, 2, ["f", "a", "nothing"])["class"].tolist() == list("abfij")
    assert ends(table, 5)["class"].tolist() == list("abcdefghij")


@pytest.mark.parametrize("several", [False, True])
def test_quantiles_of_the_images_of_a_class(several: bool) -> None:
    random = np.random.default_rng(1)
    values = random.random(300)
    members = random.random((300, 3)) < 0.4
    labels = members if several else random.integers(0, 3, 300)
    classes = pd.DataFrame({"name": list("cab"), "label": [2, 0, 1]})
    spread, ticks = spread_of_images(classes, values, labels)
    for row in spread.itertuples():
        own = values[members[:, row.label]] if several else values[labels == row.label]
        expected = [np.percentile(own, q) for q in (5, 25, 50, 75, 95)]
        assert [row.low, row.lower, row.middle, row.upper, row.high] == pytest.approx(expected)
        assert sorted(ticks.loc[ticks["name"] == row.name, "gate"]) == pytest.approx(sorted(own))


def test_of_many_images_few_are_drawn_and_of_no_image_nothing() -> None:
    values, labels = np.random.default_rng(2).random(100_000), np.arange(100_000) % 4
    classes = pd.DataFrame({"name": list("abcde"), "label": range(5)})
    spread, ticks = spread_of_images(classes, values, labels)
    assert spread["name"].tolist() == list("abcd")
    assert TICKS * 0.9 < len(ticks) <= TICKS + 4
    assert len(set(ticks["name"].value_counts())) == 1
    none, no_ticks = spread_of_images(classes, values[:0], labels[:0])
    assert none.empty
    assert no_ticks.empty


def test_spread_by_moments_stays_within_the_extremes() -> None:
    table = pd.DataFrame({"mean": [0.5, 0.9, 0.3], "std": [0.1, 0.3, np.nan], "min": [0.1, 0.2, 0.3]})
    spread = spread_of_moments(table.assign(max=[0.9, 1.0, 0.3]))
    assert spread["lower"].tolist() == pytest.approx([0.4, 0.6, 0.3])
    assert spread["upper"].tolist() == pytest.approx([0.6, 1.0, 0.3])
    assert spread["middle"].tolist() == [0.5, 0.9, 0.3]


def test_extremes_are_as_sorted() -> None:
    values = np.random.default_rng(3).random(50).astype(np.float32)
    most, least = extremes(values, 7)
    assert most.tolist() == np.argsort(-values)[:7].tolist()
    assert least.tolist() == np.argsort(values)[:7].tolist()
    assert len(extremes(values[:3], 7)[0]) == 3
    assert len(extremes(values[:0], 7)[0]) == 0


def test_what_an_image_was_taken_for(planted_run: Run, tmp_path: Path) -> None:
    assert outcome(planted_run, 0) == "right"
    run = make_run(tmp_path / "run", {"SE_2_1": np.random.default_rng(0).random((40, 4))}, np.arange(40) % 2)
    run.samples["correct"] = pd.NA
    assert outcome(run, 0) == ""
