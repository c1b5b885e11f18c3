import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from seviz.capture.class_folders import open_folder
from seviz.errors import DataNotFoundError, EmptyDataError, OptionError


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(root / path)
    return root


def test_order_is_by_class_and_path(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"b": 3, "a": 2, "B": 1})
    write(root, "a/deeper/x.JPEG", ".cache/x.png", "a/.cache/x.png")
    (root / "a" / "notes.txt").touch()
    (root / "readme.png").touch()
    data = open_folder("given", root)
    assert data.spec == "given"
    assert data.classes.ids == ("B", "a", "a/deeper", "b")
    paths = ("B/000.png", "a/000.png", "a/001.png", "a/deeper/x.JPEG", "b/000.png", "b/001.png", "b/002.png")
    assert data.paths == paths
    assert data.labels.tolist() == [0, 1, 1, 2, 3, 3, 3]
    assert data.ignored == {".txt": 1, ".png": 1}
    assert data.remarks == {}


def test_order_does_not_depend_on_the_file_system(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"c": 2, "a": 3, "b": 1})
    usual = open_folder("", root).paths
    scan = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scan(path) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert open_folder("", root).paths == usual


def test_classes_at_any_depth_stay_apart(tmp_path: Path) -> None:
    root = write(tmp_path, "outdoor/church/1.png", "indoor/church/1.png", "indoor/bar/1.png")
    (root / "indoor" / "empty").mkdir()
    data = open_folder("", root)
    assert data.classes.ids == ("indoor/bar", "indoor/church", "indoor/empty", "outdoor/church")
    assert data.labels.tolist() == [0, 1, 3]


def test_empty_class_folders_keep_their_index(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1, "b": 0, "c": 1})
    (root / "b" / ".hidden").mkdir()
    (root / "b" / "notes.txt").touch()
    data = open_folder("", root)
    assert data.classes.ids == ("a", "b", "c")
    assert data.labels.tolist() == [0, 2]


def test_what_all_classes_end_in_is_left_out(tmp_path: Path) -> None:
    tiny = write(tmp_path / "tiny", "n02110958/images/1.JPEG", "n01443537/images/2.JPEG", "n01443537/images/1.JPEG")
    (tiny / "n01443537" / "n01443537_boxes.txt").touch()
    data = open_folder("", tiny)
    assert (data.classes.ids, data.classes.names) == (("n01443537", "n02110958"), ("goldfish", "pug"))
    assert data.paths == ("n01443537/images/1.JPEG", "n01443537/images/2.JPEG", "n02110958/images/1.JPEG")
    assert data.ignored == {".txt": 1}
    # "a-b/x" is before "a/x", but the class "a" before "a-b"
    assert open_folder("", write(tmp_path / "order", "a/x/1.png", "a-b/x/1.png")).classes.ids == ("a", "a-b")
    assert open_folder("", write(tmp_path / "twice", "a/x/y/1.png", "b/x/y/1.png")).classes.ids == ("a", "b")
    assert open_folder("", write(tmp_path / "one", "a/x/1.png")).classes.ids == ("a/x",)
    assert open_folder("", write(tmp_path / "not all", "a/x/1.png", "b/x/1.png", "b/1.png")).classes.ids == (
        "a/x",
        "b",
        "b/x",
    )


