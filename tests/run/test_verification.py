import dataclasses
import json
import os
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


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("notes.txt", "is unknown: no file of a run is called 'notes.txt'"),
        ("chunks/000007.tmp", "is unknown: no file of a run is called '000007.tmp'"),
        ("chunks/inner/000000.safetensors", "is unknown: no folder of a run is called 'inner'"),
        ("moments/SE_9_9.safetensors", "is unknown: no file of a run is called 'SE_9_9.safetensors'"),
        ("tables/e\x1bvil.py", "is unknown: no file of a run is called 'e\\x1bvil.py'"),
        ("more/file", "is unknown: no folder of a run is called 'more'"),
        ("chunks/.000001.safetensors.host.1.tmp", "was left by a process that was killed while it wrote it"),
    ],
)
def test_files_that_are_none_of_a_run_are_named(name: str, what: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((4, 2), 0.5)}, np.arange(4) % 2)
    for known in ("report.html", "figures/a.png", "compressions/001-fold/network.json", "tables/t-0.parquet"):
        (run.path / known).parent.mkdir(parents=True, exist_ok=True)
        (run.path / known).touch()
    (run.path / "tables" / "t-0.parquet").unlink()
    assert verify(run) == []
    (run.path / name).parent.mkdir(parents=True, exist_ok=True)
    (run.path / name).touch()
    [damage] = verify(run)
    assert damage.path.is_relative_to(run.path)
    assert damage.what == what


def test_links_and_fifos_beside_the_files_of_a_run_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((4, 2), 0.5)}, np.arange(4) % 2)
    (run.path / "report.html").symlink_to("/etc/passwd")
    (run.path / "figures").mkdir()
    os.mkfifo(run.path / "figures" / "a.png")
    (run.path / "compressions").symlink_to("/etc")
    assert [(d.path.name, d.what) for d in verify(run)] == [
        ("compressions", "is a link to a folder, expected the folder"),
        ("report.html", f"cannot be read: it is a link that leads out of {run.path}, expected a file in it"),
        ("a.png", "cannot be read: it is a FIFO, expected a regular file"),
    ]


def test_many_missing_chunks_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((60, 2), 0.5)}, np.arange(60) % 2, chunk_size=1)
    for index in range(1, 60):
        run.chunk_path(index).unlink()
    found = verify(run)
    assert [damage.what for damage in found] == ["is missing"] * 20 + ["has 39 chunks less, too"]


def test_images_that_the_chunks_do_not_have_are_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((6, 2), 0.5)}, np.arange(6) % 2, chunk_size=3)
    data = dataclasses.replace(run.manifest.data, images=5)
    (run.path / "manifest.json").write_text(dataclasses.replace(run.manifest, data=data).to_json())
    assert [damage.what for damage in verify(Run(run.path))] == ["hold 6 images, and data.images in manifest.json is 5"]
