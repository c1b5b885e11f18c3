"""Every table of runs of which little is known: finite numbers within their range, or NaN, and not a warning."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.errors import MissingSignalError
from seviz.registry import TABLES, Table
from seviz.run.store import Run
from seviz.tables.columns import beyond
from seviz.tables.compare import compare
from seviz.tables.decoding import decoding
from seviz.tables.principal_components import principal_components
from seviz.tables.saturation import saturation
from seviz.tables.selectivity import selectivity
from seviz.tables.specificity import specificity
from seviz.tables.specificity_by_channel import specificity_by_channel
from seviz.tables.specificity_by_class import specificity_by_class
from tests.degenerate_runs import BLOCKS, CASES, degenerate_run
from tests.made_runs import make_run

Open = Callable[[str], Run]
NOT_THERE = "keeps the gates of no image|does not say which predictions are right"


@pytest.fixture(scope="module")
def open_case(tmp_path_factory: pytest.TempPathFactory) -> Open:
    made: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in made:
            made[name] = degenerate_run(tmp_path_factory.mktemp("runs") / "run", name)
        return made[name]

    return get


def arguments_of(table: Table, run: Run, other: Run, block: str) -> dict[str, object]:
    """Arguments that a table requires: its block, classes with images, another run, a channel."""
    seen = [run.classes.ids[k] for k in np.flatnonzero(run.moments(run.blocks[0]).count)]
    chosen = {"block": block, "channel": 1, "one": seen[0] if seen else "", "other": seen[-1] if seen else ""}
    if "other" in table.needs:
        chosen["other"] = other
    options = {name: chosen[name] for name in table.required}
    return options | ({"permutations": 19} if "permutations" in table.parameters and run.samples["kept"].any() else {})


@pytest.mark.parametrize("case", CASES)
def test_every_table_is_as_it_is_declared(open_case: Open, case: str) -> None:
    run, other = open_case(case), open_case("some near-constant")
    for name, table in TABLES.items():
        if table.extra:
            continue
        for block in run.blocks if table.of_block else run.blocks[:1]:
            arguments = arguments_of(table, run, other, block)
            if {"one", "other"} & {*table.required} and "" in arguments.values():
                continue
            try:
                made = table.function(run, **arguments)
            except MissingSignalError as error:
                assert "gates" in table.needs or "predictions" in table.needs, name
                assert any(part in str(error) for part in NOT_THERE.split("|"))  # noqa: PT017
                continue
            assert beyond(made, table) == [], (name, block)
            assert all(isinstance(remark, str) for remark in made.attrs["remarks"])
            if {"low", "high"} <= {*made.columns}:
                assert not (made["low"] > made["high"] + 1e-12).any(), name


@pytest.mark.parametrize("case", ["constant", "within a code", "one image a class", "huge", "failures only"])
def test_comparisons_are_as_declared_in_both_directions(open_case: Open, case: str) -> None:
    others = open_case("some near-constant"), open_case(case)
    for one, other in (others[::-1], (others[1], others[1])):
        for name in ("compare", "compare_by_class", "differences", "cka", "agreement"):
            if name in ("cka", "agreement") and case == "failures only":
                continue
            table = TABLES[name]
            assert beyond(table.function(one, other), table) == [], name


@pytest.mark.parametrize("case", ["two images of a class", "three images", "one image more than classes"])
def test_intervals_of_a_change_and_of_a_difference_stay_within_what_is_possible(open_case: Open, case: str) -> None:
    """Of few classes an interval by Student's t would reach beyond -1 and 1, between which differences of gates lie."""
    table = compare(open_case(case), open_case("saturated"))
    for column in ("difference_low", "difference_high"):
        assert table[column].dropna().abs().le(1).all()
    assert table["high"].dropna().le(1).all()


@pytest.mark.parametrize("case", CASES)
def test_intervals_lie_within_the_range_of_omega_squared(open_case: Open, case: str) -> None:
    """Which is -(K - 1) / (N - K + 1) where classes have one mean, and 1; of a class and the rest K is 2."""
    run = open_case(case)
    table, by_class = specificity(run), specificity_by_class(run)
    several = run.labels.ndim == 2
    classes = pd.Series(2, index=table.index) if several else table["classes"]
    for rows, number in ((table, classes), (by_class, 2)):
        images = int(table["images"].max())
        if images <= np.max(number):
            assert not rows["omega_squared"].any() or rows["omega_squared"].isna().all()
            continue
        least = -(number - 1) / (images - number + 1)
        for column in {"omega_squared", "low", "low_classes"} & {*rows.columns}:
            assert not (rows[column] < least - 1e-9).any(), column
        for column in {"omega_squared", "high", "high_classes"} & {*rows.columns}:
            assert not (rows[column] > 1 + 1e-9).any(), column


