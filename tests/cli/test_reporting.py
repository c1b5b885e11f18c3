"""Messages, notes and tables, as commands print them."""

import io
import sys
import warnings

import pandas as pd
import pytest

from seviz.cli.printing import print_grid, print_table
from seviz.cli.reporting import encode_all, put, reported, say
from seviz.errors import SevizWarning


def test_messages_and_results_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb\x07\u202e")
    put("c\r\x1b[2J\udc80")
    assert capsys.readouterr() == ("c\\r\\x1b[2J\\udc80\n", "a\\nb\\x07\\u202e\n")


def test_warnings_of_seviz_are_notes_and_others_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with reported():
            warnings.warn("no font for \x1b", SevizWarning, stacklevel=1)
            warnings.warn("of another library", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: no font for \\x1b\n"
    assert [str(each.message) for each in others] == ["of another library"]


def test_what_an_encoding_lacks_is_written_as_its_escape() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    encode_all(stream, io.StringIO())
    stream.write("熊 ω²")
    stream.flush()
    assert stream.buffer.getvalue() == rb"\u718a \u03c9\xb2"  # type: ignore[attr-defined]


def test_a_grid_shows_markup_and_emoji_codes_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_grid(("[b]", ":cat:"), [("[red]x[/red]", ":dog: \x1b[31m"), (1, "\n")], right=(0,), title="[i]t")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["[i]t", "         [b]  :cat:", r"[red]x[/red]  :dog: \x1b[31m", r"           1  \n"]


def test_csv_is_exact_but_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"name": ["\x1b[31mred", "b"]})
    print_table(table, as_json=False, as_csv=True)
    assert capsys.readouterr().out == "name\n\x1b[31mred\nb\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(table, as_json=False, as_csv=True)
    assert capsys.readouterr().out == "name\n\\x1b[31mred\nb\n"
