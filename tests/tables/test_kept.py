"""Tables that are kept: what is written is what the function gives, and is not mistaken for another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.errors import MissingTableError, OptionError
from seviz.registry import TABLES
from seviz.run.store import Run
from seviz.tables import kept as tables
from seviz.tables.kept import analyse, keep_table, kept_table, table_of, table_path, tables_of_run
from seviz.tables.saturation import saturation
from seviz.tables.specificity import specificity
from tests.made_runs import make_run

LABELS = np.repeat(np.arange(3), 12)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    random = np.random.default_rng(0)
    gates = {name: random.uniform(size=(36, 8)) for name in ("SE_2_1", "SE_3_1")}
    return make_run(tmp_path / "run", gates, LABELS)


@pytest.mark.parametrize("name", [*tables_of_run()])
def test_what_is_kept_is_what_the_function_gives(run: Run, name: str) -> None:
    table = TABLES[name]
    block = {"block": "SE_3_1"} if table.of_block else {}
    expected = table.function(run, **block)
    keep_table(run, name, **block)
    kept = kept_table(run, name, **block)
    pd.testing.assert_frame_equal(kept, expected)
    assert kept.attrs == expected.attrs


def test_a_kept_table_is_read_and_not_computed_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first, sources = keep_table(run, "saturation"), tables._sources(saturation)
    declared = replace(TABLES["saturation"], function=lambda run, **options: pytest.fail("computed again"))
    monkeypatch.setattr(tables, "TABLES", {"saturation": declared})
    monkeypatch.setattr(tables, "_sources", lambda function: sources)
    pd.testing.assert_frame_equal(keep_table(run, "saturation"), first)
    pd.testing.assert_frame_equal(table_of(run, "saturation"), first)


def test_defaults_that_are_given_are_the_same_table(run: Run) -> None:
    assert table_path(run, "specificity", confidence=0.95, seed=0) == table_path(run, "specificity")
    assert table_path(run, "specificity", confidence=0.9) != table_path(run, "specificity")


def test_another_run_or_version_finds_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_table(run, "saturation")
    other = make_run(tmp_path / "other", {"SE_2_1": np.full((36, 8), 0.5)}, LABELS)
    assert table_path(other, "saturation").name != table_path(run, "saturation").name
    monkeypatch.setattr(tables.metadata, "version", lambda _: "9.9")
    with pytest.raises(
        MissingTableError, match=r"the table saturation of .* is not there; `seviz analyse .*` makes it"
    ):
        kept_table(run, "saturation")


def test_a_damaged_table_is_computed_again(run: Run) -> None:
    expected = keep_table(run, "specificity")
    path = table_path(run, "specificity")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MissingTableError, match="cannot be read"):
        kept_table(run, "specificity")
    pd.testing.assert_frame_equal(keep_table(run, "specificity"), expected)
    pd.testing.assert_frame_equal(kept_table(run, "specificity"), expected)


def test_all_tables_are_kept_and_the_second_time_found(run: Run) -> None:
    first = list(analyse(run))
    assert {done.name for done in first} == {*tables_of_run()}
    assert [done.block for done in first if done.name == "similarity"] == ["SE_2_1", "SE_3_1"]
    assert all(done.seconds > 0 and not done.reason for done in first)
    assert all(done.seconds == 0 for done in analyse(run))
    pd.testing.assert_frame_equal(kept_table(run, "specificity"), specificity(run))


def test_what_the_run_cannot_give_is_left_out_with_the_reason(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", {"SE_2_1": np.random.default_rng(0).uniform(size=(36, 8))}, LABELS, kept=LABELS < 0
    )
    done = {one.name: one for one in analyse(run)}
    assert "keeps the gates of no image" in done["decoding"].reason
    assert not done["specificity"].reason
    assert not done["saturation"].reason


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("nonsense", {}, "no table 'nonsense'; expected one of agreement"),
        ("channels", {}, "channels is a table of one block: give it"),
        ("saturation", {"block": "SE_2_1"}, "saturation is a table of the whole run"),
    ],
)
def test_tables_that_do_not_exist(run: Run, name: str, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        kept_table(run, name, **parameters)


def test_a_part_takes_every_table_and_keeps_none_under_the_name_of_the_run(run: Run, tmp_path: Path) -> None:
    part, rows = run.select(classes=["class0", "class2"]), np.flatnonzero(LABELS != 1)
    gates = {name: run.gates(name)[rows] for name in run.blocks}
    same = make_run(tmp_path / "same", gates, LABELS[rows] // 2, classes=["class0", "class2"])
    for name, table in tables_of_run().items():
        block = {"block": "SE_3_1"} if table.of_block else {}
        assert table_path(part, name, **block) != table_path(run, name, **block)
        if name not in ("channels", "principal_components", "confusion"):  # which tell rows and predictions of the run
            made = [table.function(of, **block).rename_axis(columns=None) for of in (part, same)]
            ours, theirs = (each.reset_index(drop=each.index.name is None) for each in made)
            key = [name for name in table.key if name in ours]
            ours, theirs = (each.sort_values(key, ignore_index=True) for each in (ours, theirs))
            pd.testing.assert_frame_equal(ours, theirs, rtol=1e-2, atol=1e-4, check_like=True)
    whole = keep_table(run, "specificity")
    assert keep_table(part, "specificity")["images"].tolist() == [24, 24]
    pd.testing.assert_frame_equal(kept_table(run, "specificity"), whole)


def test_other_sources_find_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = table_path(run, "saturation")
    monkeypatch.setattr(tables, "_SOURCES", ("errors.py",))
    tables._sources.cache_clear()
    assert table_path(run, "saturation") != before
    tables._sources.cache_clear()
