import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from seviz.capture.layouts.imagenet import imagenet
from seviz.errors import DataFormatError, DataNotFoundError
from seviz.network.imagenet import imagenet_classes
from tests.capture.layouts.made_layouts import ENGLISH_SETTER, GOLDFISH, KIT_FOX, PUG

INDEX = {GOLDFISH: 1, ENGLISH_SETTER: 212, PUG: 254, KIT_FOX: 278}  # as published with every network for ImageNet
DEVKIT = {1: KIT_FOX, 2: ENGLISH_SETTER, 3: PUG}  # the kit's numbers are in no alphabetical order


def make_flat(folder: Path, images: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, images + 1):
        Image.new("RGB", (4, 4)).save(folder / f"ILSVRC2012_val_{number:08d}.JPEG")
    return folder


def make_devkit(folder: Path, truth: str, synsets: Mapping[int, str] = DEVKIT) -> None:
    """The kit's two files; the matrix has a synset of synsets too, as the true one has."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    table = np.zeros(len(synsets) + 1, [("ILSVRC2012_ID", object), ("WNID", object), ("num_children", object)])
    table[:] = [*((number, synset, 0) for number, synset in synsets.items()), (1001, "n02083346", 12)]
    scipy.io.savemat(folder / "meta.mat", {"synsets": table})


def test_folders_of_synsets_have_the_labels_of_imagenet(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    make_folder({PUG: 1, GOLDFISH: 2}, name="torchvision/val")
    make_folder({KIT_FOX: 1, GOLDFISH: 0}, name="torchvision/train")
    make_folder({PUG: 1, GOLDFISH: 2}, name="kaggle/ILSVRC/Data/CLS-LOC/val")
    roots = ("torchvision", "torchvision/val", "kaggle", "kaggle/ILSVRC", "kaggle/ILSVRC/Data/CLS-LOC")
    for root in roots:
        data = imagenet("given", tmp_path / root, split=None)
        assert (data.spec, len(data.classes)) == ("given", 1000)
        assert data.classes == imagenet_classes("imagenet-1k")
        assert data.paths == (f"{GOLDFISH}/000.png", f"{GOLDFISH}/001.png", f"{PUG}/000.png")
        assert data.labels.tolist() == [1, 1, 254]
        assert data.read(2).status == "ok"
    train = imagenet("", tmp_path / "torchvision", split="train")
    assert (train.paths, train.labels.tolist()) == ((f"{KIT_FOX}/000.png",), [278])


def test_synsets_that_are_not_among_the_1000_are_classes_of_their_own(make_folder: Callable[..., Path]) -> None:
    root = make_folder({GOLDFISH: 1, "n02083346": 1})
    data = imagenet("", root, split=None)
    assert (data.classes.ids, data.classes.names[0]) == ((GOLDFISH, "n02083346"), "goldfish")
    assert data.labels.tolist() == [0, 1]


def test_other_folders_are_no_imagenet(make_folder: Callable[..., Path]) -> None:
    with pytest.raises(DataNotFoundError, match=r"no ImageNet, since its folder 'cats' .* without imagenet:"):
        imagenet("", make_folder({GOLDFISH: 1, "cats": 1}), split=None)


def test_a_split_that_is_not_there(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    val = make_folder({GOLDFISH: 1}, name="root/val")
    with pytest.raises(DataNotFoundError, match="data 'given' has no split 'train'; it has val"):
        imagenet("given", tmp_path / "root", split="train")
    with pytest.raises(DataNotFoundError, match="data 'given' has no split 'train'; it has val"):
        imagenet("given", val, split="train")
    assert len(imagenet("given", val, split="val")) == 1


def expect_flat(data: object, folder: Path) -> None:
    """Images 1 to 4 are a kit fox, an English setter, a pug and a kit fox."""
    assert data.root == folder
    assert data.paths == tuple(f"ILSVRC2012_val_0000000{number}.JPEG" for number in (2, 3, 1, 4))
    assert data.labels.tolist() == [INDEX[ENGLISH_SETTER], INDEX[PUG], INDEX[KIT_FOX], INDEX[KIT_FOX]]
    assert len(data.classes) == 1000
    assert data.read(0).status == "ok"


@pytest.mark.parametrize("place", [".", "val", "..", "ILSVRC2012_devkit_t12/data", "../ILSVRC2012_devkit_t12/data"])
def test_ground_truth_of_the_development_kit(place: str, tmp_path: Path) -> None:
    folder = make_flat(tmp_path / "root" / "val", 4)
    make_devkit(tmp_path / "root" / place, "1\n2\n3\n1\n")
    expect_flat(imagenet("", tmp_path / "root", split=None), folder)
    if not place.startswith(".."):
        expect_flat(imagenet("", folder, split="val"), folder)


def test_ground_truth_as_a_list_of_synsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_flat(tmp_path / "root", 4)
    Image.new("RGB", (4, 4)).save(folder / "other.png")
    (folder / "imagenet_2012_validation_synset_labels.txt").write_text(
        f"{KIT_FOX}\n{ENGLISH_SETTER}\n{PUG}\n{KIT_FOX}\n"
    )
    data = imagenet("", folder, split=None)
    expect_flat(data, folder)
    assert data.ignored == {".png": 1, ".txt": 1}  # the other image, the list
    monkeypatch.chdir(folder)
    (folder / "imagenet_2012_validation_synset_labels.txt").rename("../synset_labels.txt")
    expect_flat(imagenet("", Path(), split=None), Path())


def test_ground_truth_of_kaggle(tmp_path: Path) -> None:
    folder = make_flat(tmp_path / "ILSVRC" / "Data" / "CLS-LOC" / "val", 4)
    (tmp_path / "LOC_val_solution.csv").write_text(  # in any order, with the boxes of objects
        "ImageId,PredictionString\n"
        f"ILSVRC2012_val_00000003,{PUG} 85 1 499 272 \n"
        f"ILSVRC2012_val_00000001,{KIT_FOX} 1 2 3 4 {KIT_FOX} 5 6 7 8 \n"
        f"ILSVRC2012_val_00000002,{ENGLISH_SETTER} 1 2 3 4 \n"
        f"ILSVRC2012_val_00000004,{KIT_FOX} 1 2 3 4 \n"
    )
    for root in (tmp_path, tmp_path / "ILSVRC", folder.parent, folder):
        expect_flat(imagenet("", root, split="val"), folder)


def test_ground_truth_that_is_not_there(tmp_path: Path) -> None:
    folder = make_flat(tmp_path / "root" / "val", 2)
    looked_for = r"LOC_val_solution.csv, \*synset_labels.txt and ILSVRC2012_validation_ground_truth.txt in"
    with pytest.raises(DataNotFoundError, match=rf"{looked_for} .*/root/val, .*/root, .* ILSVRC2012_devkit_t12/data"):
        imagenet("", tmp_path / "root", split=None)
    make_devkit(folder, "1\n2\n")
    (folder / "meta.mat").unlink()
    with pytest.raises(DataNotFoundError, match=r"ground_truth.txt' numbers the classes, .* meta.mat; put that beside"):
        imagenet("", tmp_path / "root", split=None)


def test_ground_truth_of_other_images(tmp_path: Path) -> None:
    folder = make_flat(tmp_path / "root", 2)
    truth = folder / "synset_labels.txt"
    truth.write_text(f"{PUG}\n{PUG}\n{PUG}\n")
    with pytest.raises(
        DataFormatError, match=r"labels.txt' is the ground truth of 3 images, but .*root' holds 2 valid"
    ):
        imagenet("", folder, split=None)
    truth.write_text(f"{PUG}\n{PUG}\n")
    os.rename(folder / "ILSVRC2012_val_00000002.JPEG", folder / "ILSVRC2012_val_00000007.JPEG")
    with pytest.raises(DataFormatError, match=r"labels.txt' has a class for image 2, but .* and not that one"):
        imagenet("", folder, split=None)


def test_ground_truth_that_is_damaged(tmp_path: Path) -> None:
    folder = make_flat(tmp_path / "root", 2)
    kaggle, synsets = (folder / name for name in ("LOC_val_solution.csv", "synset_labels.txt"))
    make_devkit(folder, "1\n\n77\n")
    with pytest.raises(DataFormatError, match=r"truth.txt', line 3: '77', expected the number of one of the 3 classes"):
        imagenet("", folder, split=None)
    make_devkit(folder, "1\n1001\n")  # of a synset that has others below it
    with pytest.raises(DataFormatError, match="line 2: '1001', expected the number"):
        imagenet("", folder, split=None)
    for damaged in (b"", b"not a matrix" * 20):
        (folder / "meta.mat").write_bytes(damaged)
        with pytest.raises(DataFormatError, match=r"meta.mat' is not the development kit's meta.mat .*; fetch it anew"):
            imagenet("", folder, split=None)
    scipy.io.savemat(folder / "meta.mat", {"other": 1})
    with pytest.raises(DataFormatError, match=r"is not the development kit's meta.mat \('synsets'\)"):
        imagenet("", folder, split=None)
    synsets.write_text(f"{PUG}\ntench\n")
    with pytest.raises(DataFormatError, match=r"labels.txt', line 2: 'tench', expected a synset such as n01440764"):
        imagenet("", folder, split=None)
    kaggle.write_text(f"ImageId,PredictionString\nILSVRC2012_test_00000001,{PUG} 1 2 3 4\n")
    with pytest.raises(
        DataFormatError, match=r"solution.csv', line 2: 'ILSVRC2012_test_00000001,.*', expected such as"
    ):
        imagenet("", folder, split=None)
