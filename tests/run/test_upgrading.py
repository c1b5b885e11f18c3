import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seviz
from seviz.errors import DamagedRunError, OldRunError, RunNotFoundError
from seviz.run.files import read_arrays, write_arrays
from seviz.run.store import Run
from seviz.run.upgrading import upgrade
from seviz.run.verification import verify
from tests.cli.commands import error_of, run
from tests.made_runs import make_run

GATES = {"SE_2_1": np.linspace(0.1, 0.9, 40).reshape(10, 4), "SE_3_1": np.linspace(0.2, 0.8, 20).reshape(10, 2)}


def aged(path: Path, **fields: object) -> Path:
    """A run as seviz wrote it with schema 2: no checksum, other JSON, no hashes of images, fewer fields."""
    for chunk in sorted((path / "chunks").iterdir()):
        arrays, facts = read_arrays(chunk)
        write_arrays(chunk, arrays, {name: value for name, value in facts.items() if name != "contents"})
    table = pd.read_parquet(path / "samples.parquet").drop(columns="content")
    table.to_parquet(path / "samples.parquet")
    raw = json.loads((path / "manifest.json").read_text())
    del raw["checksum"]
    for name in ("factory_sha256", "weights_file_sha256", "assumed"):
        del raw["model"][name]
    text = json.dumps(raw | {"schema": 2} | fields, indent=1, ensure_ascii=False) + "\n"
    (path / "manifest.json").write_text(text, encoding="utf-8")
    return path


def test_a_run_of_the_schema_before_is_brought_along(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", GATES, np.arange(10) % 2, classes=("café", "紅"), chunk_size=4)
    before = {path: path.read_bytes() for path in made.path.rglob("*.safetensors")}
    aged(made.path)
    with pytest.raises(
        OldRunError, match=r"manifest\.json: schema is 2, .* `seviz upgrade .*run` brings the run along"
    ):
        seviz.open_run(made.path)
    assert "seviz upgrade" in error_of("specificity", made.path)
    result = run("upgrade", made.path)
    assert (result.exit_code, result.stderr) == (0, f"{made.path}: upgraded\n")
    again = seviz.open_run(made.path)
    assert again.manifest == made.manifest
    assert again.samples["content"].isna().all()
    pd.testing.assert_frame_equal(again.samples, made.samples)
    assert {path: path.read_bytes() for path in before} == before
    assert verify(again) == []
    assert run("upgrade", made.path).stderr == f"{made.path}: is of this format already; nothing was changed\n"


def test_an_upgrade_that_was_interrupted_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aged(make_run(tmp_path / "run", GATES, np.arange(10) % 2).path)
    old = (path / "manifest.json").read_bytes()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seviz.run.upgrading.samples_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        upgrade(path)
    assert (path / "manifest.json").read_bytes() == old
    monkeypatch.undo()
    assert upgrade(path)
    assert verify(seviz.open_run(path)) == []


def test_what_is_of_no_known_format_is_left(tmp_path: Path) -> None:
    path = aged(make_run(tmp_path / "run", GATES, np.arange(10) % 2).path, schema=1)
    for schema, remedy in ((1, "capture the images again"), (99, "use the seviz that made it, or a newer one")):
        raw = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps(raw | {"schema": schema}))
        with pytest.raises(DamagedRunError, match=rf"schema is {schema}, and this seviz reads schema 3; {remedy}"):
            upgrade(path)
    with pytest.raises(RunNotFoundError, match=r"it has no manifest\.json"):
        upgrade(tmp_path / "nothing")


def test_an_old_run_is_checked_as_a_whole(tmp_path: Path) -> None:
    path = aged(make_run(tmp_path / "run", GATES, np.arange(10) % 2).path, chunks=7)
    before = {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(DamagedRunError, match=r"manifest\.json is damaged: chunks is 7, expected 1 for the 10 of data"):
        upgrade(path)
    assert {file.name: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_a_run_from_before_bounds_were_written_down(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", GATES, np.arange(10) % 2, gate="hard_sigmoid")
    raw = json.loads((made.path / "manifest.json").read_text())
    for block in raw["blocks"]:
        del block["bounds"], block["product"]
    upgrade(aged(made.path, blocks=raw["blocks"]))
    again = seviz.open_run(made.path)
    assert again.manifest == made.manifest
    assert again.bounds("SE_3_1") == (0, 1)
    np.testing.assert_allclose(again.gates("SE_2_1"), GATES["SE_2_1"], atol=8e-6)


def test_an_unfinished_capture_is_brought_along(tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", GATES, np.arange(10) % 2, chunk_size=4)
    path = aged(made.path)
    (path / "samples.parquet").unlink()
    shutil.rmtree(path / "moments")
    made.chunk_path(2).unlink()
    assert upgrade(path)
    assert Run(path).manifest == made.manifest
    assert not Run(path).complete
    assert not (path / "samples.parquet").exists()


def test_joined_runs_had_the_chunk_size_of_the_first(tmp_path: Path) -> None:
    path = aged(make_run(tmp_path / "run", GATES, np.arange(10) % 2, chunk_size=8).path, chunk_size=5)
    assert upgrade(path)
    assert Run(path).manifest.chunk_size == 8
    assert verify(Run(path)) == []
