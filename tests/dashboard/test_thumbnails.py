"""Thumbnails: the image that the run means, small; and none from elsewhere."""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seviz.capture.datasets import open_dataset
from seviz.capture.images import Decoded
from seviz.dashboard import thumbnails
from seviz.dashboard.thumbnails import SIDE, grey, small, thumbnail, unseen
from seviz.run.inside import image_path
from seviz.run.store import Run
from tests.made_runs import make_run


def made(path: Path, *, images: int = 4, **data: object) -> Run:
    """A run of which the manifest says other things of its data."""
    run = make_run(path, {"SE_2_1": np.full((images, 3), 0.5)}, np.arange(images) % 2)
    run.manifest = dataclasses.replace(run.manifest, data=dataclasses.replace(run.manifest.data, **data))  # type: ignore[arg-type]
    return run


def with_paths(run: Run, *paths: str) -> Run:
    run.samples["path"] = list(paths)
    return run


def noise(*size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(noise(32, 32)).save(folder / "000000.png")
    Image.fromarray(noise(120, 240)).save(folder / "000001.png")
    (folder / "000002.png").write_bytes(b"no image")
    Image.fromarray(noise(8, 8)).save(tmp_path / "secret.png")
    return folder


def test_a_small_image_is_enlarged_pixel_by_pixel() -> None:
    pixels = noise(32, 32)
    tile = small(Image.fromarray(pixels))
    assert tile.shape == (SIDE, SIDE, 4)
    assert np.array_equal(tile[..., :3], pixels.repeat(3, 0).repeat(3, 1))
    assert (tile[..., 3] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 63), (40, 20), (63, 63), (64, 64), (80, 70), (96, 96), (1, 5000)])
def test_a_tile_has_always_the_same_size_and_the_image_in_its_middle(size: tuple[int, int]) -> None:
    tile = small(Image.new("RGB", size, (10, 20, 30)))
    assert tile.shape == (SIDE, SIDE, 4)
    rows, columns = np.nonzero(tile[..., 3])
    assert abs(rows.min() - (SIDE - 1 - rows.max())) <= 1
    assert abs(columns.min() - (SIDE - 1 - columns.max())) <= 1
    assert (tile[rows, columns, :3] == (10, 20, 30)).all()


def test_a_large_image_is_shrunk_and_keeps_its_shape() -> None:
    tile = small(Image.fromarray(noise(120, 240)))
    assert tile[:, :, 3].astype(bool).sum() == 96 * 48


def test_files_of_a_folder(tmp_path: Path, root: Path) -> None:
    run = made(tmp_path / "run", root=str(root))
    assert unseen(run) == ""
    with Image.open(root / "000000.png") as file:
        assert np.array_equal(thumbnail(run, 0).image, small(file))
    assert [thumbnail(run, row).reason for row in range(4)] == [
        "",
        "",
        "no image of a format that is read",
        "file not found",
    ]
    assert np.array_equal(thumbnail(run, 2).image, grey("").image)


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path, root: Path) -> None:
    run = made(tmp_path / "run", root=str(root))
    assert thumbnail(run, 3).reason == "file not found"
    Image.fromarray(noise(32, 32)).save(root / "000003.png")
    assert thumbnail(run, 3).reason == ""


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "a/../../secret.png",
        "..",
        "",
        "a\0b",
        "%2e%2e/secret.png",
        "%2E%2E%2Fsecret.png",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "../../../../../../etc/passwd",
    ],
)
def test_a_path_out_of_the_root_is_refused(path: str, tmp_path: Path, root: Path) -> None:
    run = with_paths(made(tmp_path / "run", root=str(root)), path, *("000000.png",) * 3)
    assert thumbnail(run, 0).reason == "path outside the data"
    assert thumbnail(run, 1).reason == ""


def test_an_absolute_path_to_an_image_is_refused_too(tmp_path: Path, root: Path) -> None:
    run = with_paths(made(tmp_path / "run", root=str(root)), str(root / "000000.png"), *("000000.png",) * 3)
    assert thumbnail(run, 0).reason == "path outside the data"


def test_nothing_but_regular_files_is_read(tmp_path: Path, root: Path) -> None:
    (root / "folder.png").mkdir()
    run = with_paths(made(tmp_path / "run", root=str(root)), "folder.png", "a" * 300, "000000.png/x", "000001.png")
    assert all(thumbnail(run, row).reason for row in range(3))


def test_a_link_in_the_folder_is_followed(tmp_path: Path, root: Path) -> None:
    (root / "000003.png").symlink_to(root / "000000.png")
    run = made(tmp_path / "run", root=str(root))
    assert np.array_equal(thumbnail(run, 3).image, thumbnail(run, 0).image)


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_a_name_that_is_percent_encoded(root: Path) -> None:
    for name in (b"gr\xc3\xbcn\xff.png", b"%FF.png", b"\xff.png", b"50%25.png"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    assert os.fsencode(image_path(root, "gr%C3%BCn%FF.png").name) == b"gr\xc3\xbcn\xff.png"
    assert image_path(root, "50%25.png") == root / "50%25.png"
    assert os.fsencode(image_path(root, "%FF.png").name) == b"\xff.png"
    assert image_path(root, "%25FF.png") == root / "%FF.png"  # a file that is called so


def test_bundled_images_come_with_seviz(bundled_run: Run) -> None:
    data = open_dataset("bundled")
    assert unseen(bundled_run) == ""
    for row in (0, 42, 99):
        read = data.read(data.paths.index(bundled_run.samples["path"][row])).image
        assert read is not None
        assert np.array_equal(thumbnail(bundled_run, row).image, small(read))


def test_images_that_are_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(2, 32, 32)
    opened: list[str] = []

    class Packed:
        paths = ("test/00001", "test/00000")

        def read(self, index: int) -> Decoded:
            return Decoded(Image.fromarray(pixels[index]), "ok")

    def open_packed(spec: str, split: str) -> Packed:
        opened.append(f"{spec} {split}")
        return Packed()

    monkeypatch.setattr(thumbnails, "open_dataset", open_packed)
    spec = f"cifar10:{tmp_path}"  # what was opened once is kept
    run = with_paths(made(tmp_path / "run", spec=spec), "test/00000", "test/00001", "../x", "test/00000")
    assert unseen(run) == ""
    assert np.array_equal(thumbnail(run, 0).image, small(Image.fromarray(pixels[1])))
    assert np.array_equal(thumbnail(run, 1).image, small(Image.fromarray(pixels[0])))
    assert thumbnail(run, 2).reason == "no image of that name"
    assert opened == [f"{spec} test"]


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    assert "handed over in memory" in unseen(made(tmp_path / "memory", fingerprint=None))
    assert "does not say where" in unseen(made(tmp_path / "nowhere", root=None))
    assert "which is no directory" in unseen(made(tmp_path / "moved", root=str(tmp_path / "gone")))
    assert "cannot be opened" in unseen(made(tmp_path / "packed", spec="cifar10:/nowhere"))
    odd = unseen(made(tmp_path / "null", root="a\0b"))  # where Python is older than 3.14 `is_dir` says no
    assert "no directory" in odd or "cannot be opened" in odd
