import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta

from seviz.foreign import as_type, line, matching, parse_json, read_regular, regular, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x1b[2J\n\ud800\u202eé紅", r"'a\x1b[2J\n\ud800\u202eé紅'"),
        ("x" * 60, f"'{'x' * 60}'"),
        ("x" * 61, f"'{'x' * 55}...'"),
        (True, "true"),
        (None, "null"),
        (3, "3"),
        (1e308, "1e+308"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object of 1 fields"),
    ],
)
def test_values_are_shown_short_and_printable(value: object, expected: str) -> None:
    assert shown(value) == expected
    assert len(shown(10**500)) == 60


def test_an_error_is_told_on_one_line() -> None:
    assert line(ValueError("a\nb\x07 " + "c" * 500)) == "a b\\x07 " + "c" * 187 + "..."
    assert line(ValueError()) == "ValueError"


@dataclass(frozen=True, kw_only=True)
class Inner:
    count: Annotated[int, Meta(ge=0, le=9)]
    name: Annotated[str, matching(r"^[a-z]\Z", "one letter")] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: tuple[Inner, ...]
    shares: tuple[float, float] = (0.0, 1.0)
    by_name: dict[str, Annotated[str, Meta(max_length=3)]] = None  # type: ignore[assignment]
    free: dict[str, Any] = None  # type: ignore[assignment]


def test_what_fits_becomes_the_type() -> None:
    raw = {"inner": [{"count": 3}], "shares": [0, 0.5], "free": {"any": [{"thing": None}]}}
    made = as_type(raw, Outer)
    assert made == Outer(inner=(Inner(count=3),), shares=(0.0, 0.5), free=raw["free"])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"inner": [{"count": 3}, {"count": 10}]}, "o.inner[1].count is 10, expected int <= 9"),
        ({"inner": [{"count": True}]}, "o.inner[0].count is true, expected int"),
        ({"inner": [{"count": 1.5}]}, "o.inner[0].count is 1.5, expected int"),
        ({"inner": [{}]}, "o.inner[0].count is missing"),
        ({}, "o.inner is missing"),
        ([], "o is a list of 0, expected object"),
        ({"inner": [{"count": 1, "name": "A"}]}, "o.inner[0].name is 'A', expected one letter"),
        ({"inner": [{"count": 1, "more": 2}]}, "o.inner[0].more is no field that is known"),
        ({"inner": [], "\n": 2}, r"o.\n is no field that is known"),
        ({"inner": [], "shares": [0, 10**400]}, "o.shares[1] is 1000"),
        ({"inner": [], "shares": [0]}, "o.shares is a list of 1, expected array of length 2"),
        (
            {"inner": [], "by_name": {"k": "long"}},
            "o.by_name has an entry that does not fit: expected str of length <= 3",
        ),
        ({"inner": [], "by_name": {"k": 1}}, "o.by_name has an entry that does not fit: expected str, got int"),
    ],
)
def test_what_does_not_fit_is_named(raw: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        as_type(raw, Outer, other="o.")
    assert str(raised.value).startswith(message)


def test_json_is_read_as_json_reads_it() -> None:
    text = r'{"a": [1, -2.5e3, "\"[{", "\ud800", true, null], "b": {}}'
    assert parse_json(text.encode()) == json.loads(text)
    assert parse_json(b"[" * 32 + b"]" * 32)
    nested = json.dumps("[" * 1000)
    assert parse_json(nested.encode()) == "[" * 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 33 + b"]" * 33, r"it is nested 33 levels deep, expected at most 32"),
        (b'"\\"' + b"[" * 99, r"it is not JSON"),
        (b'{"a": 1, "a": 2}', r"it has 'a' twice in one object"),
        (b"1" * 31, r"it has an integer of 31 digits, expected at most 30"),
        (b"-Infinity", r"it has the number -Infinity, expected finite ones"),
        (b"1e400", r"it has the number 1e400, expected finite ones"),
        (b"\xff", r"it is not UTF-8 \(byte 0\)"),
        (b"", r"it is not JSON"),
        (b"[1, 2", r"it is not JSON"),
        (b"[]," * 1_000_001, r"it has 1,000,001 lists and objects, expected at most 1,000,000"),
    ],
)
def test_json_that_is_not_read(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(content)


def test_files_are_regular_ones_within_their_directory(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_bytes(b"12")
    (inside / "file").write_bytes(b"123")
    (inside / "again").symlink_to("file")
    (inside / "link").symlink_to(outside)
    (inside / "loop").symlink_to("loop")
    (inside / "up").symlink_to("..")
    os.mkfifo(inside / "fifo")
    assert regular(inside / "file", within=inside, largest=3) == 3
    assert read_regular(inside / "again", within=inside, largest=3) == b"123"
    for name, message in (
        ("link", "it is a link that leads out of"),
        ("up/out", "it is a link that leads out of"),
        ("../out", "it is a link that leads out of"),
        ("fifo", "it is a FIFO, expected a regular file"),
        (".", "it is a directory, expected a regular file"),
    ):
        with pytest.raises(ValueError, match=message):
            read_regular(inside / name, within=inside, largest=3)
    with pytest.raises(ValueError, match=r"it has 3 bytes, expected at most 2"):
        regular(inside / "file", within=inside, largest=2)
    with pytest.raises(OSError, match="symbolic links"):
        regular(inside / "loop", within=inside, largest=2)
    with pytest.raises(FileNotFoundError):
        regular(inside / "none", within=inside, largest=2)
    linked = tmp_path / "linked"
    linked.symlink_to(inside)  # the directory itself may be one
    assert read_regular(linked / "file", within=linked, largest=3) == b"123"
