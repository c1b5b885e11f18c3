"""`seviz dashboard`: hands over to Streamlit, with nothing but what was asked for."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from seviz.cli import app
from seviz.run.store import Run
from tests.made_runs import make_run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that took the place of the process."""
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, command: commands.append([program, *command[1:]]))
    return commands


@pytest.fixture
def made(tmp_path: Path) -> Run:
    import numpy as np

    labels = np.arange(8) % 2
    return make_run(tmp_path / "run", {"SE_2_1": np.linspace(0, 1, 32).reshape(8, 4)}, labels)


def test_it_serves_the_runs_on_this_machine_only(served: list[list[str]], made: Run) -> None:
    result = CliRunner().invoke(app, ["dashboard", str(made.path), "--port", "9000"])
    assert (result.exit_code, result.output) == (0, "")
    assert served[0][-4:] == ["--server.address=127.0.0.1", "--server.port=9000", "--", str(made.path)]


def test_other_machines_are_let_in_with_a_warning(served: list[list[str]], made: Run) -> None:
    result = CliRunner().invoke(app, ["dashboard", str(made.path), "--host", "0.0.0.0", "--allow-host", "gpu.lab"])
    assert result.exit_code == 0
    assert "there is no password" in result.output
    assert "--server.allowedHosts=gpu.lab" in served[0]


def test_what_is_not_there_is_told_before_anything_is_served(served: list[list[str]], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["dashboard", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "no run in" in result.output
    assert served == []