@pytest.mark.parametrize(
    ("case", "precision"),
    [("near-constant", "1.5e-05"), ("within a code", "1.5e-05"), ("near-constant, unbounded", "1.2e-07 of their size")],
)
def test_near_constant_gates_have_no_share_and_the_remark_says_so(open_case: Open, case: str, precision: str) -> None:
    run = open_case(case)
    for table in (specificity(run, permutations=9), specificity_by_channel(run), specificity_by_class(run)):
        assert table[["eta_squared", "omega_squared", "low", "high"]].isna().all(axis=None)
        (remark,) = table.attrs["remarks"]
        assert remark.startswith("The excitation is near-constant, and counts as constant, where its standard")
        assert f"channels of SE_2_1 (precision {precision}), " in remark
        assert f"channels of SE_3_1 (precision {precision})." in remark
    assert specificity(run, permutations=9)["permuted_p"].isna().all()
    assert selectivity(run)["d_prime"].isna().all()
    assert saturation(run)["constant_channels"].tolist() == [4, 7]


def test_a_channel_that_moves_counts_and_one_that_hardly_does_not(open_case: Open, tmp_path: Path) -> None:
    run = open_case("some near-constant")
    table = specificity_by_channel(run).set_index(["block", "channel"])["omega_squared"]
    for block, channels in BLOCKS.items():
        assert [bool(np.isnan(table[block, k])) for k in range(channels)] == [k % 2 == 0 for k in range(channels)]
    assert "2 of 4 channels of SE_2_1" in specificity(run).attrs["remarks"][0]
    moving = {block: run.gates(block)[:, 1::2] for block in run.blocks}
    alone = make_run(tmp_path / "run", moving, run.labels)
    columns = ["omega_squared", "low", "high", "low_classes", "high_classes"]
    pd.testing.assert_frame_equal(specificity(run)[columns], specificity(alone)[columns], atol=1e-4)


def test_gates_a_few_codes_apart_have_a_share(open_case: Open) -> None:
    table = specificity(open_case("a few codes"))
    assert table["omega_squared"].between(0.2, 1).all()
    assert table.attrs["remarks"] == []


@pytest.mark.parametrize("case", ["near-constant in classes", "constant in classes", "open in one class"])
def test_gates_that_vary_between_classes_only_have_a_share_of_one_and_no_interval(open_case: Open, case: str) -> None:
    run = open_case(case)
    table, channels = specificity(run), specificity_by_channel(run)
    np.testing.assert_allclose(table["omega_squared"], 1)
    assert table[["low", "high"]].isna().all(axis=None)
    assert channels["F"].isna().all()
    assert (channels["p"] == 0).all()


def test_infinitely_selective_channels_come_first_and_name_their_class(open_case: Open) -> None:
    table = selectivity(open_case("open in one class"))
    assert table["d_prime"].isna().all()
    assert set(table["best_class_name"]) == {"class1"}
    assert (table["precision"] == 0.8).all()  # 8 of the 10 images that excite it most


def test_identical_classes_have_the_least_share_there_is(open_case: Open) -> None:
    table = specificity(open_case("identical classes"), permutations=19)
    np.testing.assert_allclose(table["eta_squared"], 0, atol=1e-12)
    np.testing.assert_allclose(table["omega_squared"], -2 / 22, rtol=1e-9)  # about 0: -(K - 1) / (N - K + 1)
    assert (table["permuted_p"] == 1).all()


@pytest.mark.parametrize(("case", "end"), [("all shut", "zero"), ("all open", "one")])
def test_saturated_gates_are_all_at_their_end(open_case: Open, case: str, end: str) -> None:
    table, other = saturation(open_case(case)), {"zero": "one", "one": "zero"}[end]
    assert table[[f"near_{end}", f"exactly_{end}"]].eq(1).all(axis=None)
    assert table[[f"near_{other}", f"exactly_{other}", "entropy"]].eq(0).all(axis=None)
    assert table["always_on" if end == "one" else "always_off"].tolist() == [4, 7]
    assert table["constant_channels"].tolist() == [4, 7]


@pytest.mark.parametrize(("case", "factor"), [("huge", 1e30), ("tiny", 1e-30)])
def test_the_size_of_gates_changes_no_share(open_case: Open, tmp_path: Path, case: str, factor: float) -> None:
    run = open_case(case)
    gates = {block: run.gates(block).astype(np.float64) / factor for block in run.blocks}
    plain = make_run(tmp_path / "run", gates, run.labels, signals={"squeeze": gates}, gate="other")
    columns = ["omega_squared", "low", "high", "low_classes", "high_classes"]
    pd.testing.assert_frame_equal(specificity(run)[columns], specificity(plain)[columns], rtol=1e-5)
    pd.testing.assert_frame_equal(decoding(run), decoding(plain))
    ours, theirs = (principal_components(each, "SE_3_1") for each in (run, plain))
    np.testing.assert_allclose(ours[["pc1", "pc2"]], factor * theirs[["pc1", "pc2"]], rtol=1e-3, atol=1e-6 * factor)
    assert ours.attrs["explained_variance"] == pytest.approx(theirs.attrs["explained_variance"], rel=1e-4)
