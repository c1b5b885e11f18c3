from pathlib import Path

import pytest

from seviz.capture.layouts.places365 import places365
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from tests.capture.layouts.made_layouts import make_places365


@pytest.mark.parametrize("folder", ["val_256", "val_large"])
def test_validation_images(folder: str, tmp_path: Path) -> None:
    data = places365("given", make_places365(tmp_path, folder), split=None, root=None)
    assert (data.spec, data.root) == ("given", tmp_path / folder)
    assert data.classes.ids == ("airfield", "apartment_building/outdoor", "bar")
    assert data.paths == tuple(f"Places365_val_0000000{k}.jpg" for k in (2, 3, 1))
    assert data.labels.tolist() == [0, 0, 2]
    assert [data.read(k).status for k in range(3)] == ["failed", "ok", "ok"]


@pytest.mark.parametrize(
    ("split", "folder", "kind"),
    [
        ("train", "data_256", "standard"),
        ("train-standard", "data_large", "standard"),
        ("train-standard", "data_256_standard", "standard"),
        ("train-standard", "data_large_standard", "standard"),
        ("train-challenge", "data_256_challenge", "challenge"),
        ("train-challenge", "data_large_challenge", "challenge"),
        ("train-challenge", "data_256", "challenge"),
    ],
)
def test_training_images(split: str, folder: str, kind: str, tmp_path: Path) -> None:
    data = places365("", make_places365(tmp_path, folder), split=split, root=None)
    assert data.root == tmp_path / folder
    assert data.paths == (f"a/apartment_building/outdoor/{kind}.jpg", f"b/bar/{kind}.jpg")
    assert data.labels.tolist() == [1, 2]


def test_small_images_come_before_large_ones(tmp_path: Path) -> None:
    root = make_places365(tmp_path, "val_large")
    (root / "val_256").mkdir()
    assert places365("", root, split="val", root=None).root == root / "val_256"
    assert places365("", root, split="val", root=root / "val_large").root == root / "val_large"


def test_images_that_were_moved(tmp_path: Path) -> None:
    lists = make_places365(tmp_path / "lists")
    moved = lists.rename(tmp_path / "moved")
    for where in (moved, moved / "val_256"):
        if where == moved:  # with all that belongs to them
            data = places365("", lists, split=None, root=where)
            lists.mkdir()
            for file in moved.glob("*.txt"):
                file.rename(lists / file.name)
        else:
            data = places365("", lists, split=None, root=where)
        assert data.root == moved / "val_256"
        assert data.read(1).status == "ok"
    assert places365("", lists, split=None, root=moved).root == moved / "val_256"


def test_what_is_not_there(tmp_path: Path) -> None:
    root = make_places365(tmp_path / "root")
    with pytest.raises(DataNotFoundError, match="no split 'test'; it has train-challenge, train-standard, val"):
        places365("", root, split="test", root=None)
    looked_in = r".*/data_256_standard, .*/data_large_standard, .*/data_256, .*/data_large\. If they are elsewhere"
    with pytest.raises(DataNotFoundError, match=f"the images of train-standard are not there; looked for {looked_in}"):
        places365("", root, split="train", root=None)
    (root / "places365_val.txt").write_text("")
    with pytest.raises(EmptyDataError, match=r"data 'given': '.*places365_val.txt' lists no image"):
        places365("given", root, split=None, root=None)
    with pytest.raises(DataNotFoundError, match=r"'.*' holds no categories_places365.txt, .*\(places365_val.txt, "):
        places365("", tmp_path, split=None, root=None)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("places365_val.txt", "1.jpg 0\n\n2.jpg 3\n", r"_val.txt', line 3: class 3, but categories.* has only 3"),
        ("places365_val.txt", "1.jpg 0\n2.jpg\n", r"_val.txt', line 2: '2.jpg', expected a name and an index"),
        ("places365_val.txt", "1.jpg -1\n", r"_val.txt', line 1: '1.jpg -1', expected a name and an index"),
        ("categories_places365.txt", "airfield 0\n", r"line 1: category 'airfield', expected such as '/a/airfield'"),
        ("categories_places365.txt", "/a/airfield 0\n/b/bar 0\n", r"line 2: index 0 is that of 'airfield' already"),
        ("categories_places365.txt", "/a/airfield 0\n/b/bar 2\n", r"has 2 categories, but none of index 1"),
    ],
)
def test_lists_that_are_damaged(file: str, text: str, message: str, tmp_path: Path) -> None:
    root = make_places365(tmp_path)
    (root / file).write_text(text)
    with pytest.raises(DataFormatError, match=message):
        places365("", root, split=None, root=None)
