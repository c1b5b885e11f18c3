"""The tables of the excitation page, against the analysis and against plain numpy on the gates."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from seviz.dashboard.tables.excitation import (
    class_means,
    drawn_images,
    image_gates,
    most_specific,
    pick_channels,
    read_image_gates,
)
from seviz.run.joining import merge
from seviz.run.store import Run
from seviz.tables.excitation import ALL_CLASSES, excitation
from seviz.tables.kept import kept_table
from tests.made_runs import make_run


@pytest.fixture
def odd_run(tmp_path: Path) -> Run:
    """Three classes, the last without images; each third image failed, gates of the even ones kept; in small chunks."""
    random = np.random.default_rng(1)
    labels = np.arange(20) % 2
    kept = np.arange(20) % 2 == 0
    kept[[1, 3]] = True
    return make_run(
        tmp_path / "odd",
        {"SE_2_1": random.uniform(0, 1, (20, 6)), "SE_3_1": random.uniform(0, 1, (20, 5))},
        labels,
        classes=("one", "two", "three"),
        kept=kept,
        failed=range(0, 20, 3),
        chunk_size=7,
    )


def test_means_are_those_of_the_analysis(planted_run: Run) -> None:
    expected = excitation(planted_run, classes=["ship", "cat"], blocks=["SE_4_1"], channels=5, seed=3)
    channels = pick_channels(16, "uniform", 5, 3, None)
    found = class_means(planted_run["SE_4_1"], {"ship": "ship", "cat": "cat"}, channels)
    for name in ("ship", "cat", ALL_CLASSES):
        mine, theirs = found[found["class"] == name], expected[expected["class"] == name]
        assert mine["channel"].tolist() == theirs["channel"].tolist()
        np.testing.assert_allclose(mine["mean"], theirs["mean"], rtol=1e-6)
        np.testing.assert_allclose(mine["std"], theirs["std"], rtol=1e-5)
        assert mine["images"].tolist() == theirs["images"].tolist()
    assert found["class"].drop_duplicates().tolist() == [ALL_CLASSES, "ship", "cat"]


def test_means_and_spread_are_those_of_the_gates(planted_run: Run) -> None:
    gates, labels = planted_run.gates("SE_3_1"), planted_run.labels
    found = class_means(planted_run["SE_3_1"], {"dog": "a dog"}, np.array([7, 2]))
    own = found[found["class"] == "a dog"]
    members = gates[labels == 1][:, [7, 2]].astype(np.float64)
    np.testing.assert_allclose(own["mean"], members.mean(0), atol=2e-5)
    np.testing.assert_allclose(own["high"] - own["low"], 2 * members.std(0, ddof=1), atol=5e-5)
    of_all = found[found["class"] == ALL_CLASSES]
    means = np.array([gates[labels == k].mean(0) for k in range(4)])[:, [7, 2]]
    np.testing.assert_allclose(of_all["mean"], means.mean(0), atol=2e-5)


def test_a_class_without_images_has_no_mean_and_counts_in_none(odd_run: Run) -> None:
    found = class_means(odd_run["SE_2_1"], {"three": "three"}, np.arange(6))
    assert found.loc[found["class"] == "three", "mean"].isna().all()
    assert set(found.loc[found["class"] == ALL_CLASSES, "images"]) == {2}
    assert found.loc[found["class"] == ALL_CLASSES, "mean"].notna().all()


def test_channels_are_picked_uniformly_or_all_or_by_their_rank() -> None:
    ranked = np.array([5, 1, 4])
    assert pick_channels(8, "specific", 3, 0, ranked).tolist() == [5, 1, 4]
    assert pick_channels(8, "all", 3, 0, None).tolist() == list(range(8))
    few = pick_channels(100, "uniform", 10, 4, None)
    assert len(set(few)) == 10
    assert few.tolist() == sorted(few)
    assert few.tolist() == pick_channels(100, "specific", 10, 4, None).tolist()
    assert few.tolist() != pick_channels(100, "uniform", 10, 5, None).tolist()


def test_the_most_specific_channels_are_those_of_the_table(planted_run: Run) -> None:
    table = kept_table(planted_run, "specificity_by_channel")
    own = table[table["block"] == "SE_4_1"].set_index("channel")["omega_squared"]
    found = most_specific(table.sample(frac=1, random_state=0), "SE_4_1", 5)
    assert found.tolist() == own.sort_values(ascending=False).index[:5].tolist()
    unknown = table.assign(omega_squared=table["omega_squared"].where(table["channel"] != found[0]))
    assert most_specific(unknown, "SE_4_1", 16)[-1] == found[0]


def test_images_are_drawn_from_those_kept_and_not_failed(odd_run: Run) -> None:
    labels = dict(zip(odd_run.classes.ids, odd_run.classes.names, strict=True))
    found = drawn_images(odd_run, labels, 5, 0)
    samples = odd_run.samples
    assert set(found["class"]) == {"one", "two"}  # of the third there are none
    for row in found.itertuples():
        sample = samples.loc[row.sample]
        assert sample["kept"]
        assert sample["status"] != "failed"
        assert sample["path"] == row.path
        assert odd_run.classes.names[sample["label"]] == row[1]
    assert found.groupby("class").size().to_dict() == {"one": 5, "two": 1}
    assert found["place"].tolist() == [1, 2, 3, 4, 5, 1]


def test_the_draw_of_a_class_does_not_depend_on_the_others(planted_run: Run) -> None:
    alone = drawn_images(planted_run, {"ship": "ship"}, 3, 7)
    among = drawn_images(planted_run, {"cat": "cat", "ship": "ship"}, 3, 7)
    assert alone["sample"].tolist() == among.loc[among["class"] == "ship", "sample"].tolist()
    assert alone["sample"].tolist() != drawn_images(planted_run, {"ship": "ship"}, 3, 8)["sample"].tolist()
    assert (planted_run.labels[alone["sample"]] == 2).all()


def test_images_of_several_classes_are_drawn_for_each(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    members = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], bool)
    run = make_run(tmp_path / "several", {"SE_2_1": random.uniform(0, 1, (4, 3))}, members, classes=("a", "b"))
    found = drawn_images(run, dict(zip(run.classes.ids, "ab", strict=True)), 5, 0)
    assert found.loc[found["class"] == "a", "sample"].tolist() == [0, 1, 3]
    assert found.loc[found["class"] == "b", "sample"].tolist() == [1, 2, 3]


def test_no_class_gives_no_image(planted_run: Run) -> None:
    assert drawn_images(planted_run, {}, 3, 0).empty


def test_gates_of_a_few_images_are_those_of_the_run(odd_run: Run) -> None:
    st.cache_data.clear()
    images = odd_run.kept.iloc[[5, 0, 2, 6]]
    found = read_image_gates(odd_run, ["SE_3_1", "SE_2_1"], images.index.to_numpy())
    for block in ("SE_2_1", "SE_3_1"):
        np.testing.assert_array_equal(found[block], odd_run.gates(block)[images["row"]])
        assert np.isfinite(found[block]).all()


def test_gates_of_a_few_images_of_joined_runs_whose_chunks_differ(tmp_path: Path) -> None:
    """In size, and in how they are stored: where a gate lies outside of [0, 1], as float32."""
    st.cache_data.clear()
    gates = np.random.default_rng(2).uniform(0, 1, (11, 3))
    gates[[3, 8], 1] = [4.5, -2]
    runs = []
    for k, part in enumerate((slice(0, 5), slice(5, 11))):
        run = make_run(tmp_path / str(k), {"SE_2_1": gates[part]}, np.zeros(len(gates[part]), int), chunk_size=3)
        data = dataclasses.replace(run.manifest.data, root=str(tmp_path / "images" / str(k)))
        (run.path / "manifest.json").write_text(dataclasses.replace(run.manifest, data=data).to_json())
        runs.append(run.path)
    joined = merge(runs, tmp_path / "joined")
    samples = np.array([8, 0, 5, 3, 8, 10])
    np.testing.assert_allclose(read_image_gates(joined, ["SE_2_1"], samples)["SE_2_1"], gates[samples], atol=8e-6)


def test_gates_of_images_are_told_one_by_one() -> None:
    images = pd.DataFrame({"class": ["a", "a", "b"], "place": [1, 2, 1], "path": ["x", "y", "z"], "sample": [4, 5, 9]})
    gates = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = image_gates(images, gates, np.array([3, 1]))
    assert found["gate"].tolist() == [3, 1, 7, 5, 11, 9]
    assert found["channel"].tolist() == [3, 1] * 3
    assert found["image"].tolist() == ["a · 1"] * 2 + ["a · 2"] * 2 + ["b · 1"] * 2
    assert found["path"].tolist() == ["x", "x", "y", "y", "z", "z"]
