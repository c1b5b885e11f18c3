"""Compressions on disk: read as they were written, and refused with what is wrong where they are not."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seviz.compression.listing import results
from seviz.compression.result import Compression, recorded, said
from seviz.errors import ResultError
from tests.dashboard.lab.made_results import classes_table, masked_table, results_table, written
from tests.made_runs import make_run

BLOCKS = pd.DataFrame({"block": ["SE_2_1", "SE_3_1"], "folded": [True, False], "reason": ["", "7"]})


def folded(place: Path, **settings: Any) -> Path:
    tables = {"results": results_table((0.9, 0.8), (3, 1)), "blocks": BLOCKS, "classes": classes_table({"NA": 0.1})}
    return written(place, tables, **settings)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """All but what no file holds: the figures, and the network, which `seviz.load` opens."""
    main = results_table((0.9, 0.1 + 0.2), (3, 1)).assign(top5=[np.nan, 0.5], latency_ms=[1e-9, np.nan])
    main.attrs["remarks"] = ["one thing", "another"]
    given = {
        "run": Path("runs") / "x",
        "share": np.float64(0.1),
        "count": np.int64(3),
        "kind": None,
        "classes": ["7", "é\ud800"],
    }
    out = written(tmp_path / "out", {"results": main, "blocks": BLOCKS, "classes": classes_table({"NA": 0.1})}, **given)
    read = Compression.open(out)
    assert (read.kind, read.title, read.made) == ("fold", "tests/made with | something", ("It was made.",))
    expected = {"run": "runs/x", "classes": ("7", "é\ud800"), "share": 0.1, "count": 3, "kind": None}
    assert (dict(read.settings), dict(read.split), read.path) == (expected, {"seed": 0}, out)
    assert (read.network, dict(read.figures)) == (None, {})
    assert list(read.tables) == ["results", "blocks", "classes"]
    assert len(read.tables) == 3
    pd.testing.assert_frame_equal(read.measurements, main.astype({"network": object}), check_exact=True)
    assert read.measurements.attrs["remarks"] == ["one thing", "another"]
    title, blocks = read.tables["blocks"]
    assert title == "blocks"
    pd.testing.assert_frame_equal(blocks, BLOCKS, check_dtype=False)
    assert read.tables["classes"][1]["class"].tolist() == ["NA", "NA"]
    assert repr(read) == "<Compression fold: tests/made with | something>"
    assert json.loads(recorded(read)) == json.loads((out / "result.json").read_text())  # what is read can be written
    with pytest.raises(KeyError):
        read.tables["front"]


def test_settings_in_words() -> None:
    assert [said(each) for each in (["a", "b"], ("gate_class:x,y", "l1"), [0.1, 0.25], 3, True, "a, b")] == [
        *("a, b", "gate_class:x,y; l1", "0.1, 0.25", "3", "True", "a, b")
    ]


Spoil = Callable[[Path], object]


def record(**changes: Any) -> Spoil:
    """Fields of result.json changed; those of `...` taken away."""

    def spoil(place: Path) -> None:
        fields = json.loads((place / "result.json").read_text()) | changes
        kept = {name: value for name, value in fields.items() if value is not ...}
        (place / "result.json").write_text(json.dumps(kept))

    return spoil


def rows(change: Callable[[list[dict[str, Any]]], object]) -> Spoil:
    """Rows of the measurements changed."""

    def spoil(place: Path) -> None:
        fields = json.loads((place / "result.json").read_text())
        change(fields["measurements"])
        (place / "result.json").write_text(json.dumps(fields))

    return spoil


def text(name: str, content: str | bytes) -> Spoil:
    return lambda place: (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def linked(name: str) -> Spoil:
    """A file of it is a link to a secret outside."""

    def spoil(place: Path) -> None:
        (place.parent / "secret").write_text("{}")
        (place / name).unlink()
        (place / name).symlink_to(place.parent / "secret")

    return spoil


def fifo(place: Path) -> None:
    (place / "blocks.csv").unlink()
    os.mkfifo(place / "blocks.csv")


RECORD = r"result\.json cannot be read \("
SPOILT: dict[str, tuple[Spoil, str]] = {
    "no card": (
        lambda place: (place / "README.md").unlink(),
        r"it has no README\.md, so it was not written to its end",
    ),
    "no record": (lambda place: (place / "result.json").unlink(), r"it has no result\.json, so it was not written"),
    "no weights": (
        lambda place: (place / "weights.safetensors").unlink(),
        r"weights\.safetensors cannot be read \(No such file",
    ),
    "no table": (lambda place: (place / "blocks.csv").unlink(), r"blocks\.csv cannot be read \(No such file"),
    "table is a FIFO": (fifo, r"blocks\.csv cannot be read \(it is a FIFO, expected a regular file\)"),
    "network is no JSON": (text("network.json", "{"), r"network\.json cannot be read \(it is not JSON"),
    "network is deep": (
        text("network.json", "[" * 10**5),
        r"network\.json cannot be read \(it is nested 100,000 levels",
    ),
    "network is a list": (text("network.json", "[]"), r"network\.json cannot be read \(it is no object\)"),
    "card leads out": (linked("README.md"), r"README\.md cannot be read \(it is a link that leads out of"),
    "record leads out": (linked("result.json"), RECORD + "it is a link that leads out of"),
    "weights lead out": (
        linked("weights.safetensors"),
        r"weights\.safetensors cannot be read \(it is a link that leads",
    ),
    "record is no JSON": (text("result.json", "{"), RECORD + "it is not JSON"),
    "record is no UTF-8": (text("result.json", b"\xff"), RECORD + "it is not UTF-8"),
    "record is a list": (text("result.json", "[]"), RECORD + "its content is a list of 0, expected object"),
    "a key twice": (text("result.json", '{"a": 1, "a": 2}'), RECORD + "it has 'a' twice in one object"),
    "a field more": (record(other=1), RECORD + "other is no field that is known"),
    "a field less": (record(split=...), RECORD + "split is missing"),
    "another format": (record(format=2), RECORD + "format is 2, expected 1, as this seviz writes it"),
    "another kind": (record(kind="melt"), RECORD + "kind is 'melt', expected one of curve, fold, prune"),
    "kind of a curve": (record(kind="curve"), RECORD + "tables has no 'mean', which a compression of kind 'curve' has"),
    "title is a number": (record(title=7), RECORD + "title is 7, expected str"),
    "title is endless": (
        record(title="x" * 10_001),
        RECORD + "title is 'x.*of length 10,001, expected str of length <= 10000",
    ),
    "settings are deep": (record(settings={"a": {"b": 1}}), RECORD + "settings has an entry that does not fit"),
    "table leads out": (
        record(tables={"results": "x", "../../secret": "y"}),
        RECORD + "a key in tables does not fit: expected a name of small letters, such as results",
    ),
    "one row": (rows(lambda rows: rows.pop()), RECORD + "measurements has 1 rows, expected the original and another"),
    "other columns": (rows(lambda rows: rows[1].pop("low")), RECORD + "measurements has rows of 12 and of 11 columns"),
    "no accuracy": (
        rows(lambda rows: [row.pop("accuracy") for row in rows]),
        RECORD + "measurements has no column 'accuracy'",
    ),
    "accuracy in words": (
        rows(lambda rows: rows[0].update(accuracy="many")),
        RECORD + "column 'accuracy' of measurements has other things than numbers",
    ),
    "accuracy is true": (
        rows(lambda rows: [row.update(accuracy=True) for row in rows]),
        RECORD + "column 'accuracy' of measurements has other things than numbers",
    ),
    "network is a number": (
        rows(lambda rows: [row.update(network=1) for row in rows]),
        RECORD + "column 'network' of measurements has other things than texts",
    ),
    "huge number": (
        rows(lambda rows: rows[0].update(parameters=10**29)),
        RECORD + r"measurements\[0\] has an entry that does not fit",
    ),
    "number with many digits": (
        rows(lambda rows: rows[0].update(parameters=10**31)),
        RECORD + "it has an integer of 32 digits, expected at most 30",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_not_as_it_was_written_is_refused(name: str, tmp_path: Path) -> None:
    spoil, message = SPOILT[name]
    spoil(folded(tmp_path / "out"))
    with pytest.raises(ResultError, match=r"out' is no compression that was written whole: " + message) as caught:
        Compression.open(tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"it is no table \(No columns to parse"),
        ("," * 10**5, "it begins with a line of more than 100,000 bytes"),
        (b"\xff\xfe\x00,1", r"it is no table \("),
        ('block\n"a', r"it is no table \("),
    ],
)
def test_a_table_that_is_none_is_refused_when_it_is_read(content: str | bytes, message: str, tmp_path: Path) -> None:
    out = folded(tmp_path / "out")
    text("blocks.csv", content)(out)
    with pytest.raises(ResultError, match=r"out/blocks\.csv' cannot be read: " + message):
        Compression.open(out).tables["blocks"]


def test_the_results_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.full((4, 3), 0.5)}, np.arange(4) % 2)
    assert (len(results(run)), results(run).networks().empty, results(run).curves().empty) == (0, True, True)
    place = run.path / "compressions"
    folded(place / "002-fold", classes=["cat", "dog"])
    written(place / "001-mask", {"mean": masked_table({"l1": (0.9, 0.5)})})
    (place / "003-broken").mkdir()
    folded(place / ".004-under-way")
    for where in (run, run.path, place):
        found = results(where)
        assert [(each.path.name, each.kind) for each in found if each.path] == [
            ("001-mask", "curve"),
            ("002-fold", "fold"),
        ]
        assert found.remarks == ("003-broken is left out: it has no README.md, so it was not written to its end",)
    networks, curves = found.networks(), found.curves()
    assert networks[["result", "number", "network", "classes", "share_parameters", "last"]].to_numpy().tolist() == [
        ["002-fold", "002", "original", "cat, dog", 1.0, False],
        ["002-fold", "002", "folded", "cat, dog", 0.6, True],
    ]
    assert curves["curve"].tolist() == ["l1", "l1"]
    assert networks.attrs["remarks"] == curves.attrs["remarks"] == list(found.remarks)
    with pytest.raises(
        ResultError, match="there is no directory 'nowhere', expected a run, or a folder of compressions"
    ):
        results("nowhere")
    with pytest.raises(ResultError, match="'nowhere' is no compression that was written whole: there is no such"):
        Compression.open("nowhere")
