"""Lists in options: commas as in CSV, several values, files."""

from pathlib import Path

import pytest

from seviz.errors import OptionError
from seviz.lists import joined_list, split_list
from tests.cli.commands import error_of


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (None, None),
        ("", []),
        ([], []),
        ("a, b,,c ", ["a", "b", "c"]),
        (["a,b", "c"], ["a", "b", "c"]),
        (['"crane, bird",cat'], ["crane, bird", "cat"]),
        (['"say ""cheese""", 5" disc'], ['say "cheese"', '5" disc']),
        (['"@home"', "a@b", "b,@c"], ["@home", "a@b", "b", "@c"]),
        (["SE_2_1", " SE_2_1"], ["SE_2_1", "SE_2_1"]),
    ],
)
def test_parts_of_a_list(given: list[str] | str | None, parts: list[str] | None) -> None:
    assert split_list(given) == parts
    if parts is not None:
        assert split_list(joined_list(parts)) == parts


def test_lists_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "classes.txt"
    file.write_bytes('\ufeffcrane, bird\r\n\r\n  "cat"\n@x\nZürich'.encode())
    assert split_list(["dog", f"@{file}"]) == ["dog", "crane, bird", '"cat"', "@x", "Zürich"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert split_list("@~/classes.txt") == split_list([f"@{file}"])


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    for value, reason in (('"a', "unexpected end of data"), ('"a" b', "expected after '\"'"), ("a\nb", "new-line")):
        with pytest.raises(OptionError, match=rf"list .* cannot be read \(.*{reason}.*\). Put commas between"):
            split_list([value])
    (tmp_path / "latin").write_bytes(b"Z\xfcrich")
    for name, reason in (("none", "No such file or directory"), ("", "Is a directory"), ("latin", "no text in UTF-8")):
        message = rf"list '@.*': the file '.*' cannot be read \({reason}\). After @ give a text file"
        with pytest.raises(OptionError, match=message):
            split_list([f"@{tmp_path / name}"])
    assert "list '@': the file '.' cannot be read (" in error_of(
        "figures", tmp_path / "run", "-o", tmp_path, "--format", "@"
    )
