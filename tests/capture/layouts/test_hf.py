"""Data sets of Hugging Face, made by the tests; nothing is fetched."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from seviz.capture.datasets import fetched, open_dataset
from seviz.capture.layouts.hf import hf
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError, MissingPackageError
from tests.capture.layouts.made_layouts import make_rows, png

datasets = pytest.importorskip("datasets")
CATS = datasets.ClassLabel(names=["cat", "dog"])


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def save(root: Path, rows: dict[str, list[Any]], **features: Any) -> str:
    """Write a table as `save_to_disk` does; images as bytes."""
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).save_to_disk(str(root))
    return str(root)


def test_a_directory_that_was_saved(tmp_path: Path) -> None:
    root = str(make_rows(tmp_path / "rows"))
    data = hf("given", Path(root), split="train")
    assert (data.spec, data.root, data.split, data.classes.ids) == ("given", None, "train", ("cat", "dog"))
    assert data.paths == ("train/00000001", "train/00000003", "train/00000000")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.notes == ("images are in column 'img', labels in 'kind'", "1 images without a label are left out")
    again = pickle.loads(pickle.dumps(data)).take(np.array([1, 2]))
    assert [np.asarray(again.read(k).image)[0, 0, 0] for k in range(2)] == [3, 0]
    by_default = hf("", Path(root), split=None)
    assert (by_default.split, len(by_default)) == ("validation", 2)
    assert by_default.notes[0] == "split 'validation' is taken (--split chooses; there is also train)"
    assert by_default.fingerprint() != data.fingerprint()
    with pytest.raises(DataNotFoundError, match="data 'x' has no split 'test'; it has train, validation"):
        hf("x", Path(root), split="test")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_folder_of_images(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"train/dog": 1, "train/cat": 2, "test/cat": 1, "test/dog": 1})
    data = open_dataset(f"hf:{root}")
    assert (data.split, data.classes.ids, data.labels.tolist()) == ("test", ("cat", "dog"), [0, 1])
    with Image.open(root / "test" / "dog" / "000.png") as image:
        np.testing.assert_array_equal(np.asarray(data.read(1).image), np.asarray(image))
    (root / "test" / "dog" / "000.png").write_bytes(b"")
    assert data.read(1).reason == "the file is empty"


def test_parquet_files(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    rows = {"image": [{"bytes": png(), "path": None}] * 3, "label": ["ox", "b", None]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "train.parquet"))
    data = open_dataset(f"hf:{tmp_path}")
    assert (data.classes.ids, data.labels.tolist()) == (("b", "ox"), [0, 1])
    assert data.read(0).status == "ok"


def test_several_labels_and_columns(tmp_path: Path) -> None:
    image = {"bytes": png(), "path": None}
    rows = {"mask": [image] * 3, "image": [image] * 3, "coarse": [0, 0, 0], "labels": [[1], [], [0, 1]]}
    features = {"mask": datasets.Image(), "image": datasets.Image(), "coarse": CATS, "labels": datasets.Sequence(CATS)}
    data = hf("", Path(save(tmp_path / "a", rows, **features)), split=None)
    assert data.multi
    assert data.labels.astype(int).tolist() == [[0, 1], [0, 0], [1, 1]]
    assert "images are in column 'image', labels in 'labels'" in data.notes


def replaced(root: Path, images: list[Any], labels: list[int], *, metadata: tuple[bytes, bytes] = (b"", b"")) -> str:
    """A parquet file that `datasets` wrote, with other values in its columns than it would write."""
    table = datasets.Dataset.from_dict(
        {"image": [{"bytes": png(), "path": None}], "label": [1]},
        features=datasets.Features({"image": datasets.Image(), "label": CATS}),
    )
    root.mkdir()
    table.to_parquet(str(root / "train.parquet"))
    schema = pyarrow.parquet.read_table(root / "train.parquet").schema
    schema = schema.with_metadata({name: value.replace(*metadata) for name, value in schema.metadata.items()})
    arrow = pa.table({"image": pa.array(images, schema.field("image").type), "label": labels})
    pyarrow.parquet.write_table(arrow.cast(schema), root / "train.parquet")
    return str(root)


def test_rows_that_hold_no_image_or_lead_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    root = tmp_path / "rows"
    outside = [tmp_path / "secret.png", root / ".." / "secret.png", f"{root}x/a.png", "https://example.org/x.png", ""]
    paths = [*map(str, outside), str(root / "x.png")]
    images = [None, {"bytes": b"", "path": None}, *({"bytes": None, "path": path} for path in paths)]
    data = hf("", Path(replaced(root, images, [0] * 8)), split=None)
    (root / "x.png").write_bytes(png())
    assert [data.read(k).reason for k in range(8)] == [
        "there is no image in this row",
        "no image of a format that is read",
        *["the row names a file outside of the data set"] * 5,
        "",
    ]
    assert len(data.fingerprint()) == 64


TEXT, NUMBER, IMAGE = datasets.Value("string"), datasets.Value("int64"), datasets.Image()


@pytest.mark.parametrize(
    ("features", "values", "error", "message"),
    [
        (
            {"text": TEXT, "label": CATS},
            ["a", 0],
            DataFormatError,
            r"no column of images, expected one such as 'image'; it has text \(Value\), label \(ClassLabel\)",
        ),
        (
            {"image": IMAGE, "n": NUMBER},
            [None, 0],
            DataFormatError,
            r"no column of labels, expected one such as 'label'; it has n \(Value\)",
        ),
        (
            {"image": IMAGE, "label": datasets.Value("float32")},
            [None, 0.5],
            DataFormatError,
            "column 'label' holds float, expected class labels",
        ),
        (
            {"image": IMAGE, "label": CATS},
            [None, -1],
            EmptyDataError,
            "has 1 rows, but none with a label in column 'label'",
        ),
    ],
)
def test_tables_that_are_no_images_with_labels(
    features: dict[str, Any], values: list[Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    rows = {name: [value] for name, value in zip(features, values, strict=True)}
    with pytest.raises(error, match=message):
        hf("given", Path(save(tmp_path / "a", rows, **features)), split=None)


def test_labels_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="column 'label' holds the label 7, expected 0 to 1"):
        open_dataset(f"hf:{replaced(tmp_path / 'rows', [None], [7])}")


def test_classes_that_are_no_text(tmp_path: Path) -> None:
    root = replaced(tmp_path / "rows", [None], [0], metadata=(b'"dog"', rb'"\ud800"'))
    with pytest.raises(DataFormatError, match="a class of column 'label' has a name that is no text"):
        open_dataset(f"hf:{root}")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "empty").mkdir()
    local = [str(tmp_path / name) for name in ("script", "empty", "none")]
    for name in (*local, "no-one/nothing", "no-one/nothing#small"):
        with pytest.raises(DataNotFoundError, match=r"data 'given' cannot be opened \(\w+: .*\). Expected a") as told:
            hf("given", Path(name), split=None)
        assert "\n" not in str(told.value)
    assert not (tmp_path / "ran").exists()
    assert fetched("hf:no-one/nothing")
    assert not fetched(f"hf:{tmp_path}")


def test_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        MissingPackageError, match=r"a Hugging Face data set needs datasets .*: pip install 'seviz\[hf\]'"
    ):
        hf("x", Path("x"), split=None)
