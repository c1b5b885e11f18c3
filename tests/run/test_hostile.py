"""Runs that a stranger made, or a bad disk: each ends in one line that names file and field."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main
from click.testing import CliRunner

import seviz
from seviz.cli import app
from seviz.errors import SevizError
from seviz.run.store import Run
from tests.made_runs import make_run
from tests.run.hostile_files import CASES, IMAGES, Case

COMMAND = typer.main.get_command(app)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three blocks and two classes in one chunk."""
    random = np.random.default_rng(0)
    gates = {name: random.uniform(0.1, 0.9, (IMAGES, 4)) for name in ("SE_2_1", "SE_3_1", "SE_3_3")}
    return make_run(tmp_path_factory.mktemp("hostile") / "run", gates, np.arange(IMAGES) % 2).path


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Nothing waits for the other end of a FIFO."""

    def late(*_: object) -> None:
        raise AssertionError("no answer in a minute")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _told(*arguments: str) -> str:
    result = CliRunner().invoke(COMMAND, list(arguments))
    assert isinstance(result.exception, SystemExit), (result.output, result.exception)
    assert result.exit_code in (1, 2)
    lines = result.output.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].isprintable()
    assert len(lines[0]) < 700
    return lines[0]


def _read(run: Run) -> None:
    """All of a run."""
    _ = run.samples, run.labels, run.remarks
    for block in run.blocks:
        run.moments(block)
        run.gates(block)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        pytest.param(name, right, id=f"{name}-{'checksum right' if right else 'as it is'}")
        for name, case in CASES.items()
        for right in (False, True)[: 1 + case.checksums]
    ],
)
def test_what_is_not_to_be_believed_is_told_in_a_line(name: str, right: bool, finished: Path, tmp_path: Path) -> None:
    case: Case = CASES[name]
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    case.change(run, right)
    message = case.message
    if case.checksums and not right:
        message = rf"does not match its content|checksum is|{message}"
    told = [_told("verify", str(run))]
    if case.by != "verify":
        with pytest.raises(SevizError) as raised:
            _read(seviz.open_run(run))
        told += [_told("specificity", str(run)), str(raised.value)]
    for line in told:
        assert re.search(message, line), line
        assert case.file in line or case.by == "gates"
