"""What data sets can be given as stands in one place, and everywhere else the same."""

import re
from pathlib import Path

import pytest

from seviz.capture.grammar import GRAMMAR, HELP, LAYOUTS
from tests.cli.commands import run

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_the_readme() -> None:
    rows = re.findall(r"^\| (`[^|]*`) \| (.*) \|$", README.read_text("utf-8"), re.M)
    table = dict(rows)
    for layout in LAYOUTS.values():
        assert table[", ".join(f"`{form}`" for form in layout.forms)] == layout.expected


@pytest.mark.parametrize("command", ["capture", "scan"])
def test_the_help_of_commands(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert re.search(r"\s+".join(map(re.escape, HELP.split())), run(command, "--help").stdout)


def test_messages_name_every_layout() -> None:
    for name, layout in LAYOUTS.items():
        if name != "folder":
            assert all(form in GRAMMAR and form in HELP for form in layout.forms)
