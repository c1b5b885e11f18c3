import csv
import html
import io
import os
import re
import shutil
import subprocess
import unicodedata
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt

from seviz import texts
from seviz.classes import Classes
from seviz.texts import as_utf8, command_line, csv_text, markdown_text, named, path_of, path_text, visible
from tests.odd_names import NAMES

KEPT = ("$x_$y", r"$\frac{1}{0$", "100 %", "</style>", "*a*", "👩‍👩‍👧", "é", "中文", "دب قطبي", "می‌خواهم", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "")


@pytest.mark.parametrize("text", KEPT)
def test_what_is_seen_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_what_is_obeyed_is_written_as_python_would() -> None:
    # `repr` decides independently: all of these are unprintable to Python
    for character in "\x00\x07\x08\t\n\r\x1b\x7f\x9b\xad\u200e\u200f\u2028\u202e\u2066\u2069\ufeff\udc80\ud800\uffff":
        assert visible(f"a{character}b") == f"a{character!r}b".replace("'", ""), hex(ord(character))
    assert visible("\U0001ffff") == r"\U0001ffff"
    assert visible("a\nb\x07", keep="\n\t") == "a\nb\\x07"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_control_direction_or_surrogate_is_left_and_all_can_be_encoded(name: str) -> None:
    shown = named(name)
    assert shown.strip()
    shown.encode()
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "PDI"}


def test_a_blank_name_stands_in_quotes() -> None:
    assert (named(""), named("  "), named("a "), visible("")) == ("''", "'  '", "a ", "")


PATHS = (
    b"a/1.png",
    b"\xff.png",
    b"%FF.png",
    b"%25FF.png",
    b"100%\xff",
    b"100%25",
    b"50%",
    b"a%20b",
    b"\xed\xa0\x80",
    b"%",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_found_again(path: bytes) -> None:
    text = path_text(os.fsdecode(path))
    text.encode()
    assert os.fsencode(path_of(text)) == path
    assert len({path_text(os.fsdecode(each)) for each in PATHS}) == len(PATHS)


@pytest.mark.parametrize("path", ["zürich/1.png", "100%25", "a%20b.png", "50%", "c%23.png"])
def test_plain_paths_are_stored_as_they_are(path: str) -> None:
    assert path_text(path) == path


def test_stored_text_is_utf8_and_stays_so() -> None:
    assert as_utf8("caf\udce9") == "caf%E9"
    assert as_utf8("a\ud800") == "a%ED%A0%80"
    assert as_utf8("caf%E9") == "caf%E9"
    assert Classes(("caf\udce9", "b"), ("\udc80", "b")).ids == ("caf%E9", "b")
    assert Classes(("a", "b"), ("\udc80", "b")).names == ("%80", "b")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_markdown_shows_a_text_as_it_is(name: str) -> None:
    marked = markdown_text(named(name))
    cells = MarkdownIt().enable("table").render(f"| a | b |\n|---|---|\n| {marked} | {marked} |\n")
    assert re.findall(r"<td>(.*?)</td>", cells) == [html.escape(named(name)).replace("&#x27;", "'").strip()] * 2
    heading = MarkdownIt().render(f"# {marked}").removeprefix("<h1>").removesuffix("</h1>\n")
    assert html.unescape(heading) == named(name).strip()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_command_is_one_line_that_the_shell_reads_as_it_was() -> None:
    names = [name for name in NAMES.values() if "\x00" not in name and "\ud83d" not in name]  # no argument can be so
    lines = [command_line(["printf", r"%s\0", name]) for name in names]
    assert list(map(visible, lines)) == lines
    bash = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True)
    assert bash.stdout.split(b"\0")[:-1] == list(map(os.fsencode, names))


@pytest.mark.parametrize("index", [False, True])
def test_csv_is_read_as_it_was(index: bool) -> None:
    names = [as_utf8(name) for name in NAMES.values()]
    table = pd.DataFrame({"name": names, "value": np.linspace(0, 1, len(names))}, index=pd.Index(names, name="id"))
    text = csv_text(table, index=index)
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [row[-2] for row in rows] == ["name", *names]
    assert [float(row[-1]) for row in rows[1:]] == table["value"].tolist()
    again = pd.read_csv(io.StringIO(text), keep_default_na=False, dtype={"name": object})
    assert again["name"].tolist() == names
    assert csv_text(pd.DataFrame({"a": ["x,y", 'q"'], "b": [0.5, 1]})) == 'a,b\n"x,y",0.5\n"q""",1.0\n'


def test_a_command_as_it_is_typed_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "os", SimpleNamespace(name="nt"))
    command = ["seviz", "blocks", r"C:\my nets\net.py:make", "it's"]
    assert texts.command_line(command) == r"""seviz blocks "C:\my nets\net.py:make" it's"""
