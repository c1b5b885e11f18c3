"""Progress: a bar for a person, lines of JSON for a program."""

import io
import json
import sys
import warnings

import pandas as pd
import pytest

from seviz.cli.printing import print_grid, print_table
from seviz.cli.reporting import encode_all, put, reported, say
from seviz.errors import SevizWarning
from seviz.progress import bar as progress


def test_lines_of_json_where_a_program_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVIZ_PROGRESS", "json")
    with progress("measure") as step:
        for done in range(1, 1001):
            step(done, 1000)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == {"progress": "measure", "done": 1000, "total": 1000}
    assert len(lines) < 100


def test_a_bar_else(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with progress("measure", unit="tables") as step:
        step(3, 3)
    said = capsys.readouterr().err
    assert "measure" in said
    assert "3/3" in said
    assert "{" not in said


def test_a_label_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with progress("[bold]x[/bold] \x1b[31m {task} \udc80") as step:
        step(1, 1)
    assert r"[bold]x[/bold] \x1b[31m {task} \udc80" in capsys.readouterr().err


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
