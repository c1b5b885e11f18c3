"""Progress: a bar for a person, lines of JSON for a program, steps for a function."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seviz.progress import Progress, bar, steps_of


def test_lines_of_json_where_a_program_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEVIZ_PROGRESS", "json")
    with bar("measure") as step:
        for done in range(1, 1001):
            step(done, 1000)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines[-1] == {"progress": "measure", "done": 1000, "total": 1000}
    assert len(lines) < 100


def test_a_bar_else(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with bar("measure", unit="tables") as step:
        step(3, 3)
    said = capsys.readouterr().err
    assert "measure" in said
    assert "3/3" in said
    assert "{" not in said


def test_a_label_is_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with bar("[bold]x[/bold] \x1b[31m {task} \udc80") as step:
        step(1, 1)
    assert r"[bold]x[/bold] \x1b[31m {task} \udc80" in capsys.readouterr().err


@pytest.mark.parametrize("asked", [True, False])
def test_steps_are_a_bar_or_nothing(
    asked: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEVIZ_PROGRESS", raising=False)
    with steps_of(asked)("measure") as step:
        step(3, 3)
    assert ("3/3" in capsys.readouterr().err) == asked


def test_steps_are_told_to_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[object] = []

    @contextmanager
    def mine(label: str) -> Iterator[Progress]:
        told.append(label)
        yield lambda done, total: told.append((done, total))

    with steps_of(mine)("measure") as step:
        step(1, 2)
    assert told == ["measure", (1, 2)]
    assert capsys.readouterr().err == ""
