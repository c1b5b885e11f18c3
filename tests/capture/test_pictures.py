"""Arrays as pictures: where the numbers of a picture come from, worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seviz.capture.pictures import LINES, SIGNAL, described, picture_of, read_picture


def pixels(values: np.ndarray) -> np.ndarray:
    return np.asarray(picture_of(values))


def test_an_image_of_three_channels_is_red_green_and_blue() -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    np.testing.assert_array_equal(pixels(values), values.transpose(1, 2, 0))
    grey = np.array([[[-1.0, 0.0, 3.0]]] * 3)
    np.testing.assert_array_equal(pixels(grey)[0, :, 1], [0, round(255 / 4), 255])


@pytest.mark.parametrize("channels", [1, 2, 4, 5, 13])
def test_other_numbers_of_channels_become_grey_by_their_mean(channels: int) -> None:
    values = np.random.default_rng(channels).normal(size=(channels, 6, 7))
    low, high = values.min(), values.max()
    expected = ((values - low) / (high - low)).mean(0) * 255
    found = picture_of(values)
    assert (found.mode, found.size) == ("L", (7, 6))
    np.testing.assert_allclose(np.asarray(found), expected, atol=0.51)


def test_of_a_volume_the_middle_slice_is_shown() -> None:
    values = np.random.default_rng(1).integers(0, 256, (1, 5, 3, 4), np.uint8)
    np.testing.assert_array_equal(pixels(values), values[0, 2])
    values = np.random.default_rng(1).integers(0, 256, (3, 1, 3, 4), np.uint8)
    np.testing.assert_array_equal(pixels(values), values[:, 0].transpose(1, 2, 0))


def test_a_signal_is_a_line() -> None:
    found = pixels(np.array([[0.0, 1.0]]))  # from the lower left to the upper right
    assert found.shape == SIGNAL[::-1]
    rows, columns = np.nonzero(found == 0)
    assert set(columns) == set(range(SIGNAL[0]))
    assert rows[columns == 0].min() > 0.9 * SIGNAL[1]
    assert rows[columns == SIGNAL[0] - 1].max() < 0.1 * SIGNAL[1]
    middle = rows[columns == SIGNAL[0] // 2]
    assert abs(middle.mean() - SIGNAL[1] / 2) < 2


def test_a_peak_of_one_sample_among_many_is_seen() -> None:
    values = np.zeros((1, 100_001))
    values[0, 70_000] = 1
    found = pixels(values)
    rows, columns = np.nonzero(found == 0)
    assert rows.min() < 0.1 * SIGNAL[1]
    assert abs(columns[rows == rows.min()].mean() - 0.7 * SIGNAL[0]) < 2


def test_channels_stand_below_each_other_on_one_scale() -> None:
    found = pixels(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    rows = np.nonzero((found == 0).any(1))[0]
    assert rows.min() > 0.9 * SIGNAL[1] / 2  # the first at the bottom of its half
    assert rows.max() < 1.1 * SIGNAL[1] / 2  # the second at the top of its


def test_a_signal_of_many_channels_is_an_image() -> None:
    values = np.zeros((LINES + 8, 64))
    values[LINES + 7, 32:] = 1
    found = pixels(values)
    assert found.shape == SIGNAL[::-1]
    corner = found[-8:, 128:]  # 128 rows for 16 channels, 256 columns for 64 positions
    assert (corner == 255).all()
    assert found.sum(dtype=int) == corner.sum(dtype=int)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((1, 1)),
        np.full((2, 7), -3.5),
        np.full((1, 2, 2), 7),
        np.array([[[-1e308, 1e308]]]),
        np.array([[np.iinfo(np.int64).min, np.iinfo(np.int64).max]]),
        np.array([[[True, False]]]),
        np.zeros((1, 1, 1, 1), np.float16),
        np.array([[[5e-324, 0.0]]]),
        np.zeros((9, 1)),
        np.random.default_rng(0).normal(size=(8, 300)).astype(np.float32),
    ],
)
def test_odd_arrays_are_drawn(values: np.ndarray) -> None:
    found = pixels(values)
    assert found.size > 0
    assert found.dtype == np.uint8


def test_what_is_shown_in_words() -> None:
    assert described((2, 64)) == "a signal of shape (2, 64), its channels as lines"
    assert described((80, 64)) == "a signal of shape (80, 64), its channels from top to bottom"
    assert described((1, 8, 8, 8)) == "a volume of shape (1, 8, 8, 8), its middle slice"
    assert described((5, 8, 8)) == "an array of shape (5, 8, 8)"


def test_files_of_either_kind(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 256, (3, 4, 5), np.uint8)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.NPZ", values)
    Image.fromarray(values.transpose(1, 2, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.NPZ.npz").rename(tmp_path / "a.NPZ")
    for name in ("a.npy", "a.NPZ", "a.png"):
        read = read_picture(tmp_path / name)
        assert (read.status, read.reason) == ("ok", "")
        np.testing.assert_array_equal(np.asarray(read.image), values.transpose(1, 2, 0))
    np.save(tmp_path / "flat.npy", np.zeros(3))
    (tmp_path / "no.pt").write_bytes(b"no tensor")
    for name, reason in (("flat.npy", "shape (3,)"), ("no.pt", "no file that torch.save"), ("none.npy", "No such")):
        read = read_picture(tmp_path / name)
        assert (read.image, read.status) == (None, "failed")
        assert reason in read.reason
