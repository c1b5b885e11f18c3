"""Figures and tables as the content of files."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from seviz.dashboard.files import as_csv, draw, needed, tables_zip
from seviz.dashboard.pages.export import FORMATS
from seviz.figures.album import Album, figures
from seviz.run.store import Run
from seviz.tables.kept import kept_table, table_path

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.mark.parametrize("kind", list(FORMATS))
def test_a_figure_is_drawn_in_each_format(kind: str, planted_run: Run) -> None:
    (sheet,) = draw(Album(run=planted_run, classes=["cat", "dog"], blocks=["SE_3_1"]), "excitation", [kind])
    assert sheet.files[kind].startswith(MAGIC[kind])
    means = planted_run["SE_3_1"]["mean"].sel({"class": "dog"}).to_numpy()
    shown = sheet.data[sheet.data["class"] == "dog"].sort_values("channel")
    np.testing.assert_allclose(shown["mean"], means)


def test_a_figure_of_single_blocks_is_a_sheet_each(planted_run: Run) -> None:
    sheets = draw(Album(run=planted_run, blocks=["SE_2_1", "SE_4_1"]), "heatmap", ["png"])
    assert [sheet.name for sheet in sheets] == ["heatmap_SE_2_1", "heatmap_SE_4_1"]


def test_why_a_figure_cannot_be_drawn(moments_only: Run) -> None:
    (sheet,) = draw(Album(run=moments_only, blocks=["SE_3_1"]), "distribution", ["png"])
    assert "gates" in sheet.reason
    assert sheet.files == {}


def test_a_figure_asks_for_the_tables_it_is_drawn_from(planted_run: Run, moments_only: Run) -> None:
    assert needed(planted_run, "depth", []) == [("specificity", ""), ("saturation", ""), ("decoding", "")]
    assert needed(moments_only, "depth", []) == [("specificity", ""), ("saturation", "")]
    assert needed(planted_run, "embedding", ["SE_2_1"]) == [("principal_components", "SE_2_1")]
    assert needed(moments_only, "embedding", ["SE_2_1"]) == []
    assert needed(planted_run, "excitation", []) == []
    for figure in figures():
        for name, block in needed(planted_run, figure, ["SE_2_1"]):
            assert table_path(planted_run, name, **({"block": block} if block else {})).is_file()


def test_a_table_is_written_with_its_index_where_that_says_something(planted_run: Run) -> None:
    similarity = kept_table(planted_run, "similarity", block="SE_4_1")
    back = pd.read_csv(io.StringIO(as_csv(similarity)), index_col=0)
    np.testing.assert_allclose(back.to_numpy(), similarity.to_numpy())
    assert back.index.tolist() == similarity.index.tolist()
    specificity = kept_table(planted_run, "specificity")
    back = pd.read_csv(io.StringIO(as_csv(specificity)))
    assert back.columns.tolist() == specificity.columns.tolist()
    np.testing.assert_allclose(back["omega_squared"], specificity["omega_squared"])


def test_tables_are_zipped_as_csv(planted_run: Run) -> None:
    paths = {
        "specificity": table_path(planted_run, "specificity"),
        "similarity-SE_4_1": table_path(planted_run, "similarity", block="SE_4_1"),
    }
    with zipfile.ZipFile(io.BytesIO(tables_zip(paths))) as archive:
        assert archive.namelist() == ["specificity.csv", "similarity-SE_4_1.csv"]
        assert archive.read("specificity.csv").decode() == as_csv(kept_table(planted_run, "specificity"))
