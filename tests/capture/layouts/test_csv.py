import ntpath
import os
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from seviz.capture.datasets import open_dataset
from seviz.capture.layouts.csv import csv
from seviz.errors import DataFormatError, EmptyDataError, OptionError
from tests.capture.layouts.made_layouts import make_listing
from tests.cli.commands import error_of


def test_one_label_an_image(tmp_path: Path) -> None:
    data = csv("given", make_listing(tmp_path), root=None)
    assert (data.spec, data.root, data.classes.ids) == ("given", tmp_path, ("cat", "dog"))
    assert (data.paths, data.labels.tolist()) == (("1.png", "b/1.png", "b/2.png"), [0, 0, 1])
    assert [data.read(k).status for k in range(3)] == ["ok"] * 3


def test_several_labels_an_image(tmp_path: Path) -> None:
    data = csv("", make_listing(tmp_path, "path,label\nb.png,dog | cat\nc.png,dog\na.png,ox|ox\n"), root=None)
    assert (data.multi, data.classes.ids) == (True, ("cat", "dog", "ox"))
    assert data.paths == ("a.png", "b.png", "c.png")
    assert data.labels.astype(int).tolist() == [[0, 0, 1], [1, 1, 0], [0, 1, 0]]


def test_as_spreadsheets_write_it(tmp_path: Path) -> None:
    text = '\ufeffid,path, label \r\n7,"a, b.png", Zürich\r\n\r\n8,b.png,"say ""cheese"""\r\n'
    data = csv("", make_listing(tmp_path, text), root=None)
    assert set(data.paths) == {"a, b.png", "b.png"}
    assert data.classes.ids == ("Zürich", 'say "cheese"')  # Z comes before s


def test_images_elsewhere(tmp_path: Path) -> None:
    file = make_listing(tmp_path / "data").rename(tmp_path / "list.csv")
    data = csv("", file, root=tmp_path / "data")
    assert data.root == tmp_path / "data"
    assert data.read(0).status == "ok"
    file.write_text(f"path,label\n{tmp_path}/data/b/1.png,cat\n../x.png,cat\n")
    assert csv("", file, root=None).paths == ("../x.png", "data/b/1.png")
    with pytest.raises(
        DataFormatError, match=r"line 2: '/.*1.png' does not lie in '.*/data/c', .* give a folder that ho"
    ):
        csv("", file, root=tmp_path / "data" / "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "list.csv' has no columns 'path', expected one; its first line is ''"),
        ("path,class\na.png,cat\n", "has no columns 'label', expected one; its first line is 'path,class'"),
        ("path,label,path\na.png,cat,b.png\n", "has 2 columns 'path', expected one"),
        ("path,label\na.png,cat\n,cat\n", "list.csv', line 3: no path"),
        ("path,label\na.png,cat\n\nb.png,\n", "line 4: no label"),
        ("path,label\na.png\n", "line 2: no label"),
        ("path,label\na.png,cat,dog\n", "line 2: more fields than the 2 of the header; put a field with a comma in q"),
        ("path,label\na.png,cat\nb.png,cat\n./a.png,cat\n", "line 4: './a.png' stands in line 2 already"),
        ("path,label\na.png,cat|\n", r"line 2: label 'cat\|' has an empty part"),
        ('path,label\n"a.png,' + "x" * 200_000, r"list.csv' is no CSV file in UTF-8 \(field larger than"),
    ],
)
def test_rows_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=message):
        csv("", make_listing(tmp_path, text), root=None)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    file = make_listing(tmp_path)
    file.write_bytes("path,label\na.png,Zürich\n".encode("latin-1"))
    with pytest.raises(DataFormatError, match=r"list.csv' is no CSV file in UTF-8 \('utf-8' codec can't decode byte"):
        csv("", file, root=None)


def test_a_header_alone(tmp_path: Path) -> None:
    with pytest.raises(EmptyDataError, match=r"data 'given' lists no image: '.*list.csv' has a header and no row"):
        csv("given", make_listing(tmp_path, "path,label\n"), root=None)


def test_paths_of_windows_are_kept_with_slashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are read on every system. There `os` parts folders by a backslash, and knows drives."""
    file = make_listing(tmp_path, "path,label\nb\\2.png,dog\nb\\c/1.png,cat\nC:\\data\\e\\3.png,cat\n")
    windows = SimpleNamespace(path=ntpath, sep="\\", pardir="..", fsencode=os.fsencode)
    monkeypatch.setattr("seviz.capture.layouts.csv.os", windows)
    data = csv("", file, root=PureWindowsPath(r"C:\data"))
    assert data.paths == ("b/c/1.png", "e/3.png", "b/2.png")
    with pytest.raises(DataFormatError, match=r"line 4: 'C:.*3\.png' does not lie in 'D:.*data', which paths are rel"):
        csv("", file, root=PureWindowsPath(r"D:\data"))


def test_a_backslash_in_a_name_stays_on_other_systems(tmp_path: Path) -> None:
    assert csv("", make_listing(tmp_path, "path,label\nb\\2.png,dog\n"), root=None).paths == (r"b\2.png",)


@pytest.mark.parametrize(
    ("field", "separator", "labels"),
    [
        (r"a\|b", "|", ["a|b"]),
        (r"a\|b|c", "|", ["a|b", "c"]),
        (r"a\\|c", "|", ["a\\", "c"]),
        (r"a\b|c", "|", ["a\\b", "c"]),
        ("a|b;c", ";", ["a|b", "c"]),
        (r"a\;b;c\|", ";", ["a;b", "c\\|"]),
        ("a, b, c", ",", ["a", "b", "c"]),
        ("a and b", " and ", ["a", "b"]),
        (r"a|\|b", "", [r"a|\|b"]),
        ("a.b", ".", ["a", "b"]),
    ],
)
def test_separators(field: str, separator: str, labels: list[str], tmp_path: Path) -> None:
    file = make_listing(tmp_path, f'path,label\n1.png,"{field}"\n')
    assert sorted(csv("", file, root=None, label_separator=separator).classes.ids) == sorted(labels)
    assert sorted(open_dataset(f"csv:{file}", label_separator=separator).classes.ids) == sorted(labels)


def test_separators_that_are_none(tmp_path: Path) -> None:
    for separator in (" ", "\\", 'a"', "\t"):
        with pytest.raises(OptionError, match=r"label_separator is '.*', expected text without backslashes and quotes"):
            csv("", make_listing(tmp_path), root=None, label_separator=separator)
    said = error_of("scan", f"csv:{make_listing(tmp_path)}", "--label-separator", " ")
    assert "label_separator is ' ', expected text" in said
