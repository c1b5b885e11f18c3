"""What data sets can be given as stands in one place, and everywhere else the same."""

import re
from pathlib import Path

import pytest

from seviz.capture.specs import forms, in_words
from seviz.registry import LAYOUTS
from tests.cli.commands import run

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_the_readme() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \| (.*) \|$", README.read_text("utf-8"), re.M)
    table = dict(rows)
    for layout in LAYOUTS.values():
        assert table[", ".join(f"`{form}`" for form in layout.forms)] == layout.caption


@pytest.mark.parametrize("command", ["capture", "scan"])
def test_the_help_of_commands(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert re.search(r"\s+".join(map(re.escape, in_words().split())), run(command, "--help").stdout)


def test_messages_name_every_layout() -> None:
    assert set(forms()) | {"path/to/folder", "bundled"} == {f for layout in LAYOUTS.values() for f in layout.forms}
    assert all(form in in_words() for form in forms())


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=tuple(LAYOUTS))
def test_layouts_are_called_alike(layout: object) -> None:
    spec, where, *options = layout.parameters.values()
    assert (spec.name, where.name) == ("spec", "where")
    assert {option.name for option in options} <= {"split", "root", "preprocess", "label_separator"}
    assert all(option.kind is option.KEYWORD_ONLY and option.default is None for option in options)
    assert layout.title
