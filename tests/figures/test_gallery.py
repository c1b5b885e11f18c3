import os
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seviz.capture.pictures import picture_of
from seviz.errors import OptionError
from seviz.figures.gallery import KINDS, exciting_images
from tests.figures.made_tables import channels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The images of the table, each of its own grey."""
    for k, path in enumerate(sorted(set(channels()["path"]) - {""})):
        Image.new("RGB", (20, 20), (10 * k, 0, 0)).save(tmp_path / path)
    return tmp_path


def tiles(figure: Figure) -> dict[str, int | None]:
    """What stands beneath each tile, and the red of its image."""
    found = [axes for axes in figure.axes if axes.get_xlabel()]
    return {axes.get_xlabel(): int(axes.images[0].get_array()[0, 0, 0]) if axes.images else None for axes in found}


def test_each_tile_is_its_image_with_class_and_value(root: Path) -> None:
    table = channels()
    figure = exciting_images(table, root)
    rows = table[table["kind"].isin(KINDS)]
    order = sorted(set(rows["path"]))
    shown = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(shown) == len(rows) == 12
    for axes, row in zip(shown, rows.itertuples(), strict=True):
        assert axes.get_xlabel() == f"{row.class_name}\n{row.value:.3f}"
        np.testing.assert_array_equal(axes.images[0].get_array()[0, 0], [10 * order.index(row.path), 0, 0])
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["channel 7", "channel 2"]
    assert [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")] == list(KINDS)
    assert "SE_4_1" in figure.get_supxlabel()


def test_in_a_column_the_least_exciting_stand_beneath(root: Path) -> None:
    figure = exciting_images(channels(), root, width="column")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [*KINDS, *KINDS]


def test_files_that_cannot_be_read_are_empty_tiles_that_say_why(root: Path) -> None:
    (root / "7_most_1.png").unlink()
    (root / "7_most_2.png").write_bytes(b"no image")
    figure = exciting_images(channels(), root)
    empty = [axes for axes in figure.axes if axes.get_xlabel() and not axes.images]
    said = [axes.texts[0].get_text().replace("\n", " ") for axes in empty]
    assert said[0] == "no image: file not found"
    assert len(said) == 2
    assert said[1].startswith("no image: ")


def test_images_that_were_no_files_are_empty_tiles() -> None:
    figure = exciting_images(channels(), None)
    assert set(tiles(figure).values()) == {None}
    assert {axes.texts[0].get_text() for axes in figure.axes if axes.texts} == {"no image:\nnot\na\nfile"}


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_names_that_are_no_utf8_are_found(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (200, 0, 0)).save(tmp_path / "plain.png")
    os.rename(tmp_path / "plain.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    table = channels(1).assign(path="caf%E9.png")
    assert set(tiles(exciting_images(table, tmp_path)).values()) == {200}


def test_images_are_turned_as_in_the_capture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.png", exif=exif)
    table = channels(1).assign(path="turned.png")
    for rotate, shape in ((False, (10, 20, 3)), (True, (20, 10, 3))):
        figure = exciting_images(table, tmp_path, rotate=rotate)
        (array, *_) = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        assert array.shape == shape


@pytest.mark.parametrize("shape", [(1, 40), (3, 8, 8, 8), (5, 8, 8), (40, 40)])
def test_arrays_are_drawn_as_pictures(shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "x.npy", values)
    figure = exciting_images(channels(1).assign(path="x.npy"), tmp_path)
    (array, *_) = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    expected = picture_of(values).convert("RGB")
    expected.thumbnail((160, 160))
    np.testing.assert_array_equal(array, np.asarray(expected))


def test_large_images_are_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000)).save(tmp_path / "large.png")
    figure = exciting_images(channels(1).assign(path="large.png"), tmp_path)
    (array, *_) = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert array.shape == (80, 160, 3)


def test_fewer_images_than_asked_for_and_long_names_are_drawn(root: Path) -> None:
    table = channels().assign(class_name="a very long name of a class|and another")
    figure = exciting_images(table[~((table["channel"] == 2) & (table["rank"] > 1))], root)
    assert len([axes for axes in figure.axes if axes.images]) == 8
    figure.draw_without_rendering()
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes if axes.images]
    assert not any(box.overlaps(other) for k, box in enumerate(boxes) for other in boxes[k + 1 :])


def test_a_table_without_images_is_an_error() -> None:
    table = channels()
    with pytest.raises(OptionError, match="table has no images, expected rows whose kind is 'most excited'"):
        exciting_images(table[table["kind"] == "favoured class"], None)
