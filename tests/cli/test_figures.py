from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from seviz.run.store import Run
from tests.cli.commands import run
from tests.made_runs import make_run


def figures(*arguments: object) -> Result:
    return run("figures", *arguments)


@pytest.fixture
def made(tmp_path: Path) -> Run:
    gates = {block: np.random.default_rng(0).random((30, 6)) for block in ("SE_2_1", "SE_3_1")}
    return make_run(tmp_path / "run", gates, np.repeat([0, 1, 2], 10), kept=np.zeros(30, bool))


def test_all_that_can_be_drawn_is_and_the_rest_is_said(made: Run, tmp_path: Path) -> None:
    result = figures(made.path, "-o", tmp_path / "f", "--format", "svg")
    assert result.exit_code == 0, result.output
    names = ("excitation", "spread", "specificity", "depth", "saturation", "heatmap", "similarity")
    files = {str(tmp_path / "f" / f"{name}.{kind}") for name in names for kind in ("csv", "svg")}
    assert set(result.stdout.split()) == files
    assert {str(path) for path in (tmp_path / "f").iterdir()} == files
    said = result.stderr.splitlines()
    assert [line.split()[0] for line in said] == ["distribution", "embedding", "gallery", "convergence", "comparison"]
    assert "is left out: " in said[0]
    assert "keeps the gates of no image" in said[0]


def test_only_some_are_drawn(made: Run, tmp_path: Path) -> None:
    result = figures(made.path, "-o", tmp_path / "f", "--only", "heatmap,depth", "--format", "png")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "f").iterdir()} == {
        f"{n}.{k}" for n in ("heatmap", "depth") for k in ("csv", "png")
    }
    unknown = figures(made.path, "-o", tmp_path / "g", "--only", "pie")
    assert unknown.exit_code == 2
    assert unknown.stderr.startswith("error: no figure 'pie'; expected some of excitation, spread")
    assert not (tmp_path / "g").exists()


def test_two_runs_are_compared(made: Run, tmp_path: Path) -> None:
    other = make_run(
        tmp_path / "other", {b: made[b]["mean"].to_numpy().repeat(10, 0) for b in made.blocks}, made.labels
    )
    options = ("--only", "depth,comparison", "--format", "svg")
    result = figures(made.path, "-o", tmp_path / "f", "--against", other.path, *options)
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(tmp_path / "f" / "depth.csv")["run"]) == {"run", "other"}
    table = pd.read_csv(tmp_path / "f" / "comparison.csv")
    assert list(table["block"]) == list(made.blocks)
