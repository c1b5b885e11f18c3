"""What the package `seviz.tables` gives, and what is declared of it."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import seviz.tables
from seviz.registry import TABLES

OTHERS = {"analyse", "keep_table", "kept_table", "table_of"}


def test_the_stub_names_every_table_and_what_keeps_them() -> None:
    stub = ast.parse(Path(seviz.tables.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    named = {alias.asname: node.module for node in stub.body for alias in node.names}
    assert named == {**{name: name for name in TABLES}, **dict.fromkeys(OTHERS, "kept")}
    assert {*seviz.tables.__all__} == {*named}


@pytest.mark.parametrize("first", ["import seviz.tables.specificity", "from seviz.tables.kept import analyse", ""])
def test_a_name_is_the_function_whatever_was_imported_before(first: str) -> None:
    code = f"{first}\nfrom seviz.tables import specificity\nimport seviz.tables\n"
    code += "assert callable(specificity) and seviz.tables.specificity is specificity"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", list(TABLES))
def test_a_declaration_is_whole(name: str) -> None:
    table = TABLES[name]
    assert table.function.__module__ == f"seviz.tables.{name}"
    assert table.title
    assert table.caption.endswith(".")
    assert table.key
    assert TABLES.summary(name).endswith(".")
    undescribed = [name for name in table.parameters if name not in str(inspect.getdoc(table.function))]
    assert not undescribed
