"""The charts of the specificity page, their tables computed a second way."""

import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.plots.specificity import (
    BINS,
    by_depth,
    chance_bound,
    counts,
    decoded,
    deviations,
    histogram,
    places,
    specificity_profile,
)
from seviz.run.store import Run
from seviz.tables.kept import kept_table


def test_blocks_stand_by_name_where_the_names_are_the_same_and_else_by_depth() -> None:
    assert places(["b", "a"], ["a", "b"]) == [1.0, 0.0]
    assert places(["x", "y", "z"], ["a", "b", "c", "d", "e"]) == [0.0, 2.0, 4.0]
    assert places(["x"], ["a", "b"]) == [0.0]
    partners = {"a": "a", "c": "c"}
    assert places(["a", "c"], ["a", "b", "c"], partners) == [0.0, 2.0]
    assert places(["a", "new", "c"], ["a", "b", "c"], partners) == [0.0, 1.0, 2.0]
    assert places(["a", "x"], ["a", "b", "c"], partners) == [0.0, 2.0]
    assert places(["x", "y"], ["a", "b", "c"], {}) == [0.0, 2.0]
    assert places(["v", "w", "x", "y", "z"], ["a", "b", "c"]) == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_the_profile_of_one_run_is_its_table(planted_run: Run) -> None:
    specificity, decoding = kept_table(planted_run, "specificity"), kept_table(planted_run, "decoding")
    table = by_depth({"mine": specificity}, {"mine": decoding}, planted_run.blocks)
    assert table["place"].tolist() == [0, 1, 2]
    for column in ("omega_squared", "low", "high", "std_between", "std_total"):
        assert table[column].tolist() == specificity[column].tolist()
    assert table["omega_chance"].tolist() == [0, 0, 0]
    assert set(table["interval"]) == {"over images"}
    decoder = decoding["decoder"].iloc[-1]
    rows = decoding[(decoding["decoder"] == decoder) & (decoding["width"] == "own")]
    assert table["accuracy"].tolist() == rows["accuracy"].tolist()
    chart = specificity_profile(table, blocks=planted_run.blocks, selected="SE_3_1")
    assert chart.layer[0].data["place"].tolist() == [1]
    assert chart.layer[-1].data["omega_squared"].tolist() == specificity["omega_squared"].tolist()
    far = specificity_profile(table.assign(low=-1e304, high=1e304), blocks=planted_run.blocks, selected="SE_3_1")
    assert far.to_dict()["layer"][-1] == chart.to_dict()["layer"][-1] | {"data": far.to_dict()["layer"][-1]["data"]}


def test_two_runs_stand_beside_each_other(planted_run: Run) -> None:
    specificity = kept_table(planted_run, "specificity")
    other = specificity.iloc[:2].assign(block=["SE_9_1", "SE_9_2"], low=np.nan, high=np.nan)
    table = by_depth({"one": specificity, "two": other}, {}, planted_run.blocks)
    one, two = (table[table["run"] == name] for name in ("one", "two"))
    assert (one["place"] < [0, 1, 2]).all()
    np.testing.assert_allclose(two["place"].to_numpy() - one["place"].to_numpy()[[0, 2]], 0.16)
    assert set(two["interval"]) == {"over classes"}
    assert two["low"].tolist() == other["low_classes"].tolist()
    assert table["accuracy"].isna().all()
    chart = deviations(table, blocks=planted_run.blocks, selected="SE_3_1")
    assert set(chart.layer[1].data["series"]) == {"one", "two"}


def test_series_without_values_are_left_out(planted_run: Run) -> None:
    specificity, decoding = kept_table(planted_run, "specificity"), kept_table(planted_run, "decoding")
    table = by_depth({"mine": specificity}, {"mine": decoding}, planted_run.blocks)
    drawn = decoded(table, blocks=planted_run.blocks, selected="SE_3_1").layer[1].data
    assert set(drawn["series"]) == {"all channels", "equal width", "chance"}  # no squeeze is kept
    assert set(deviations(table, blocks=planted_run.blocks, selected="SE_3_1").layer[1].data["series"]) == {
        "between classes",
        "over all images",
    }


@pytest.mark.parametrize(("classes", "each"), [(4, 50), (10, 6)])
def test_chance_ends_where_simulated_channels_say(classes: int, each: int) -> None:
    random, channels = np.random.default_rng(0), 4000
    gates = random.normal(size=(classes, each, channels))
    images = classes * each
    within = gates.var(1, ddof=1).mean(0)
    between = each * gates.mean(1).var(0, ddof=1)
    total = within * (images - classes) + between * (classes - 1)
    omega = (classes - 1) * (between - within) / (total + within)
    assert np.mean(omega < chance_bound(images, classes)) == pytest.approx(0.95, abs=0.015)


def test_chance_is_not_known_without_two_images_of_a_class() -> None:
    assert np.isnan(chance_bound(4, 4))
    assert np.isnan(chance_bound(9, 1))


def test_the_histogram_counts_each_channel_once() -> None:
    values = pd.Series([*np.random.default_rng(0).uniform(-0.02, 0.9, 500), np.nan])
    table = counts(values)
    assert len(table) == BINS
    assert table["channels"].sum() == 500
    for row in table.iloc[:-1].itertuples():
        assert row.channels == ((values >= row.low) & (values < row.high)).sum()
    assert counts(pd.Series([np.nan])).empty
    assert len(histogram(table, bound=0.1, text="chance").layer) == 2
    assert histogram(table, bound=float("nan"), text="chance").to_dict()["mark"]["type"] == "bar"
