from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import seviz
from seviz.cli import app
from seviz.errors import MissingTableError
from seviz.run.parquet import read_kept, read_parquet
from seviz.run.verification import verify
from seviz.tables.kept import keep_table, kept_table, table_path
from tests.made_runs import make_run

LARGEST = 1 << 20


def written(path: Path, table: pa.Table | pd.DataFrame, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table), path, **how)
    return path


def test_tables_come_back_as_pandas_reads_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", None, "紅"],
            "number": [1.5, np.nan, 2],
            "count": [1, 2, 3],
            "known": pd.array([True, None, False], dtype="boolean"),
            "kind": pd.Categorical(["x", "y", "x"]),
        },
        index=pd.Index([10, 20, 30], name="row"),
    )
    path = written(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(read_parquet(path, within=tmp_path, largest=LARGEST), pd.read_parquet(path))


def test_a_small_file_of_many_rows_is_told_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"x": pa.nulls(5_000_000, pa.float64())})
    path = written(tmp_path / "t.parquet", rows)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_: pytest.fail("was read"))
    with pytest.raises(
        ValueError, match=r"it has 5,000,000 rows in [\d,]+ bytes, expected at most [\d,]+ values in all"
    ):
        read_parquet(path, within=tmp_path, largest=LARGEST)
    with pytest.raises(ValueError, match=r"it has 5,000,000 rows, expected 7"):
        read_parquet(path, within=tmp_path, largest=LARGEST, rows=7)


def test_a_small_file_of_much_text_is_told_before_the_text_is_made(tmp_path: Path) -> None:
    for text, message in (
        ("a" * 10**6, r"column x has a text of 1,000,000 bytes"),
        ("b" * 3000, r"of text in 60,000 rows"),
    ):
        column = pa.array([text] * 60_000) if len(text) < 10**5 else pa.array([text] * 10)
        path = written(tmp_path / "t.parquet", pa.table({"x": column}))
        assert path.stat().st_size < 10**6
        with pytest.raises(ValueError, match=message):
            read_parquet(path, within=tmp_path, largest=LARGEST)


def test_a_small_file_of_many_values_in_lists_is_told(tmp_path: Path) -> None:
    lists = pa.array([[0] * 2_000_000])
    path = written(tmp_path / "t.parquet", pa.table({"x": lists}))
    with pytest.raises(ValueError, match=r"it has 2,000,000 values in 1 rows"):
        read_parquet(path, within=tmp_path, largest=LARGEST)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("empty", lambda path: path.write_bytes(b"")),
        ("half", lambda path: path.write_bytes(path.read_bytes()[:300])),
        ("rows", lambda path: written(path, pa.table({"x": pa.nulls(5_000_000, pa.float64())}))),
        ("other", lambda path: path.write_text("block,eta\n")),
        ("link", lambda path: (path.unlink(), path.symlink_to("/etc/passwd"))),
    ],
)
def test_a_kept_table_that_is_damaged_is_told_and_computed_anew(name: str, damage: object, tmp_path: Path) -> None:
    gates = {"SE_2_1": np.random.default_rng(0).uniform(0.1, 0.9, (20, 3))}
    run = make_run(tmp_path / "run", gates, np.arange(20) % 2)
    expected = keep_table(run, "saturation")
    path = table_path(run, "saturation")
    assert verify(run) == []
    damage(path)
    [found] = verify(run)
    assert found.path == path
    assert found.what.startswith("cannot be read: ")
    assert found.what.isprintable()
    with pytest.raises(MissingTableError, match=r"the table saturation of .* cannot be read \(.*`seviz analyse"):
        kept_table(run, "saturation")
    result = CliRunner().invoke(app, ["saturation", str(run.path)])
    assert (result.exit_code, "Traceback" in result.output) == (0, False)
    pd.testing.assert_frame_equal(keep_table(seviz.open_run(run.path), "saturation"), expected)
    assert verify(run) == []


def test_kept_tables_lie_in_the_run(tmp_path: Path) -> None:
    path = written(tmp_path / "run" / "tables" / "t.parquet", pd.DataFrame({"x": [1]}))
    assert read_kept(path)["x"].tolist() == [1]
    with pytest.raises(FileNotFoundError):
        read_kept(tmp_path / "run" / "tables" / "none.parquet")
