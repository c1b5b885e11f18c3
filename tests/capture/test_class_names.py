"""What classes are called: in their order, or by their ids."""

from collections.abc import Callable
from pathlib import Path

import pytest

import seviz
from seviz.capture.class_names import named_classes
from seviz.capture.datasets import open_dataset
from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError
from seviz.network.networks import Network
from tests.cli.commands import error_of

CLASSES = Classes(("a", "b", "c"), ("a", "b", "c"))


@pytest.mark.parametrize(
    "text",
    [
        "ant\nbee\ncrane, bird\n",
        "\ufeff ant\r\n\r\nbee \r\ncrane, bird",
        'id,name\nc,"crane, bird"\nzebra,zebra\na,ant\nb,bee\n',
        'id, name\nb, bee\na, ant\n\nc, "crane, bird"\n',
    ],
)
def test_names_from_a_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text.encode())
    expected = Classes(CLASSES.ids, ("ant", "bee", "crane, bird"))
    assert named_classes(CLASSES, tmp_path / "names", "data") == expected
    assert named_classes(CLASSES, str(tmp_path / "names"), "data") == expected
    assert named_classes(CLASSES, ["ant", "bee", "crane, bird"], "data") == expected
    assert named_classes(CLASSES, {"c": "crane, bird", "b": "bee", "a": "ant"}, "data") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ant\nbee\n", r"class_names, file '.*/names': 2 names for the 3 classes of data 'x'. Give one .* is 'a'; or"),
        (b"1\n2\n3\n4\n", "4 names for the 3 classes of data 'x'"),
        (b"", "0 names for the 3 classes"),
        (b"id,name\na,ant\n", "2 of the 3 classes of data 'x' have no name there, the first 'b'. Give a name for each"),
        (b"id,name\na,ant\na,bee\n", "has the row 'a,bee', expected an id that was not there before"),
        (b"id,name\na,crane, bird\n", "has the row 'a,crane,bird', expected .* put what has a comma in quotes"),
        (b"id,name\na,\n", "has the row 'a,', expected"),
        (b'id,name\na,"ant\n', "cannot be read as UTF-8 text or CSV"),
        (b"Z\xfcrich\n", "cannot be read as UTF-8 text or CSV"),
    ],
)
def test_names_that_do_not_fit(text: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_bytes(text)
    with pytest.raises(DataFormatError, match=message):
        named_classes(CLASSES, tmp_path / "names", "data 'x'")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"class_names: there is no file '.*none'; give one with a name on each"
    ):
        named_classes(CLASSES, tmp_path / "none", "data")
    with pytest.raises(DataFormatError, match="class_names, list: 1 names for the 3 classes"):
        named_classes(CLASSES, ["ant"], "data")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_named_classes_are_chosen_and_recorded_by_their_names(
    tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder({"0": 2, "1": 2, "2": 2})
    (tmp_path / "names.txt").write_text("blue\ngreen\nred\n")
    data = open_dataset(root, class_names=tmp_path / "names.txt", classes=["red"])
    assert (data.classes.ids, data.paths) == (("0", "1", "2"), ("2/000.png", "2/001.png"))
    options = {"class_names": tmp_path / "names.txt", "workers": 0, "compile": "off"}
    run = seviz.collect(tiny_network, root, tmp_path / "run", **options)
    assert (run.classes.names, run.manifest.data.model_classes) == (("blue", "green", "red"), (0, 1, 2))
    assert run.manifest.data.selection == {"class_names": str(tmp_path / "names.txt")}
    said = error_of(
        "capture",
        "seviz/seresnet50-cifar10",
        "bundled",
        "-o",
        tmp_path / "other",
        "--class-names",
        tmp_path / "names.txt",
    )
    assert "3 names for the 10 classes of data 'bundled'" in said
    assert not (tmp_path / "other").exists()
