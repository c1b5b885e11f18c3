"""Names that people have, through all that shows them: figures, tables, report, and a capture from end to end."""

import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import html5lib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.text import Text
from PIL import Image

import seviz
from seviz.errors import SevizWarning
from seviz.figures import fonts
from seviz.figures.album import Album, LeftOut
from seviz.figures.labels import shortened
from seviz.figures.style import save
from seviz.network.networks import Network
from seviz.run.store import Run, open_run
from seviz.tables.kept import table_of
from seviz.texts import as_utf8, named, path_of, visible
from tests.cli.commands import run as command
from tests.odd_names import NAMES, odd_run
from tests.report.pages import Page

ODD = " \x1b[31m$x$ <b>&amp;\n\u202e دب\udcff" if sys.platform == "linux" else " $x$ &amp; دب"
"""In the name of the run's directory, as far as the file system takes it."""
OF_NAMES = ("excitation", "spread", "heatmap", "distribution", "similarity", "embedding", "gallery")
TABLES = (
    ("specificity", "--by", "class"),
    ("selectivity",),
    ("channels", "SE_3_1"),
    ("similarity", "SE_3_1"),
    ("confusion",),
    ("decoding",),
    ("saturation", "--by", "channel"),
)
"""Those that name classes or images, and some that do not."""