def test_links_to_folders_are_followed_but_not_in_a_circle(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root, elsewhere = make_folder({"a": 1}), make_folder({"x": 2}, name="elsewhere")
    os.symlink(elsewhere / "x", root / "b")
    os.symlink(root, root / "a" / "around")
    os.symlink("self", root / "a" / "self")
    os.symlink(root / "a", root / "c")
    data = open_folder("", root)
    assert data.paths == ("a/000.png", "b/000.png", "b/001.png", "c/000.png")
    assert data.remarks == {3: "the same file as a/000.png, through a link"}
    assert data.ignored == {"no extension": 2}  # the link to itself, in a and again in c


def test_files_that_are_the_same_through_a_link(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = make_folder({"a": 1, "b": 2})
    outside = make_folder({"x": 2}, name="outside") / "x"
    os.symlink(root / "b" / "001.png", root / "a" / "first.png")  # the file, not the link, is the original
    os.symlink("001.png", root / "b" / "zzz.png")
    os.symlink(outside / "000.png", root / "a" / "once.png")
    os.symlink(outside / "001.png", root / "a" / "twice.png")
    os.symlink(outside / "001.png", root / "b" / "twice.png")
    os.link(root / "a" / "000.png", root / "b" / "hard.png")
    data = open_folder("", root)
    assert {data.paths[k]: remark for k, remark in data.remarks.items()} == {
        "a/first.png": "the same file as b/001.png, through a link",
        "b/zzz.png": "the same file as b/001.png, through a link",
        "b/twice.png": "the same file as a/twice.png, through a link",
    }
    assert data.read(data.paths.index("b/zzz.png")).reason == "the same file as b/001.png, through a link"


def test_what_is_called_like_an_image_is_listed(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1, "b.png": 1})
    write(root, "a/folder.jpg/inside.png")
    os.symlink("nowhere", root / "a" / "broken.png")
    os.symlink("loop.png", root / "a" / "loop.png")
    os.symlink("folder.jpg", root / "a" / "linked.jpg")
    data = open_folder("", root)
    assert data.paths == ("a/000.png", "a/broken.png", "a/folder.jpg", "a/linked.jpg", "a/loop.png", "b.png/000.png")
    assert [data.read(k).status for k in range(6)] == ["ok", "failed", "failed", "failed", "failed", "ok"]
    assert data.read(2).reason == data.read(3).reason == "Is a directory"


def test_names_that_are_no_utf_8(make_folder: Callable[..., Path]) -> None:
    root = make_folder({"a": 1, "z": 1})
    os.rename(os.fsencode(root / "a" / "000.png"), os.fsencode(root / "a") + b"/\xff.png")
    os.rename(os.fsencode(root / "a"), os.fsencode(root) + b"/\xe9")
    data = open_folder("", root)
    assert data.classes.ids == ("z", "%E9")
    assert [os.fsencode(path) for path in data.paths] == [b"z/000.png", b"\xe9/\xff.png"]
    assert data.read(1).status == "ok"


def test_nothing_to_open(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    flat = write(tmp_path / "flat", "1.png", ".hidden/2.png")
    with pytest.raises(EmptyDataError, match=r"data 'given' has no class folders; expected .*/flat/CLASS/IMAGE"):
        open_folder("given", flat)
    root = make_folder({"a": 0, "b": 0})
    with pytest.raises(
        EmptyDataError, match=r"has 2 class folders but no image in them; images are files called .*.bmp"
    ):
        open_folder("", root)


def test_a_folder_that_cannot_be_read(make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder({"a": 1, "b": 1})
    scan = os.scandir

    def forbidding(path: str) -> object:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    with pytest.raises(DataNotFoundError, match=r"data 'given': '.*/b' cannot be read \(Permission denied\). Make it"):
        open_folder("given", root)


@dataclass
class WindowsEntry:
    """An entry of a listing as Windows gives it: without device and number of the file, or with one of 128 bits."""

    entry: os.DirEntry[str]

    def __getattr__(self, name: str) -> object:
        return getattr(self.entry, name)

    def inode(self) -> int:
        return (1 << 100) + self.entry.inode()

    def stat(self) -> os.stat_result:
        return os.stat_result((0o40755, *(0,) * 9))


def test_listings_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, "a/b/c/1.png", "a/b/2.png", "d/3.png")
    (root / "d" / "again").symlink_to(root / "d", target_is_directory=True)
    (root / "d" / "4.png").symlink_to(root / "d" / "3.png")
    usual = open_folder("", root)
    assert usual.paths == ("a/b/2.png", "a/b/c/1.png", "d/3.png", "d/4.png")
    assert usual.remarks == {3: "the same file as d/3.png, through a link"}
    scan = os.scandir

    @contextmanager
    def listing(path: str) -> Iterator[Iterator[WindowsEntry]]:
        with scan(path) as entries:
            yield map(WindowsEntry, entries)

    monkeypatch.setattr("os.scandir", listing)
    there = open_folder("", root)
    assert (there.paths, there.remarks) == (usual.paths, usual.remarks)


def test_splits(tmp_path: Path) -> None:
    root = write(
        tmp_path, "train/b/1.png", "train/a/x/1.png", "val/b/1.png", "val/b/0.png", "val/c/1.png", ".x/y/1.png"
    )
    (root / "val" / "d").mkdir()
    (root / "readme.txt").touch()
    (root / "val" / "list.txt").touch()
    data = open_folder("given", root)
    assert (data.root, data.split, data.classes.ids) == (root, "val", ("a/x", "b", "c", "d"))
    assert (data.paths, data.labels.tolist()) == (("val/b/0.png", "val/b/1.png", "val/c/1.png"), [1, 1, 2])
    assert data.ignored == {".txt": 1}  # of this split
    assert data.notes == (
        "split 'val' is taken (--split chooses; there is also train)",
        "1 of 4 classes have no image in split 'val': a/x",
    )
    train = open_folder("given", root, split="train")
    assert train.classes == data.classes  # labels mean the same
    assert (train.paths, train.labels.tolist()) == (("train/a/x/1.png", "train/b/1.png"), [0, 1])
    assert train.notes == ("2 of 4 classes have no image in split 'train': c, d",)
    with pytest.raises(DataNotFoundError, match="data 'given' has no split 'test'; it has train, val: give one"):
        open_folder("given", root, split="test")


@pytest.mark.parametrize(
    ("splits", "taken"),
    [
        (["val", "valid", "validation", "test", "train"], "val"),
        (["validation", "test", "train", "valid"], "valid"),
        (["train", "test", "validation"], "validation"),
        (["train", "test"], "test"),
        (["Train", "TEST"], "TEST"),
        (["train"], "train"),
    ],
)
def test_the_split_that_is_taken(splits: list[str], taken: str, tmp_path: Path) -> None:
    root = write(tmp_path, *(f"{split}/a/1.png" for split in splits))
    data = open_folder("", root)
    assert (data.split, data.classes.ids, data.paths) == (taken, ("a",), (f"{taken}/a/1.png",))
    assert len(data.notes) == (len(splits) > 1)
    assert open_folder("", root, split=taken.lower()).split == open_folder("", root, split=taken).split == taken


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (("train/1.png", "plane/1.png"), ("plane", "train")),
        (("train/1.png", "test/1.png"), ("test", "train")),  # no folders in them: vehicles, and what is done in schools
        (("train/a/1.png", "val/1.png"), ("train/a", "val")),
        (("train/a/1.png", "val/.a/1.png", "val/1.png"), ("train/a", "val")),
        (("train/a/1.png", "val/a/1.png", "extra/a/1.png"), ("extra", "train", "val")),
        (("train/a/1.png", "Train/b/1.png"), ("Train/b", "train/a")),
        (("training/a/1.png", "test/b/1.png"), ("test/b", "training/a")),
    ],
)
def test_folders_that_are_no_splits(paths: tuple[str, ...], classes: tuple[str, ...], tmp_path: Path) -> None:
    root = write(tmp_path, *paths)
    data = open_folder("given", root)
    assert (data.classes.ids, data.split, data.notes) == (classes, None, ())
    with pytest.raises(OptionError, match="split is 'val', but data 'given' does not come in splits; leave it out"):
        open_folder("given", root, split="val")


def test_splits_without_images(tmp_path: Path) -> None:
    root = write(tmp_path, "train/a/1.png")
    (root / "val" / "a").mkdir(parents=True)
    with pytest.raises(EmptyDataError, match="'given' has 1 class folders in split 'val' but no image in them; images"):
        open_folder("given", root)
    synsets = write(
        tmp_path / "imagenet", "train/n01443537/1.png", "test/n02110958/images/1.png", "test/n01443537/images/1.png"
    )
    assert open_folder("", synsets).classes.names == ("goldfish", "pug")  # what paths end in is left out split by split
