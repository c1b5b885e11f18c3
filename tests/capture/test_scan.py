import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from seviz.capture.datasets import open_dataset
from seviz.capture.scan import reasons, scan
from seviz.classes import Classes
from seviz.cli import app
from seviz.errors import OptionError, WorkerError
from seviz.texts import path_text
from tests.capture.deadly_images import Deadly, deadly
from tests.capture.layouts.made_layouts import make_arrays, make_shard
from tests.capture.odd_images import FLAT, ODD


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["scan", *(str(argument) for argument in arguments)])


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """Every odd image, in one class; another with two that are in order; and files not called like images."""
    for name in ("odd", "plain"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for name, odd in ODD.items():
        odd.make(tmp_path / "data" / "odd" / name)
    for name in ("one.png", "two.bmp"):
        Image.new("RGB", (9, 9), FLAT).save(tmp_path / "data" / "plain" / name)
    (tmp_path / "data" / "README.txt").write_text("read me")
    (tmp_path / "data" / "plain" / "labels.csv").write_text("one,1")
    return tmp_path / "data"


@pytest.mark.parametrize("workers", [0, 2])
def test_every_odd_file_is_reported_with_its_status(workers: int, odd_folder: Path) -> None:
    result = run(odd_folder, "--workers", workers, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    expected = Counter(odd.status for odd in ODD.values()) + Counter(ok=2)
    assert {status: found[status] for status in ("ok", "coerced", "failed")} == expected
    assert found["found"] == len(ODD) + 2 == found["ok"] + found["coerced"] + found["failed"]
    assert found["ignored"] == 3  # README.txt, labels.csv, and original.data, which a link is to
    assert found["ignored_kinds"] == {".txt": 1, ".csv": 1, ".data": 1}
    everything = sum(len(files) for _, _, files in os.walk(odd_folder)) + 1  # folder.png
    assert found["found"] + found["ignored"] == everything
    assert found["classes"] == 2

    files = {file["path"]: file for file in found["files"]}
    for name, odd in ODD.items():
        path = path_text(f"odd/{name}")
        if odd.status == "ok" and not odd.reason:
            assert path not in files
        else:
            assert (files[path]["status"], files[path]["class"]) == (odd.status, "odd"), name
            assert re.fullmatch(odd.reason, files[path]["reason"]), name
    told = Counter((file["status"], file["reason"]) for file in found["files"])
    assert {(row["status"], row["reason"]): row["images"] for row in found["reasons"]} == told
    for row in found["reasons"]:
        assert (files[row["example"]]["status"], files[row["example"]]["reason"]) == (row["status"], row["reason"])
    assert set(files) <= {path_text(f"odd/{name}") for name in ODD}


def test_text_lists_counts_reasons_and_failed_files(odd_folder: Path) -> None:
    failed = [name for name, odd in ODD.items() if odd.status == "failed"]
    result = run(odd_folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"data: {odd_folder} (2 classes)"
    counts = Counter(odd.status for odd in ODD.values())
    listed = f"{counts['ok'] + 2} ok, {counts['coerced']} coerced, {counts['failed']} failed"
    assert lines[1] == f"images: {len(ODD) + 2} found ({listed}); 3 other files ignored: .csv 1, .data 1, .txt 1"
    assert any(re.fullmatch(r"failed +\d+ +image file is truncated +odd/truncated\.\w+ *", line) for line in lines)
    assert any(re.fullmatch(r"coerced +1 +first of 3 frames +odd/pages\.tiff *", line) for line in lines)
    named = lines[lines.index("failed:") + 1 :]
    assert len(failed) > 20
    assert named[-1] == f"... and {len(failed) - 20} more; --json lists all"
    for line, name in zip(named[:20], sorted(failed), strict=False):
        assert re.fullmatch(f"odd/{re.escape(name)}: {ODD[name].reason}", line), line


def test_a_data_set_in_order_is_exit_code_0(make_folder: Callable[..., Path]) -> None:
    result = run(make_folder({"cat": 3, "ship": 2}))
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        ["images: 5 found (5 ok, 0 coerced, 0 failed); 0 other files ignored"],
    )


def test_options_reach_the_data_set(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    data = make_folder({"cat": 3, "ship": 2})
    (tmp_path / "list.csv").write_text("path,label\ncat/000.png,a\nship/001.png,b\nship/009.png,b\n")
    result = run(f"csv:{tmp_path / 'list.csv'}", "--root", data, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["found"], found["ok"], found["failed"]) == (1, 3, 2, 1)
    assert found["files"] == [
        {"path": "ship/009.png", "class": "b", "status": "failed", "reason": "No such file or directory"}
    ]
    wrong = run(data, "--split", "train")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: split is 'train', but")


def test_layouts_and_splits_are_said(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    data = make_folder({"val/cat": 1, "train/cat": 2, "train/ship": 1})
    result = run(data)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:1] == [f"data: {data} (2 classes)"]
    assert result.stderr.splitlines()[:2] == [
        "note: split 'val' is taken (--split chooses; there is also train)",
        "note: 1 of 2 classes have no image in split 'val': ship",
    ]
    assert "images: 3 found (3 ok" in run(data, "--split", "train").stdout
    assert "images: 3 found (3 ok" in run(f"wds:{make_shard(tmp_path / 'a.tar')}").stdout
    arrays = make_arrays(tmp_path / "arrays")
    (arrays / "crop" / "bad.npy").write_bytes(b"")
    result = run(f"arrays:{arrays}")
    assert result.exit_code == 1
    assert "crop/bad.npy: the file is empty" in result.stdout


def test_an_interruption_promises_nothing(make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seviz.capture.indexed.decode", interrupt)
    result = run(make_folder({"cat": 3}))
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted; a scan begins anew\n")


def test_a_file_that_vanishes_after_it_was_found_has_failed(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"cat": 3})
    data = open_dataset(folder)
    (folder / "cat" / "001.png").unlink()
    table = scan(data)
    assert list(table["status"]) == ["ok", "failed", "ok"]
    assert list(table["reason"]) == ["", "No such file or directory", ""]


def test_the_table_has_a_row_for_each_image_and_progress_counts_them() -> None:
    told = []
    table = scan(deadly(70), rotate=True, progress=lambda done, total: told.append((done, total)))
    assert list(table.columns) == ["path", "class", "status", "reason"]
    assert list(table["path"]) == [f"image{k}.jpg" for k in range(70)]
    assert (set(table["class"]), set(table["status"])) == ({"one"}, {"ok"})
    assert set(table["reason"]) == {"rotated"}
    assert told[-1] == (70, 70)
    assert told == sorted(set(told))


def test_classes_of_an_image_with_several_are_joined() -> None:
    labels = np.array([[True, False, True], [False, False, False], [False, True, False]])
    data = Deadly("test", None, Classes(("a", "b", "c"), ("A", "B", "C")), ("x", "y", "z"), labels)
    assert list(scan(data)["class"]) == ["A|C", "", "B"]


def test_an_image_that_kills_its_process_has_failed_and_no_other() -> None:
    data = deadly(100, 3, 40, 41)
    table = scan(data, workers=2)
    assert list(table["path"]) == list(data.paths)
    assert list(table.index[table["status"] == "failed"]) == [3, 40, 41]
    reason = "the process that decoded it was killed, perhaps for want of memory"
    assert set(table.loc[[3, 40, 41], "reason"]) == {reason}
    assert (table["status"] == "ok").sum() == 97


def test_workers_find_the_same(odd_folder: Path) -> None:
    data = open_dataset(odd_folder)
    pd.testing.assert_frame_equal(scan(data, rotate=True), scan(data, workers=1, rotate=True))


def test_processes_that_cannot_be_started_are_an_error_and_no_failed_images(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def die(_: int) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("torch.set_num_threads", die)  # which a process does before it reads
    with pytest.raises(WorkerError, match=r"could not be started, or were killed at once\. Give 0 workers; or, in"):
        scan(deadly(3), workers=1)


def test_workers_are_a_number() -> None:
    with pytest.raises(OptionError, match="workers is -1, expected a number of processes, or 0 for this one"):
        scan(deadly(1), workers=-1)


def test_reasons_are_in_order_of_gravity_and_number() -> None:
    rows = [
        ("a", "ok", ""),
        ("b", "ok", "known"),
        ("c", "coerced", "done"),
        ("d", "failed", "rare"),
        ("e", "failed", "often"),
        ("f", "failed", "often"),
        ("g", "coerced", "done"),
    ]
    scanned = pd.DataFrame(rows, columns=["path", "status", "reason"])
    found = reasons(scanned)
    assert list(found.columns) == ["status", "reason", "images", "example"]
    assert [tuple(row) for row in found.to_numpy()] == [
        ("failed", "often", 2, "e"),
        ("failed", "rare", 1, "d"),
        ("coerced", "done", 2, "c"),
        ("ok", "known", 1, "b"),
    ]
    assert reasons(scanned[:1]).empty
