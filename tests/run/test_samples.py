import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seviz.run.chunks import Samples
from seviz.run.manifest import Manifest
from seviz.run.samples import samples_table
from tests.made_runs import make_run

CLASSES = ("cat", "dog", "emu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Of a run whose network knows the three classes of the data, and in the same order."""
    path = tmp_path_factory.mktemp("samples") / "run"
    return make_run(path, {"SE_2_1": np.full((3, 2), 0.5)}, np.arange(3), classes=CLASSES).manifest


def replaced(manifest: Manifest, **fields: object) -> Manifest:
    """The manifest with other fields of its model (class_ids, class_names, task) or its data (all others)."""
    model = {key: value for key, value in fields.items() if key in ("class_ids", "class_names", "task")}
    data = {key: value for key, value in fields.items() if key not in model}
    return dataclasses.replace(
        manifest, model=dataclasses.replace(manifest.model, **model), data=dataclasses.replace(manifest.data, **data)
    )


def four(predictions: list[list[int]], labels: np.ndarray | None = None) -> Samples:
    """A good image of each class, and a cat that failed."""
    return Samples(
        paths=("a", "b", "c", "d"),
        labels=np.array([0, 1, 2, 0]) if labels is None else labels,
        statuses=("ok", "coerced", "ok", "failed"),
        reasons=("", "L converted to RGB", "", "truncated"),
        predictions=np.array(predictions, np.int32),
        kept=np.array([True, False, True, True]),
    )


def listed(table: pd.DataFrame, column: str) -> list[object]:
    return [None if pd.isna(value) else value for value in table[column]]


def test_a_row_tells_an_image(manifest: Manifest) -> None:
    table = samples_table(four([[0, 1], [2, 1], [1, 0], [-1, -1]]), manifest)
    assert list(table.columns) == (
        ["path", "class", "label", "status", "reason", "predicted", "correct", "in_top5", "kept", "content"]
    )
    assert listed(table, "path") == ["a", "b", "c", "d"]
    assert listed(table, "class") == ["cat", "dog", "emu", "cat"]
    assert listed(table, "label") == [0, 1, 2, 0]
    assert listed(table, "status") == ["ok", "coerced", "ok", "failed"]
    assert listed(table, "reason") == ["", "L converted to RGB", "", "truncated"]
    assert listed(table, "predicted") == ["cat", "emu", "dog", None]
    assert listed(table, "correct") == [True, False, False, None]
    assert listed(table, "in_top5") == [True, True, False, None]
    assert listed(table, "kept") == [True, False, True, True]


def test_classes_of_the_network_in_another_order(manifest: Manifest) -> None:
    """The network's are emu, cat, dog: class 0 of the data is its class 1."""
    other = replaced(manifest, class_ids=("emu", "cat", "dog"), model_classes=(1, 2, 0))
    table = samples_table(four([[1], [0], [0], [-1]]), other)
    assert listed(table, "predicted") == ["cat", "emu", "emu", None]
    assert listed(table, "correct") == [True, False, True, None]


def test_a_network_without_names_or_with_other_classes(manifest: Manifest) -> None:
    other = replaced(manifest, class_ids=("x", "y", "z"), model_classes=None)
    nameless = replaced(manifest, class_ids=None, class_names=None, model_classes=None)
    for wanted, expected in ((other, ["z", "x", "y", None]), (nameless, ["2", "0", "1", None])):
        table = samples_table(four([[2], [0], [1], [-1]]), wanted)
        assert listed(table, "predicted") == expected
        assert listed(table, "correct") == listed(table, "in_top5") == [None] * 4


def test_the_backbone_of_a_detector_predicts_nothing(manifest: Manifest) -> None:
    table = samples_table(four([[-1]] * 4), replaced(manifest, task="detection", model_classes=None))
    for column in ("predicted", "correct", "in_top5"):
        assert listed(table, column) == [None] * 4


def test_any_class_of_an_image_is_right(manifest: Manifest) -> None:
    labels = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    several = replaced(manifest, labels="multi", class_ids=("emu", "cat", "dog"), model_classes=(1, 2, 0))
    table = samples_table(four([[0, 2], [1, 2], [0, 1], [-1, -1]], labels), several)
    assert listed(table, "class") == ["cat|emu", "dog", "", "cat|dog|emu"]
    assert [list(label) for label in table["label"]] == [[0, 2], [1], [], [0, 1, 2]]
    assert listed(table, "predicted") == ["emu", "cat", "emu", None]
    assert listed(table, "correct") == [True, False, False, None]
    assert listed(table, "in_top5") == [True, True, False, None]


def test_the_table_of_a_run_is_that_of_its_chunks(tmp_path: Path) -> None:
    predictions = np.array([0, 2, 1, 1, 0])
    run = make_run(
        tmp_path / "run",
        {"SE_2_1": np.full((5, 2), 0.5)},
        np.array([0, 1, 2, 1, 0]),
        classes=CLASSES,
        predictions=predictions,
        failed=[4],
        chunk_size=2,
    )
    assert listed(run.samples, "predicted") == ["cat", "emu", "dog", "dog", None]
    assert listed(run.samples, "correct") == [True, False, False, True, None]
    assert run.accuracy.top1 == 0.5
    assert run.accuracy.images == 4
