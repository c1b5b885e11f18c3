"""Two classes beside each other, against values computed a second way."""

from pathlib import Path

import numpy as np
import pytest

from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.store import Run
from seviz.tables.class_pair import class_pair
from seviz.tables.class_pair_by_depth import by_depth, class_pair_by_depth, usual
from seviz.tables.nearest_classes import nearest_classes
from tests.made_runs import make_run

CLASSES = ("cat", "dog", "ship", "truck", "nothing")


@pytest.fixture(scope="module")
def pairs_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two blocks, four classes of 30 images and one without."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 30)
    gates = {}
    for block, channels in (("SE_3_1", 6), ("SE_4_1", 9)):
        logits = random.normal(size=(4, channels))[labels] + random.normal(size=(120, channels))
        gates[block] = 1 / (1 + np.exp(-logits))
    return make_run(tmp_path_factory.mktemp("pairs") / "run", gates, labels, classes=CLASSES)


def test_two_classes_channel_by_channel(pairs_run: Run) -> None:
    gates, labels = pairs_run.gates("SE_4_1").astype(float), pairs_run.labels
    table = class_pair(pairs_run, "SE_4_1", "DOG", "truck").set_index("channel")
    dog, truck = gates[labels == 1], gates[labels == 3]
    d = (dog.mean(0) - truck.mean(0)) / np.sqrt((dog.var(0, ddof=1) + truck.var(0, ddof=1)) / 2)
    assert table.index.tolist() == np.argsort(-np.abs(d)).tolist()
    assert table["d_prime"].sort_index().to_numpy() == pytest.approx(d, abs=1e-3)
    assert table["mean_one"].sort_index().to_numpy() == pytest.approx(dog.mean(0), abs=1e-5)
    assert table["std_other"].sort_index().to_numpy() == pytest.approx(truck.std(0, ddof=1), abs=1e-5)
    other = class_pair(pairs_run, "SE_4_1", "truck", "dog").set_index("channel")
    assert other["d_prime"].sort_index().to_numpy() == pytest.approx(-d, abs=1e-3)


def test_constant_gates_and_classes_of_one_image(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    gates = random.random((7, 4))
    gates[:3, 0], gates[3:6, 0] = 0.25, 0.75  # constant in both, and different
    gates[:6, 1] = 0.3  # the same in both
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.array([0, 0, 0, 1, 1, 1, 2]), classes="abc")
    table = class_pair(run, "SE_2_1", "a", "b").set_index("channel")
    assert table.index[0] == 0
    assert np.isnan(table["d_prime"][0])
    assert np.isnan(table["d_prime"][1])
    assert table.index[-1] == 1
    assert table["difference"][1] == 0
    single = class_pair(run, "SE_2_1", "a", "c")
    assert single["d_prime"].isna().all()
    assert single["difference"].abs().is_monotonic_decreasing


def test_by_depth_beside_what_is_usual(pairs_run: Run) -> None:
    table = class_pair_by_depth(pairs_run, "cat", "ship").set_index("block")
    assert tuple(table.index) == pairs_run.blocks
    for block in pairs_run.blocks:
        gates = pairs_run.gates(block).astype(float)
        of = np.array([gates[pairs_run.labels == k].mean(0) for k in range(4)])
        pairs = [(i, j) for i in range(4) for j in range(i)]
        apart = 1 - np.corrcoef(of)
        expected = {
            "difference": np.abs(of[0] - of[2]).mean(),
            "distance": apart[0, 2],
            "difference_usual": np.median([np.abs(of[i] - of[j]).mean() for i, j in pairs]),
            "distance_usual": np.median([apart[i, j] for i, j in pairs]),
        }
        assert table.loc[block].to_dict() == pytest.approx(expected, abs=1e-4)


def test_the_nearest_classes(pairs_run: Run) -> None:
    gates = pairs_run.gates("SE_4_1").astype(float)
    apart = 1 - np.corrcoef([gates[pairs_run.labels == k].mean(0) for k in range(4)])
    table = nearest_classes(pairs_run, "SE_4_1", "Dog", number=2)
    order = [k for k in np.argsort(apart[1]) if k != 1][:2]
    assert table["class_name"].tolist() == [CLASSES[k] for k in order]
    np.testing.assert_allclose(table["distance"], apart[1][order], atol=1e-4)
    assert table["images"].tolist() == [30, 30]
    assert len(nearest_classes(pairs_run, "SE_4_1", "dog")) == 3


def test_what_cannot_be_compared_is_told(pairs_run: Run) -> None:
    for function in (class_pair, nearest_classes):
        names = ("cat", "nothing") if function is class_pair else ("nothing",)
        with pytest.raises(OptionError, match=r"class 'nothing' has no image in <Run .*>, so no mean gates"):
            function(pairs_run, "SE_3_1", *names)
    with pytest.raises(UnknownClassError, match="no class 'pug' in the run"):
        class_pair_by_depth(pairs_run, "cat", "pug")
    with pytest.raises(MissingSignalError, match="SE_9_9"):
        class_pair(pairs_run, "SE_9_9", "cat", "dog")
    with pytest.raises(OptionError, match="number is 0, expected at least 1"):
        nearest_classes(pairs_run, "SE_3_1", "cat", number=0)


def test_gates_without_direction_have_no_distance() -> None:
    means = {"SE_2_1": np.full((3, 4), 0.5)}
    assert np.isnan(by_depth(means, 0, 1)["distance"][0])
    assert by_depth(means, 0, 1)["difference"][0] == 0
    assert np.isnan(usual(means, [0, 1, 2])["distance"][0])
    assert np.isnan(usual(means, [0])["difference"][0])
