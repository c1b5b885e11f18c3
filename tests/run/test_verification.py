import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from seviz.cli import app
from seviz.run.files import read_arrays, write_arrays
from seviz.run.store import Run
from seviz.run.verification import verify
from tests.made_runs import make_run


def flip(path: Path, position: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_whole_run_has_no_damage(tiny_run: Run) -> None:
    assert verify(tiny_run) == []
    result = CliRunner().invoke(app, ["verify", str(tiny_run.path)])
    assert (result.exit_code, result.stdout) == (0, f"{tiny_run.path}: 3 chunks, 3 blocks, all as written\n")


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("chunks/000001.safetensors", flip, "its checksum does not match its content"),
        ("chunks/000001.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-9]), "it cannot be read: "),
        ("chunks/000002.safetensors", Path.unlink, "is missing"),
        ("chunks/000000.safetensors", lambda path: path.replace(path.with_name("000001.safetensors")), "is missing"),
        ("moments/SE_3_1.safetensors", flip, "its checksum does not match its content"),
        ("moments/SE_3_1.safetensors", Path.unlink, "is missing"),
        ("moments/SE_3_1.safetensors", lambda path: path.write_bytes(b""), "it cannot be read: "),
        ("samples.parquet", flip, "it cannot be read: "),
        ("samples.parquet", Path.unlink, "is missing"),
    ],
)
def test_every_damage_is_named_with_its_remedy(
    name: str, damage: Callable[[Path], object], what: str, tiny_run: Run
) -> None:
    damage(tiny_run.path / name)
    first = verify(tiny_run)[0]
    assert first.path == tiny_run.path / name
    assert first.what.startswith(what)
    assert first.remedy.endswith("run the same capture again")
    result = CliRunner().invoke(app, ["verify", str(tiny_run.path), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["damaged"][0]["path"] == str(tiny_run.path / name)


def test_moments_of_another_run_are_noticed(tiny_run: Run) -> None:
    path = tiny_run.moments_path("SE_3_1")
    path.write_bytes(tiny_run.moments_path("SE_2_1").read_bytes())  # whole, but of another block
    [damage] = verify(tiny_run)
    assert damage.path == path
    assert damage.what.endswith(" is of shape (3, 8), expected (3, 12)")


def test_moments_of_another_block_of_the_same_width_are_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", dict.fromkeys(("SE_2_1", "SE_2_2"), np.full((4, 2), 0.5)), np.arange(4) % 2)
    shutil.copy(run.moments_path("SE_2_1"), run.moments_path("SE_2_2"))
    assert [damage.what for damage in verify(run)] == ["block is 'SE_2_1', expected 'SE_2_2'"]


@pytest.mark.parametrize(("of", "at"), [(0, 1), (2, 1)])
def test_a_chunk_in_the_place_of_another_is_noticed(of: int, at: int, tiny_run: Run) -> None:
    shutil.copy(tiny_run.chunk_path(of), tiny_run.chunk_path(at))
    assert [(d.path, d.what) for d in verify(tiny_run)] == [(tiny_run.chunk_path(at), f"is chunk {of}, not {at}")]


def test_where_gates_left_their_bounds_is_verified(tmp_path: Path) -> None:
    gates = np.linspace(0.1, 0.9, 20).reshape(10, 2)
    gates[4, 0] = 7
    run = make_run(tmp_path / "run", {"SE_2_1": gates}, np.zeros(10, int), chunk_size=3)
    assert verify(run) == []
    path = run.moments_path("SE_2_1")
    arrays, facts = read_arrays(path)
    assert facts.pop("outside") == [1]
    write_arrays(path, arrays, facts)
    assert [(d.path, d.what) for d in verify(run)] == [(path, "is not what the chunks give")]
