import os
import unicodedata

import pytest

from seviz.classes import Classes
from seviz.texts import as_utf8, named, path_of, path_text, visible
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
