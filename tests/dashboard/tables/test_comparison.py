"""What differs between two runs and what belongs together, as tables and sentences."""

import numpy as np
import pytest

from seviz.dashboard.pages.compare import QUICK
from seviz.dashboard.tables.comparison import (
    cost,
    counterpart,
    gates_of_both,
    in_words,
    nothing_shifts,
    profiles,
    shared_classes,
)
from seviz.run.pairing import Pair, Pairing, pair_runs
from seviz.run.store import Run
from seviz.tables.compare import compare
from seviz.tables.specificity import specificity
from tests.dashboard.other_runs import SAME, other_run


@pytest.fixture(scope="module")
def second_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of the same blocks and classes."""
    return other_run(tmp_path_factory.mktemp("second") / "second", SAME)


def test_blocks_that_belong_together_have_one_place(planted_run: Run, second_run: Run) -> None:
    both = specificity(planted_run), specificity(second_run).iloc[[0, 2]]
    pairing = pair_runs(planted_run, second_run)
    order, table = profiles(*both, names=("a", "b"), pairing=pairing)
    assert order == ["SE_2_1", "SE_3_1", "SE_4_1"]
    assert table["place"].tolist() == ["SE_2_1", "SE_3_1", "SE_4_1", "SE_2_1", "SE_4_1"]
    assert table["run"].tolist() == ["a", "a", "a", "b", "b"]
    lonely = Pairing((Pair("SE_2_1", "SE_2_1", "path"),), ("SE_3_1", "SE_4_1"), ("SE_4_1",))
    order, table = profiles(*both, names=("a", "b"), pairing=lonely)
    assert order == ["SE_2_1", "SE_4_1 (b)", "SE_3_1", "SE_4_1"]
    assert table["place"].tolist()[3:] == ["SE_2_1", "SE_4_1 (b)"]


def test_counterparts_and_what_is_shared(planted_run: Run, bundled_run: Run) -> None:
    assert counterpart(planted_run, bundled_run, "SE_3_1", "name") == "SE_3_1"
    assert counterpart(planted_run, bundled_run, "SE_3_1", "path") == "SE_3_1"
    assert counterpart(planted_run, bundled_run, "SE_3_1", "position") == "SE_2_2"
    assert counterpart(bundled_run, planted_run, "SE_5_3", "name") is None
    assert counterpart(bundled_run, planted_run, "SE_5_3", "position") is None
    assert shared_classes(planted_run, bundled_run) == 4
    assert cost(planted_run, bundled_run) == 4 * sum(block.channels for block in bundled_run.manifest.blocks) < QUICK


def test_gates_of_both_leave_out_what_has_no_images(planted_run: Run, second_run: Run) -> None:
    one, other = planted_run["SE_2_1"].copy(deep=True), second_run["SE_2_1"]
    one["mean"].loc[{"class": "dog"}] = np.nan
    table = gates_of_both(one, other, ["cat", "dog"])
    assert set(table["class"]) == {"cat"}
    np.testing.assert_array_equal(table["other"], other["mean"].sel({"class": "cat"}))


def test_words_of_a_comparison(planted_run: Run, second_run: Run) -> None:
    table = compare(planted_run, second_run)
    most = table.loc[table["shift"].idxmax()]
    assert in_words(table) == f"{most['block']} has shifted most, by {most['shift']:.3f}."
    assert in_words(compare(planted_run, planted_run)) == "No block has shifted by more than chance makes."
    assert in_words(table.assign(shift=np.nan)) == ""
    assert "no class in common" in nothing_shifts(table.assign(classes=0))
    assert "as many channels" in nothing_shifts(table)