@pytest.fixture(scope="module")
def odd(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Run:
    return open_run(make_once(f"odd{ODD}", odd_run))


def is_plain(text: str) -> bool:
    """Whether nothing is left that a terminal obeys."""
    return visible(text, keep="\n") == text


@pytest.mark.parametrize("name", OF_NAMES)
def test_figures_draw_names_literally(name: str, odd: Run, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (drawing,) = Album(run=odd).draw([name])
        assert not isinstance(drawing, LeftOut)
        save(drawing.figure, tmp_path / "a.svg")
    assert told == []
    texts = [text for text in drawing.figure.findobj(Text) if text.get_text()]
    assert all(not text.get_parse_math() and is_plain(text.get_text()) for text in texts)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    written = {"".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert all(map(is_plain, written))


def test_the_labels_of_a_figure_are_the_names(odd: Run) -> None:
    (drawing,) = Album(run=odd).draw(["heatmap"])
    assert not isinstance(drawing, LeftOut)
    labels = [label.get_text() for axes in drawing.figure.axes for label in axes.get_yticklabels()]
    assert {shortened(as_utf8(name)) for name in NAMES.values()} <= set(labels)
    (drawing,) = Album(run=odd, classes=["$x_$y", "_nolegend_", "cat", "大熊猫"]).draw(["excitation"])
    assert not isinstance(drawing, LeftOut)
    (legend,) = drawing.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["mean of all classes", "$x_$y", "_nolegend_", "cat", "大熊猫"]
    (drawing,) = Album(run=odd, classes=["W" * 250, "Great_" * 41 + "Dane"]).draw(["excitation"])
    assert not isinstance(drawing, LeftOut)
    drawing.figure.draw_without_rendering()
    assert drawing.figure.axes[0].get_window_extent().height > 0.5 * drawing.figure.bbox.height


@pytest.mark.parametrize("table", TABLES, ids=" ".join)
def test_tables_are_plain_for_people_and_exact_for_programs(table: tuple[str, ...], odd: Run) -> None:
    name, *options = table
    said = command(name, odd.path, *options)
    assert said.exit_code == 0, said.output
    assert is_plain(said.stdout)
    assert is_plain(said.stderr)
    rows = json.loads(command(name, odd.path, *options, "--json").stdout)
    text = command(name, odd.path, *options, "--csv").stdout_bytes.decode()
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(read) == len(rows)
    for column in rows[0]:
        if isinstance(rows[0][column], str):
            assert [row[column] for row in read] == [row[column] for row in rows]
            known = {as_utf8(each) for each in NAMES.values()}
            assert not column.endswith("class") or {row[column] for row in rows} <= known


def test_an_error_names_what_was_given_in_one_line(odd: Run) -> None:
    for name in ("escape", "lines", "override", "not UTF-8", "rich markup", "dollars"):
        told = command("figures", odd.path, "-o", "out", "--classes", f"no {NAMES[name]}")
        assert told.exit_code == 2
        assert told.stderr.count("\n") == 1
        assert is_plain(told.stderr)


def test_figures_of_the_command_line_tell_missing_characters_once(
    odd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_NOTED", set())
    monkeypatch.setattr(fonts, "fallbacks", lambda lacking: ((), lacking))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        told = command("figures", odd.path, "-o", tmp_path, "--only", "heatmap,distribution", "--format", "png")
    assert told.exit_code == 0, told.output
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("note: no installed font has ")
    rows = pd.read_csv(tmp_path / "heatmap.csv", keep_default_na=False, lineterminator="\n", dtype={"class": str})
    assert sorted(rows["class"]) == sorted(map(as_utf8, NAMES.values()))


def test_a_report_is_valid_and_shows_names_as_they_are(odd: Run, tmp_path: Path) -> None:
    told = command("report", odd.path, "-o", tmp_path / "report.html", "--title", "".join(NAMES.values()))
    assert told.exit_code == 0, told.output
    assert is_plain(told.output)
    markup = (tmp_path / "report.html").read_bytes().decode()
    html5lib.HTMLParser(strict=True).parse(markup)
    page = Page(markup)
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.of("script")) == 1
    assert not [attributes for _, attributes in page.elements if any(name.startswith("on") for name in attributes)]
    assert {tag for tag, _ in page.elements} & {"b", "i", "em", "img", "iframe"} == set()
    assert all(map(is_plain, (text for _, text in page.texts)))
    isolated = {text for tag, text in page.texts if tag == "bdi"}
    classes = table_of(odd, "specificity_by_class")
    top = classes[classes["block"] == "SE_3_1"].nlargest(20, "omega_squared")["class_name"]
    assert {named(name) for name in top} <= isolated
    assert visible("".join(NAMES.values())) in isolated  # the title


FOLDERS = [
    NAMES[key]
    for key in (
        *("dollars", "rich markup", "override", "escape", "lines", "not UTF-8", "long", "spaces"),
        *("emoji", "Chinese", "looks alike", "looks alike too"),
    )
]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such names cannot be")
def test_a_folder_of_odd_names_from_capture_to_report(tiny_network: Network, tmp_path: Path) -> None:
    root, random = tmp_path / "data $x$ \x1b[1m\udcff", np.random.default_rng(0)
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(random.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(root / name / f"{k}\n\udc80.png")
    (root / "cat" / "\u202egnp.exe.png").write_bytes(b"no image")
    out = tmp_path / "run \udcfe <b>\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of other classes than the network's, and an image that failed
        run = seviz.collect(tiny_network, str(root), out, workers=0, max_failures=0.5, compile="off")
    assert run.classes.ids == tuple(map(as_utf8, sorted(FOLDERS, key=os.fsencode)))
    found = {path_of(path) for path in run.samples["path"]}
    assert {f"{name}/{k}\n\udc80.png" for name in FOLDERS for k in range(2)} <= found
    assert all((root / path).is_file() for path in found)
    stored = pq.read_table(pa.BufferReader((out / "samples.parquet").read_bytes())).to_pandas()
    assert stored["path"].tolist() == run.samples["path"].tolist()
    again = open_run(out)
    assert again.manifest.data.root == str(root)
    for arguments in (
        ("verify", out),
        ("specificity", out),
        ("figures", out, "-o", out / "figures", "--only", "gallery,heatmap", "--format", "png"),
        ("report", out, "-o", out / "report.html"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SevizWarning)
            told = command(*arguments)
        assert told.exit_code == 0, told.output
        assert is_plain(told.output)
    html5lib.HTMLParser(strict=True).parse((out / "report.html").read_text("utf-8"))
