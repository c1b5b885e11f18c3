import dataclasses

import numpy as np
import pytest

from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.store import Run
from seviz.tables.excitation import default_blocks, default_classes, excitation, sampled_channels


def test_rows_are_the_runs_moments(tiny_run: Run) -> None:
    table = excitation(tiny_run, classes=["red", "blue"], blocks=["SE_4_1"], channels=5, seed=1)
    assert list(table["class"].unique()) == ["red", "blue", "all classes"]
    assert len(table) == 15
    moments = tiny_run["SE_4_1"]
    for name in ("red", "blue"):
        rows = table[table["class"] == name]
        own = moments.sel({"class": name}).isel(channel=rows["channel"].to_numpy())
        np.testing.assert_array_equal(rows["mean"], own["mean"])
        np.testing.assert_array_equal(rows["std"], own["std"])
        assert set(rows["images"]) == {int(own["count"])}
    rest = table[table["class"] == "all classes"]
    chosen = moments["mean"].values[:, rest["channel"]]
    np.testing.assert_allclose(rest["mean"], chosen.mean(0))
    np.testing.assert_allclose(rest["std"], chosen.std(0, ddof=1))


def test_channels_are_drawn_with_a_seed() -> None:
    some = sampled_channels(2048, 50, 0)
    assert len(set(some)) == 50
    assert list(some) == sorted(some)
    assert 0 <= some[0] < some[-1] < 2048
    np.testing.assert_array_equal(some, sampled_channels(2048, 50, 0))
    assert set(some) != set(sampled_channels(2048, 50, 1))
    np.testing.assert_array_equal(sampled_channels(16, "all", 0), range(16))
    np.testing.assert_array_equal(sampled_channels(16, 50, 0), range(16))
    with pytest.raises(OptionError, match="channels is 0, expected at least 1, or 'all'"):
        sampled_channels(16, 0, 0)


def test_channels_are_drawn_uniformly() -> None:
    drawn = np.concatenate([sampled_channels(20, 5, seed) for seed in range(2000)])
    assert np.abs(np.bincount(drawn, minlength=20) / 500 - 1).max() < 0.2


def test_on_imagenet_the_papers_classes_are_drawn(tiny_run: Run) -> None:
    synsets = ("n01443537", "n02110958", "n02690373")
    data = dataclasses.replace(tiny_run.manifest.data, class_ids=synsets)
    tiny_run.manifest = dataclasses.replace(tiny_run.manifest, data=data)
    assert default_classes(tiny_run, 4) == synsets  # without cliff it is not the paper's four
    moments = tiny_run.moments("SE_2_1")
    ids = (*synsets[::-1], "n09246464", "n00000000")
    count = np.array([9, 8, 13, 1, 1])
    four = dataclasses.replace(data, class_ids=ids, class_names=ids)
    tiny_run.manifest = dataclasses.replace(tiny_run.manifest, data=four)
    five = dataclasses.replace(moments.take(np.zeros(5, int)), count=count)
    tiny_run.moments = lambda *_: five
    assert default_classes(tiny_run, 4) == ("n01443537", "n02110958", "n02690373", "n09246464")
    assert default_classes(tiny_run, 2) == ("n01443537", "n02110958")


def test_default_classes_are_spread_over_those_with_images(tiny_run: Run) -> None:
    assert default_classes(tiny_run, 4) == ("blue", "green", "red")
    assert default_classes(tiny_run, 2) == ("blue", "red")


def with_blocks(run: Run, *names: str) -> Run:
    """The run as if its network had these blocks."""
    first = run.manifest.blocks[0]
    records = tuple(dataclasses.replace(first, name=name, stage=int(name.split("_")[1])) for name in names)
    run.manifest = dataclasses.replace(run.manifest, blocks=records)
    return run


def test_default_blocks_are_the_papers_or_the_last_of_each_stage(tiny_run: Run) -> None:
    names = [f"SE_{s}_{b}" for s, n in ((2, 3), (3, 4), (4, 6), (5, 3)) for b in range(1, n + 1)]
    paper = ("SE_2_3", "SE_3_4", "SE_4_6", "SE_5_1", "SE_5_2", "SE_5_3")
    assert default_blocks(with_blocks(tiny_run, *names)) == paper
    other = ("SE_3_1", "SE_3_2", "SE_4_1", "SE_6_1", "SE_6_2")
    assert default_blocks(with_blocks(tiny_run, *other)) == ("SE_3_2", "SE_4_1", "SE_6_1", "SE_6_2")


def test_unknown_names_are_errors(tiny_run: Run) -> None:
    with pytest.raises(UnknownClassError, match="no class 'pug'"):
        excitation(tiny_run, classes=["pug"])
    with pytest.raises(MissingSignalError, match="no block 'SE_5_3'"):
        excitation(tiny_run, blocks=["SE_5_3"])
