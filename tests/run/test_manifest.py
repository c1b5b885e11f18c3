import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from seviz.errors import DamagedRunError
from seviz.run.manifest import ChangeRecord, Manifest
from seviz.run.store import Run
from tests.made_runs import make_run

HERE = Path("run/manifest.json")


def test_written_and_read_back(tiny_run: Run) -> None:
    assert Manifest.from_json(tiny_run.manifest.to_json(), HERE) == tiny_run.manifest


def test_what_was_changed_and_older_manifests(tiny_run: Run) -> None:
    mine = tiny_run.manifest
    record = ChangeRecord(base="tests/tiny", what="other weights", changes={"removed": ["a"], "shapes": {"b": [1]}})
    changed = dataclasses.replace(mine, model=dataclasses.replace(mine.model, changed=record))
    assert Manifest.from_json(changed.to_json(), HERE) == changed
    assert mine.differences(changed) == ["changed in Python: nothing there, other weights now"]
    raw = json.loads(mine.to_json())
    del raw["model"]["changed"]
    for block in raw["blocks"]:
        del block["product"]
    assert Manifest.from_json(json.dumps(raw), HERE) == mine
    raw["model"]["changed"] = {"base": "tests/tiny"}
    with pytest.raises(DamagedRunError, match=r"has a missing or unknown field: .*what"):
        Manifest.from_json(json.dumps(raw), HERE)


def test_what_is_no_manifest_is_named(tiny_run: Run) -> None:
    with pytest.raises(DamagedRunError, match=r"manifest.json is not JSON .*; the run cannot be read without it"):
        Manifest.from_json("{", HERE)
    raw = json.loads(tiny_run.manifest.to_json())
    for wrong in ({**raw, "schema": 1}, [], {}):
        with pytest.raises(DamagedRunError, match=r"has schema (1|None), this seviz reads schema 2"):
            Manifest.from_json(json.dumps(wrong), HERE)
    for field in ("engine", "signals"):
        with pytest.raises(DamagedRunError, match=f"has a missing or unknown field: .*{field}"):
            Manifest.from_json(json.dumps({k: v for k, v in raw.items() if k != field}), HERE)
    raw["model"]["colour"] = "red"
    with pytest.raises(DamagedRunError, match=r"has a missing or unknown field: .*colour"):
        Manifest.from_json(json.dumps(raw), HERE)


def test_differences_are_phrases(tiny_run: Run) -> None:
    mine = tiny_run.manifest
    assert mine.differences(mine) == []
    engine = dataclasses.replace(mine.engine, batch_size=99)
    assert mine.differences(dataclasses.replace(mine, engine=engine, created="later")) == []
    model = dataclasses.replace(mine.model, spec="timm/other", weights_sha256="f" * 64)
    found = mine.differences(dataclasses.replace(mine, model=model, chunk_size=5))
    assert found[0] == "model: tests/tiny there, timm/other now"
    assert found[1].startswith("weights: ")
    assert found[2] == "chunk size: 11 there, 5 now"


def test_a_moved_data_set_is_the_same(tiny_run: Run) -> None:
    mine = tiny_run.manifest
    moved = dataclasses.replace(mine.data, spec="/elsewhere", root="/elsewhere")
    assert mine.differences(dataclasses.replace(mine, data=moved)) == []
    changed = dataclasses.replace(moved, fingerprint="0" * 64)
    assert len(mine.differences(dataclasses.replace(mine, data=changed))) == 2


def test_bounds_without_an_end_are_null(tmp_path: Path) -> None:
    gates = {"SE_2_1": np.full((2, 3), 0.5)}
    for gate, expected in (("sigmoid", [0, 1]), ("relu", [0, None]), ("other", [None, None])):
        manifest = make_run(tmp_path / gate, gates, np.zeros(2, int), gate=gate).manifest
        raw = json.loads(manifest.to_json(), parse_constant=pytest.fail)  # "Infinity" is no JSON
        assert raw["blocks"][0]["bounds"] == expected
        assert Manifest.from_json(json.dumps(raw), HERE) == manifest
    for wrong in ([1, 0], [0], ["a", 1]):
        raw["blocks"][0]["bounds"] = wrong
        with pytest.raises(DamagedRunError, match=r"manifest\.json has a field that cannot be read: "):
            Manifest.from_json(json.dumps(raw), HERE)
    raw["blocks"][0]["bounds"] = [1, 0]
    with pytest.raises(DamagedRunError, match=r"bounds are \[1, 0\], expected the low end and the high end"):
        Manifest.from_json(json.dumps(raw), HERE)
