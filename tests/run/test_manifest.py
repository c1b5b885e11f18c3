import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seviz.errors import DamagedRunError, OldRunError
from seviz.run.manifest import ChangeRecord, Manifest, checksum_of
from seviz.run.store import Run
from tests.made_runs import make_run

HERE = Path("run/manifest.json")


def signed(raw: dict[str, Any]) -> str:
    """The text of a manifest whose checksum is right."""
    return json.dumps({**raw, "checksum": checksum_of(raw)})


def test_written_and_read_back(tiny_run: Run) -> None:
    assert Manifest.from_json(tiny_run.manifest.to_json(), HERE) == tiny_run.manifest


def test_what_was_changed_and_older_manifests(tiny_run: Run) -> None:
    mine = tiny_run.manifest
    record = ChangeRecord(base="tests/tiny", what="other weights", changes={"removed": ["a"], "shapes": {"b": [1]}})
    changed = dataclasses.replace(mine, model=dataclasses.replace(mine.model, changed=record))
    assert Manifest.from_json(changed.to_json(), HERE) == changed
    assert mine.differences(changed) == ["changed in Python: nothing there, other weights now"]
    other_file = dataclasses.replace(mine, model=dataclasses.replace(mine.model, factory_sha256="ab" * 32))
    assert mine.differences(other_file) == ["factory's file: nothing there, abababababab now"]
    raw = json.loads(mine.to_json())
    for field in ("changed", "factory_sha256", "weights_file_sha256", "assumed"):
        del raw["model"][field]
    for block in raw["blocks"]:
        del block["product"]
    assert Manifest.from_json(signed(raw), HERE) == mine
    raw["model"]["changed"] = {"base": "tests/tiny"}
    with pytest.raises(DamagedRunError, match=r"run/manifest\.json is damaged: model\.changed\.what is missing"):
        Manifest.from_json(json.dumps(raw), HERE)


def test_the_checksum_is_the_recipe(tiny_run: Run) -> None:
    raw = json.loads((tiny_run.path / "manifest.json").read_text())
    given = raw.pop("checksum")
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert given == hashlib.sha256(canonical.encode()).hexdigest() == checksum_of({**raw, "checksum": "any"})
    raw["created"] = "later"
    for checksum in (given, None, 3):
        with pytest.raises(DamagedRunError, match=r"checksum is .*, and that of its content is '[0-9a-f]{12}\.\.\.'"):
            Manifest.from_json(json.dumps({**raw, "checksum": checksum}), HERE)
    assert Manifest.from_json(signed(raw), HERE).created == "later"


def test_lone_surrogates_survive(tiny_run: Run) -> None:
    data = dataclasses.replace(tiny_run.manifest.data, class_names=("caf\udce9", "\ud800", "紅"))
    odd = dataclasses.replace(tiny_run.manifest, data=data)
    assert odd.to_json().isascii()
    assert Manifest.from_json(odd.to_json(), HERE) == odd


def test_what_is_no_manifest_is_named(tiny_run: Run) -> None:
    with pytest.raises(DamagedRunError, match=r"manifest\.json is damaged: it is not JSON .*\. The run cannot be re"):
        Manifest.from_json("{", HERE)
    with pytest.raises(DamagedRunError, match=r"it is a list of 0, expected an object with the fields of a run"):
        Manifest.from_json("[]", HERE)
    raw = json.loads(tiny_run.manifest.to_json())
    for schema, told in ((1, "1"), (99, "99"), (None, "null"), ("3", "'3'"), (True, "true"), (3.5, "3.5")):
        remedy = "capture the images again" if schema == 1 or schema is True else "use the seviz that made it, or a new"
        with pytest.raises(DamagedRunError, match=rf"schema is {told}, and this seviz reads schema 3; {remedy}"):
            Manifest.from_json(json.dumps({**raw, "schema": schema}), HERE)
    with pytest.raises(OldRunError, match=r"schema is 2, .* reads schema 3: `seviz upgrade run` brings the run along"):
        Manifest.from_json(json.dumps({**raw, "schema": 2}), HERE)


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
